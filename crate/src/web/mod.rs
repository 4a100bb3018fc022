//! What the page calls: an engine, a decoding, and the events of its iterations, as typed arrays.
//! Runs inside a Web Worker; every failure is a JavaScript `Error` with a message for a person.

mod event;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use crate::config::Defaults;
use crate::engine;
use crate::sampler::{CfgSchedule, OrderKind, Settings, ranks};

/// Makes a panic readable on the console; called once when the module is loaded.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

/// Weights on a device.
#[wasm_bindgen]
pub struct Engine {
    engine: engine::Engine,
    device: String,
}

/// What the page shows of a model.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ModelInfo<'a> {
    name: &'a str,
    classes: &'a [String],
    image: [usize; 2],
    channels: usize,
    patch: usize,
    grid: [usize; 2],
    tokens: usize,
    token_dim: usize,
    parameters: usize,
    device: &'a str,
    defaults: Defaults,
}

/// What the page asks for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DecodeSettings {
    label: Option<usize>,
    /// A JavaScript number, so exact up to 2^53.
    seed: f64,
    cfg: f32,
    cfg_schedule: CfgSchedule,
    iterations: usize,
    steps: usize,
    temperature: f32,
    order: OrderKind,
    stride: usize,
}

#[wasm_bindgen]
impl Engine {
    /// Reads and checks a weights folder's two files and puts the network on `cpu` or `webgpu`.
    ///
    /// # Errors
    /// What is wrong with the files, or that there is no such device.
    pub async fn load(config: String, weights: Vec<u8>, device: String) -> Result<Engine, JsError> {
        let opened = open(&device).await?;
        Ok(Self { engine: engine::Engine::load(&config, &weights, &opened)?, device })
    }

    /// The model's shape, classes and defaults.
    ///
    /// # Errors
    /// Never in practice: plain data always converts.
    pub fn info(&self) -> Result<JsValue, JsError> {
        let config = &self.engine.config;
        let model = &config.model;
        let info = ModelInfo {
            name: &config.name,
            classes: &config.classes,
            image: [model.img_size; 2],
            channels: model.vae_embed_dim,
            patch: model.patch_size,
            grid: [model.grid(); 2],
            tokens: model.tokens(),
            token_dim: model.token_dim(),
            parameters: self.engine.parameters(),
            device: &self.device,
            defaults: config.defaults,
        };
        Ok(serde_wasm_bindgen::to_value(&info)?)
    }

    /// Starts a decoding.
    ///
    /// # Errors
    /// Names the setting that is missing or out of range.
    pub fn decode(&self, settings: JsValue) -> Result<Decoding, JsError> {
        let asked: DecodeSettings = serde_wasm_bindgen::from_value(settings)?;
        if !(asked.seed >= 0.0 && asked.seed <= 9_007_199_254_740_991.0 && asked.seed.fract() == 0.0) {
            return Err(JsError::new(&format!("seed is {}: give a whole number from 0 to 2^53 - 1", asked.seed)));
        }
        let settings = Settings {
            iterations: asked.iterations,
            steps: asked.steps.to_string(),
            cfg: asked.cfg,
            cfg_schedule: asked.cfg_schedule,
            temperature: asked.temperature,
            clip: self.engine.config.clip_denoised,
            stride: asked.stride,
        };
        let decoding = self.engine.decode(&[(asked.label, asked.seed as u64)], asked.order, settings)?;
        let tokenizer = engine::Engine::tokenizer(&self.engine.config);
        Ok(Decoding { decoding, tokenizer })
    }
}

#[cfg(feature = "webgpu")]
async fn open(device: &str) -> Result<Device, JsError> {
    match device {
        "cpu" => Ok(Device::flex()),
        "webgpu" => Device::wgpu_options()
            .init_async()
            .await
            .map_err(|error| JsError::new(&format!("WebGPU could not be started: {error}. Take the CPU engine"))),
        other => Err(JsError::new(&format!("'{other}' is no device: give cpu or webgpu"))),
    }
}

#[cfg(not(feature = "webgpu"))]
#[allow(clippy::unused_async)] // the same signature as with WebGPU
async fn open(device: &str) -> Result<Device, JsError> {
    match device {
        "cpu" => Ok(Device::flex()),
        other => Err(JsError::new(&format!("this build has no device '{other}': give cpu"))),
    }
}

/// One image on its way from all masked to all known.
#[wasm_bindgen]
pub struct Decoding {
    decoding: crate::sampler::Decoding,
    tokenizer: Box<dyn crate::tokenizer::Tokenizer>,
}

#[wasm_bindgen]
impl Decoding {
    /// The position that comes at each rank.
    pub fn order(&self) -> Vec<u32> {
        self.decoding.images()[0].order.iter().map(|&place| place as u32).collect()
    }

    /// The rank of each position.
    pub fn ranks(&self) -> Vec<u32> {
        ranks(&self.decoding.images()[0].order).into_iter().map(|rank| rank as u32).collect()
    }

    /// Does one iteration; `null` when the image is done.
    ///
    /// # Errors
    /// When the device is lost; the decoding stays where it was.
    pub async fn advance(&mut self) -> Result<JsValue, JsError> {
        let before: Vec<u8> = self.decoding.masked().iter().map(|&m| u8::from(m)).collect();
        match self.decoding.advance().await? {
            None => Ok(JsValue::NULL),
            Some(iteration) => event::to_js(&iteration, &before, &self.decoding, &*self.tokenizer),
        }
    }
}
