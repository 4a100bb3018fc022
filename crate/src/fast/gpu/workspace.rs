//! The buffers of an iteration and the dispatches over them, made for the most that was asked for so far.
//! What changes from iteration to iteration is written into one of them, at once.

use super::backbone::{self, Slots};
use super::buffers::{Layout, View};
use super::device::Gpu;
use super::error::GpuError;
use super::head::{self, HeadOps};
use super::kernel::Op;
use super::load::{Loader, padded};
use super::pass::SLOT;
use crate::config::MarConfig;
use crate::diffusion::Step;
use crate::fast::{Network, Place};

/// How much a workspace has room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Pictures.
    pub images: usize,
    /// Rows whose z is asked for, and which the head runs over.
    pub picked: usize,
    /// Steps of a reverse process.
    pub steps: usize,
    /// Rows of modulations at once.
    pub modulations: usize,
    /// Passes, of backbone, chunks and steps.
    pub passes: usize,
    /// Numbers of noise.
    pub noise: usize,
    /// Numbers of the frames.
    pub frames: usize,
    /// Numbers of what the head says at every step.
    pub explained: usize,
    /// 1 where attention weights are kept.
    pub watched: usize,
}

impl Room {
    fn all(self) -> [usize; 9] {
        let Self { images, picked, steps, modulations, passes, noise, frames, explained, watched } = self;
        [images, picked, steps, modulations, passes, noise, frames, explained, watched]
    }

    /// Whether it is enough for `need`.
    pub fn has(self, need: Self) -> bool {
        self.all().into_iter().zip(need.all()).all(|(has, need)| has >= need)
    }

    /// Room for what was there and for `need`, and for somewhat more of what grows by a little at a time.
    pub fn grown(self, need: Self, most_modulations: usize) -> Self {
        let exact = |has: usize, need: usize| has.max(need);
        let ample = |has: usize, need: usize| if has < need { need.next_power_of_two() } else { has };
        let modulations = ample(self.modulations, need.modulations).min(most_modulations).max(need.modulations);
        Self {
            images: exact(self.images, need.images),
            picked: ample(self.picked, need.picked),
            steps: exact(self.steps, need.steps),
            modulations: exact(self.modulations, modulations),
            passes: ample(self.passes, need.passes),
            noise: ample(self.noise, need.noise),
            frames: ample(self.frames, need.frames),
            explained: ample(self.explained, need.explained),
            watched: exact(self.watched, need.watched),
        }
    }
}

/// What an iteration writes before it starts: parts of one buffer, so that it is one write.
pub struct Inputs {
    /// All of it.
    pub all: View,
    /// The passes, [`SLOT`] bytes apart.
    pub passes: View,
    /// `[images * known, C]`, rows padded.
    pub tokens: View,
    /// Places of the encoder's input, the decoder's, and of z.
    pub places: [View; 3],
    /// Decoder rows that are picked.
    pub picks: View,
    /// The table of steps.
    pub steps: View,
    /// The noise, `[1 + steps, tokens, C]`.
    pub noise: View,
}

/// Where kernels leave what the host reads.
pub struct Results {
    /// The frames but the first.
    pub frames: View,
    /// What the head says at every step.
    pub explained: View,
    /// Attention weights, block by block.
    pub watched: Option<View>,
}

/// Buffers and dispatches.
pub struct Workspace {
    /// What there is room for.
    pub room: Room,
    /// Written by the host.
    pub inputs: Inputs,
    /// Read by the host.
    pub results: Results,
    /// `[picked, z stride]`.
    pub z: View,
    /// Embedded timesteps, and of which schedule.
    pub time: View,
    /// The schedule whose embeddings `time` holds.
    pub timesteps: Vec<usize>,
    /// What the host maps, once there is something to read.
    pub readback: Option<View>,
    /// The dispatches from tokens to z.
    pub backbone: Vec<Op>,
    /// The dispatches from z to tokens.
    pub head: HeadOps,
}

impl Workspace {
    /// A workspace with `room`; its errors of the driver are those of the scope it is made in.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`].
    pub fn new(gpu: &Gpu, network: &Network<Loader>, halves: bool, room: Room) -> Result<Self, GpuError> {
        let config = &network.config;
        let inputs = Inputs::new(gpu, config, room)?;
        let bytes = |numbers: usize| 4 * numbers as u64;
        let results = Results {
            frames: gpu.storage("the frames of the reverse process", bytes(room.frames))?,
            explained: gpu.storage("what the head says at every step", bytes(room.explained))?,
            watched: match room.watched {
                0 => None,
                _ => Some(gpu.storage("the attention weights", backbone::watched_bytes(config, room.images))?),
            },
        };
        let slots = Slots::new(gpu, config, room, &inputs.tokens)?;
        let z = slots.z();
        let time = gpu.storage("the embedded timesteps", bytes(room.steps * config.diffloss_w))?;
        let backbone = backbone::record(gpu, network, halves, room, &inputs, slots, results.watched.as_ref());
        let head = head::record(gpu, network, halves, &inputs, &results, &z, &time, room)?;
        Ok(Self { room, inputs, results, z, time, timesteps: Vec::new(), readback: None, backbone, head })
    }

    /// What the host maps.
    pub fn readable(&self) -> &wgpu::Buffer {
        &self.readback.as_ref().expect("it is made before anything is submitted").buffer
    }
}

impl Inputs {
    fn new(gpu: &Gpu, config: &MarConfig, room: Room) -> Result<Self, GpuError> {
        let rows = room.images * (config.buffer_size + config.tokens());
        let mut layout = Layout::default();
        let place = size_of::<Place>();
        let mut part = |bytes: usize| layout.part(bytes);
        let passes = part(SLOT as usize * room.passes);
        let tokens = part(4 * room.images * config.tokens() * padded(config.token_dim()));
        let places = [part(place * rows), part(place * rows), part(place * room.picked)];
        let picks = part(4 * room.picked);
        let steps = part(size_of::<Step>() * room.steps);
        let noise = part(4 * room.noise);
        let limits = gpu.device().limits();
        let usage = wgpu::BufferUsages::UNIFORM
            | wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_DST
            | wgpu::BufferUsages::COPY_SRC;
        let limit = limits.max_buffer_size.min(limits.max_storage_buffer_binding_size);
        let all = gpu.buffer("the noise and places of an iteration", layout.bytes(), limit, usage)?;
        let view = |(offset, size)| all.part(offset, size);
        Ok(Self {
            passes: view(passes),
            tokens: view(tokens),
            places: places.map(view),
            picks: view(picks),
            steps: view(steps),
            noise: view(noise),
            all: all.clone(),
        })
    }
}

/// The bytes of one iteration's inputs, each at its place.
#[derive(Default)]
pub struct Writing {
    bytes: Vec<u8>,
}

impl Writing {
    /// Puts `content` where `view` is.
    pub fn put(&mut self, view: &View, content: &[u8]) {
        let (from, to) = (view.offset as usize, view.offset as usize + content.len());
        debug_assert!(content.len() as u64 <= view.size, "a workspace is grown before it is written to");
        if self.bytes.len() < to {
            self.bytes.resize(to, 0);
        }
        self.bytes[from..to].copy_from_slice(content);
    }

    /// What is to be written, from the start of the buffer on.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
