//! The same network in another worker, which the page reaches with a function that sends work and answers a promise.
//! The other worker answers with `Engine.answer`.

use std::ops::Range;

use js_sys::{Function, Promise};
use marscope_core::config::MarConfig;
use marscope_core::head::{HeadInput, HeadOutput};
use marscope_core::network::{Answer, BackboneInput, BackboneOutput, Continue, Network, NetworkError, Session};
use marscope_inference::help::Helper;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use super::object::message_of;
use super::should_continue::is_stopped;
use super::work;

/// A network that another worker computes.
pub struct Peer {
    config: MarConfig,
    parameters: usize,
    ask: Function,
}

impl Peer {
    /// `network` in the worker that `ask` sends work to.
    pub fn of(network: &dyn Network, ask: Function) -> Self {
        Self { config: network.config().clone(), parameters: network.parameters(), ask }
    }

    /// Sends `work` at once, so that the other worker begins before its answer is awaited.
    fn ask<T: 'static>(
        &self,
        work: Result<JsValue, JsError>,
        read: impl FnOnce(JsValue) -> Result<T, JsError> + 'static,
    ) -> Answer<'static, T> {
        let sent = work.map_err(JsValue::from).and_then(|work| self.ask.call1(&JsValue::NULL, &work));
        let answer = sent.map(|promise| JsFuture::from(Promise::resolve(&promise)));
        Box::pin(async {
            let answer = answer.map_err(failed)?.await.map_err(failed)?;
            if is_stopped(&answer) {
                return Err(NetworkError::Stopped);
            }
            read(answer).map_err(|error| failed(error.into()))
        })
    }
}

impl Network for Peer {
    fn config(&self) -> &MarConfig {
        &self.config
    }

    fn parameters(&self) -> usize {
        self.parameters
    }

    fn z<'a>(
        &'a self,
        _: &'a mut dyn Session,
        input: &'a BackboneInput<'a>,
        picks: &'a [(usize, usize)],
    ) -> Answer<'a, Vec<f32>> {
        self.ask(work::of_z(input, picks), work::numbers_of)
    }

    /// The page tells the other worker to stop; `proceed` is not asked.
    fn draw<'a>(&'a self, z: &'a [f32], input: &'a HeadInput<'a>, _: &'a mut dyn Continue) -> Answer<'a, HeadOutput> {
        let HeadInput::Diffusion(process) = input;
        self.ask(work::of_draw(z, process), |answer| Ok(HeadOutput::Diffusion(work::drawn_of(answer)?)))
    }

    /// A peer is never asked for it.
    fn backbone<'a>(&'a self, _: &'a BackboneInput<'a>) -> Answer<'a, BackboneOutput> {
        Box::pin(async { Err(NetworkError::Device("a peer does not send attention weights".to_owned())) })
    }
}

impl Helper for Peer {
    fn modulations<'a>(
        &'a self,
        z: &'a [f32],
        guided: bool,
        timesteps: &'a [usize],
        steps: Range<usize>,
    ) -> Answer<'a, Vec<f32>> {
        self.ask(work::of_modulations(z, guided, timesteps, steps), work::numbers_of)
    }
}

fn failed(thrown: JsValue) -> NetworkError {
    NetworkError::Device(message_of(&thrown))
}
