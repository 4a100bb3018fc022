//! The page's say in how long a computation goes on: a function that answers a promise of a boolean.
//! Asked now and then only, so that a stop comes soon and the asking costs nothing.

use std::time::Duration;

use js_sys::{Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_time::Instant;

use super::object::message_of;
use crate::sampler::SampleError;

/// Time between two questions: half a frame of the page.
const BETWEEN: Duration = Duration::from_millis(8);

/// The function, and how the last question went.
pub struct GoOn {
    function: Function,
    asked: Instant,
    failure: Option<JsError>,
}

impl GoOn {
    /// Takes the page's function.
    pub fn new(function: JsValue) -> Result<Self, JsError> {
        let function =
            function.dyn_into().map_err(|_| JsError::new("goOn must be a function that answers a promise"))?;
        Ok(Self { function, asked: Instant::now(), failure: None })
    }

    /// Whether to go on; the page is asked when it has not been for a while.
    pub async fn ask(&mut self) -> bool {
        if self.asked.elapsed() <= BETWEEN {
            return true;
        }
        let answer = self.answer().await;
        self.asked = Instant::now();
        answer.unwrap_or_else(|failure| {
            self.failure = Some(failure);
            false
        })
    }

    async fn answer(&self) -> Result<bool, JsError> {
        let failed = |error| JsError::new(&format!("goOn failed: {}", message_of(&error)));
        let promise = Promise::resolve(&self.function.call0(&JsValue::NULL).map_err(failed)?);
        let answer = JsFuture::from(promise).await.map_err(failed)?;
        answer.as_bool().ok_or_else(|| JsError::new("goOn must answer true or false"))
    }

    /// `done` as the page takes it: `"stopped"` if it said no, and an error if its function failed.
    pub fn finish<T>(self, done: Result<T, SampleError>) -> Result<Finished<T>, JsError> {
        match (done, self.failure) {
            (Err(SampleError::Stopped), Some(failure)) => Err(failure),
            (Err(SampleError::Stopped), None) => Ok(Finished::Stopped),
            (done, _) => Ok(Finished::Done(done?)),
        }
    }
}

/// How a computation that may be stopped ended.
pub enum Finished<T> {
    /// With its result.
    Done(T),
    /// Because the page said so.
    Stopped,
}

/// What the page takes for a computation that it stopped.
pub fn stopped() -> JsValue {
    JsValue::from_str("stopped")
}
