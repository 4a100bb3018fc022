//! What a backward pass trains on: tokens, an order and a mask for each example, labels with some dropped, noise.
//! Section 3.4 of the paper (masking ratio from a truncated normal, 0.7 at least); the loss is over masked tokens only.

use std::ops::Range;

use burn::tensor::{Tensor, TensorData};

use super::Recipe;
use crate::config::Label;
use crate::data::Example;
use crate::diffusion::Schedule;
use crate::diffusion::loss::{DiffusionLoss, diffusion_loss};
use crate::model::{Mar, indices};
use crate::random::{Philox, Stream};

/// What a backward pass trains on. Every draw is a function of (seed, number of the example since training began), and
/// the mask ratio of (seed, step): a batch cut into parts, for several devices or passes, is the same batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// `[batch, L, C]`.
    pub tokens: Vec<f32>,
    /// `[batch, L]`, true where masked; every example has the same number.
    pub masked: Vec<bool>,
    /// `[batch]`, `None` where dropped.
    pub labels: Vec<Label>,
    /// Timesteps, `[repeats * masked rows]`, repeat slowest.
    pub t: Vec<usize>,
    /// Noise, `[repeats * masked rows, C]`.
    pub noise: Vec<f32>,
}

/// What the draws of an example are for; part of their address.
#[derive(Clone, Copy)]
enum Draw {
    Ratio = 1,
    Order,
    Label,
    Time,
    Noise,
}

impl Batch {
    /// The batch of `examples`, which stand at `slots` of the batch of `step`; `repeats` is how often each masked token
    /// is noised, `timesteps` the number of them to choose from.
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
        let ratio = mask_ratio(&mut philox.stream(Draw::Ratio as u32, step as u32), recipe.mask_ratio_min);
        let count = (length as f64 * ratio).ceil() as usize;
        let mut masked = vec![false; examples.len() * length];
        let mut labels = Vec::with_capacity(examples.len());
        // Filled an example at a time, but laid out with the repeat slowest.
        let mut t = vec![0; repeats * examples.len() * count];
        let mut noise = vec![0.0; t.len() * dim];
        for (i, (example, slot)) in examples.iter().zip(slots).enumerate() {
            let number = (step * recipe.batch + slot) as u32;
            let stream = |draw: Draw| philox.stream(draw as u32, number);
            let kept = stream(Draw::Label).uniform() > recipe.label_drop;
            labels.push(kept.then_some(example.label));
            let mut order: Vec<usize> = (0..length).collect();
            stream(Draw::Order).shuffle(&mut order);
            order[..count].iter().for_each(|&place| masked[i * length + place] = true);
            let mut times = stream(Draw::Time);
            for repeat in 0..repeats {
                let row = (repeat * examples.len() + i) * count;
                t[row..row + count].fill_with(|| times.below(timesteps as u32) as usize);
                philox.normal([Draw::Noise as u32, number, repeat as u32], &mut noise[row * dim..(row + count) * dim]);
            }
        }
        let tokens = examples.iter().flat_map(|example| &example.tokens).copied().collect();
        Self { tokens, masked, labels, t, noise }
    }

    /// The mean of the mask ratios that `recipe` draws: N(1, 0.25) cut to `[mask_ratio_min, 1]`.
    pub fn mean_mask_ratio(recipe: &Recipe) -> f64 {
        // Of a standard normal cut to [a, 0]: (phi(a) - phi(0)) / (Phi(0) - Phi(a)).
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

/// N(1, 0.25) cut to `[least, 1]`, by rejection.
fn mask_ratio(stream: &mut Stream, least: f64) -> f64 {
    loop {
        let ratio = 1.0 + 0.25 * stream.normal();
        if (least..=1.0).contains(&ratio) {
            return ratio;
        }
    }
}

/// The loss of every noised token of `batch`, in the order of its timesteps.
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
    let condition = model.head.embed_condition(z).repeat_dim(0, repeats);
    diffusion_loss(&model.head, schedule, x0.repeat_dim(0, repeats), condition, &batch.t, noise)
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
        let recipe = Preset::Tiny.recipe();
        let all = examples(8);
        let draw =
            |slots: std::ops::Range<usize>| Batch::draw(&all[slots.clone()], slots, 3, &recipe, 2, [49, 16], 1000);
        let (whole, first, second) = (draw(0..8), draw(0..5), draw(5..8));
        assert_eq!(whole.masked, [first.masked.clone(), second.masked].concat());
        assert_eq!(whole.labels, [first.labels, second.labels].concat());
        // The repeat is slowest, so that each part holds a stretch of each repeat.
        let count = first.masked.iter().filter(|&&masked| masked).count();
        let half = whole.t.len() / 2;
        assert_eq!(whole.t[..count], first.t[..count]);
        assert_eq!(whole.t[half..half + count], first.t[count..]);
        assert_eq!(whole.noise[16 * count..16 * half], second.noise[..16 * (half - count)]);
    }

    #[test]
    fn every_example_has_as_many_masked_and_ratios_are_the_cut_normals() {
        let recipe = Preset::Tiny.recipe();
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
        // The deviation of one is below 0.1.
        assert!((mean - expected).abs() < 4.0 * 0.1 / f64::from(steps as u32).sqrt(), "{mean} for {expected}");
    }
}
