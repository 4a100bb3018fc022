//! Probes of a state, compared with the decoding and with plain loops over the checkpoint.
//! Sections 3.2 and 3.3 of the paper.

mod common;

use burn::tensor::{Tensor, TensorData};
use common::small::{advance, numbers, pipeline, reference, settings, tokens, trajectory, weights};
use common::{device, relative_error, tolerance};
use marscope_core::checkpoint::{Checkpoint, HostTensor};
use marscope_core::diffusion::Solver;
use marscope_core::pipeline::Pipeline;
use marscope_core::random::Philox;
use marscope_core::sampler::probe::AttentionWeights;
use marscope_core::sampler::{DecodeState, HeadSettings, Iteration, Order, OrderKind, Probe, SampleError, Settings};
use marscope_training::model::Mar;
use marscope_training::model::head::Head;
use proptest::prelude::*;

const LABEL: Option<usize> = Some(1);
const SEED: u64 = 40;

/// The state before the third of 5 iterations of 8 steps, and that iteration.
fn third(pipeline: &Pipeline) -> (DecodeState, Iteration) {
    let decoding = pipeline.decode(&[(LABEL, SEED)], OrderKind::Random, settings(5, 8), None).unwrap().keeping_steps(1);
    let mut decoding = decoding.keeping_z();
    advance(&mut decoding);
    advance(&mut decoding);
    (decoding.state().clone(), advance(&mut decoding).unwrap())
}

fn head(cfg: f32) -> HeadSettings {
    HeadSettings { seed: SEED, cfg, steps: "8".into(), solver: Solver::Ddpm, temperature: 1.0 }
}

fn draw(probe: &Probe, tokens: &[usize], count: usize, settings: &HeadSettings) -> Vec<f32> {
    pollster::block_on(probe.draw(tokens, count, settings, &mut async || true)).unwrap()
}

fn f64s(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// `[out, in]` times each row, plus the bias.
fn linear(checkpoint: &Checkpoint, name: &str, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let HostTensor { shape, data } = checkpoint.get(&format!("{name}.weight")).unwrap();
    let bias = &checkpoint.get(&format!("{name}.bias")).unwrap().data;
    let output = |row: &Vec<f64>, o: usize| {
        let weights = &data[o * shape[1]..(o + 1) * shape[1]];
        f64::from(bias[o]) + weights.iter().zip(row).map(|(&w, x)| f64::from(w) * x).sum::<f64>()
    };
    rows.iter().map(|row| (0..shape[0]).map(|o| output(row, o)).collect()).collect()
}

fn layer_norm(checkpoint: &Checkpoint, name: &str, rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let weight = &checkpoint.get(&format!("{name}.weight")).unwrap().data;
    let bias = &checkpoint.get(&format!("{name}.bias")).unwrap().data;
    let norm = |row: &Vec<f64>| {
        let mean = row.iter().sum::<f64>() / row.len() as f64;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / row.len() as f64;
        let scaled =
            |(i, x): (usize, &f64)| (x - mean) / (variance + 1e-6).sqrt() * f64::from(weight[i]) + f64::from(bias[i]);
        row.iter().enumerate().map(scaled).collect()
    };
    rows.iter().map(norm).collect()
}

/// Row `row` of a table, whatever its leading dimensions of 1.
fn row(checkpoint: &Checkpoint, name: &str, row: usize) -> Vec<f64> {
    let HostTensor { shape, data } = checkpoint.get(name).unwrap();
    let width = *shape.last().unwrap();
    f64s(&data[row * width..(row + 1) * width])
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// Softmax of the scaled products of queries and keys, `[heads, seq, seq]`, of the block that gets `rows`.
fn attention(checkpoint: &Checkpoint, block: &str, heads: usize, rows: &[Vec<f64>]) -> Vec<f64> {
    let width = rows[0].len();
    let each = width / heads;
    let normed = layer_norm(checkpoint, &format!("{block}.norm1"), rows);
    let qkv = linear(checkpoint, &format!("{block}.attn.qkv"), &normed);
    let mut weights = Vec::new();
    for head in 0..heads {
        for query in &qkv {
            let q = &query[head * each..(head + 1) * each];
            let score = |key: &Vec<f64>| {
                let k = &key[width + head * each..width + (head + 1) * each];
                (q.iter().zip(k).map(|(q, k)| q * k).sum::<f64>() / (each as f64).sqrt()).exp()
            };
            let scores: Vec<f64> = qkv.iter().map(score).collect();
            let total: f64 = scores.iter().sum();
            weights.extend(scores.iter().map(|score| score / total));
        }
    }
    weights
}

#[test]
fn attention_is_what_the_checkpoint_says() {
    let pipeline = pipeline(&device());
    let config = pipeline.config.model.clone();
    let checkpoint = weights().1;
    let (state, _) = third(&pipeline);
    let look = pollster::block_on(pipeline.probe(LABEL, state.clone()).unwrap().backbone()).unwrap();
    let known: Vec<usize> = (0..config.tokens()).filter(|&place| !state.masked[place]).collect();
    let dim = config.token_dim();

    let class = row(&checkpoint, "class_emb.weight", 1);
    let position = |i| row(&checkpoint, "encoder_pos_embed_learned", i);
    let mut rows: Vec<_> = (0..config.buffer_size).map(|i| sum(&class, &position(i))).collect();
    for &place in &known {
        let token = linear(&checkpoint, "z_proj", &[f64s(&numbers(&state.tokens)[place * dim..(place + 1) * dim])]);
        rows.push(sum(&token[0], &position(config.buffer_size + place)));
    }
    let rows = layer_norm(&checkpoint, "z_proj_ln", &rows);
    let expected = attention(&checkpoint, "encoder_blocks.0", config.encoder_num_heads, &rows);
    let seen = config.buffer_size + known.len();
    let shape = |found: &AttentionWeights| (found.blocks, found.heads, found.seq);
    assert_eq!(shape(&look.encoder), (1, config.encoder_num_heads, seen));
    assert!(relative_error(&look.encoder.weights, &expected) < tolerance(1e-5));

    // The decoder's, from the encoder's features, which the official implementation's fixtures vouch for.
    let features = reference().forward(numbers(&state.tokens), &state.masked, &[LABEL]).features;
    let features: Vec<f32> = features.into_data().convert::<f32>().try_into_vec().unwrap();
    let features: Vec<_> = features.chunks_exact(config.encoder_embed_dim).map(f64s).collect();
    let embedded = linear(&checkpoint, "decoder_embed", &features);
    let mask_token = row(&checkpoint, "mask_token", 0);
    let source = |i: usize| match i.checked_sub(config.buffer_size) {
        None => &embedded[i],
        Some(place) => {
            known.iter().position(|&p| p == place).map_or(&mask_token, |rank| &embedded[config.buffer_size + rank])
        }
    };
    let all = config.buffer_size + config.tokens();
    let rows: Vec<_> = (0..all).map(|i| sum(source(i), &row(&checkpoint, "decoder_pos_embed_learned", i))).collect();
    let expected = attention(&checkpoint, "decoder_blocks.0", config.decoder_num_heads, &rows);
    assert_eq!(shape(&look.decoder), (1, config.decoder_num_heads, all));
    assert!(relative_error(&look.decoder.weights, &expected) < tolerance(1e-5));

    for AttentionWeights { seq, weights, .. } in [&look.encoder, &look.decoder] {
        for row in weights.chunks_exact(*seq) {
            let total: f32 = row.iter().sum();
            assert!((total - 1.0).abs() < 1e-5, "a row adds up to {total}");
        }
        let most = weights.iter().copied().fold(0.0, f32::max);
        assert!(most > 1.2 / *seq as f32, "attention is even: nothing was compared");
    }
}

#[test]
fn a_look_does_not_change_what_is_seen() {
    let pipeline = pipeline(&device());
    let (state, event) = third(&pipeline);
    let look = pollster::block_on(pipeline.probe(LABEL, state.clone()).unwrap().backbone()).unwrap();
    let forward = reference().forward(numbers(&state.tokens), &state.masked, &[LABEL]).z;
    let forward: Vec<f32> = forward.into_data().convert::<f32>().try_into_vec().unwrap();
    assert_eq!(look.width, pipeline.config.model.decoder_embed_dim);
    assert!(relative_error(&look.z, &f64s(&forward)) < tolerance(1e-6));
    // The decoding's own conditions, whose unconditional half follows.
    for (z, &(_, token)) in event.z.as_ref().unwrap().chunks_exact(look.width).zip(&event.rows) {
        let found = &look.z[token * look.width..][..look.width];
        assert!(relative_error(found, &f64s(z)) < tolerance(1e-5), "token {token}");
    }
}

#[test]
fn samples_are_those_of_the_seeds_that_follow() {
    let pipeline = pipeline(&device());
    let (state, event) = third(&pipeline);
    let probe = pipeline.probe(LABEL, state.clone()).unwrap();
    let dim = pipeline.config.model.token_dim();
    let tokens: Vec<usize> = event.rows.iter().map(|&(_, token)| token).collect();
    assert!(tokens.len() > 1);
    // More rows than go through the head at once.
    let count = 128 / tokens.len() + 3;
    let samples = draw(&probe, &tokens, count, &head(event.cfg));
    assert_eq!(samples.len(), tokens.len() * count * dim);
    let sample = |token: usize, i: usize| &samples[(token * count + i) * dim..][..dim];

    let mut own = pipeline.decode(&[(LABEL, SEED)], OrderKind::Random, settings(5, 8), None).unwrap();
    let order = own.images()[0].order.clone();
    (0..3).for_each(|_| drop(advance(&mut own)));
    for (row, &token) in tokens.iter().enumerate() {
        let drawn = f64s(&numbers(own.tokens())[token * dim..][..dim]);
        assert!(relative_error(sample(row, 0), &drawn) < tolerance(1e-5), "token {token}");
    }
    for i in [1, count - 1] {
        let (order, start) = (Order::Positions(order.clone()), Some(state.clone()));
        let mut other = pipeline.decode(&[(LABEL, SEED + i as u64)], order, settings(5, 8), start).unwrap();
        advance(&mut other);
        for (row, &token) in tokens.iter().enumerate() {
            let drawn = f64s(&numbers(other.tokens())[token * dim..][..dim]);
            assert!(relative_error(sample(row, i), &drawn) < tolerance(1e-5), "token {token}, sample {i}");
            assert!(relative_error(sample(row, 0), &drawn) > 1e-2, "samples are all alike");
        }
    }
}

#[test]
fn without_guidance_there_is_no_unconditional_branch() {
    let pipeline = pipeline(&device());
    let unguided = Settings { cfg: 1.0, ..settings(5, 8) };
    let mut decoding = pipeline.decode(&[(LABEL, SEED)], OrderKind::Random, unguided, None).unwrap();
    let state = decoding.state().clone();
    let event = advance(&mut decoding).unwrap();
    let token = event.rows[0].1;
    let dim = pipeline.config.model.token_dim();
    let found = draw(&pipeline.probe(LABEL, state).unwrap(), &[token], 1, &head(1.0));
    assert!(relative_error(&found, &f64s(&numbers(decoding.tokens())[token * dim..][..dim])) < tolerance(1e-5));
}

/// alpha-bar of the training process, from its definition in Improved DDPM.
fn alpha_bar(timestep: usize) -> f64 {
    let curve = |t: usize| ((t as f64 / 1000.0 + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
    (0..=timestep).map(|t| 1.0 - (1.0 - curve(t + 1) / curve(t)).min(0.999)).product()
}

/// The head's own answer for one row, `[2C]`.
fn head_says(model: &Mar, x: &[f32], z: &[f32], timestep: usize) -> Vec<f64> {
    let Head::Diffusion(head) = &model.head;
    let device = model.device();
    let on_device = |row: &[f32]| Tensor::from_data(TensorData::new(row.to_vec(), [1, row.len()]), &device);
    let y = head.embed_condition(on_device(z)) + head.embed_time(&[timestep]);
    let out: Vec<f32> = head.forward(on_device(x), y).into_data().convert::<f32>().try_into_vec().unwrap();
    f64s(&out)
}

#[test]
fn an_explanation_adds_up() {
    let (pipeline, model) = (pipeline(&device()), reference());
    let (state, event) = third(&pipeline);
    let probe = pipeline.probe(LABEL, state).unwrap();
    let (dim, rows) = (pipeline.config.model.token_dim(), event.rows.len());
    let token = event.rows[1].1;
    let width = pipeline.config.model.decoder_embed_dim;
    let z = |row: usize| &event.z.as_ref().unwrap()[row * width..(row + 1) * width];
    for (clip, temperature) in [(Some(1.0), 1.0), (None, 0.7)] {
        let asked = HeadSettings { temperature, ..head(event.cfg) };
        let found = pollster::block_on(probe.clone().clipping(clip).explain(token, &asked)).unwrap();
        let steps = found.timesteps.len();
        assert_eq!((found.timesteps[0], found.timesteps[steps - 1], steps), (999, 0, 8));
        if clip.is_some() {
            let frames: Vec<f64> =
                (0..=steps).flat_map(|f| f64s(&trajectory(&event).frames[(f * rows + 1) * dim..][..dim])).collect();
            assert!(relative_error(&found.x, &frames) < tolerance(1e-5), "the decoding went another way");
        }
        for step in 0..steps {
            let now = alpha_bar(found.timesteps[step]);
            let next = found.timesteps.get(step + 1).map_or(1.0, |&timestep| alpha_bar(timestep));
            assert!((found.alpha_bar[step] / now - 1.0).abs() < 1e-6, "alpha_bar of step {step}");
            let beta = 1.0 - now / next;
            let posterior = beta * (1.0 - next) / (1.0 - now);
            let x = &found.x[step * dim..][..dim];
            let [with, without] = [0, rows].map(|branch| head_says(&model, x, z(branch + 1), found.timesteps[step]));
            let mut added = vec![0.0; dim];
            Philox::new(SEED).normal([token as u32, step as u32 + 1, event.iteration as u32], &mut added);
            for (i, &added) in added.iter().enumerate() {
                let at = |values: &[f32], step: usize| f64::from(values[step * dim + i]);
                let (x, noise, clean) = (at(&found.x, step), at(&found.noise, step), at(&found.clean, step));
                let deviation = at(&found.deviation, step);
                // x is divided by the root of alpha-bar, which is tiny at first: so is what rounding is multiplied by.
                let free = (x - noise * (1.0 - now).sqrt()) / now.sqrt();
                let expected = clip.map_or(free, |bound| free.clamp(-f64::from(bound), f64::from(bound)));
                let rounding = tolerance(1e-5) * (1.0 + (x.abs() + noise.abs()) / now.sqrt());
                assert!((clean - expected).abs() < rounding, "clean of step {step}: {clean} for {expected}");

                let guided = without[i] + f64::from(event.cfg) * (with[i] - without[i]);
                assert!(
                    (noise - guided).abs() < tolerance(1e-5) * (1.0 + guided.abs()),
                    "noise of step {step}: {noise} for {guided}"
                );
                // The head's second half places the logarithm of the variance between its two bounds.
                let share = f64::midpoint(with[dim + i], 1.0);
                let spread = beta.powf(share / 2.0) * posterior.powf((1.0 - share) / 2.0);
                let spread = if step + 1 == steps { 0.0 } else { spread };
                assert!(
                    (deviation - spread).abs() <= tolerance(1e-5) * spread,
                    "deviation of step {step}: {deviation} for {spread}"
                );
                let mean =
                    clean * next.sqrt() * beta / (1.0 - now) + x * (now / next).sqrt() * (1.0 - next) / (1.0 - now);
                let expected = mean + deviation * f64::from(added) * f64::from(temperature);
                let next_x = at(&found.x, step + 1);
                let rounding = tolerance(1e-5) * (1.0 + expected.abs() + clean.abs());
                assert!((next_x - expected).abs() < rounding, "x after step {step}: {next_x} for {expected}");
            }
        }
    }
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let pipeline = pipeline(&device());
    let (state, event) = third(&pipeline);
    let probe = pipeline.probe(LABEL, state.clone()).unwrap();
    let free = event.rows[0].1;
    let known = state.masked.iter().position(|&masked| !masked).unwrap();
    let refusal = |tokens: &[usize], count, settings: &HeadSettings| {
        let refused = pollster::block_on(probe.draw(tokens, count, settings, &mut async || true));
        refused.unwrap_err().to_string()
    };
    assert!(refusal(&[free, known], 2, &head(2.0)).contains(&format!("token {known} is known")));
    assert!(refusal(&[16], 2, &head(2.0)).contains("no token 16: give 0 to 15"));
    assert!(refusal(&[free], 0, &head(2.0)).contains("0 samples"));
    assert!(refusal(&[free], 10_001, &head(2.0)).contains("give 1 to 10000"));
    assert!(refusal(&[free], 1, &head(f32::NAN)).contains("cfg is NaN"));
    assert!(refusal(&[free], 1, &HeadSettings { temperature: 3.0, ..head(2.0) }).contains("temperature is 3"));
    assert!(refusal(&[free], 1, &HeadSettings { steps: "1".into(), ..head(2.0) }).contains("at least 2"));
    assert!(draw(&probe, &[], 3, &head(2.0)).is_empty());
    let explained = pollster::block_on(probe.explain(known, &head(2.0)));
    assert!(matches!(explained, Err(SampleError::Known { token }) if token == known));

    assert!(matches!(pipeline.probe(Some(3), state.clone()).err(), Some(SampleError::Label { label: 3, .. })));
    let late = DecodeState { iteration: 17, ..state.clone() };
    assert!(matches!(pipeline.probe(None, late).err(), Some(SampleError::Iteration { most: 16, .. })));
    let finished = DecodeState { iteration: 16, masked: vec![false; 16], ..state };
    let look = pollster::block_on(pipeline.probe(None, finished).unwrap().backbone()).unwrap();
    assert_eq!(look.encoder.seq, look.decoder.seq);
}

#[test]
fn drawing_stops_between_steps() {
    let pipeline = pipeline(&device());
    let (state, event) = third(&pipeline);
    let probe = pipeline.probe(LABEL, state).unwrap();
    // 8 steps of the first 128 rows, then 2 of the others; or the first 128 in one submission, and no others.
    let last = if common::in_one_submission() { 2 } else { 11 };
    let mut asked = 0;
    let stopped = pollster::block_on(probe.draw(&[event.rows[0].1], 130, &head(2.0), &mut async || {
        asked += 1;
        asked < last
    }));
    assert!(matches!(stopped, Err(SampleError::Stopped)));
    assert_eq!(asked, last);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if common::on_gpu() { 2 } else { 16 }))]

    /// Any moment can be looked at: from all masked to all known.
    #[test]
    fn every_moment_has_a_look(masked in prop::collection::vec(any::<bool>(), 16), all: Option<bool>) {
        let pipeline = pipeline(&device());
        let masked = all.map_or(masked, |all| vec![all; 16]);
        let known = masked.iter().filter(|&&masked| !masked).count();
        let state = DecodeState { iteration: 0, tokens: tokens(vec![0.25; 16 * 9]), masked };
        let look = pollster::block_on(pipeline.probe(LABEL, state).unwrap().backbone()).unwrap();
        prop_assert_eq!((look.encoder.seq, look.decoder.seq), (2 + known, 18));
        prop_assert!(look.z.iter().chain(&look.encoder.weights).chain(&look.decoder.weights).all(|v| v.is_finite()));
    }
}
