//! The reverse process: noise to tokens, step by step, under the conditions z of one decoding iteration.
//! Section 3.2 of the paper ("Sampler"): ancestral DDPM with learned variance, guidance and temperature.

use burn::tensor::{Tensor, TensorData};

use super::schedule::Schedule;
use crate::model::Head;

/// A schedule with what depends on it alone computed once.
#[derive(Clone, Debug)]
pub struct Reverse {
    schedule: Schedule,
    /// Time embeddings, `[steps, head width]`.
    time: Tensor<2>,
}

/// Which settings a reverse process runs under.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReverseSettings {
    /// Guidance scale; `None` when there is no unconditional branch.
    pub cfg: Option<f32>,
    /// Scale of the added noise.
    pub temperature: f32,
    /// Clip the predicted clean token to `[-1, 1]`.
    pub clip: bool,
    /// Keep every `stride`-th step of the trajectory; 0 keeps none of it.
    pub stride: usize,
}

/// What a reverse process went through.
pub struct Trajectory {
    /// Steps taken before each frame: 0 for the noise, the number of steps for the token itself.
    pub steps: Vec<usize>,
    /// `[frames, rows, C]`; the last frame is the predicted tokens.
    pub frames: Tensor<3>,
}

impl Reverse {
    /// Prepares `schedule` for `head`.
    pub fn new(head: &Head, schedule: Schedule) -> Self {
        let time = head.embed_time(&schedule.timesteps);
        Self { schedule, time }
    }

    /// The schedule.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Runs the whole process for `rows` tokens.
    ///
    /// `z` is `[rows, decoder width]`, or `[2 rows, ..]` with guidance: the conditional rows, then the unconditional
    /// ones. `noise` is `[1 + steps, rows, C]` on the host: where the process starts, then what each step adds, the
    /// noisiest first.
    pub fn run(&self, head: &Head, z: Tensor<2>, noise: Vec<f32>, dim: usize, settings: ReverseSettings) -> Trajectory {
        let steps = self.schedule.len();
        let rows = noise.len() / dim / (steps + 1);
        let device = z.device();
        let noise: Tensor<3> = Tensor::from_data(TensorData::new(noise, [steps + 1, rows, dim]), &device);
        let noise = |i: usize| noise.clone().narrow(0, i, 1).squeeze_dim::<2>(0);

        let condition = head.embed_condition(z);
        let mut x = noise(0);
        let mut kept = Vec::new();
        let mut frames = Vec::new();
        for (done, step) in (0..steps).rev().enumerate() {
            if settings.stride > 0 && done.is_multiple_of(settings.stride) {
                kept.push(done);
                frames.push(x.clone());
            }
            let y = condition.clone() + self.time.clone().narrow(0, step, 1);
            x = self.step(head, step, x, y, noise(done + 1), settings);
        }
        kept.push(steps);
        frames.push(x);
        Trajectory { steps: kept, frames: Tensor::stack(frames, 0) }
    }

    /// One step: `x_t` `[rows, C]` to `x_{t-1}`.
    fn step(
        &self,
        head: &Head,
        step: usize,
        x: Tensor<2>,
        y: Tensor<2>,
        noise: Tensor<2>,
        settings: ReverseSettings,
    ) -> Tensor<2> {
        let schedule = &self.schedule;
        let [rows, dim] = x.dims();
        let (eps, v) = match settings.cfg {
            None => {
                let out = head.forward(x.clone(), y);
                (out.clone().narrow(1, 0, dim), out.narrow(1, dim, dim))
            }
            Some(cfg) => {
                let out = head.forward(Tensor::cat(vec![x.clone(), x.clone()], 0), y);
                let eps = out.clone().narrow(1, 0, dim);
                let (with, without) = (eps.clone().narrow(0, 0, rows), eps.narrow(0, rows, rows));
                (without.clone() + (with - without) * cfg, out.narrow(0, 0, rows).narrow(1, dim, dim))
            }
        };
        let alpha_bar = schedule.alpha_bar[step];
        let x0 = x.clone() * (1.0 / alpha_bar).sqrt() as f32 - eps * (1.0 / alpha_bar - 1.0).sqrt() as f32;
        let x0 = if settings.clip { x0.clamp(-1.0, 1.0) } else { x0 };
        let mean = x0 * schedule.posterior_mean_x0[step] as f32 + x * schedule.posterior_mean_xt[step] as f32;
        if step == 0 {
            return mean;
        }
        let (least, most) = (schedule.posterior_log_variance[step] as f32, schedule.betas[step].ln() as f32);
        let log_variance = (v + 1.0) * (0.5 * (most - least)) + least;
        mean + (log_variance * 0.5).exp() * noise * settings.temperature
    }
}
