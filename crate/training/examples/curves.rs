//! Trains MAR on data that are not images: closed curves in the plane, point by point, which the example generates.
//! Section 3.1 of the paper: the head and the trainer take any sequences of continuous tokens.
//!
//! ```sh
//! cargo run --release -p marscope-training --features train --example curves
//! ```

use std::f32::consts::TAU;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use marscope_core::checkpoint::read_safetensors;
use marscope_core::config::{Defaults, WeightsConfig};
use marscope_core::pipeline::Pipeline;
use marscope_core::random::Stream;
use marscope_core::sampler::OrderKind;
use marscope_training::data::{DataError, Dataset, Example, TokenShape};
use marscope_training::model::Mar;
use marscope_training::train::{Plan, Preset, Recipe, TrainOptions, train};

/// Tokens of a curve.
const TOKENS: usize = 16;
/// Points per token, two coordinates each.
const POINTS: usize = 4;
/// The classes, and the number of leaves of their curves.
const CLASSES: [(&str, f32); 4] = [("circle", 0.0), ("two leaves", 2.0), ("three leaves", 3.0), ("five leaves", 5.0)];

/// The points of a curve of size 1.
fn curve(leaves: f32) -> impl Iterator<Item = [f32; 2]> {
    (0..TOKENS * POINTS).map(move |i| {
        let angle = TAU * i as f32 / (TOKENS * POINTS) as f32;
        let radius = if leaves > 0.0 { 1.0 + 0.35 * (leaves * angle).cos() } else { 1.0 };
        [radius * angle.cos(), radius * angle.sin()]
    })
}

/// Curves of every class and of random size.
struct Curves;

impl Dataset for Curves {
    fn len(&self) -> usize {
        4096
    }

    fn shape(&self) -> TokenShape {
        TokenShape { tokens: TOKENS, dim: 2 * POINTS, classes: CLASSES.len() }
    }

    fn example(&self, index: usize, random: &mut Stream) -> Result<Example, DataError> {
        let label = index % CLASSES.len();
        let size = 0.4 + 0.3 * random.uniform() as f32;
        let tokens = curve(CLASSES[label].1).flatten().map(|coordinate| size * coordinate).collect();
        Ok(Example { tokens, label })
    }
}

/// The tiny preset's network; it sees the sequence of tokens as a 4x4 image of 8 channels.
fn weights() -> WeightsConfig {
    let mut weights = Preset::Tiny.weights(&[]);
    weights.name = "curves".into();
    weights.classes = CLASSES.map(|(name, _)| name.to_owned()).to_vec();
    weights.defaults = Defaults { cfg: 1.5, iterations: 8, ..weights.defaults };
    let model = &mut weights.model;
    (model.img_size, model.patch_size, model.vae_embed_dim) = (4, 1, 2 * POINTS);
    model.class_num = CLASSES.len();
    weights
}

/// The mean distance of the points from the nearest curve of the class, divided by its size.
fn off_by(tokens: &[f32], leaves: f32) -> f32 {
    let ideal: Vec<f32> = curve(leaves).flatten().collect();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let size = dot(tokens, &ideal) / dot(&ideal, &ideal);
    let points = tokens.chunks_exact(2).zip(ideal.chunks_exact(2));
    let off = points.map(|(p, q)| (p[0] - size * q[0]).hypot(p[1] - size * q[1]));
    off.sum::<f32>() / (TOKENS * POINTS) as f32 / size.abs().max(1e-6)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = std::env::args().nth(1).unwrap_or_else(|| "runs/curves".into());
    let recipe = Recipe { epochs: 12.0, warmup_epochs: 0.5, ..Recipe::of(Preset::Tiny) };
    let plan = Plan::new(weights(), recipe, Curves.len());
    let options = TrainOptions { log_every: 200, ..TrainOptions::new(&out) };
    let curves: Arc<dyn Dataset> = Arc::new(Curves);
    let outcome = train(&plan, &curves, &options, &[Device::flex()], &Arc::default())?;
    println!("trained: {} steps, loss {:.3}, kept in {out}", outcome.step, outcome.loss);

    let read = |name: &str| std::fs::read(Path::new(&out).join(name));
    let config = WeightsConfig::parse(&String::from_utf8(read("config.json")?)?)?;
    let network = Mar::load(&config.model, &read_safetensors(&read("model.safetensors")?)?, &Device::flex())?;
    let pipeline = Pipeline::new(config, Arc::new(network));
    for (label, (name, leaves)) in CLASSES.into_iter().enumerate() {
        let images: Vec<_> = (0..16).map(|seed| (Some(label), seed)).collect();
        let mut decoding = pipeline.decode(&images, OrderKind::Random, pipeline.settings(), None)?;
        while pollster::block_on(decoding.advance())?.is_some() {}
        let numbers = decoding.tokens().continuous().ok_or("the tokens are continuous")?;
        let each = numbers.chunks_exact(2 * POINTS * TOKENS);
        let mean = each.map(|tokens| off_by(tokens, leaves)).sum::<f32>() / images.len() as f32;
        println!("{name}: points are off by {:.1} % of the size", 100.0 * mean);
    }
    Ok(())
}
