//! The input of a backward pass: tokens, a random mask for each example, labels (some dropped), timesteps and noise.
//! Section 3.4 of the paper (masking ratio from a truncated normal, at least 0.7). The loss is over masked tokens only.

use std::ops::Range;

use burn::tensor::{Tensor, TensorData};

use super::Recipe;
use crate::data::Example;
use crate::model::head::{DiffusionLoss, Head, diffusion_loss};
use crate::model::{Mar, indices};
use marscope_core::config::Label;
use marscope_core::diffusion::Schedule;
use marscope_core::random::{Philox, Stream};

/// The input of a backward pass. Every random number is a function of the seed and the example's number since training
/// began; the mask ratio, of the seed and the step. So a batch that is split over devices or passes stays the same
/// batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// `[batch, L, C]`.
    pub tokens: Vec<f32>,
    /// `[batch, L]`, true where masked; every example has the same number of masked tokens.
    pub masked: Vec<bool>,
    /// `[batch]`, `None` where the label was dropped.
    pub labels: Vec<Label>,
    /// Timesteps, `[repeats * masked rows]`, repeat slowest.
    pub t: Vec<usize>,
    /// Noise, `[repeats * masked rows, C]`.
    pub noise: Vec<f32>,
}

/// The purpose of a random draw, which is part of its address.
#[derive(Clone, Copy)]
enum Address {
    Ratio = 1,
    Order,
    Label,
    Time,
    Noise,
}

impl Batch {
    /// The part `slots` of the batch of `step`, made of `examples`. Each masked token is noised `repeats` times, at
    /// timesteps below `timesteps`.
    pub fn draw(
        examples: &[Example],
        slots: Range<usize>,
        step: usize,
        recipe: &Recipe,
        repeats: usize,
        [length, dim]: [usize; 2],
        timesteps: usize,
    ) -> Self {
        let philox = Philox::new(recipe.seed);
        let ratio = mask_ratio(&mut philox.stream(Address::Ratio as u32, step as u32), recipe.mask_ratio_min);
        let count = (length as f64 * ratio).ceil() as usize;
        let mut masked = vec![false; examples.len() * length];
        let mut labels = Vec::with_capacity(examples.len());
        // Filled one example at a time; in memory the repeat is the slowest dimension.
        let mut t = vec![0; repeats * examples.len() * count];
        let mut noise = vec![0.0; t.len() * dim];
        for (i, (example, slot)) in examples.iter().zip(slots).enumerate() {
            let number = (step * recipe.batch + slot) as u32;
            let stream = |draw: Address| philox.stream(draw as u32, number);
            let kept = stream(Address::Label).uniform() > recipe.label_drop;
            labels.push(kept.then_some(example.label));
            let mut order: Vec<usize> = (0..length).collect();
            stream(Address::Order).shuffle(&mut order);
            order[..count].iter().for_each(|&place| masked[i * length + place] = true);
            let mut times = stream(Address::Time);
            for repeat in 0..repeats {
                let row = (repeat * examples.len() + i) * count;
                t[row..row + count].fill_with(|| times.below(timesteps as u32) as usize);
                philox
                    .normal([Address::Noise as u32, number, repeat as u32], &mut noise[row * dim..(row + count) * dim]);
            }
        }
        let tokens = examples.iter().flat_map(|example| &example.tokens).copied().collect();
        Self { tokens, masked, labels, t, noise }
    }

    /// The mean mask ratio of `recipe`: of N(1, 0.25) truncated to `[mask_ratio_min, 1]`.
    pub fn mean_mask_ratio(recipe: &Recipe) -> f64 {
        // The mean of a standard normal truncated to [a, 0]: (phi(a) - phi(0)) / (Phi(0) - Phi(a)).
        let least = (recipe.mask_ratio_min - 1.0) / 0.25;
        let density = |x: f64| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
        let below = |x: f64| 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2);
        1.0 + 0.25 * (density(least) - density(0.0)) / (0.5 - below(least))
    }

    /// Share of the tokens that is masked.
    pub fn mask_ratio(&self) -> f64 {
        self.masked.iter().filter(|&&masked| masked).count() as f64 / self.masked.len().max(1) as f64
    }
}

/// Samples N(1, 0.25) truncated to `[least, 1]`, by rejection.
fn mask_ratio(stream: &mut Stream, least: f64) -> f64 {
    loop {
        let ratio = 1.0 + 0.25 * stream.normal();
        if (least..=1.0).contains(&ratio) {
            return ratio;
        }
    }
}

/// The loss of every noised token of `batch`, in the order of [`Batch::t`].
pub fn loss(model: &Mar, schedule: &Schedule, batch: &Batch) -> DiffusionLoss {
    let dim = model.config().token_dim();
    let z = model.forward(&batch.tokens, &batch.masked, &batch.labels).z;
    let [images, length, width] = z.dims();
    let device = z.device();
    let rows: Vec<usize> = (0..images * length).filter(|&row| batch.masked[row]).collect();
    let repeats = batch.t.len() / rows.len();

    let x0: Vec<f32> = rows.iter().flat_map(|row| &batch.tokens[row * dim..(row + 1) * dim]).copied().collect();
    let x0 = Tensor::<2>::from_data(TensorData::new(x0, [rows.len(), dim]), &device);
    let noise = Tensor::<2>::from_data(TensorData::new(batch.noise.clone(), [batch.t.len(), dim]), &device);
    let picked = rows.into_iter().map(|row| row as i32).collect();
    // Only masked rows go through the head; z is embedded once for all its repeats.
    let z = z.reshape([images * length, width]).select(0, indices(picked, &device));
    let Head::Diffusion(head) = &model.head;
    let condition = head.embed_condition(z).repeat_dim(0, repeats);
    diffusion_loss(head, schedule, x0.repeat_dim(0, repeats), condition, &batch.t, noise)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::Preset;

    fn examples(count: usize) -> Vec<Example> {
        (0..count).map(|i| Example { tokens: vec![i as f32; 49 * 16], label: i % 10 }).collect()
    }

    #[test]
    fn a_batch_in_parts_is_the_same_batch() {
        let recipe = Recipe::of(Preset::Tiny);
        let all = examples(8);
        let draw =
            |slots: std::ops::Range<usize>| Batch::draw(&all[slots.clone()], slots, 3, &recipe, 2, [49, 16], 1000);
        let (whole, first, second) = (draw(0..8), draw(0..5), draw(5..8));
        assert_eq!(whole.masked, [first.masked.clone(), second.masked].concat());
        assert_eq!(whole.labels, [first.labels, second.labels].concat());
        // The repeat is the slowest dimension, so each part holds a slice of each repeat.
        let count = first.masked.iter().filter(|&&masked| masked).count();
        let half = whole.t.len() / 2;
        assert_eq!(whole.t[..count], first.t[..count]);
        assert_eq!(whole.t[half..half + count], first.t[count..]);
        assert_eq!(whole.noise[16 * count..16 * half], second.noise[..16 * (half - count)]);
    }

    #[test]
    fn every_example_has_as_many_masked_and_ratios_are_the_cut_normals() {
        let recipe = Recipe::of(Preset::Tiny);
        let all = examples(4);
        let (mut sum, steps) = (0.0, 2_000);
        for step in 0..steps {
            let batch = Batch::draw(&all, 0..4, step, &recipe, 1, [49, 16], 1000);
            let counts: Vec<usize> =
                batch.masked.chunks(49).map(|one| one.iter().filter(|&&masked| masked).count()).collect();
            assert!(counts.iter().all(|&count| count == counts[0] && (35..=49).contains(&count)), "{counts:?}");
            sum += mask_ratio(&mut Philox::new(7).stream(1, step as u32), recipe.mask_ratio_min);
        }
        let (mean, expected) = (sum / f64::from(steps as u32), Batch::mean_mask_ratio(&recipe));
        // The standard deviation of one ratio is below 0.1.
        assert!((mean - expected).abs() < 4.0 * 0.1 / f64::from(steps as u32).sqrt(), "{mean} for {expected}");
    }
}
