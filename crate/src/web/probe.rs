//! The page's probes of a decoding, and their results as objects of typed arrays.
//! The sampler computes them.

use js_sys::{Float32Array, Uint32Array};
use wasm_bindgen::prelude::*;

use super::Engine;
use super::object::object;
use super::settings::{DecodeState, DrawRequest, Labelled, parse};
use super::should_continue::{Finished, ShouldContinue, stopped};
use marscope_core::sampler::probe::AttentionWeights;
use marscope_core::sampler::{BackboneProbe, Explanation, HeadSettings, Probe};

#[wasm_bindgen]
impl Engine {
    /// z of every position and all attention weights at one state of a decoding.
    ///
    /// # Errors
    /// Says what is wrong with the picture, or that the device is lost.
    pub async fn backbone(&self, probe: JsValue) -> Result<JsValue, JsError> {
        backbone_to_js(&self.probe(probe)?.backbone().await?)
    }

    /// Samples tokens from their z at one state of a decoding: `[tokens, count, tokenDim]`, or `"stopped"`.
    ///
    /// # Errors
    /// Says what is wrong with the request, or that the device is lost.
    pub async fn draw(&self, request: JsValue, should_continue: JsValue) -> Result<JsValue, JsError> {
        let request: DrawRequest = parse("draw", request)?;
        let mut proceed = ShouldContinue::new(should_continue)?;
        let probe = self.probe(request.probe)?;
        let samples = probe.draw(&request.tokens, request.count, &request.settings, &mut proceed).await;
        Ok(match proceed.finish(samples)? {
            Finished::Done(samples) => Float32Array::from(&samples[..]).into(),
            Finished::Stopped => stopped(),
        })
    }

    /// One token's reverse process, with what the head predicted at every step.
    ///
    /// # Errors
    /// Says what is wrong with the picture, the token or the settings, or that the device is lost.
    pub async fn explain(&self, probe: JsValue, token: JsValue, settings: JsValue) -> Result<JsValue, JsError> {
        let settings: HeadSettings = parse("explain", settings)?;
        let token = parse("token", token)?;
        explanation_to_js(&self.probe(probe)?.explain(token, &settings).await?)
    }

    fn probe(&self, probe: JsValue) -> Result<Probe, JsError> {
        let Labelled { label } = parse("probe", probe.clone())?;
        let kind = self.pipeline.config.model.token_kind();
        let state = parse::<DecodeState>("probe", probe)?.state(kind)?;
        Ok(self.pipeline.probe(label, state)?)
    }
}

fn backbone_to_js(probe: &BackboneProbe) -> Result<JsValue, JsError> {
    object(&[
        ("width", (probe.width as u32).into()),
        ("z", floats(&probe.z)),
        ("encoder", attention_to_js(&probe.encoder)?),
        ("decoder", attention_to_js(&probe.decoder)?),
    ])
}

fn attention_to_js(attention: &AttentionWeights) -> Result<JsValue, JsError> {
    object(&[
        ("blocks", (attention.blocks as u32).into()),
        ("heads", (attention.heads as u32).into()),
        ("seq", (attention.seq as u32).into()),
        ("weights", floats(&attention.weights)),
    ])
}

fn explanation_to_js(explanation: &Explanation) -> Result<JsValue, JsError> {
    let timesteps: Vec<u32> = explanation.timesteps.iter().map(|&timestep| timestep as u32).collect();
    let alpha_bar: Vec<f32> = explanation.alpha_bar.iter().map(|&share| share as f32).collect();
    object(&[
        ("timesteps", Uint32Array::from(&timesteps[..]).into()),
        ("alphaBar", floats(&alpha_bar)),
        ("x", floats(&explanation.x)),
        ("noise", floats(&explanation.noise)),
        ("clean", floats(&explanation.clean)),
        ("deviation", floats(&explanation.deviation)),
    ])
}

fn floats(values: &[f32]) -> JsValue {
    Float32Array::from(values).into()
}
