//! A small network for many tests, and decodings with it.
//! Its weights are the same in every test.

use super::Engine;
use marscope_core::checkpoint::Checkpoint;
use marscope_core::config::{ConfigVersion, Defaults, MarConfig, TokenizerKind, WeightsConfig};
use marscope_core::diffusion::{Solver, Trajectory};
use marscope_core::head::HeadKind;
use marscope_core::pipeline::Pipeline;
use marscope_core::sampler::{CfgSchedule, Decoding, Iteration, Settings};
use marscope_core::tokens::Tokens;
use marscope_training::model::Mar;

/// A network whose head predicts something: a freshly initialised head ends in a layer of zeros.
pub fn weights() -> (WeightsConfig, Checkpoint) {
    let model = MarConfig {
        img_size: 12,
        vae_stride: 1,
        patch_size: 3,
        vae_embed_dim: 1,
        encoder_embed_dim: 16,
        encoder_depth: 1,
        encoder_num_heads: 2,
        decoder_embed_dim: 24,
        decoder_depth: 1,
        decoder_num_heads: 3,
        mlp_ratio: 4.0,
        class_num: 3,
        head: HeadKind::Diffusion,
        buffer_size: 2,
        diffloss_d: 1,
        diffloss_w: 20,
        num_sampling_steps: "4".into(),
        diffusion_batch_mul: 1,
    };
    let config = WeightsConfig {
        version: ConfigVersion,
        name: "test".into(),
        classes: ["a", "b", "c"].map(String::from).to_vec(),
        tokenizer: TokenizerKind::Pixel,
        latent_scale: None,
        clip_denoised: Some(1.0),
        defaults: Defaults {
            cfg: 1.0,
            cfg_schedule: CfgSchedule::Linear,
            iterations: 4,
            steps: 4,
            solver: Solver::Ddpm,
            temperature: 1.0,
        },
        model: model.clone(),
    };
    let mut checkpoint = Mar::init(&model, 5, &burn::tensor::Device::flex()).to_checkpoint();
    let noise = marscope_core::random::Philox::new(9);
    for (i, tensor) in checkpoint.tensors.values_mut().enumerate() {
        if tensor.data.iter().all(|&v| v == 0.0) {
            noise.normal([i as u32, 0, 0], &mut tensor.data);
            tensor.data.iter_mut().for_each(|v| *v *= 0.1);
        }
    }
    (config, checkpoint)
}

/// The network, computed by `engine`.
pub fn pipeline(engine: &Engine) -> Pipeline {
    let (config, checkpoint) = weights();
    let network = engine.load(&config.model, &checkpoint);
    Pipeline::new(config, network)
}

/// The network in plain Burn, on the CPU.
pub fn reference() -> Mar {
    let (config, checkpoint) = weights();
    Mar::load(&config.model, &checkpoint, &burn::tensor::Device::flex()).unwrap()
}

pub fn settings(iterations: usize, steps: usize) -> Settings {
    Settings {
        iterations,
        steps: steps.into(),
        late_steps: None,
        solver: Solver::Ddpm,
        cfg: 2.0,
        cfg_every: 1,
        cfg_schedule: CfgSchedule::Linear,
        temperature: 1.0,
    }
}

pub fn advance(decoding: &mut Decoding) -> Option<Iteration> {
    pollster::block_on(decoding.advance()).unwrap()
}

pub fn finish(mut decoding: Decoding) -> Vec<f32> {
    while advance(&mut decoding).is_some() {}
    numbers(decoding.tokens()).to_vec()
}

/// The numbers of continuous tokens.
pub fn numbers(tokens: &Tokens) -> &[f32] {
    tokens.continuous().expect("the network's tokens are continuous")
}

/// The same, mutable.
pub fn numbers_mut(tokens: &mut Tokens) -> &mut Vec<f32> {
    let Tokens::Continuous { values, .. } = tokens else { panic!("the network's tokens are continuous") };
    values
}

/// `values` as the network's tokens, of 9 numbers each.
pub fn tokens(values: Vec<f32>) -> Tokens {
    Tokens::Continuous { dim: 9, values }
}

/// The trajectory of an iteration.
pub fn trajectory(iteration: &Iteration) -> &Trajectory {
    iteration.drawn.trajectory().expect("the head is a diffusion")
}
