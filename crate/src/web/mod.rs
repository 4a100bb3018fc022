//! The page's interface: an engine, a decoding, and the events of its iterations, with typed arrays.
//! Runs in a Web Worker. Every failure is a JavaScript `Error` with a message for a person.

mod bytes;
mod event;
mod object;
mod peer;
mod probe;
mod settings;
mod should_continue;
mod work;

use std::sync::Arc;

use js_sys::{Function, Uint8Array};
use marscope_core::checkpoint::Safetensors;
use marscope_core::config::{TokenizerKind, WeightsConfig};
use marscope_core::pipeline::Pipeline;
use marscope_core::sampler::{self, DecodeSettings};
use marscope_core::tokenizer::{Autoencoder, KlConfig, LatentTokenizer, TokenizerError};
use marscope_core::tokens::Tokens;
use marscope_inference::cpu::{self, Cpu};
#[cfg(feature = "webgpu")]
use marscope_inference::gpu;
use marscope_inference::help::Helper;
use marscope_inference::team::Team;
use serde::Deserialize;
use wasm_bindgen::prelude::*;

use self::bytes::PageBytes;
use self::peer::Peer;
use self::settings::{DecodeState, parse};
use self::should_continue::{Finished, ShouldContinue, stopped};

/// Makes a panic readable on the console; called once when the module is loaded.
#[wasm_bindgen(start)]
pub fn start() {
    console_error_panic_hook::set_once();
}

/// Weights on a device.
#[wasm_bindgen]
pub struct Engine {
    pipeline: Pipeline,
    device: String,
    /// The network again if it is on the CPU, to share its work.
    cpu: Option<OnCpu>,
    /// The network again if it is on a GPU, to read its cost.
    #[cfg(feature = "webgpu")]
    gpu: Option<Arc<gpu::Model>>,
}

/// A network on the CPU, and the team that computes it.
struct OnCpu {
    own: Arc<Cpu>,
    team: Arc<Team>,
}

/// The work of a GPU, and the bytes of the weights on it.
#[cfg(feature = "webgpu")]
#[derive(serde::Serialize)]
struct GpuCost {
    cost: gpu::Cost,
    weights: u64,
}

#[wasm_bindgen]
impl Engine {
    /// Reads and checks a weights folder's files and puts the network on `cpu` or `webgpu`. Weights of latents need the two
    /// files of their autoencoder, `{ config, weights }`; those of pixels take null. The weights stay in the page's memory; one
    /// tensor at a time is copied into the module's.
    ///
    /// # Errors
    /// What is wrong with the files, or that there is no such device.
    pub async fn load(
        config: String,
        weights: Uint8Array,
        device: String,
        autoencoder: JsValue,
    ) -> Result<Engine, JsError> {
        let config = WeightsConfig::parse(&config)?;
        let weights = Safetensors::new(PageBytes(weights))?;
        let autoencoder: Option<AutoencoderFiles> = parse("autoencoder", autoencoder)?;
        let autoencoder = autoencoder.filter(|_| config.tokenizer == TokenizerKind::Kl);
        let files = autoencoder.map(AutoencoderFiles::open).transpose()?;
        match device.as_str() {
            "cpu" => {
                let own = Arc::new(Cpu::load(&config.model, &weights)?);
                #[expect(clippy::arc_with_non_send_sync, reason = "a worker's memory is its own")]
                let team = Arc::new(Team::new(own.clone()));
                let pipeline = Pipeline::new(config, team.clone());
                let kl = files.map(|(config, weights)| cpu::Kl::load(&config, &weights)).transpose();
                Ok(Self {
                    pipeline: pictured(pipeline, kl.map_err(of_autoencoder)?.map(|kl| Arc::new(kl) as _))?,
                    device,
                    cpu: Some(OnCpu { own, team }),
                    #[cfg(feature = "webgpu")]
                    gpu: None,
                })
            }
            #[cfg(feature = "webgpu")]
            "webgpu" => {
                let gpu = gpu::Gpu::open(&config.model).await?;
                #[expect(clippy::arc_with_non_send_sync, reason = "a browser has no threads to send it to")]
                let network = Arc::new(gpu.load(&config.model, &weights).await?);
                let pipeline = Pipeline::new(config, network.clone());
                let kl = match files {
                    None => None,
                    Some((config, weights)) => {
                        let kl = gpu.load_autoencoder(&config, &weights).await.map_err(of_autoencoder)?;
                        #[expect(clippy::arc_with_non_send_sync, reason = "a browser has no threads to send it to")]
                        let kl: Arc<dyn Autoencoder> = Arc::new(kl);
                        Some(kl)
                    }
                };
                Ok(Self { pipeline: pictured(pipeline, kl)?, device, cpu: None, gpu: Some(network) })
            }
            other => Err(JsError::new(&format!("this build has no device '{other}': give cpu"))),
        }
    }

    /// The model's shape, classes and defaults.
    ///
    /// # Errors
    /// Never in practice: plain data always converts.
    pub fn info(&self) -> Result<JsValue, JsError> {
        Ok(serde_wasm_bindgen::to_value(&self.pipeline.info(&self.device))?)
    }

    /// Shares the work with other workers that have loaded the same weights on the CPU, from now on and with no others. Each
    /// function takes a message and answers a promise of what [`Self::answer`] makes of it there.
    ///
    /// # Errors
    /// If the network is on a GPU, which shares no work.
    pub fn share(&self, peers: Vec<Function>) -> Result<(), JsError> {
        let OnCpu { own, team } = self.on_cpu()?;
        team.set_peers(peers.into_iter().map(|ask| Arc::new(Peer::of(&**own, ask)) as Arc<dyn Helper>).collect());
        Ok(())
    }

    /// Computes what an engine in another worker asks of this one; `"stopped"` if `should_continue` answers false.
    ///
    /// # Errors
    /// Says what is wrong with the message, or that the network is on a GPU.
    pub async fn answer(&self, message: JsValue, should_continue: JsValue) -> Result<JsValue, JsError> {
        work::answer(&*self.on_cpu()?.own, message, should_continue).await
    }

    /// The work of the GPU since the weights were loaded; `null` without a GPU.
    ///
    /// # Errors
    /// Never in practice: plain data always converts.
    pub fn cost(&self) -> Result<JsValue, JsError> {
        #[cfg(feature = "webgpu")]
        if let Some(model) = &self.gpu {
            let cost = GpuCost { cost: model.cost(), weights: model.weight_bytes() };
            return Ok(serde_wasm_bindgen::to_value(&cost)?);
        }
        Ok(JsValue::NULL)
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
        let start: Option<DecodeState> = parse("start", start)?;
        let kind = self.pipeline.config.model.token_kind();
        let start = start.map(|start| start.state(kind)).transpose()?;
        let DecodeSettings { picture, order, stride } = asked;
        let decoding = self.pipeline.decode(&[(picture.label, picture.seed)], order, picture.sampling, start)?;
        Ok(Decoding { decoding: decoding.keeping_steps(stride) })
    }

    /// The picture of `tokens`, `[L, tokenDim]`: `[channels, height, width]` in `[-1, 1]`.
    ///
    /// # Errors
    /// That there are not as many tokens as the model has, that one is not finite, or that the device is lost.
    pub async fn picture(&self, tokens: Vec<f32>) -> Result<Vec<f32>, JsError> {
        let model = &self.pipeline.config.model;
        let mut tokens = Tokens::Continuous { dim: model.token_dim(), values: tokens };
        tokens.check(model.token_kind(), model.tokens(), &vec![false; model.tokens()])?;
        Ok(self.pipeline.tokenizer()?.decode(tokens.view()).await?)
    }

    /// The tokens of `picture`, `[channels, height, width]` in `[-1, 1]`: `[L, tokenDim]`. Those of an autoencoder are the mean of
    /// its posterior.
    ///
    /// # Errors
    /// That the picture has another size, holds a number that is not finite, or that the device is lost.
    pub async fn tokens(&self, picture: Vec<f32>) -> Result<Vec<f32>, JsError> {
        match self.pipeline.tokenizer()?.encode(&picture).await? {
            Tokens::Continuous { values, .. } => Ok(values),
            Tokens::Discrete(_) => Err(TokenizerError::Kind { expected: "continuous" }.into()),
        }
    }
}

impl Engine {
    fn on_cpu(&self) -> Result<&OnCpu, JsError> {
        self.cpu.as_ref().ok_or_else(|| JsError::new("only the CPU engine shares its work"))
    }
}

/// The two files of an autoencoder.
#[derive(Deserialize)]
#[serde(expecting = "an object of config and weights, or null")]
struct AutoencoderFiles {
    config: String,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    weights: Uint8Array,
}

impl AutoencoderFiles {
    /// The shape, checked, and the parameters, not read yet.
    fn open(self) -> Result<(KlConfig, Safetensors<PageBytes>), JsError> {
        let config = KlConfig::parse(&self.config)?;
        Ok((config, Safetensors::new(PageBytes(self.weights)).map_err(of_autoencoder)?))
    }
}

/// Says that `error` is about the autoencoder.
fn of_autoencoder(error: impl std::error::Error) -> JsError {
    JsError::new(&format!("autoencoder.safetensors: {error}"))
}

/// `pipeline` with its autoencoder, able to draw pictures.
fn pictured(pipeline: Pipeline, autoencoder: Option<Arc<dyn Autoencoder>>) -> Result<Pipeline, JsError> {
    let pipeline = match autoencoder {
        None => pipeline,
        Some(autoencoder) => {
            let tokenizer = LatentTokenizer::new(autoencoder, &pipeline.config)?;
            pipeline.with_tokenizer(Box::new(tokenizer))
        }
    };
    pipeline.tokenizer()?;
    Ok(pipeline)
}

/// The decoding of one image.
#[wasm_bindgen]
pub struct Decoding {
    decoding: sampler::Decoding,
}

#[wasm_bindgen]
impl Decoding {
    /// The position at each rank of the order.
    pub fn order(&self) -> Vec<u32> {
        self.decoding.images()[0].order.iter().map(|&place| place as u32).collect()
    }

    /// Runs one iteration; `null` when the image is done, `"stopped"` if `should_continue` answers false.
    ///
    /// # Errors
    /// When the device is lost or `should_continue` fails; the decoding is then unchanged.
    pub async fn advance(&mut self, should_continue: JsValue) -> Result<JsValue, JsError> {
        let mut proceed = ShouldContinue::new(should_continue)?;
        let before = self.decoding.state().clone();
        let done = self.decoding.advance_while(&mut proceed).await;
        match proceed.finish(done)? {
            Finished::Stopped => Ok(stopped()),
            Finished::Done(None) => Ok(JsValue::NULL),
            Finished::Done(Some(iteration)) => event::to_js(&before, &iteration, &self.decoding),
        }
    }
}
