//! The network in plain f64 loops: the reference for the kernels, for any shape.
//! Also makes random networks for the comparison.

// Loops over numbers are the plainest way to say it.
#![allow(clippy::needless_range_loop)]

use std::collections::BTreeMap;

use marscope_core::checkpoint::{Checkpoint, HostTensor};
use marscope_core::config::{Label, MarConfig};
use marscope_core::diffusion::{ReverseProcess, Schedule, Solver, Steps};
use marscope_core::random::Philox;

/// Rows of numbers.
pub type Rows = Vec<Vec<f64>>;

/// The tensors of a network of `config`.
pub fn shapes(config: &MarConfig) -> BTreeMap<String, Vec<usize>> {
    let mut shapes: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut add = |name: String, shape: &[usize]| shapes.insert(name, shape.to_vec());
    let mut linear = |name: &str, d_in: usize, d_out: usize| {
        add(format!("{name}.weight"), &[d_out, d_in]);
        add(format!("{name}.bias"), &[d_out]);
    };
    let (encoder, decoder) = (config.encoder_embed_dim, config.decoder_embed_dim);
    let (dim, head) = (config.token_dim(), config.diffloss_w);
    linear("z_proj", dim, encoder);
    linear("decoder_embed", encoder, decoder);
    let blocks = [("encoder_blocks", config.encoder_depth, encoder), ("decoder_blocks", config.decoder_depth, decoder)];
    for (name, depth, width) in blocks {
        let hidden = (width as f64 * config.mlp_ratio) as usize;
        for i in 0..depth {
            linear(&format!("{name}.{i}.attn.qkv"), width, 3 * width);
            linear(&format!("{name}.{i}.attn.proj"), width, width);
            linear(&format!("{name}.{i}.mlp.fc1"), width, hidden);
            linear(&format!("{name}.{i}.mlp.fc2"), hidden, width);
        }
    }
    linear("diffloss.net.time_embed.mlp.0", 256, head);
    linear("diffloss.net.time_embed.mlp.2", head, head);
    linear("diffloss.net.cond_embed", decoder, head);
    linear("diffloss.net.input_proj", dim, head);
    for i in 0..config.diffloss_d {
        let part = |part: &str| format!("diffloss.net.res_blocks.{i}.{part}");
        linear(&part("mlp.0"), head, head);
        linear(&part("mlp.2"), head, head);
        linear(&part("adaLN_modulation.1"), head, 3 * head);
    }
    linear("diffloss.net.final_layer.adaLN_modulation.1", head, 2 * head);
    linear("diffloss.net.final_layer.linear", head, 2 * dim);

    let places = config.buffer_size + config.tokens();
    add("class_emb.weight".into(), &[config.class_num, encoder]);
    add("fake_latent".into(), &[1, encoder]);
    add("mask_token".into(), &[1, 1, decoder]);
    add("encoder_pos_embed_learned".into(), &[1, places, encoder]);
    add("decoder_pos_embed_learned".into(), &[1, places, decoder]);
    add("diffusion_pos_embed_learned".into(), &[1, config.tokens(), decoder]);
    let mut norm = |name: &str, width: usize| {
        add(format!("{name}.weight"), &[width]);
        add(format!("{name}.bias"), &[width]);
    };
    norm("z_proj_ln", encoder);
    norm("encoder_norm", encoder);
    norm("decoder_norm", decoder);
    for (name, depth, width) in blocks {
        for i in 0..depth {
            norm(&format!("{name}.{i}.norm1"), width);
            norm(&format!("{name}.{i}.norm2"), width);
        }
    }
    for i in 0..config.diffloss_d {
        norm(&format!("diffloss.net.res_blocks.{i}.in_ln"), head);
    }

    shapes
}

/// A network of `config` whose every number matters: norms near 1, all else wide enough to move what comes out. With `halves`
/// all numbers are f16s.
pub fn random(config: &MarConfig, seed: u64, halves: bool) -> Checkpoint {
    let philox = Philox::new(seed);
    let mut tensors = BTreeMap::new();
    for (i, (name, shape)) in (0..).zip(shapes(config)) {
        let mut data = vec![0.0; shape.iter().product()];
        philox.normal([i, 0, 0], &mut data);
        let is_norm = ["norm", "_ln"].iter().any(|part| name.contains(part)) && name.ends_with("weight");
        let (scale, shift) = match shape.len() {
            1 if is_norm => (0.2, 1.0),
            2 => (1.0 / (shape[1] as f32).sqrt(), 0.0),
            _ => (0.3, 0.0),
        };
        for value in &mut data {
            *value = *value * scale + shift;
            if halves {
                *value = half::f16::from_f32(*value).to_f32();
            }
        }
        tensors.insert(name, HostTensor { shape, data });
    }
    Checkpoint { tensors }
}

/// The network in f64.
pub struct Naive<'a> {
    pub config: &'a MarConfig,
    pub checkpoint: &'a Checkpoint,
}

impl Naive<'_> {
    fn tensor(&self, name: &str) -> Vec<f64> {
        self.checkpoint.tensors[name].data.iter().map(|&v| f64::from(v)).collect()
    }

    fn linear(&self, name: &str, x: &[Vec<f64>]) -> Rows {
        let (weight, bias) = (self.tensor(&format!("{name}.weight")), self.tensor(&format!("{name}.bias")));
        let d_in = weight.len() / bias.len();
        let dot = |w: &[f64], x: &[f64]| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
        x.iter().map(|x| weight.chunks(d_in).zip(&bias).map(|(w, b)| dot(w, x) + b).collect()).collect()
    }

    fn norm(&self, name: &str, x: &[Vec<f64>]) -> Rows {
        let (scale, shift) = (self.tensor(&format!("{name}.weight")), self.tensor(&format!("{name}.bias")));
        let apply = |row: Vec<f64>| row.iter().zip(&scale).zip(&shift).map(|((x, a), b)| x * a + b).collect();
        x.iter().map(|row| apply(normed(row))).collect()
    }

    /// Rows of a table.
    fn table(&self, name: &str, width: usize) -> Rows {
        self.tensor(name).chunks(width).map(<[f64]>::to_vec).collect()
    }

    /// The block `name` over one image, and its attention weights, `[heads, rows, rows]`.
    fn block(&self, name: &str, heads: usize, x: Rows) -> (Rows, Vec<f64>) {
        let (rows, width) = (x.len(), x[0].len());
        let qkv = self.linear(&format!("{name}.attn.qkv"), &self.norm(&format!("{name}.norm1"), &x));
        let dim = width / heads;
        let (mut gathered, mut weights) = (vec![vec![0.0; width]; rows], Vec::new());
        for head in 0..heads {
            let part = |row: usize, which: usize| &qkv[row][which * width + head * dim..][..dim];
            for query in 0..rows {
                let score = |key: usize| {
                    let dot: f64 = part(query, 0).iter().zip(part(key, 1)).map(|(q, k)| q * k).sum();
                    (dot / (dim as f64).sqrt()).exp()
                };
                let scores: Vec<f64> = (0..rows).map(score).collect();
                let total: f64 = scores.iter().sum();
                for key in 0..rows {
                    for i in 0..dim {
                        gathered[query][head * dim + i] += scores[key] / total * part(key, 2)[i];
                    }
                    weights.push(scores[key] / total);
                }
            }
        }
        let x = sum(x, self.linear(&format!("{name}.attn.proj"), &gathered));
        let mut hidden = self.linear(&format!("{name}.mlp.fc1"), &self.norm(&format!("{name}.norm2"), &x));
        hidden.iter_mut().flatten().for_each(|v| *v *= 0.5 * (1.0 + libm::erf(*v / 2f64.sqrt())));
        let out = self.linear(&format!("{name}.mlp.fc2"), &hidden);
        (sum(x, out), weights)
    }

    /// z of every token of one image, and the attention weights of each block of encoder and decoder.
    pub fn backbone(&self, tokens: &[f32], masked: &[bool], label: Label) -> (Rows, [Vec<Vec<f64>>; 2]) {
        let c = self.config;
        let (buffer, dim) = (c.buffer_size, c.token_dim());
        let known: Vec<usize> = (0..c.tokens()).filter(|&token| !masked[token]).collect();
        let class = match label {
            Some(label) => self.table("class_emb.weight", c.encoder_embed_dim)[label].clone(),
            None => self.tensor("fake_latent"),
        };
        let given = |&token: &usize| tokens[token * dim..][..dim].iter().map(|&v| f64::from(v)).collect();
        let given: Rows = known.iter().map(given).collect();
        let mut x = vec![class; buffer];
        x.extend(self.linear("z_proj", &given));
        let place = |row: usize| if row < buffer { row } else { buffer + known[row - buffer] };
        let positions = self.table("encoder_pos_embed_learned", c.encoder_embed_dim);
        let positions = (0..x.len()).map(|row| positions[place(row)].clone()).collect();
        let mut x = self.norm("z_proj_ln", &sum(x, positions));
        let mut watched = [Vec::new(), Vec::new()];
        for i in 0..c.encoder_depth {
            let (out, weights) = self.block(&format!("encoder_blocks.{i}"), c.encoder_num_heads, x);
            x = out;
            watched[0].push(weights);
        }
        let x = self.linear("decoder_embed", &self.norm("encoder_norm", &x));
        let mut all = vec![self.tensor("mask_token"); buffer + c.tokens()];
        x.into_iter().enumerate().for_each(|(row, x)| all[place(row)] = x);
        let mut x = sum(all, self.table("decoder_pos_embed_learned", c.decoder_embed_dim));
        for i in 0..c.decoder_depth {
            let (out, weights) = self.block(&format!("decoder_blocks.{i}"), c.decoder_num_heads, x);
            x = out;
            watched[1].push(weights);
        }
        let z = self.norm("decoder_norm", &x).split_off(buffer);
        (sum(z, self.table("diffusion_pos_embed_learned", c.decoder_embed_dim)), watched)
    }

    /// The head's prediction for `x` given `z` at a timestep.
    fn head(&self, x: &[Vec<f64>], z: &[Vec<f64>], timestep: usize) -> Rows {
        let part = |part: &str| format!("diffloss.net.{part}");
        let angle = |i: usize| timestep as f64 * (-(10_000f64.ln()) * i as f64 / 128.0).exp();
        let features = (0..128).map(|i| angle(i).cos()).chain((0..128).map(|i| angle(i).sin())).collect();
        let mut time = self.linear(&part("time_embed.mlp.0"), &[features]);
        silu(&mut time);
        let time = self.linear(&part("time_embed.mlp.2"), &time);
        let mut y = sum(self.linear(&part("cond_embed"), z), vec![time[0].clone(); z.len()]);
        silu(&mut y);
        let width = self.config.diffloss_w;
        let modulate = |x: &[Vec<f64>], m: &[Vec<f64>]| -> Rows {
            let row = |(x, m): (&Vec<f64>, &Vec<f64>)| (0..width).map(|i| x[i] * (1.0 + m[width + i]) + m[i]).collect();
            x.iter().zip(m).map(row).collect()
        };
        let mut h = self.linear(&part("input_proj"), x);
        for i in 0..self.config.diffloss_d {
            let part = |name: &str| part(&format!("res_blocks.{i}.{name}"));
            let m = self.linear(&part("adaLN_modulation.1"), &y);
            let mut u = self.linear(&part("mlp.0"), &modulate(&self.norm(&part("in_ln"), &h), &m));
            silu(&mut u);
            let mut u = self.linear(&part("mlp.2"), &u);
            u.iter_mut().zip(&m).for_each(|(u, m)| u.iter_mut().zip(&m[2 * width..]).for_each(|(u, g)| *u *= g));
            h = sum(h, u);
        }
        let m = self.linear(&part("final_layer.adaLN_modulation.1"), &y);
        let bare: Rows = h.iter().map(|row| normed(row)).collect();
        self.linear(&part("final_layer.linear"), &modulate(&bare, &m))
    }

    /// The reverse process: every x, the noise first, and what the head says at every step, guidance included.
    pub fn draw(&self, z: &[Vec<f64>], draw: &ReverseProcess<'_>) -> (Vec<Rows>, Vec<Rows>) {
        let dim = self.config.token_dim();
        let count = draw.noise.len() / dim / (1 + draw.steps.len());
        let noise = |step: usize| -> Rows {
            let rows = draw.noise[step * count * dim..][..count * dim].chunks(dim);
            rows.map(|row| row.iter().map(|&v| f64::from(v)).collect()).collect()
        };
        let mut x = noise(0);
        let mut previous = vec![vec![0.0; dim]; count];
        let (mut frames, mut said) = (vec![x.clone()], Vec::new());
        for (i, (step, &timestep)) in draw.steps.table.iter().zip(&draw.steps.timesteps).enumerate() {
            let both = if draw.cfg.is_some() { [x.clone(), x.clone()].concat() } else { x.clone() };
            let mut out = self.head(&both, z, timestep);
            if let Some(cfg) = draw.cfg {
                let without = out.split_off(count);
                for (with, without) in out.iter_mut().zip(&without) {
                    (0..dim).for_each(|i| with[i] = without[i] + f64::from(cfg) * (with[i] - without[i]));
                }
            }
            let added = noise(i + 1);
            for row in 0..count {
                for i in 0..dim {
                    let (epsilon, v) = (out[row][i], out[row][dim + i]);
                    let mut clean = x[row][i] * f64::from(step.clean_x) - epsilon * f64::from(step.clean_epsilon);
                    if let Some(bound) = draw.clip.map(f64::from) {
                        clean = clean.clamp(-bound, bound);
                    }
                    let log_variance = f64::from(step.least) + (v + 1.0) * f64::from(step.half_range);
                    let spread = f64::from(step.add_noise) * (0.5 * log_variance).exp() * f64::from(draw.temperature);
                    x[row][i] = clean * f64::from(step.to_clean)
                        + x[row][i] * f64::from(step.to_x)
                        + previous[row][i] * f64::from(step.to_previous)
                        + spread * added[row][i];
                    previous[row][i] = clean;
                }
            }
            frames.push(x.clone());
            said.push(out);
        }
        (frames, said)
    }
}

/// The official sampler of `spec`, which leaves the last clean token alone, made to look at it, as a second-order one does.
pub fn steps(spec: &str) -> Steps {
    let mut steps = Solver::Ddpm.steps(&Schedule::respaced(spec).unwrap());
    for step in steps.table.iter_mut().skip(1) {
        step.to_previous = -0.05;
    }
    steps
}

fn sum(mut x: Rows, y: Rows) -> Rows {
    x.iter_mut().zip(y).for_each(|(x, y)| x.iter_mut().zip(y).for_each(|(x, y)| *x += y));
    x
}

fn normed(row: &[f64]) -> Vec<f64> {
    let mean = row.iter().sum::<f64>() / row.len() as f64;
    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / row.len() as f64;
    row.iter().map(|x| (x - mean) / (variance + 1e-6).sqrt()).collect()
}

fn silu(rows: &mut Rows) {
    rows.iter_mut().flatten().for_each(|v| *v /= 1.0 + (-*v).exp());
}
