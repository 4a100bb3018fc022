//! Questions about a picture under way: what the transformer makes of it, and what its head would draw there.
//! Sections 3.2 and 3.3 of the paper; nothing here moves a decoding.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::noise::{self, SeededNoise};
use super::{CFG, SampleError, Standing, TEMPERATURE, check_label, in_range, is_guided, read};
use crate::diffusion::{Reverse, ReverseSettings, Schedule};
use crate::config::Label;
use crate::model::{Mar, indices};

/// Rows that go through the head together: enough to keep it busy, few enough to stop between steps soon.
const ROWS: usize = 128;
/// Samples of a token that may be asked for at once.
const MOST_SAMPLES: usize = 10_000;

/// One image under way.
#[derive(Clone)]
pub struct Moment {
    model: Arc<Mar>,
    label: Label,
    standing: Standing,
}

/// How the head draws tokens at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadSettings {
    /// The noise's seed.
    pub seed: u64,
    /// Effective guidance scale; 1 is no guidance.
    pub cfg: f32,
    /// Respacing of the reverse process: a count such as `100`, or `ddim25`.
    pub steps: String,
    /// Scale of the noise that each reverse step adds.
    pub temperature: f32,
    /// Clip the predicted clean token to `[-1, 1]`.
    pub clip: bool,
}

/// Attention weights of one transformer, on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostAttention {
    /// Blocks.
    pub blocks: usize,
    /// Heads of a block.
    pub heads: usize,
    /// Queries, and keys: the buffer positions, then the tokens.
    pub seq: usize,
    /// `[blocks, heads, seq, seq]`, query before key.
    pub weights: Vec<f32>,
}

/// What the transformer makes of a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// Width of z.
    pub width: usize,
    /// `[L, width]`: the condition of every position.
    pub z: Vec<f32>,
    /// Over the buffer and the known tokens, by position.
    pub encoder: HostAttention,
    /// Over the buffer and all L positions.
    pub decoder: HostAttention,
}

/// One token's reverse process, with what the head said at every step, the noisiest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// `[steps]`: the timestep of each step.
    pub timesteps: Vec<usize>,
    /// `[steps]`: the share of the signal's variance at each.
    pub alpha_bar: Vec<f64>,
    /// `[steps + 1, C]`: before each step, and the token.
    pub x: Vec<f32>,
    /// `[steps, C]`: the predicted noise, guidance included.
    pub noise: Vec<f32>,
    /// `[steps, C]`: the clean token that follows from it, clipped where the settings clip.
    pub clean: Vec<f32>,
    /// `[steps, C]`: standard deviation of what the step adds, before temperature; 0 in the last one.
    pub deviation: Vec<f32>,
}

impl Moment {
    /// The moment at which one image of `label` stands as `standing` says.
    ///
    /// # Errors
    /// Says what does not fit the model.
    pub fn new(model: Arc<Mar>, label: Label, standing: Standing) -> Result<Self, SampleError> {
        check_label(label, model.config())?;
        // A finished picture stands before the iteration after its last, of which there are L at most.
        let standing = standing.checked(model.config(), 1, model.config().tokens())?;
        Ok(Self { model, label, standing })
    }

    /// z of every position, and all attention weights.
    ///
    /// # Errors
    /// [`SampleError::Device`].
    pub async fn look(&self) -> Result<Look, SampleError> {
        let Standing { tokens, masked, .. } = &self.standing;
        let (backbone, attention) = self.model.forward_watched(tokens, masked, &[self.label]);
        Ok(Look {
            width: backbone.z.dims()[2],
            z: read(backbone.z).await?,
            encoder: to_host(attention.encoder).await?,
            decoder: to_host(attention.decoder).await?,
        })
    }

    /// `count` samples of each of `tokens`, `[tokens, count, C]`: sample i takes the noise that the seed after i more
    /// would have drawn here, so that sample 0 is what a decoding with the seed draws. `go_on` is asked before every
    /// diffusion step.
    ///
    /// # Errors
    /// Names what cannot be drawn or what is out of range; [`SampleError::Stopped`] if `go_on` said no, or
    /// [`SampleError::Device`].
    pub async fn draw(
        &self,
        tokens: &[usize],
        count: usize,
        settings: &HeadSettings,
        mut go_on: impl AsyncFnMut() -> bool,
    ) -> Result<Vec<f32>, SampleError> {
        if !(1..=MOST_SAMPLES).contains(&count) {
            return Err(SampleError::Count { count, most: MOST_SAMPLES });
        }
        let (reverse, reverse_settings) = self.prepare(tokens, settings)?;
        if tokens.is_empty() {
            return Ok(Vec::new());
        }
        let dim = self.model.config().token_dim();
        let noise = SeededNoise::new((0..count as u64).map(|i| settings.seed.wrapping_add(i)));
        let z = self.conditions(tokens, settings.cfg);
        let device = z.device();
        let mut samples = Vec::with_capacity(tokens.len() * count * dim);
        let all: Vec<usize> = (0..tokens.len() * count).collect();
        for batch in all.chunks(ROWS) {
            let rows: Vec<_> = batch.iter().map(|row| (row % count, tokens[row / count])).collect();
            let conditional = batch.iter().map(|row| (row / count) as i32);
            let mut picked: Vec<i32> = conditional.clone().collect();
            if reverse_settings.cfg.is_some() {
                picked.extend(conditional.map(|row| row + tokens.len() as i32));
            }
            let z = z.clone().select(0, indices(picked, &device));
            let noise = noise::of_rows(&noise, self.standing.iteration, reverse.schedule().len(), &rows, dim);
            let process = reverse.start(&self.model.head, z, noise, dim, reverse_settings);
            let trajectory = process.run(0, &mut go_on).await.ok_or(SampleError::Stopped)?;
            samples.extend(read(trajectory.frames).await?);
        }
        Ok(samples)
    }

    /// The reverse process of `token`, step by step.
    ///
    /// # Errors
    /// As [`Self::draw`], which nothing stops here.
    pub async fn explain(&self, token: usize, settings: &HeadSettings) -> Result<Explanation, SampleError> {
        let (reverse, reverse_settings) = self.prepare(&[token], settings)?;
        let dim = self.model.config().token_dim();
        let schedule = reverse.schedule();
        let noise = SeededNoise::new([settings.seed]);
        let noise = noise::of_rows(&noise, self.standing.iteration, schedule.len(), &[(0, token)], dim);
        let z = self.conditions(&[token], settings.cfg);
        let mut process = reverse.start(&self.model.head, z, noise, dim, reverse_settings);
        let (mut x, mut noise, mut clean, mut deviation) = (vec![process.x()], Vec::new(), Vec::new(), Vec::new());
        while let Some(prediction) = process.step() {
            x.push(process.x());
            deviation.push(prediction.deviation.unwrap_or_else(|| prediction.noise.zeros_like()));
            noise.push(prediction.noise);
            clean.push(prediction.clean);
        }
        Ok(Explanation {
            timesteps: schedule.timesteps.iter().rev().copied().collect(),
            alpha_bar: schedule.alpha_bar.iter().rev().copied().collect(),
            x: read(Tensor::cat(x, 0)).await?,
            noise: read(Tensor::cat(noise, 0)).await?,
            clean: read(Tensor::cat(clean, 0)).await?,
            deviation: read(Tensor::cat(deviation, 0)).await?,
        })
    }

    /// Checks what is asked of the head.
    fn prepare(&self, tokens: &[usize], settings: &HeadSettings) -> Result<(Reverse, ReverseSettings), SampleError> {
        for &token in tokens {
            match self.standing.masked.get(token) {
                None => return Err(SampleError::Token { token, tokens: self.standing.masked.len() }),
                Some(false) => return Err(SampleError::Known { token }),
                Some(true) => {}
            }
        }
        let HeadSettings { cfg, temperature, clip, .. } = *settings;
        in_range("cfg", cfg, CFG)?;
        in_range("temperature", temperature, TEMPERATURE)?;
        let reverse = Reverse::new(&self.model.head, Schedule::respaced(&settings.steps)?);
        Ok((reverse, ReverseSettings { cfg: is_guided(cfg).then_some(cfg), temperature, clip }))
    }

    /// z of `tokens`: conditional, then unconditional when guided.
    fn conditions(&self, tokens: &[usize], cfg: f32) -> Tensor<2> {
        let rows: Vec<_> = tokens.iter().map(|&token| (0, token)).collect();
        self.standing.conditions(&self.model, &[self.label], is_guided(cfg), &rows)
    }
}

/// The weights of a transformer's blocks over one image.
async fn to_host(blocks: Vec<Tensor<4>>) -> Result<HostAttention, SampleError> {
    let weights = Tensor::cat(blocks, 0);
    let [blocks, heads, seq, _] = weights.dims();
    Ok(HostAttention { blocks, heads, seq, weights: read(weights).await? })
}
