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
}

/// A reverse process under way.
pub struct Process<'a> {
    reverse: &'a Reverse,
    head: &'a Head,
    settings: ReverseSettings,
    /// Embedded z, `[rows, head width]`, the unconditional rows below when guided.
    condition: Tensor<2>,
    /// `[1 + steps, rows, C]`.
    noise: Tensor<3>,
    x: Tensor<2>,
    taken: usize,
}

/// What the head made of `x_t` in one step, each `[rows, C]`.
pub struct Prediction {
    /// The predicted noise, guidance included.
    pub noise: Tensor<2>,
    /// The clean token that follows from it, clipped where the settings clip.
    pub clean: Tensor<2>,
    /// Standard deviation of what the step adds, before temperature; `None` in the last one, which adds nothing.
    pub deviation: Option<Tensor<2>>,
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

    /// Starts the process of `rows` tokens of `dim` numbers.
    ///
    /// `z` is `[rows, decoder width]`, or `[2 rows, ..]` with guidance: the conditional rows, then the unconditional
    /// ones. `noise` is `[1 + steps, rows, C]` on the host: where the process starts, then what each step adds, the
    /// noisiest first.
    pub fn start<'a>(
        &'a self,
        head: &'a Head,
        z: Tensor<2>,
        noise: Vec<f32>,
        dim: usize,
        settings: ReverseSettings,
    ) -> Process<'a> {
        let steps = self.schedule.len();
        let rows = noise.len() / dim / (steps + 1);
        let noise: Tensor<3> = Tensor::from_data(TensorData::new(noise, [steps + 1, rows, dim]), &z.device());
        let x = noise.clone().narrow(0, 0, 1).squeeze_dim(0);
        Process { reverse: self, head, settings, condition: head.embed_condition(z), noise, x, taken: 0 }
    }
}

impl Process<'_> {
    /// Where the process stands, `[rows, C]`: noise at first, the tokens when it is done.
    pub fn x(&self) -> Tensor<2> {
        self.x.clone()
    }

    /// Takes a step, the noisiest first; `None` when all are taken.
    pub fn step(&mut self) -> Option<Prediction> {
        let schedule = &self.reverse.schedule;
        let step = schedule.len().checked_sub(self.taken + 1)?;
        let y = self.condition.clone() + self.reverse.time.clone().narrow(0, step, 1);
        let prediction = self.predict(step, y);
        let x = self.x.clone() * schedule.posterior_mean_xt[step] as f32;
        let mean = prediction.clean.clone() * schedule.posterior_mean_x0[step] as f32 + x;
        self.taken += 1;
        self.x = match &prediction.deviation {
            None => mean,
            Some(deviation) => {
                let noise = self.noise.clone().narrow(0, self.taken, 1).squeeze_dim(0);
                mean + deviation.clone() * noise * self.settings.temperature
            }
        };
        Some(prediction)
    }

    /// What the head makes of x under `y`, its conditions and the embedded timestep.
    fn predict(&self, step: usize, y: Tensor<2>) -> Prediction {
        let (schedule, x) = (&self.reverse.schedule, self.x.clone());
        let [rows, dim] = x.dims();
        let (noise, v) = match self.settings.cfg {
            None => {
                let out = self.head.forward(x.clone(), y);
                (out.clone().narrow(1, 0, dim), out.narrow(1, dim, dim))
            }
            Some(cfg) => {
                let out = self.head.forward(Tensor::cat(vec![x.clone(), x.clone()], 0), y);
                let noise = out.clone().narrow(1, 0, dim);
                let (with, without) = (noise.clone().narrow(0, 0, rows), noise.narrow(0, rows, rows));
                (without.clone() + (with - without) * cfg, out.narrow(0, 0, rows).narrow(1, dim, dim))
            }
        };
        let alpha_bar = schedule.alpha_bar[step];
        let clean = x * (1.0 / alpha_bar).sqrt() as f32 - noise.clone() * (1.0 / alpha_bar - 1.0).sqrt() as f32;
        let clean = if self.settings.clip { clean.clamp(-1.0, 1.0) } else { clean };
        let deviation = (step > 0).then(|| {
            let (least, most) = (schedule.posterior_log_variance[step] as f32, schedule.betas[step].ln() as f32);
            let log_variance = (v + 1.0) * (0.5 * (most - least)) + least;
            (log_variance * 0.5).exp()
        });
        Prediction { noise, clean, deviation }
    }

    /// Takes every step, keeping each `stride`-th frame; 0 keeps the last alone. `go_on` is asked before every step, and
    /// `None` is the result once it says no.
    pub async fn run(mut self, stride: usize, mut go_on: impl AsyncFnMut() -> bool) -> Option<Trajectory> {
        let (mut steps, mut frames) = (Vec::new(), Vec::new());
        let total = self.reverse.schedule.len();
        while self.taken < total {
            if stride > 0 && self.taken.is_multiple_of(stride) {
                steps.push(self.taken);
                frames.push(self.x());
            }
            if !go_on().await {
                return None;
            }
            self.step();
        }
        steps.push(total);
        frames.push(self.x);
        Some(Trajectory { steps, frames: Tensor::stack(frames, 0) })
    }
}
