//! One training batch: images as tokens, an order and a mask for each, labels with some dropped, timesteps and noise.
//! Section 3.4 of the paper (masking ratio from a truncated normal, 0.7 at least); the loss is over masked tokens only.

use burn::tensor::{Tensor, TensorData};

use super::Recipe;
use crate::config::Label;
use crate::data::ImageSet;
use crate::diffusion::Schedule;
use crate::diffusion::loss::diffusion_loss;
use crate::model::{Mar, indices};
use crate::random::{Philox, Stream};
use crate::tokenizer::{Tokenizer, from_byte};

/// What a step trains on; a function of (seed, step).
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `[batch, L, C]`.
    pub tokens: Vec<f32>,
    /// `[batch, L]`, true where masked; every image has the same number.
    pub masked: Vec<bool>,
    /// `[batch]`, `None` where dropped.
    pub labels: Vec<Label>,
    /// Timesteps, `[repeats * masked rows]`, repeat slowest.
    pub t: Vec<usize>,
    /// Noise, `[repeats * masked rows, C]`.
    pub noise: Vec<f32>,
}

/// What the draws of a step are for; part of their address.
#[derive(Clone, Copy)]
enum Draw {
    Ratio = 1,
    Order,
    Label,
    Time,
    Noise,
    Epoch,
}

impl Batch {
    /// The batch of `step`: the next `recipe.batch` images of the epoch's shuffle.
    pub fn draw(
        data: &ImageSet,
        tokenizer: &dyn Tokenizer,
        recipe: &Recipe,
        [length, dim, repeats]: [usize; 3],
        schedule: &Schedule,
        step: usize,
    ) -> Self {
        let philox = Philox::new(recipe.seed);
        let stream = |draw: Draw, at: usize| philox.stream(draw as u32, at as u32);

        let mut images = Images { data, philox, epoch: usize::MAX, order: Vec::new() };
        let mut tokens = Vec::with_capacity(recipe.batch * length * dim);
        let mut labels = Vec::with_capacity(recipe.batch);
        let mut drop = stream(Draw::Label, step);
        for at in step * recipe.batch..(step + 1) * recipe.batch {
            let index = images.at(at);
            let pixels: Vec<f32> = data.image(index).iter().map(|&byte| from_byte(byte)).collect();
            tokens.extend(tokenizer.encode(&pixels));
            let label = usize::from(data.labels[index]);
            labels.push((drop.uniform() > recipe.label_drop).then_some(label));
        }

        let ratio = mask_ratio(&mut stream(Draw::Ratio, step), recipe.mask_ratio_min);
        let count = (length as f64 * ratio).ceil() as usize;
        let mut masked = vec![false; recipe.batch * length];
        let mut orders = stream(Draw::Order, step);
        for image in masked.chunks_exact_mut(length) {
            let mut order: Vec<usize> = (0..length).collect();
            orders.shuffle(&mut order);
            order[..count].iter().for_each(|&place| image[place] = true);
        }

        let rows = repeats * recipe.batch * count;
        let mut times = stream(Draw::Time, step);
        let t = (0..rows).map(|_| times.below(schedule.len() as u32) as usize).collect();
        let mut noise = vec![0.0; rows * dim];
        philox.normal([Draw::Noise as u32, step as u32, u32::MAX], &mut noise);
        Self { tokens, masked, labels, t, noise }
    }
}

/// The data set in a new order every epoch.
struct Images<'a> {
    data: &'a ImageSet,
    philox: Philox,
    epoch: usize,
    order: Vec<u32>,
}

impl Images<'_> {
    /// The `at`-th image since training began.
    fn at(&mut self, at: usize) -> usize {
        let epoch = at / self.data.len();
        if epoch != self.epoch {
            self.epoch = epoch;
            self.order = (0..self.data.len() as u32).collect();
            self.philox.stream(Draw::Epoch as u32, epoch as u32).shuffle(&mut self.order);
        }
        self.order[at % self.data.len()] as usize
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

/// The loss of `batch`: the mean over masked tokens and their repeats.
pub fn loss(model: &Mar, schedule: &Schedule, batch: &Batch) -> Tensor<1> {
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
    let condition = model.head.embed_condition(z);

    let loss = diffusion_loss(
        &model.head,
        schedule,
        x0.repeat_dim(0, repeats),
        condition.repeat_dim(0, repeats),
        &batch.t,
        noise,
    );
    (loss.mse + loss.vb).mean()
}
