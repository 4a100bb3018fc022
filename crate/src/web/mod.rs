//! What the page calls: an engine, a decoding, and the events of its iterations, as typed arrays.
//! Runs inside a Web Worker; every failure is a JavaScript `Error` with a message for a person.

mod event;
mod go_on;
mod moment;
mod object;
mod settings;

use serde::Serialize;
use wasm_bindgen::prelude::*;

use self::event::Before;
use self::go_on::{Finished, GoOn, stopped};
use self::settings::{DecodeSettings, Standing, parse};
use crate::config::Defaults;
use crate::engine;
use crate::network::Device;

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
    buffer: usize,
    parameters: usize,
    device: &'a str,
    defaults: Defaults,
}

/// What a GPU did, and the bytes of the weights on it.
#[cfg(feature = "webgpu")]
#[derive(Serialize)]
struct GpuCost {
    cost: crate::fast::gpu::Cost,
    weights: u64,
}

#[wasm_bindgen]
impl Engine {
    /// Reads and checks a weights folder's two files and puts the network on `cpu` or `webgpu`.
    ///
    /// # Errors
    /// What is wrong with the files, or that there is no such device.
    pub async fn load(config: String, weights: Vec<u8>, device: String) -> Result<Engine, JsError> {
        let engine = engine::Engine::load(&config, &weights, &self::device(&device)?).await?;
        Ok(Self { engine, device })
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
            buffer: model.buffer_size,
            parameters: self.engine.parameters(),
            device: &self.device,
            defaults: config.defaults,
        };
        Ok(serde_wasm_bindgen::to_value(&info)?)
    }

    /// What the GPU was asked to do since the weights were loaded; `null` where there is none.
    ///
    /// # Errors
    /// Never in practice: plain data always converts.
    pub fn cost(&self) -> Result<JsValue, JsError> {
        match &self.engine.network {
            #[cfg(feature = "webgpu")]
            crate::network::Network::Gpu(model) => {
                let cost = GpuCost { cost: model.cost(), weights: model.weight_bytes() };
                Ok(serde_wasm_bindgen::to_value(&cost)?)
            }
            _ => Ok(JsValue::NULL),
        }
    }

    /// Diffusion steps of each iteration that a decoding under `settings` would take.
    ///
    /// # Errors
    /// Names the setting that is missing or out of range.
    pub fn budget(&self, settings: JsValue) -> Result<Vec<u32>, JsError> {
        Ok(self.decode(settings, JsValue::NULL)?.decoding.budget().map(|steps| steps as u32).collect())
    }

    /// Starts a decoding: from the picture `start`, or, where that is null, with every token masked.
    ///
    /// # Errors
    /// Names the setting that is missing or out of range, or what is wrong with the start.
    pub fn decode(&self, settings: JsValue, start: JsValue) -> Result<Decoding, JsError> {
        let asked: DecodeSettings = parse("settings", settings)?;
        let start: Option<Standing> = parse("start", start)?;
        let start = start.map(|start| start.standing()).transpose()?;
        let settings = asked.settings(self.engine.config.clip_denoised);
        let decoding = self.engine.decode(&[(asked.label, asked.seed()?)], asked.order, settings, start)?;
        let tokenizer = engine::Engine::tokenizer(&self.engine.config);
        Ok(Decoding { decoding, tokenizer })
    }
}

fn device(name: &str) -> Result<Device, JsError> {
    match name {
        "cpu" => Ok(Device::Cpu),
        #[cfg(feature = "webgpu")]
        "webgpu" => Ok(Device::Gpu),
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

    /// Does one iteration; `null` when the image is done, `"stopped"` once `go_on` answers no.
    ///
    /// # Errors
    /// When the device is lost or `go_on` fails; the decoding stays where it was.
    pub async fn advance(&mut self, go_on: JsValue) -> Result<JsValue, JsError> {
        let mut go_on = GoOn::new(go_on)?;
        let before = Before::of(&self.decoding, &*self.tokenizer);
        let done = self.decoding.advance_while(async || go_on.ask().await).await;
        match go_on.finish(done)? {
            Finished::Stopped => Ok(stopped()),
            Finished::Done(None) => Ok(JsValue::NULL),
            Finished::Done(Some(iteration)) => event::to_js(&iteration, &before, &self.decoding, &*self.tokenizer),
        }
    }
}
