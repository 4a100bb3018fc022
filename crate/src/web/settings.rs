//! What the page passes in: read and checked, so that whatever is wrong is an `Error` with a message for a person.
//! The shapes are those of the page's `engine/types.ts`.

use js_sys::{Float32Array, Uint8Array};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;

use super::object::message_of;
use crate::config::Label;
use crate::diffusion::Solver;
use crate::sampler::{self, CfgSchedule, Order, Settings};

/// `value` as a `T`; `what` names it in the error.
pub fn parse<T: DeserializeOwned>(what: &str, value: JsValue) -> Result<T, JsError> {
    serde_wasm_bindgen::from_value(value)
        .map_err(|error| JsError::new(&format!("{what}: {}", message_of(&error.into()))))
}

/// One decoding's settings.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object of a decoding's settings")]
pub struct DecodeSettings {
    pub label: Label,
    seed: f64,
    cfg: f32,
    cfg_schedule: CfgSchedule,
    iterations: usize,
    steps: usize,
    #[serde(default)]
    late_steps: Option<usize>,
    #[serde(default)]
    solver: Solver,
    #[serde(default = "sampler::each")]
    cfg_every: usize,
    temperature: f32,
    pub order: Order,
    stride: usize,
}

impl DecodeSettings {
    pub fn seed(&self) -> Result<u64, JsError> {
        seed(self.seed)
    }

    /// What the sampler takes; `clip` is the model's.
    pub fn settings(&self, clip: bool) -> Settings {
        Settings {
            iterations: self.iterations,
            steps: self.steps.to_string(),
            late_steps: self.late_steps,
            solver: self.solver,
            cfg: self.cfg,
            cfg_every: self.cfg_every,
            cfg_schedule: self.cfg_schedule,
            temperature: self.temperature,
            clip,
            stride: self.stride,
        }
    }
}

/// How tokens are drawn at a moment.
#[derive(Deserialize)]
#[serde(expecting = "an object of seed, cfg, steps and temperature")]
pub struct HeadSettings {
    seed: f64,
    cfg: f32,
    steps: usize,
    #[serde(default)]
    solver: Solver,
    temperature: f32,
}

impl HeadSettings {
    /// What the sampler takes; `clip` is the model's.
    pub fn settings(&self, clip: bool) -> Result<sampler::HeadSettings, JsError> {
        Ok(sampler::HeadSettings {
            seed: seed(self.seed)?,
            cfg: self.cfg,
            steps: self.steps.to_string(),
            solver: self.solver,
            temperature: self.temperature,
            clip,
        })
    }
}

/// A picture on its way.
#[derive(Deserialize)]
#[serde(expecting = "an object of iteration, tokens and masked")]
pub struct Standing {
    iteration: usize,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    tokens: Float32Array,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    masked: Uint8Array,
}

impl Standing {
    pub fn standing(&self) -> Result<sampler::Standing, JsError> {
        let masked = self.masked.to_vec();
        if let Some(other) = masked.iter().find(|&&entry| entry > 1) {
            return Err(JsError::new(&format!("the mask holds a {other}: give 1 where masked and 0 where known")));
        }
        let masked = masked.into_iter().map(|entry| entry == 1).collect();
        Ok(sampler::Standing { iteration: self.iteration, tokens: self.tokens.to_vec(), masked })
    }
}

/// The class of a moment, which is an object that holds a [`Standing`] besides.
#[derive(Deserialize)]
#[serde(expecting = "an object of label, iteration, tokens and masked")]
pub struct Labelled {
    pub label: Label,
}

/// Tokens to draw again and again.
#[derive(Deserialize)]
#[serde(expecting = "an object of moment, settings, tokens and count")]
pub struct DrawRequest {
    #[serde(with = "serde_wasm_bindgen::preserve")]
    pub moment: JsValue,
    pub settings: HeadSettings,
    pub tokens: Vec<usize>,
    pub count: usize,
}

/// A JavaScript number as a seed: exact up to 2^53.
fn seed(number: f64) -> Result<u64, JsError> {
    if (0.0..=9_007_199_254_740_991.0).contains(&number) && number.fract() == 0.0 {
        Ok(number as u64)
    } else {
        Err(JsError::new(&format!("seed is {number}: give a whole number from 0 to 2^53 - 1")))
    }
}
