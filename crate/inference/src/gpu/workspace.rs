//! The buffers of an iteration and the ops over them, made for a capacity.
//! What changes from iteration to iteration is written into one of them, at once.

use super::backbone::{self, Slots};
use super::buffers::View;
use super::capacity::Capacity;
use super::device::Gpu;
use super::error::GpuError;
use super::head::{self, HeadOps};
use super::inputs::Inputs;
use super::op::Op;
use super::results::Results;
use super::weights::Uploader;
use crate::weights::Parameters;

/// Buffers and ops.
pub struct Workspace {
    /// What it was made for.
    pub capacity: Capacity,
    /// Written by the host.
    pub inputs: Inputs,
    /// Read by the host.
    pub results: Results,
    /// `[picked, z stride]`.
    pub z: View,
    /// Embedded timesteps, `[steps, head width]`.
    pub time: View,
    /// The schedule whose embeddings `time` holds.
    pub timesteps: Vec<usize>,
    /// What the host maps, once there is something to read.
    pub readback: Option<View>,
    /// The ops from tokens to z.
    pub backbone: Vec<Op>,
    /// The ops from z to tokens.
    pub head: HeadOps,
}

impl Workspace {
    /// A workspace of `capacity`; errors of the driver belong to the scope it is made in.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`].
    pub fn new(gpu: &Gpu, network: &Parameters<Uploader>, capacity: Capacity) -> Result<Self, GpuError> {
        let config = &network.config;
        let inputs = Inputs::new(gpu, config, capacity)?;
        let results = Results::new(gpu, config, capacity)?;
        let slots = Slots::new(gpu, config, capacity, &inputs.tokens)?;
        let z = slots.z();
        let time = gpu.storage("the embedded timesteps", 4 * (capacity.steps * config.diffloss_w) as u64)?;
        let backbone = backbone::record(gpu, network, capacity, &inputs, slots, results.attention.as_ref());
        let head = head::record(gpu, network, &inputs, &results, [&z, &time], capacity)?;
        Ok(Self { capacity, inputs, results, z, time, timesteps: Vec::new(), readback: None, backbone, head })
    }
}
