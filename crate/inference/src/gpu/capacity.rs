//! How much a workspace holds, and how it grows.
//! A workspace is made for the largest request so far, so a decoding makes one or two.

/// The sizes that a workspace has buffers for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Images.
    pub images: usize,
    /// Rows whose z is asked for, and which the head runs over.
    pub picked: usize,
    /// Steps of a reverse process.
    pub steps: usize,
    /// Rows of modulations at once.
    pub modulations: usize,
    /// Sets of uniforms: of the backbone, of chunks and of steps.
    pub uniforms: usize,
    /// Numbers of noise.
    pub noise: usize,
    /// Numbers of the frames.
    pub frames: usize,
    /// Numbers of the head's predictions at every step.
    pub predictions: usize,
    /// 1 where attention weights are kept.
    pub attention: usize,
}

impl Capacity {
    fn all(self) -> [usize; 9] {
        let Self { images, picked, steps, modulations, uniforms, noise, frames, predictions, attention } = self;
        [images, picked, steps, modulations, uniforms, noise, frames, predictions, attention]
    }

    /// Whether it is enough for `need`.
    pub fn covers(self, need: Self) -> bool {
        self.all().into_iter().zip(need.all()).all(|(has, need)| has >= need)
    }

    /// Enough for this and for `need`, and somewhat more of what grows by a little at a time.
    pub fn grown(self, need: Self, most_modulations: usize) -> Self {
        let exact = |has: usize, need: usize| has.max(need);
        let ample = |has: usize, need: usize| if has < need { need.next_power_of_two() } else { has };
        let modulations = ample(self.modulations, need.modulations).min(most_modulations).max(need.modulations);
        Self {
            images: exact(self.images, need.images),
            picked: ample(self.picked, need.picked),
            steps: exact(self.steps, need.steps),
            modulations: exact(self.modulations, modulations),
            uniforms: ample(self.uniforms, need.uniforms),
            noise: ample(self.noise, need.noise),
            frames: ample(self.frames, need.frames),
            predictions: ample(self.predictions, need.predictions),
            attention: exact(self.attention, need.attention),
        }
    }
}
