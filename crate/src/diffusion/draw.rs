//! What is asked of a denoising head: tokens from noise, under their conditions; and what comes back.
//! Section 3.2 of the paper ("Sampler").

use super::steps::Steps;

/// One reverse process over some rows.
#[derive(Clone, Copy, Debug)]
pub struct Draw<'a> {
    /// The solver's steps.
    pub steps: &'a Steps,
    /// `[1 + steps, rows, C]`: where the process starts, then what each step adds, the noisiest first.
    pub noise: &'a [f32],
    /// Guidance scale; `None` when there is no unconditional branch.
    pub cfg: Option<f32>,
    /// Scale of the added noise.
    pub temperature: f32,
    /// Clip the predicted clean token to `[-1, 1]`.
    pub clip: bool,
    /// Keep every `stride`-th frame; 0 keeps the last alone.
    pub stride: usize,
    /// Keep what the head says at every step too.
    pub explain: bool,
}

/// What a reverse process went through.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drawn {
    /// Steps taken before each frame: 0 for the noise, the number of steps for the token itself.
    pub taken: Vec<usize>,
    /// `[frames, rows, C]`; the last frame is the tokens.
    pub frames: Vec<f32>,
    /// `[steps, rows, 2C]` when asked to explain, empty otherwise: the predicted noise, guidance included, and the
    /// variance interpolation v of the conditional branch.
    pub head: Vec<f32>,
}

impl Draw<'_> {
    /// Steps taken before each frame that is kept.
    pub fn taken(&self) -> Vec<usize> {
        let total = self.steps.len();
        let kept = (0..total).filter(|taken| self.stride > 0 && taken.is_multiple_of(self.stride));
        kept.chain([total]).collect()
    }
}
