//! The decoding loop as a state machine: each iteration gives some tokens, all others stay masked; the order decides.
//! Section 3.4 of the paper (next set-of-tokens prediction), algorithm in the official `sample_tokens`.

mod budget;
mod error;
pub mod guidance;
pub mod mask;
pub mod moment;
pub mod noise;
pub mod order;
mod standing;

use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use web_time::Instant;

pub use error::SampleError;
pub use guidance::CfgSchedule;
use guidance::Residual;
pub use moment::{Explanation, HeadSettings, Look, Moment};
pub use noise::{Noise, SeededNoise};
pub use order::{Order, OrderKind};
use standing::Branches;
pub use standing::Standing;

use crate::config::{Label, MarConfig};
use crate::diffusion::{Draw, Drawn, Solver, Steps};
use crate::network::{Iterated, Network};

/// What an image is decoded under; the same for every image of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Iterations K, 1 to L.
    pub iterations: usize,
    /// Respacing of the reverse process: a count such as `100`, or `ddim25`.
    pub steps: String,
    /// Diffusion steps of the last iteration, to which those of the others go down evenly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub late_steps: Option<usize>,
    /// How the reverse process is solved.
    #[serde(default)]
    pub solver: Solver,
    /// Guidance scale; 1 is no guidance.
    pub cfg: f32,
    /// The unconditional branch runs in every so many-th iteration, 1 in each.
    #[serde(default = "each")]
    pub cfg_every: usize,
    /// How the guidance goes over the iterations.
    pub cfg_schedule: CfgSchedule,
    /// Scale of the noise that each reverse step adds.
    pub temperature: f32,
    /// Clip the predicted clean token to `[-1, 1]`.
    pub clip: bool,
    /// Keep every `stride`-th reverse step in the events; 0 keeps only the tokens themselves.
    pub stride: usize,
}

/// The unconditional branch in each iteration.
pub(crate) fn each() -> usize {
    1
}

/// One image to decode.
#[derive(Clone, Debug, PartialEq)]
pub struct ImagePlan {
    /// Its class.
    pub label: Label,
    /// `order[rank]` is the position that comes at `rank`.
    pub order: Vec<usize>,
}

/// Images on their way from all masked to all known. Cloning one forks it.
#[derive(Clone)]
pub struct Decoding {
    network: Network,
    settings: Settings,
    images: Vec<ImagePlan>,
    noise: Arc<dyn Noise>,
    keep_z: bool,
    /// What guidance adds, where the unconditional branch does not run each time.
    residual: Option<Residual>,
    /// The iteration it started at.
    first: usize,
    /// Tokens masked after each iteration from there on.
    mask_lengths: Vec<usize>,
    /// The reverse process of each iteration from there on.
    steps: Vec<Arc<Steps>>,
    standing: Standing,
}

/// What one iteration did.
#[derive(Clone, Debug)]
pub struct Iteration {
    /// Which one, from 0.
    pub iteration: usize,
    /// Rows of the trajectory: the image and the position of each token sampled, image-major, position-minor.
    pub rows: Vec<(usize, usize)>,
    /// Tokens still masked in each image afterwards.
    pub mask_length: usize,
    /// Guidance scale in effect.
    pub cfg: f32,
    /// The reverse process.
    pub steps: Arc<Steps>,
    /// Its steps taken before each frame.
    pub taken: Vec<usize>,
    /// `[frames, rows, C]`: the reverse process, its last frame the tokens.
    pub trajectory: Vec<f32>,
    /// The condition of each row, `[rows, decoder width]`; with guidance the unconditional rows follow. Only where it is
    /// to be kept.
    pub z: Option<Vec<f32>>,
    /// Milliseconds in the backbone; `None` where the device did backbone and head in one go.
    pub backbone_ms: Option<f64>,
    /// Milliseconds in the head, or in both.
    pub head_ms: f64,
}

impl Decoding {
    /// Checks the settings and starts: from `start`, or with every token masked. Known tokens never change, and the
    /// mask schedule is scaled to the tokens that are left.
    ///
    /// # Errors
    /// Names the setting that is out of range, and its range, or what is wrong with the start.
    pub fn new(
        network: Network,
        settings: Settings,
        images: Vec<ImagePlan>,
        noise: Arc<dyn Noise>,
        start: Option<Standing>,
    ) -> Result<Self, SampleError> {
        let tokens = network.config().tokens();
        if !(1..=tokens).contains(&settings.iterations) {
            return Err(SampleError::Iterations { iterations: settings.iterations, tokens });
        }
        if !(1..=tokens).contains(&settings.cfg_every) {
            return Err(SampleError::CfgEvery { every: settings.cfg_every, tokens });
        }
        in_range("cfg", settings.cfg, CFG)?;
        in_range("temperature", settings.temperature, TEMPERATURE)?;
        for image in &images {
            check_label(image.label, network.config())?;
            let mut sorted = image.order.clone();
            sorted.sort_unstable();
            if !sorted.into_iter().eq(0..tokens) {
                return Err(SampleError::Order { tokens });
            }
        }
        let standing = match start {
            None => Standing::all_masked(network.config(), images.len()),
            Some(start) => start.checked(network.config(), images.len(), settings.iterations - 1)?,
        };
        let (first, left) = (standing.iteration, standing.left(tokens));
        let mask_lengths = mask::mask_lengths_from(tokens, settings.iterations, first, left);
        let steps = budget::steps_of(&settings, first, mask_lengths.len())?;
        Ok(Self {
            network,
            settings,
            images,
            noise,
            keep_z: false,
            residual: None,
            first,
            mask_lengths,
            steps,
            standing,
        })
    }

    /// Keeps the conditions of each iteration in its report, which a GPU has to send.
    #[must_use]
    pub fn keeping_z(self) -> Self {
        Self { keep_z: true, ..self }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The images being decoded.
    pub fn images(&self) -> &[ImagePlan] {
        &self.images
    }

    /// Diffusion steps of each iteration from the first that it does.
    pub fn budget(&self) -> impl Iterator<Item = usize> {
        self.steps.iter().map(|steps| steps.len())
    }

    /// Where it stands: what is known, and which iteration is next. Another decoding may start from there.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// `[images, L, C]`; 0 where masked.
    pub fn tokens(&self) -> &[f32] {
        &self.standing.tokens
    }

    /// `[images, L]`: true where a token is not known yet.
    pub fn masked(&self) -> &[bool] {
        &self.standing.masked
    }

    /// The last iteration's number and 1: fewer than the settings ask for where few tokens were masked at the start.
    pub fn iterations(&self) -> usize {
        self.first + self.mask_lengths.len()
    }

    /// Guidance scale of the iteration that comes next; `None` when there is none.
    pub fn next_cfg(&self) -> Option<f32> {
        let mask_length = *self.mask_lengths.get(self.standing.iteration - self.first)?;
        Some(self.settings.cfg_schedule.at(self.settings.cfg, self.network.config().tokens(), mask_length))
    }

    /// Diffusion steps of the iteration that comes next; `None` when there is none.
    pub fn next_steps(&self) -> Option<usize> {
        self.steps.get(self.standing.iteration - self.first).map(|steps| steps.len())
    }

    /// Whether every token is known.
    pub fn done(&self) -> bool {
        self.standing.iteration == self.iterations()
    }

    /// Does one iteration: what it did, or `None` when every token is known already. A failed one changes nothing.
    ///
    /// # Errors
    /// [`SampleError::Device`].
    pub async fn advance(&mut self) -> Result<Option<Iteration>, SampleError> {
        self.advance_while(async || true).await
    }

    /// As [`Self::advance`], asking `go_on` before every diffusion step and giving the iteration up once it says no,
    /// which changes nothing either.
    ///
    /// # Errors
    /// [`SampleError::Device`], and [`SampleError::Stopped`] if `go_on` said no.
    pub async fn advance_while(&mut self, go_on: impl AsyncFnMut() -> bool) -> Result<Option<Iteration>, SampleError> {
        let Some(cfg) = self.next_cfg() else { return Ok(None) };
        let (length, dim) = (self.network.config().tokens(), self.network.config().token_dim());
        let iteration = self.standing.iteration;
        let mask_length = self.mask_lengths[iteration - self.first];
        let steps = self.steps[iteration - self.first].clone();
        let rows = self.next_rows(mask_length);
        let noise = noise::of_rows(&*self.noise, iteration, steps.len(), &rows, dim);
        let draw = Draw {
            steps: &steps,
            noise: &noise,
            cfg: is_guided(self.settings.cfg).then_some(cfg),
            temperature: self.settings.temperature,
            clip: self.settings.clip,
            stride: self.settings.stride,
            explain: false,
        };
        let (done, residual) = self.compute(&rows, &draw, go_on).await?;
        self.residual = residual;

        let Drawn { taken, frames, .. } = done.drawn;
        let predicted = &frames[frames.len() - rows.len() * dim..];
        for (&(image, token), values) in rows.iter().zip(predicted.chunks_exact(dim)) {
            let place = image * length + token;
            self.standing.masked[place] = false;
            self.standing.tokens[place * dim..(place + 1) * dim].copy_from_slice(values);
        }
        self.standing.iteration += 1;
        Ok(Some(Iteration {
            iteration,
            rows,
            mask_length,
            cfg,
            steps,
            taken,
            trajectory: frames,
            z: done.z,
            backbone_ms: done.backbone_ms,
            head_ms: done.head_ms,
        }))
    }

    /// What the network makes of `rows`, and what guidance adds to z in the iterations that follow.
    async fn compute(
        &self,
        rows: &[(usize, usize)],
        draw: &Draw<'_>,
        go_on: impl AsyncFnMut() -> bool,
    ) -> Result<(Iterated, Option<Residual>), SampleError> {
        let labels: Vec<Label> = self.images.iter().map(|image| image.label).collect();
        let (guided, every) = (draw.cfg.is_some(), self.settings.cfg_every);
        if !guided || every == 1 {
            let branches = Branches::new(&self.standing, &labels, guided);
            let picks = branches.picks(rows);
            let done = self.network.iterate(&branches.seen(), &picks, draw, self.keep_z, go_on).await?;
            return Ok((done, None));
        }

        let started = Instant::now();
        let since = |started: Instant| started.elapsed().as_secs_f64() * 1e3;
        let length = self.network.config().tokens();
        let residual = match &self.residual {
            Some(known) if !self.standing.iteration.is_multiple_of(every) => known.clone(),
            _ => {
                let branches = Branches::new(&self.standing, &labels, true);
                let masked = self.standing.masked.iter().enumerate().filter(|(_, masked)| **masked);
                let all: Vec<_> = masked.map(|(at, _)| (at / length, at % length)).collect();
                let z = self.network.z(&branches.seen(), &branches.picks(&all)).await?;
                Residual::new(&z, &all, labels.len(), length)
            }
        };
        let branches = Branches::new(&self.standing, &labels, false);
        let conditional = self.network.z(&branches.seen(), rows).await?;
        let z = residual.extend(conditional, rows);
        let backbone_ms = Some(since(started));
        let started = Instant::now();
        let drawn = self.network.draw(&z, draw, go_on).await?;
        let done = Iterated { drawn, z: self.keep_z.then_some(z), backbone_ms, head_ms: since(started) };
        Ok((done, Some(residual)))
    }

    /// The tokens that leave the mask when `mask_length` stay, image-major, position-minor: the first of those masked,
    /// in each image's order.
    fn next_rows(&self, mask_length: usize) -> Vec<(usize, usize)> {
        let length = self.network.config().tokens();
        let taken = self.standing.left(length) - mask_length;
        let mut rows = Vec::new();
        for (image, plan) in self.images.iter().enumerate() {
            let masked = &self.standing.masked[image * length..][..length];
            let mut tokens: Vec<usize> =
                plan.order.iter().copied().filter(|&token| masked[token]).take(taken).collect();
            tokens.sort_unstable();
            rows.extend(tokens.into_iter().map(|token| (image, token)));
        }
        rows
    }
}

/// Guidance scales there are.
const CFG: RangeInclusive<f32> = 0.0..=20.0;
/// Temperatures there are.
const TEMPERATURE: RangeInclusive<f32> = 0.0..=2.0;

/// Whether an unconditional branch runs beside the conditional one.
fn is_guided(cfg: f32) -> bool {
    #[allow(clippy::float_cmp)] // exactly 1 is the setting that means "no guidance"
    {
        cfg != 1.0
    }
}

fn in_range(name: &'static str, value: f32, range: RangeInclusive<f32>) -> Result<(), SampleError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(SampleError::Range { name, value, least: *range.start(), most: *range.end() })
}

fn check_label(label: Label, config: &MarConfig) -> Result<(), SampleError> {
    let classes = config.class_num;
    match label.filter(|&label| label >= classes) {
        None => Ok(()),
        Some(label) => Err(SampleError::Label { label, classes }),
    }
}
