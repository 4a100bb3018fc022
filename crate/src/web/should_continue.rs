//! The page decides whether a computation continues, with a function that returns a promise of a boolean.
//! It is called at most every few milliseconds: often enough to stop soon, rarely enough to cost nothing.

use std::pin::Pin;
use std::time::Duration;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_time::Instant;

use super::object::message_of;
use marscope_core::network::Continue;
use marscope_core::sampler::SampleError;

/// Time between two calls: half a frame of the page.
const BETWEEN: Duration = Duration::from_millis(8);

/// The function, and the result of the last call.
pub struct ShouldContinue {
    function: Function,
    asked: Instant,
    failure: Option<JsError>,
}

impl ShouldContinue {
    /// Wraps the page's function.
    pub fn new(function: JsValue) -> Result<Self, JsError> {
        let function = function
            .dyn_into()
            .map_err(|_| JsError::new("shouldContinue must be a function that answers a promise"))?;
        Ok(Self { function, asked: Instant::now(), failure: None })
    }

    async fn answer(&self) -> Result<bool, JsError> {
        let failed = |error| JsError::new(&format!("shouldContinue failed: {}", message_of(&error)));
        let promise = Promise::resolve(&self.function.call0(&JsValue::NULL).map_err(failed)?);
        let answer = JsFuture::from(promise).await.map_err(failed)?;
        answer.as_bool().ok_or_else(|| JsError::new("shouldContinue must answer true or false"))
    }

    /// Converts the result: stopped if the page said no, an error if its function failed.
    pub fn finish<T>(self, done: Result<T, SampleError>) -> Result<Finished<T>, JsError> {
        match (done, self.failure) {
            (Err(SampleError::Stopped), Some(failure)) => Err(failure),
            (Err(SampleError::Stopped), None) => Ok(Finished::Stopped),
            (done, _) => Ok(Finished::Done(done?)),
        }
    }
}

impl Continue for ShouldContinue {
    /// Calls the page's function if the last call was long enough ago.
    fn should_continue(&mut self) -> Pin<Box<dyn Future<Output = bool> + '_>> {
        Box::pin(async {
            if self.asked.elapsed() <= BETWEEN {
                return true;
            }
            let answer = self.answer().await;
            self.asked = Instant::now();
            answer.unwrap_or_else(|failure| {
                self.failure = Some(failure);
                false
            })
        })
    }
}

/// The outcome of a computation that can be stopped.
pub enum Finished<T> {
    /// It finished with this result.
    Done(T),
    /// The page stopped it.
    Stopped,
}

const STOPPED: &str = "stopped";

/// The value that the page receives for a stopped computation.
pub fn stopped() -> JsValue {
    JsValue::from_str(STOPPED)
}

/// Whether `answer` is that value.
pub fn is_stopped(answer: &JsValue) -> bool {
    *answer == STOPPED
}
