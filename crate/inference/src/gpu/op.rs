//! An op: a kernel bound to its buffers, ready to be dispatched under any uniforms.
//! Made once for a workspace; how many workgroups it takes follows from the uniforms.

use super::buffers::View;
use super::cost::Cost;
use super::device::Gpu;
use super::pipelines::Pipeline;
use super::uniforms::{SLOT, Uniforms};

/// Size of a dispatch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dispatch {
    /// Its workgroups; none happens where one of the three is zero.
    pub groups: [u32; 3],
    /// Bytes that it reads and writes, each counted once, however many workgroups fetch it.
    pub bytes: u64,
}

impl Dispatch {
    /// `groups` that read and write `numbers` numbers of 32 bits.
    pub fn new(groups: [u32; 3], numbers: usize) -> Self {
        Self { groups, bytes: 4 * numbers as u64 }
    }

    /// The same, with `bytes` of weights more.
    pub fn with(self, bytes: u64) -> Self {
        Self { bytes: self.bytes + bytes, ..self }
    }
}

/// A grid of `items` workgroups, over two dimensions when one cannot count them, times `layers`.
pub fn grid(items: u32, layers: u32) -> [u32; 3] {
    const MOST: u32 = 65_535;
    [items.min(MOST), items.div_ceil(MOST), layers]
}

/// The dispatch under given uniforms.
type Size = Box<dyn Fn(&Uniforms) -> Dispatch + Send + Sync>;

/// A kernel bound to its buffers.
pub struct Op {
    pipeline: wgpu::ComputePipeline,
    bind: wgpu::BindGroup,
    size: Size,
    /// Whether it writes attention weights, which only a probe asks for.
    pub for_probe: bool,
}

impl Op {
    /// `kernel` over `views`, its bindings after the uniforms, which are one slot of `uniforms`.
    pub fn new(
        gpu: &Gpu,
        kernel: &Pipeline,
        uniforms: &View,
        views: &[&View],
        size: impl Fn(&Uniforms) -> Dispatch + Send + Sync + 'static,
    ) -> Self {
        let slot = wgpu::BufferBinding {
            buffer: &uniforms.buffer,
            offset: uniforms.offset,
            size: wgpu::BufferSize::new(size_of::<Uniforms>() as u64),
        };
        let resources = std::iter::once(slot).chain(views.iter().map(|view| view.binding()));
        let entries: Vec<_> = (0..)
            .zip(resources)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: wgpu::BindingResource::Buffer(buffer) })
            .collect();
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &kernel.layout, entries: &entries };
        let bind = gpu.device().create_bind_group(&descriptor);
        Self { pipeline: kernel.pipeline.clone(), bind, size: Box::new(size), for_probe: false }
    }

    /// Dispatches it under `uniforms`, which are those at `slot`, and adds that to `cost`.
    pub fn encode(&self, pass: &mut wgpu::ComputePass<'_>, uniforms: &Uniforms, slot: usize, cost: &mut Cost) {
        let Dispatch { groups: [x, y, z], bytes } = (self.size)(uniforms);
        if x == 0 || y == 0 || z == 0 {
            return;
        }
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind, &[(slot as u64 * SLOT) as u32]);
        pass.dispatch_workgroups(x, y, z);
        cost.dispatches += 1;
        cost.moved += bytes;
    }
}
