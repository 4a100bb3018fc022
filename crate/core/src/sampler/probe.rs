//! Probes a decoding at one state: z and attention of the transformer, and samples and explanations from the head.
//! Sections 3.2 and 3.3 of the paper. A probe does not change the decoding.

use std::sync::Arc;

use super::noise::{self, SeededNoise};
use super::settings::{CFG, HeadSettings, TEMPERATURE, in_range, is_guided};
use super::state::Branches;
use super::{DecodeState, SampleError, check_label};
use crate::config::Label;
use crate::diffusion::{ReverseProcess, Schedule, Steps};
use crate::head::{HeadInput, HeadOutput};
use crate::network::{Continue, Network};

/// Rows per batch of the head: enough to keep it busy, few enough to stop quickly.
const ROWS: usize = 128;
/// Most samples of a token per request.
const MOST_SAMPLES: usize = 10_000;

/// One image at one state of its decoding.
#[derive(Clone)]
pub struct Probe {
    network: Arc<dyn Network>,
    label: Label,
    state: DecodeState,
    clip: Option<f32>,
}

/// Attention weights of one transformer, on the host.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct AttentionWeights {
    /// Blocks.
    pub blocks: usize,
    /// Heads of a block.
    pub heads: usize,
    /// Queries, and keys: the buffer positions, then the tokens.
    pub seq: usize,
    /// `[blocks, heads, seq, seq]`, query before key.
    #[cfg_attr(feature = "ts", ts(type = "Float32Array"))]
    pub weights: Vec<f32>,
}

/// The transformer's output at one state.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct BackboneProbe {
    /// Width of z.
    pub width: usize,
    /// `[L, width]`: the condition of every position.
    #[cfg_attr(feature = "ts", ts(type = "Float32Array"))]
    pub z: Vec<f32>,
    /// Over the buffer and the known tokens, by position.
    pub encoder: AttentionWeights,
    /// Over the buffer and all L positions.
    pub decoder: AttentionWeights,
}

/// One token's reverse process with the head's prediction at every step, the noisiest step first.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(rename_all = "camelCase"))]
pub struct Explanation {
    /// `[steps]`: the timestep of each step.
    #[cfg_attr(feature = "ts", ts(type = "Uint32Array"))]
    pub timesteps: Vec<usize>,
    /// `[steps]`: the share of the signal's variance at each.
    #[cfg_attr(feature = "ts", ts(type = "Float32Array"))]
    pub alpha_bar: Vec<f64>,
    /// `[steps + 1, C]`: before each step, and the token.
    #[cfg_attr(feature = "ts", ts(type = "Float32Array"))]
    pub x: Vec<f32>,
    /// `[steps, C]`: the predicted noise, guidance included.
    #[cfg_attr(feature = "ts", ts(type = "Float32Array"))]
    pub noise: Vec<f32>,
    /// `[steps, C]`: the clean token that follows from it, clipped where the weights clip.
    #[cfg_attr(feature = "ts", ts(type = "Float32Array"))]
    pub clean: Vec<f32>,
    /// `[steps, C]`: standard deviation of what the step adds, before temperature; 0 in the last one.
    #[cfg_attr(feature = "ts", ts(type = "Float32Array"))]
    pub deviation: Vec<f32>,
}

impl Probe {
    /// Probes one image of `label` at `state`.
    ///
    /// # Errors
    /// Says what does not fit the model.
    pub fn new(network: Arc<dyn Network>, label: Label, state: DecodeState) -> Result<Self, SampleError> {
        check_label(label, network.config())?;
        // The state of a finished picture is the iteration after the last, so it is at most L.
        let state = state.checked(network.config(), 1, network.config().tokens())?;
        Ok(Self { network, label, state, clip: None })
    }

    /// Clips the predicted clean token to plus or minus a bound at every reverse step, or does not: the weights say which.
    #[must_use]
    pub fn clipping(self, clip: Option<f32>) -> Self {
        Self { clip, ..self }
    }

    /// z of every position, and all attention weights.
    ///
    /// # Errors
    /// [`SampleError::Device`].
    pub async fn backbone(&self) -> Result<BackboneProbe, SampleError> {
        let config = self.network.config();
        let output = self.network.backbone(&Branches::new(&self.state, &[self.label], false).input()).await?;
        let all = config.buffer_size + config.tokens();
        let in_encoder = all - self.state.masked_count(config.tokens());
        Ok(BackboneProbe {
            width: config.decoder_embed_dim,
            z: output.z,
            encoder: AttentionWeights::new(&output.encoder, config.encoder_num_heads, in_encoder),
            decoder: AttentionWeights::new(&output.decoder, config.decoder_num_heads, all),
        })
    }

    /// `count` samples of each of `tokens`, `[tokens, count, C]`. Sample i uses the noise of seed + i, so sample 0 is the
    /// token that a decoding with the seed draws. `proceed` is asked before every diffusion step.
    ///
    /// # Errors
    /// Names what cannot be drawn or what is out of range; [`SampleError::Stopped`] if `proceed` said no, or
    /// [`SampleError::Device`].
    pub async fn draw(
        &self,
        tokens: &[usize],
        count: usize,
        settings: &HeadSettings,
        proceed: &mut dyn Continue,
    ) -> Result<Vec<f32>, SampleError> {
        if !(1..=MOST_SAMPLES).contains(&count) {
            return Err(SampleError::Count { count, most: MOST_SAMPLES });
        }
        let steps = self.prepare(tokens, settings)?;
        if tokens.is_empty() {
            return Ok(Vec::new());
        }
        let dim = self.network.config().token_dim();
        let noise = SeededNoise::new((0..count as u64).map(|i| settings.seed.wrapping_add(i)));
        let z = self.conditions(tokens, settings.cfg).await?;
        let width = self.network.config().decoder_embed_dim;
        let (with, without) = z.split_at(tokens.len() * width);
        let mut samples = Vec::with_capacity(tokens.len() * count * dim);
        let all: Vec<usize> = (0..tokens.len() * count).collect();
        for batch in all.chunks(ROWS) {
            let rows: Vec<_> = batch.iter().map(|row| (row % count, tokens[row / count])).collect();
            // Without guidance the second branch is empty.
            let branches = [with, without].into_iter().filter(|branch| !branch.is_empty());
            let z: Vec<f32> = branches
                .flat_map(|z| batch.iter().flat_map(move |row| &z[row / count * width..][..width]))
                .copied()
                .collect();
            let noise = noise::of_rows(&noise, self.state.iteration, steps.len(), &rows, dim);
            let input = self.head_input(settings, &steps, &noise, false);
            let HeadOutput::Diffusion(trajectory) = self.network.draw(&z, &input, proceed).await?;
            samples.extend(trajectory.frames);
        }
        Ok(samples)
    }

    /// The reverse process of `token`, step by step.
    ///
    /// # Errors
    /// As [`Self::draw`], but it cannot be stopped.
    pub async fn explain(&self, token: usize, settings: &HeadSettings) -> Result<Explanation, SampleError> {
        let steps = self.prepare(&[token], settings)?;
        let dim = self.network.config().token_dim();
        let noise = SeededNoise::new([settings.seed]);
        let noise = noise::of_rows(&noise, self.state.iteration, steps.len(), &[(0, token)], dim);
        let z = self.conditions(&[token], settings.cfg).await?;
        let input = self.head_input(settings, &steps, &noise, true);
        let HeadOutput::Diffusion(trajectory) = self.network.draw(&z, &input, &mut async || true).await?;
        let mut explanation = Explanation {
            timesteps: steps.timesteps.clone(),
            alpha_bar: steps.alpha_bar.clone(),
            x: trajectory.frames,
            noise: Vec::new(),
            clean: Vec::new(),
            deviation: Vec::new(),
        };
        let predictions = trajectory.predictions.chunks_exact(2 * dim);
        for ((step, predicted), x) in steps.table.iter().zip(predictions).zip(explanation.x.chunks_exact(dim)) {
            let (noise, v) = predicted.split_at(dim);
            explanation.clean.extend(x.iter().zip(noise).map(|(&x, &noise)| step.clean(x, noise, self.clip)));
            explanation.deviation.extend(v.iter().map(|&v| step.deviation(v)));
            explanation.noise.extend_from_slice(noise);
        }
        Ok(explanation)
    }

    /// Checks the tokens and the settings.
    fn prepare(&self, tokens: &[usize], settings: &HeadSettings) -> Result<Steps, SampleError> {
        for &token in tokens {
            match self.state.masked.get(token) {
                None => return Err(SampleError::Token { token, tokens: self.state.masked.len() }),
                Some(false) => return Err(SampleError::Known { token }),
                Some(true) => {}
            }
        }
        in_range("cfg", settings.cfg, CFG)?;
        in_range("temperature", settings.temperature, TEMPERATURE)?;
        Ok(settings.solver.steps(&Schedule::respaced(&settings.steps.to_string())?))
    }

    /// z of `tokens`: conditional, then unconditional when guided.
    async fn conditions(&self, tokens: &[usize], cfg: f32) -> Result<Vec<f32>, SampleError> {
        let rows: Vec<_> = tokens.iter().map(|&token| (0, token)).collect();
        let branches = Branches::new(&self.state, &[self.label], is_guided(cfg));
        let mut session = self.network.session(1);
        Ok(self.network.z(&mut *session, &branches.input(), &branches.picks(&rows)).await?)
    }

    fn head_input<'a>(
        &self,
        settings: &HeadSettings,
        steps: &'a Steps,
        noise: &'a [f32],
        explain: bool,
    ) -> HeadInput<'a> {
        let HeadSettings { cfg, temperature, .. } = *settings;
        let (cfg, stride) = (is_guided(cfg).then_some(cfg), usize::from(explain));
        HeadInput::Diffusion(ReverseProcess { steps, noise, cfg, temperature, clip: self.clip, stride, explain })
    }
}

impl AttentionWeights {
    /// The weights of some blocks, each `[heads, seq, seq]`.
    fn new(blocks: &[Vec<f32>], heads: usize, seq: usize) -> Self {
        Self { blocks: blocks.len(), heads, seq, weights: blocks.concat() }
    }
}
