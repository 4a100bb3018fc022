//! A reverse process over some rows, from noise to tokens given their conditions z, and its trajectory.
//! Section 3.2 of the paper ("Sampler").

use super::steps::Steps;

/// A reverse process to run.
#[derive(Clone, Copy, Debug)]
pub struct ReverseProcess<'a> {
    /// The solver's steps.
    pub steps: &'a Steps,
    /// `[1 + steps, rows, C]`: the start, then the noise that each step adds, the noisiest step first.
    pub noise: &'a [f32],
    /// Guidance scale; `None` without an unconditional branch.
    pub cfg: Option<f32>,
    /// Scale of the added noise.
    pub temperature: f32,
    /// Clip the predicted clean token to plus or minus this, over 0.
    pub clip: Option<f32>,
    /// Keep every `stride`-th frame; 0 keeps only the last.
    pub stride: usize,
    /// Also keep the head's prediction at every step.
    pub explain: bool,
}

/// The trajectory of a reverse process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trajectory {
    /// Steps before each frame: 0 for the noise, the number of steps for the token.
    pub taken: Vec<usize>,
    /// `[frames, rows, C]`; the last frame is the tokens.
    pub frames: Vec<f32>,
    /// `[steps, rows, 2C]` when asked to explain, empty otherwise: the predicted noise, guidance included, and the
    /// variance interpolation v of the conditional branch.
    pub predictions: Vec<f32>,
}

impl ReverseProcess<'_> {
    /// Steps taken before each frame that is kept.
    pub fn taken(&self) -> Vec<usize> {
        let total = self.steps.len();
        let kept = (0..total).filter(|taken| self.stride > 0 && taken.is_multiple_of(self.stride));
        kept.chain([total]).collect()
    }
}

impl Trajectory {
    /// The last frame, `[rows, C]`.
    pub fn last(&self) -> &[f32] {
        &self.frames[self.frames.len() - self.frames.len() / self.taken.len().max(1)..]
    }
}
