//! The page's questions about a moment, and the answers as objects of typed arrays.
//! The questions themselves are the sampler's.

use js_sys::{Float32Array, Uint32Array};
use wasm_bindgen::prelude::*;

use super::Engine;
use super::go_on::{Finished, GoOn, stopped};
use super::object::object;
use super::settings::{DrawRequest, HeadSettings, Labelled, Standing, parse};
use crate::sampler::moment::HostAttention;
use crate::sampler::{Explanation, Look, Moment};

#[wasm_bindgen]
impl Engine {
    /// What the transformer makes of a moment: every z, all attention weights.
    ///
    /// # Errors
    /// Says what is wrong with the moment, or that the device is lost.
    pub async fn look(&self, moment: JsValue) -> Result<JsValue, JsError> {
        look_to_js(&self.moment(moment)?.look().await?)
    }

    /// Draws tokens again and again from the z they have at a moment: `[tokens, count, tokenDim]`, or `"stopped"`.
    ///
    /// # Errors
    /// Says what is wrong with the request, or that the device is lost.
    pub async fn draw(&self, request: JsValue, go_on: JsValue) -> Result<JsValue, JsError> {
        let request: DrawRequest = parse("draw", request)?;
        let mut go_on = GoOn::new(go_on)?;
        let moment = self.moment(request.moment)?;
        let settings = request.settings.settings(self.engine.config.clip_denoised)?;
        let samples = moment.draw(&request.tokens, request.count, &settings, async || go_on.ask().await).await;
        Ok(match go_on.finish(samples)? {
            Finished::Done(samples) => Float32Array::from(&samples[..]).into(),
            Finished::Stopped => stopped(),
        })
    }

    /// One token's reverse process, with what the head said at every step.
    ///
    /// # Errors
    /// Says what is wrong with the moment, the token or the settings, or that the device is lost.
    pub async fn explain(&self, moment: JsValue, token: JsValue, settings: JsValue) -> Result<JsValue, JsError> {
        let settings = parse::<HeadSettings>("explain", settings)?.settings(self.engine.config.clip_denoised)?;
        let token = parse("token", token)?;
        explanation_to_js(&self.moment(moment)?.explain(token, &settings).await?)
    }

    fn moment(&self, moment: JsValue) -> Result<Moment, JsError> {
        let Labelled { label } = parse("moment", moment.clone())?;
        let standing = parse::<Standing>("moment", moment)?.standing()?;
        Ok(self.engine.moment(label, standing)?)
    }
}

fn look_to_js(look: &Look) -> Result<JsValue, JsError> {
    object(&[
        ("width", (look.width as u32).into()),
        ("z", floats(&look.z)),
        ("encoder", attention_to_js(&look.encoder)?),
        ("decoder", attention_to_js(&look.decoder)?),
    ])
}

fn attention_to_js(attention: &HostAttention) -> Result<JsValue, JsError> {
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
