//! The decoding loop as a state machine: each iteration draws some tokens, in the given order.
//! Section 3.4 of the paper (next set-of-tokens prediction), algorithm in the official `sample_tokens`.

pub mod budget;
mod error;
pub mod guidance;
pub mod mask;
pub mod noise;
pub mod order;
pub mod probe;
pub mod settings;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use web_time::Instant;

pub use error::SampleError;
pub use guidance::CfgSchedule;
use guidance::Residual;
pub use noise::{Noise, SeededNoise};
pub use order::{Order, OrderKind};
pub use probe::{BackboneProbe, Explanation, Probe};
pub use settings::{DecodeSettings, HeadSettings, PictureSettings, Settings};
use state::Branches;
pub use state::DecodeState;

use crate::config::{Label, MarConfig};
use crate::diffusion::{ReverseProcess, Steps};
use crate::head::{HeadInput, HeadOutput};
use crate::network::{Continue, IterationOutput, Network, Session, milliseconds};
use crate::tokens::Tokens;

/// One image to decode.
#[derive(Clone, Debug, PartialEq)]
pub struct ImagePlan {
    /// Its class.
    pub label: Label,
    /// `order[rank]` is the position that comes at `rank`.
    pub order: Vec<usize>,
}

/// The decoding of some images, from all tokens masked to all known. Cloning forks it.
#[derive(Clone)]
pub struct Decoding {
    network: Arc<dyn Network>,
    /// What the network keeps between iterations.
    session: Box<dyn Session>,
    settings: Settings,
    images: Vec<ImagePlan>,
    noise: Arc<dyn Noise>,
    clip: Option<f32>,
    stride: usize,
    keep_z: bool,
    /// The guidance residual, if the unconditional branch skips iterations.
    residual: Option<Residual>,
    /// The iteration it started at.
    first: usize,
    /// Tokens masked after each iteration, from `first` on.
    mask_lengths: Vec<usize>,
    /// The reverse process of each iteration, from `first` on.
    steps: Vec<Arc<Steps>>,
    state: DecodeState,
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
    /// What the head drew, a token a row.
    pub drawn: HeadOutput,
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
        network: Arc<dyn Network>,
        settings: Settings,
        images: Vec<ImagePlan>,
        noise: Arc<dyn Noise>,
        start: Option<DecodeState>,
    ) -> Result<Self, SampleError> {
        let tokens = network.config().tokens();
        settings.check(tokens)?;
        for image in &images {
            check_label(image.label, network.config())?;
            let mut sorted = image.order.clone();
            sorted.sort_unstable();
            if !sorted.into_iter().eq(0..tokens) {
                return Err(SampleError::Order { tokens });
            }
        }
        let state = match start {
            None => DecodeState::all_masked(network.config(), images.len()),
            Some(start) => start.checked(network.config(), images.len(), settings.iterations - 1)?,
        };
        let (first, left) = (state.iteration, state.masked_count(tokens));
        let mask_lengths = mask::mask_lengths_from(tokens, settings.iterations, first, left);
        let steps = budget::steps_of(&settings, first, mask_lengths.len())?;
        Ok(Self {
            session: network.session(images.len()),
            network,
            settings,
            images,
            noise,
            clip: None,
            stride: 0,
            keep_z: false,
            residual: None,
            first,
            mask_lengths,
            steps,
            state,
        })
    }

    /// Clips the predicted clean token to plus or minus a bound at every reverse step, or does not: the weights say which.
    #[must_use]
    pub fn clipping(self, clip: Option<f32>) -> Self {
        Self { clip, ..self }
    }

    /// Keeps every `stride`-th reverse step in each iteration's trajectory, 1 all of them, besides the first and the last
    /// state; 0, as it is at first, keeps the tokens alone. It changes no token.
    #[must_use]
    pub fn keeping_steps(self, stride: usize) -> Self {
        Self { stride, ..self }
    }

    /// Keeps the z of each iteration in its result; a GPU then has to read it back.
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

    /// What is known, and which iteration is next. Another decoding may start from there.
    pub fn state(&self) -> &DecodeState {
        &self.state
    }

    /// `[images, L]` tokens; 0 where masked.
    pub fn tokens(&self) -> &Tokens {
        &self.state.tokens
    }

    /// `[images, L]`: true where a token is not known yet.
    pub fn masked(&self) -> &[bool] {
        &self.state.masked
    }

    /// The number of the last iteration plus 1; fewer than the settings ask for if few tokens were masked at the start.
    pub fn iterations(&self) -> usize {
        self.first + self.mask_lengths.len()
    }

    /// Guidance scale of the iteration that comes next; `None` when there is none.
    pub fn next_cfg(&self) -> Option<f32> {
        let mask_length = *self.mask_lengths.get(self.state.iteration - self.first)?;
        Some(self.settings.cfg_schedule.at(self.settings.cfg, self.network.config().tokens(), mask_length))
    }

    /// Diffusion steps of the iteration that comes next; `None` when there is none.
    pub fn next_steps(&self) -> Option<usize> {
        self.steps.get(self.state.iteration - self.first).map(|steps| steps.len())
    }

    /// Whether every token is known.
    pub fn done(&self) -> bool {
        self.state.iteration == self.iterations()
    }

    /// Runs one iteration; `None` when every token is known. A failed iteration changes nothing.
    ///
    /// # Errors
    /// [`SampleError::Device`].
    pub async fn advance(&mut self) -> Result<Option<Iteration>, SampleError> {
        self.advance_while(&mut async || true).await
    }

    /// As [`Self::advance`], but asks `proceed` before every diffusion step. If it says no, the iteration is abandoned and
    /// nothing changes.
    ///
    /// # Errors
    /// [`SampleError::Device`], and [`SampleError::Stopped`] if `proceed` said no.
    pub async fn advance_while(&mut self, proceed: &mut dyn Continue) -> Result<Option<Iteration>, SampleError> {
        let Some(cfg) = self.next_cfg() else { return Ok(None) };
        let (length, dim) = (self.network.config().tokens(), self.network.config().token_dim());
        let iteration = self.state.iteration;
        let mask_length = self.mask_lengths[iteration - self.first];
        let steps = self.steps[iteration - self.first].clone();
        let rows = self.next_rows(mask_length);
        let noise = noise::of_rows(&*self.noise, iteration, steps.len(), &rows, dim);
        let head = HeadInput::Diffusion(ReverseProcess {
            steps: &steps,
            noise: &noise,
            cfg: self.settings.is_guided().then_some(cfg),
            temperature: self.settings.temperature,
            clip: self.clip,
            stride: self.stride,
            explain: false,
        });
        let (done, residual) = self.compute(&rows, &head, self.settings.is_guided(), proceed).await?;
        self.residual = residual;

        for (row, &(image, token)) in rows.iter().enumerate() {
            let place = image * length + token;
            self.state.masked[place] = false;
            self.state.tokens.copy_from(place, done.drawn.tokens(dim), row);
        }
        self.state.iteration += 1;
        Ok(Some(Iteration {
            iteration,
            rows,
            mask_length,
            cfg,
            steps,
            drawn: done.drawn,
            z: done.z,
            backbone_ms: done.backbone_ms,
            head_ms: done.head_ms,
        }))
    }

    /// Runs the network for `rows`. Also returns the guidance residual for later iterations.
    async fn compute(
        &mut self,
        rows: &[(usize, usize)],
        head: &HeadInput<'_>,
        guided: bool,
        proceed: &mut dyn Continue,
    ) -> Result<(IterationOutput, Option<Residual>), SampleError> {
        let labels: Vec<Label> = self.images.iter().map(|image| image.label).collect();
        let (network, session, every) = (&*self.network, &mut *self.session, self.settings.cfg_every);
        if !guided || every == 1 {
            let branches = Branches::new(&self.state, &labels, guided);
            let picks = branches.picks(rows);
            let done = network.iterate(session, &branches.input(), &picks, head, self.keep_z, proceed).await?;
            return Ok((done, None));
        }

        let started = Instant::now();
        let length = network.config().tokens();
        let residual = match &self.residual {
            Some(known) if !self.state.iteration.is_multiple_of(every) => known.clone(),
            _ => {
                let branches = Branches::new(&self.state, &labels, true);
                let masked = self.state.masked.iter().enumerate().filter(|(_, masked)| **masked);
                let all: Vec<_> = masked.map(|(at, _)| (at / length, at % length)).collect();
                let z = network.z(session, &branches.input(), &branches.picks(&all)).await?;
                Residual::new(&z, &all, labels.len(), length)
            }
        };
        let branches = Branches::new(&self.state, &labels, false);
        let conditional = network.z(session, &branches.input(), rows).await?;
        let z = residual.extend(conditional, rows);
        let backbone_ms = Some(milliseconds(started));
        let started = Instant::now();
        let drawn = network.draw(&z, head, proceed).await?;
        let done = IterationOutput { drawn, z: self.keep_z.then_some(z), backbone_ms, head_ms: milliseconds(started) };
        Ok((done, Some(residual)))
    }

    /// The tokens to draw so that `mask_length` stay masked: in each image the next masked ones of its order, sorted by
    /// position. Image-major.
    fn next_rows(&self, mask_length: usize) -> Vec<(usize, usize)> {
        let length = self.network.config().tokens();
        let taken = self.state.masked_count(length) - mask_length;
        let mut rows = Vec::new();
        for (image, plan) in self.images.iter().enumerate() {
            let masked = &self.state.masked[image * length..][..length];
            let mut tokens: Vec<usize> =
                plan.order.iter().copied().filter(|&token| masked[token]).take(taken).collect();
            tokens.sort_unstable();
            rows.extend(tokens.into_iter().map(|token| (image, token)));
        }
        rows
    }
}

fn check_label(label: Label, config: &MarConfig) -> Result<(), SampleError> {
    let classes = config.class_num;
    match label.filter(|&label| label >= classes) {
        None => Ok(()),
        Some(label) => Err(SampleError::Label { label, classes }),
    }
}
