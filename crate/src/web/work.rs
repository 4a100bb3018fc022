//! The parts of an iteration that a peer computes, as messages between two workers: z of some images, the draw of some
//! tokens, and modulations that help the draw of others. They are objects of typed arrays, whose buffers the page transfers
//! without copying.

use std::ops::Range;

use js_sys::{Float32Array, Float64Array, Int32Array, Uint8Array, Uint32Array};
use marscope_core::config::Label;
use marscope_core::diffusion::{ReverseProcess, Step, Steps, Trajectory};
use marscope_core::head::{HeadInput, HeadOutput};
use marscope_core::network::BackboneInput;
use marscope_core::sampler::SampleError;
use marscope_core::tokens::TokensRef;
use marscope_inference::help::Helper;
use serde::Deserialize;
use wasm_bindgen::prelude::*;

use super::object::object;
use super::settings::parse;
use super::should_continue::{Finished, ShouldContinue, stopped};

/// z of some images.
#[derive(Deserialize)]
struct ZWork {
    /// `[images, L, C]`.
    #[serde(with = "serde_wasm_bindgen::preserve")]
    tokens: Float32Array,
    /// `[images, L]`: 1 where a token is not known.
    #[serde(with = "serde_wasm_bindgen::preserve")]
    masked: Uint8Array,
    /// `[images]`; -1 for no class.
    #[serde(with = "serde_wasm_bindgen::preserve")]
    labels: Int32Array,
    /// `[picks, 2]`: image and token.
    #[serde(with = "serde_wasm_bindgen::preserve")]
    picks: Uint32Array,
}

/// The draw of some tokens.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DrawWork {
    /// `[branches, tokens, decoder width]`.
    #[serde(with = "serde_wasm_bindgen::preserve")]
    z: Float32Array,
    /// `[1 + steps, tokens, C]`.
    #[serde(with = "serde_wasm_bindgen::preserve")]
    noise: Float32Array,
    /// `[steps]`.
    #[serde(with = "serde_wasm_bindgen::preserve")]
    timesteps: Uint32Array,
    /// `[steps]`.
    #[serde(with = "serde_wasm_bindgen::preserve")]
    alpha_bar: Float64Array,
    /// `[steps, numbers of a Step]`.
    #[serde(with = "serde_wasm_bindgen::preserve")]
    table: Float32Array,
    cfg: Option<f32>,
    temperature: f32,
    clip: Option<f32>,
    stride: usize,
    explain: bool,
}

/// Modulations of some tokens at some steps.
#[derive(Deserialize)]
struct ModulationsWork {
    /// `[branches, tokens, decoder width]`.
    #[serde(with = "serde_wasm_bindgen::preserve")]
    z: Float32Array,
    guided: bool,
    /// Of the whole process.
    #[serde(with = "serde_wasm_bindgen::preserve")]
    timesteps: Uint32Array,
    /// The first step.
    first: usize,
    /// The step after the last.
    end: usize,
}

/// Which of them a message is.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Z,
    Draw,
    Modulations,
}

#[derive(Deserialize)]
struct Kinded {
    kind: Kind,
}

/// The message that asks for z of `picks`.
pub fn of_z(input: &BackboneInput<'_>, picks: &[(usize, usize)]) -> Result<JsValue, JsError> {
    let masked: Vec<u8> = input.masked.iter().map(|&masked| u8::from(masked)).collect();
    let labels: Vec<i32> = input.labels.iter().map(|label| label.map_or(-1, |label| label as i32)).collect();
    let picks: Vec<u32> = picks.iter().flat_map(|&(image, token)| [image as u32, token as u32]).collect();
    object(&[
        ("kind", "z".into()),
        ("tokens", Float32Array::from(input.tokens.expect_continuous()).into()),
        ("masked", Uint8Array::from(&masked[..]).into()),
        ("labels", Int32Array::from(&labels[..]).into()),
        ("picks", Uint32Array::from(&picks[..]).into()),
    ])
}

/// The message that asks for the tokens of `process` under `z`.
pub fn of_draw(z: &[f32], process: &ReverseProcess<'_>) -> Result<JsValue, JsError> {
    let steps = process.steps;
    object(&[
        ("kind", "draw".into()),
        ("z", Float32Array::from(z).into()),
        ("noise", Float32Array::from(process.noise).into()),
        ("timesteps", whole(&steps.timesteps).into()),
        ("alphaBar", Float64Array::from(&steps.alpha_bar[..]).into()),
        ("table", Float32Array::from(bytemuck::cast_slice::<Step, f32>(&steps.table)).into()),
        ("cfg", process.cfg.into()),
        ("temperature", process.temperature.into()),
        ("clip", process.clip.into()),
        ("stride", (process.stride as u32).into()),
        ("explain", process.explain.into()),
    ])
}

/// The message that asks for modulations under `z`.
pub fn of_modulations(z: &[f32], guided: bool, timesteps: &[usize], steps: Range<usize>) -> Result<JsValue, JsError> {
    object(&[
        ("kind", "modulations".into()),
        ("z", Float32Array::from(z).into()),
        ("guided", guided.into()),
        ("timesteps", whole(timesteps).into()),
        ("first", (steps.start as u32).into()),
        ("end", (steps.end as u32).into()),
    ])
}

/// The answer of `network` to a message; `"stopped"` if `should_continue` answered false.
pub async fn answer(network: &dyn Helper, message: JsValue, should_continue: JsValue) -> Result<JsValue, JsError> {
    match parse::<Kinded>("work", message.clone())?.kind {
        Kind::Z => parse::<ZWork>("work", message)?.answer(network).await,
        Kind::Draw => parse::<DrawWork>("work", message)?.answer(network, should_continue).await,
        Kind::Modulations => parse::<ModulationsWork>("work", message)?.answer(network).await,
    }
}

/// The numbers of the answer to [`of_z`] or [`of_modulations`].
pub fn numbers_of(answer: JsValue) -> Result<Vec<f32>, JsError> {
    Ok(parse::<Numbers>("a peer's answer", answer)?.numbers.to_vec())
}

/// The trajectory of the answer to [`of_draw`].
pub fn drawn_of(answer: JsValue) -> Result<Trajectory, JsError> {
    let DrawAnswer { taken, frames, predictions } = parse("a peer's answer", answer)?;
    Ok(Trajectory { taken: indices(&taken), frames: frames.to_vec(), predictions: predictions.to_vec() })
}

#[derive(Deserialize)]
struct Numbers {
    /// `[picks, decoder width]`, or `[steps, rows, modulation columns]`.
    #[serde(with = "serde_wasm_bindgen::preserve")]
    numbers: Float32Array,
}

#[derive(Deserialize)]
struct DrawAnswer {
    /// `[frames]`.
    #[serde(with = "serde_wasm_bindgen::preserve")]
    taken: Uint32Array,
    /// `[frames, tokens, C]`.
    #[serde(with = "serde_wasm_bindgen::preserve")]
    frames: Float32Array,
    /// `[steps, tokens, 2C]` when asked to explain, empty otherwise.
    #[serde(with = "serde_wasm_bindgen::preserve")]
    predictions: Float32Array,
}

impl ZWork {
    async fn answer(self, network: &dyn Helper) -> Result<JsValue, JsError> {
        let (values, dim) = (self.tokens.to_vec(), network.config().token_dim());
        let masked: Vec<bool> = self.masked.to_vec().into_iter().map(|masked| masked == 1).collect();
        let labels: Vec<Label> = self.labels.to_vec().into_iter().map(|label| usize::try_from(label).ok()).collect();
        let picks: Vec<_> = indices(&self.picks).as_chunks().0.iter().map(|&[image, token]| (image, token)).collect();
        let tokens = TokensRef::Continuous { dim, values: &values };
        let input = BackboneInput { tokens, masked: &masked, labels: &labels };
        let z = network.z(&mut *network.session(labels.len()), &input, &picks).await?;
        numbers(&z)
    }
}

impl ModulationsWork {
    async fn answer(self, network: &dyn Helper) -> Result<JsValue, JsError> {
        let (z, timesteps) = (self.z.to_vec(), indices(&self.timesteps));
        numbers(&network.modulations(&z, self.guided, &timesteps, self.first..self.end).await?)
    }
}

impl DrawWork {
    async fn answer(self, network: &dyn Helper, should_continue: JsValue) -> Result<JsValue, JsError> {
        let (numbers, noise, z) = (self.table.to_vec(), self.noise.to_vec(), self.z.to_vec());
        let steps = Steps {
            timesteps: indices(&self.timesteps),
            alpha_bar: self.alpha_bar.to_vec(),
            table: bytemuck::cast_slice::<f32, Step>(&numbers).to_vec(),
        };
        let Self { cfg, temperature, clip, stride, explain, .. } = self;
        let process = ReverseProcess { steps: &steps, noise: &noise, cfg, temperature, clip, stride, explain };
        let mut proceed = ShouldContinue::new(should_continue)?;
        let drawn = network.draw(&z, &HeadInput::Diffusion(process), &mut proceed).await;
        let Finished::Done(HeadOutput::Diffusion(drawn)) = proceed.finish(drawn.map_err(SampleError::from))? else {
            return Ok(stopped());
        };
        object(&[
            ("taken", whole(&drawn.taken).into()),
            ("frames", Float32Array::from(&drawn.frames[..]).into()),
            ("predictions", Float32Array::from(&drawn.predictions[..]).into()),
        ])
    }
}

fn numbers(values: &[f32]) -> Result<JsValue, JsError> {
    object(&[("numbers", Float32Array::from(values).into())])
}

fn whole(values: &[usize]) -> Uint32Array {
    let values: Vec<u32> = values.iter().map(|&value| value as u32).collect();
    Uint32Array::from(&values[..])
}

fn indices(values: &Uint32Array) -> Vec<usize> {
    values.to_vec().into_iter().map(|value| value as usize).collect()
}
