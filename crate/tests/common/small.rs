//! A network small enough to ask much of, and decoding with it.
//! Its weights are the same in every test.

use marscope::checkpoint::Checkpoint;
use marscope::config::{Defaults, MarConfig, TokenizerKind, WeightsConfig};
use marscope::diffusion::Solver;
use marscope::engine::Engine;
use marscope::model::Mar;
use marscope::network::{Device, Network};
use marscope::sampler::{CfgSchedule, Decoding, Iteration, Settings};

/// A network whose head has something to say: freshly initialised ones end in a layer of zeros.
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
        buffer_size: 2,
        diffloss_d: 1,
        diffloss_w: 20,
        num_sampling_steps: "4".into(),
        diffusion_batch_mul: 1,
    };
    let config = WeightsConfig {
        name: "test".into(),
        classes: ["a", "b", "c"].map(String::from).to_vec(),
        tokenizer: TokenizerKind::Pixel,
        latent_scale: None,
        clip_denoised: true,
        defaults: Defaults { cfg: 1.0, iterations: 4, steps: 4, temperature: 1.0 },
        model: model.clone(),
    };
    let mut checkpoint = Mar::init(&model, 5, &burn::tensor::Device::flex()).to_checkpoint();
    let noise = marscope::random::Philox::new(9);
    for (i, tensor) in checkpoint.tensors.values_mut().enumerate() {
        if tensor.data.iter().all(|&v| v == 0.0) {
            noise.normal([i as u32, 0, 0], &mut tensor.data);
            tensor.data.iter_mut().for_each(|v| *v *= 0.1);
        }
    }
    (config, checkpoint)
}

/// The network on `device`.
pub fn engine(device: &Device) -> Engine {
    let (config, checkpoint) = weights();
    let network = pollster::block_on(Network::load(&config.model, &checkpoint, device)).unwrap();
    Engine::new(config, network)
}

/// The network in plain Burn, on the CPU.
pub fn reference() -> Mar {
    let (config, checkpoint) = weights();
    Mar::load(&config.model, &checkpoint, &burn::tensor::Device::flex()).unwrap()
}

pub fn settings(iterations: usize, steps: usize) -> Settings {
    Settings {
        iterations,
        steps: steps.to_string(),
        late_steps: None,
        solver: Solver::Ddpm,
        cfg: 2.0,
        cfg_every: 1,
        cfg_schedule: CfgSchedule::Linear,
        temperature: 1.0,
        clip: true,
        stride: 1,
    }
}

pub fn advance(decoding: &mut Decoding) -> Option<Iteration> {
    pollster::block_on(decoding.advance()).unwrap()
}

pub fn finish(mut decoding: Decoding) -> Vec<f32> {
    while advance(&mut decoding).is_some() {}
    decoding.tokens().to_vec()
}
