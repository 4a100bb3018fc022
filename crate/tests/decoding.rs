//! The decoding loop as its users see it: the same on every device, the same again, forked, and never silent when asked
//! for the impossible.

mod common;

use std::sync::Arc;

use burn::tensor::Device;
use common::{device, on_gpu};
use marscope::config::{Defaults, MarConfig, TokenizerKind, WeightsConfig};
use marscope::engine::Engine;
use marscope::model::Mar;
use marscope::sampler::{CfgSchedule, Decoding, Iteration, OrderKind, SampleError, Settings};
use marscope::tokenizer::to_byte;
use proptest::prelude::*;

/// A network whose head has something to say: freshly initialised ones end in a layer of zeros.
fn engine(device: &Device) -> Engine {
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
        clip_denoised: true,
        defaults: Defaults { cfg: 1.0, iterations: 4, steps: 4, temperature: 1.0 },
        model: model.clone(),
    };
    let mut checkpoint = Mar::init(&model, 5, &Device::flex()).to_checkpoint();
    let noise = marscope::random::Philox::new(9);
    for (i, tensor) in checkpoint.tensors.values_mut().enumerate() {
        if tensor.data.iter().all(|&v| v == 0.0) {
            noise.normal([i as u32, 0, 0], &mut tensor.data);
            tensor.data.iter_mut().for_each(|v| *v *= 0.1);
        }
    }
    Engine::new(config, Arc::new(Mar::load(&model, &checkpoint, device).unwrap()))
}

fn settings(iterations: usize, steps: usize) -> Settings {
    Settings {
        iterations,
        steps: steps.to_string(),
        cfg: 2.0,
        cfg_schedule: CfgSchedule::Linear,
        temperature: 1.0,
        clip: true,
        stride: 1,
    }
}

fn advance(decoding: &mut Decoding) -> Option<Iteration> {
    pollster::block_on(decoding.advance()).unwrap()
}

fn finish(mut decoding: Decoding) -> Vec<f32> {
    while advance(&mut decoding).is_some() {}
    decoding.tokens().to_vec()
}

#[test]
fn same_picture_on_every_device() {
    let draw = |device: &Device| {
        let engine = engine(device);
        finish(engine.decode(&[(Some(1), 7), (None, 8)], OrderKind::Random, settings(4, 6)).unwrap())
    };
    let (here, reference) = (draw(&device()), draw(&Device::flex()));
    let most = here.iter().zip(&reference).map(|(&a, &b)| to_byte(a).abs_diff(to_byte(b))).max().unwrap();
    assert!(most <= 2, "a pixel differs by {most} of 255");
    let spread = reference.iter().copied().fold(0.0f32, |most, v| most.max(v.abs()));
    assert!(spread > 0.1, "the picture is empty: nothing was compared");
}

#[test]
fn a_fork_goes_on_as_its_origin() {
    let engine = engine(&device());
    let mut origin = engine.decode(&[(Some(0), 3)], OrderKind::Spiral, settings(5, 4)).unwrap();
    advance(&mut origin);
    advance(&mut origin);
    let fork = origin.clone();
    let known: Vec<f32> = origin.tokens().to_vec();
    assert_eq!(finish(origin), finish(fork.clone()));
    assert_eq!(fork.tokens(), known, "finishing one must not move the other");
}

#[test]
fn an_image_does_not_depend_on_its_company() {
    let engine = engine(&device());
    let alone = finish(engine.decode(&[(Some(2), 11)], OrderKind::Random, settings(4, 4)).unwrap());
    let both = finish(engine.decode(&[(Some(0), 10), (Some(2), 11)], OrderKind::Random, settings(4, 4)).unwrap());
    let error = common::relative_error(&both[alone.len()..], &alone.iter().map(|&v| f64::from(v)).collect::<Vec<_>>());
    assert!(error < common::tolerance(1e-4), "{error}");
}

#[test]
fn settings_out_of_range_are_named() {
    let engine = engine(&Device::flex());
    let try_with = |change: &dyn Fn(&mut Settings), label| {
        let mut settings = settings(4, 4);
        change(&mut settings);
        engine.decode(&[(label, 0)], OrderKind::Raster, settings).err().map(|error| error.to_string()).unwrap()
    };
    assert!(try_with(&|_| (), Some(3)).contains("label 3 is not one of the 3 classes"));
    assert!(try_with(&|s| s.iterations = 0, None).contains("give 1 to 16"));
    assert!(try_with(&|s| s.iterations = 17, None).contains("give 1 to 16"));
    assert!(try_with(&|s| s.steps = "1".into(), None).contains("at least 2"));
    assert!(try_with(&|s| s.cfg = f32::NAN, None).contains("cfg is NaN"));
    assert!(try_with(&|s| s.temperature = -1.0, None).contains("temperature is -1"));
    let mut plan = engine.decode(&[(None, 0)], OrderKind::Raster, settings(4, 4)).unwrap().images().to_vec();
    plan[0].order[0] = 1;
    let noise = Arc::new(marscope::sampler::SeededNoise::new([0]));
    let error = Decoding::new(engine.model.clone(), settings(4, 4), plan, noise).err();
    assert!(matches!(error, Some(SampleError::Order { tokens: 16 })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if on_gpu() { 2 } else { 24 }))]

    /// Whatever the settings: every token once, in the order's sequence, and what is known never changes.
    #[test]
    fn every_token_comes_once_and_stays(iterations in 1usize..=16, seed: u64, stride in 0usize..4) {
        let engine = engine(&device());
        let settings = Settings { stride, ..settings(iterations, 3) };
        let mut decoding = engine.decode(&[(Some(0), seed)], OrderKind::Random, settings).unwrap();
        let order = decoding.images()[0].order.clone();
        let dim = engine.config.model.token_dim();
        let mut known: Vec<usize> = Vec::new();
        while let Some(event) = {
            let before = decoding.tokens().to_vec();
            let event = advance(&mut decoding);
            for &token in &known {
                prop_assert_eq!(&before[token * dim..][..dim], &decoding.tokens()[token * dim..][..dim]);
            }
            event
        } {
            let mut expected = order[known.len()..order.len() - event.mask_length].to_vec();
            expected.sort_unstable();
            let tokens: Vec<usize> = event.rows.iter().map(|&(_, token)| token).collect();
            prop_assert_eq!(&tokens, &expected);
            prop_assert_eq!(event.trajectory.len(), event.steps.len() * tokens.len() * dim);
            prop_assert_eq!(*event.steps.last().unwrap(), 3);
            known.extend(tokens);
            let still = decoding.masked().iter().filter(|&&masked| masked).count();
            prop_assert_eq!(still, event.mask_length);
        }
        known.sort_unstable();
        prop_assert!(known.into_iter().eq(0..16));
        prop_assert!(decoding.done());
    }
}
