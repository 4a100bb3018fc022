//! Questions about a picture under way: what the transformer makes of it, and what its head would draw there.
//! Sections 3.2 and 3.3 of the paper; nothing here moves a decoding.

use super::noise::{self, SeededNoise};
use super::standing::Branches;
use super::{CFG, SampleError, Standing, TEMPERATURE, check_label, in_range, is_guided};
use crate::config::Label;
use crate::diffusion::{Draw, Schedule, Solver, Steps};
use crate::fast::Seen;
use crate::network::Network;

/// Rows that go through the head together: enough to keep it busy, few enough to stop between steps soon.
const ROWS: usize = 128;
/// Samples of a token that may be asked for at once.
const MOST_SAMPLES: usize = 10_000;

/// One image under way.
#[derive(Clone)]
pub struct Moment {
    network: Network,
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
    /// How the reverse process is solved.
    pub solver: Solver,
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
    pub fn new(network: Network, label: Label, standing: Standing) -> Result<Self, SampleError> {
        check_label(label, network.config())?;
        // A finished picture stands before the iteration after its last, of which there are L at most.
        let standing = standing.checked(network.config(), 1, network.config().tokens())?;
        Ok(Self { network, label, standing })
    }

    /// z of every position, and all attention weights.
    ///
    /// # Errors
    /// [`SampleError::Device`].
    pub async fn look(&self) -> Result<Look, SampleError> {
        let Standing { tokens, masked, .. } = &self.standing;
        let config = self.network.config();
        let watched = self.network.watch(&Seen { tokens, masked, labels: &[self.label] }).await?;
        let all = config.buffer_size + config.tokens();
        let seen = all - self.standing.left(config.tokens());
        Ok(Look {
            width: config.decoder_embed_dim,
            z: watched.z,
            encoder: HostAttention::new(&watched.encoder, config.encoder_num_heads, seen),
            decoder: HostAttention::new(&watched.decoder, config.decoder_num_heads, all),
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
            // Without guidance the second branch is empty, and so is what is taken of it.
            let branches = [with, without].into_iter().filter(|branch| !branch.is_empty());
            let z: Vec<f32> = branches
                .flat_map(|z| batch.iter().flat_map(move |row| &z[row / count * width..][..width]))
                .copied()
                .collect();
            let noise = noise::of_rows(&noise, self.standing.iteration, steps.len(), &rows, dim);
            let draw = settings.draw(&steps, &noise, false);
            samples.extend(self.network.draw(&z, &draw, &mut go_on).await?.frames);
        }
        Ok(samples)
    }

    /// The reverse process of `token`, step by step.
    ///
    /// # Errors
    /// As [`Self::draw`], which nothing stops here.
    pub async fn explain(&self, token: usize, settings: &HeadSettings) -> Result<Explanation, SampleError> {
        let steps = self.prepare(&[token], settings)?;
        let dim = self.network.config().token_dim();
        let noise = SeededNoise::new([settings.seed]);
        let noise = noise::of_rows(&noise, self.standing.iteration, steps.len(), &[(0, token)], dim);
        let z = self.conditions(&[token], settings.cfg).await?;
        let drawn = self.network.draw(&z, &settings.draw(&steps, &noise, true), async || true).await?;
        let mut explanation = Explanation {
            timesteps: steps.timesteps.clone(),
            alpha_bar: steps.alpha_bar.clone(),
            x: drawn.frames,
            noise: Vec::new(),
            clean: Vec::new(),
            deviation: Vec::new(),
        };
        for ((step, said), x) in
            steps.table.iter().zip(drawn.head.chunks_exact(2 * dim)).zip(explanation.x.chunks_exact(dim))
        {
            let (noise, v) = said.split_at(dim);
            explanation.clean.extend(x.iter().zip(noise).map(|(&x, &noise)| step.clean(x, noise, settings.clip)));
            explanation.deviation.extend(v.iter().map(|&v| step.deviation(v)));
            explanation.noise.extend_from_slice(noise);
        }
        Ok(explanation)
    }

    /// Checks what is asked of the head.
    fn prepare(&self, tokens: &[usize], settings: &HeadSettings) -> Result<Steps, SampleError> {
        for &token in tokens {
            match self.standing.masked.get(token) {
                None => return Err(SampleError::Token { token, tokens: self.standing.masked.len() }),
                Some(false) => return Err(SampleError::Known { token }),
                Some(true) => {}
            }
        }
        in_range("cfg", settings.cfg, CFG)?;
        in_range("temperature", settings.temperature, TEMPERATURE)?;
        Ok(settings.solver.steps(&Schedule::respaced(&settings.steps)?))
    }

    /// z of `tokens`: conditional, then unconditional when guided.
    async fn conditions(&self, tokens: &[usize], cfg: f32) -> Result<Vec<f32>, SampleError> {
        let rows: Vec<_> = tokens.iter().map(|&token| (0, token)).collect();
        let branches = Branches::new(&self.standing, &[self.label], is_guided(cfg));
        Ok(self.network.z(&branches.seen(), &branches.picks(&rows)).await?)
    }
}

impl HeadSettings {
    fn draw<'a>(&self, steps: &'a Steps, noise: &'a [f32], explain: bool) -> Draw<'a> {
        let HeadSettings { cfg, temperature, clip, .. } = *self;
        let stride = usize::from(explain);
        Draw { steps, noise, cfg: is_guided(cfg).then_some(cfg), temperature, clip, stride, explain }
    }
}

impl HostAttention {
    /// The weights of some blocks, each `[heads, seq, seq]`.
    fn new(blocks: &[Vec<f32>], heads: usize, seq: usize) -> Self {
        Self { blocks: blocks.len(), heads, seq, weights: blocks.concat() }
    }
}
