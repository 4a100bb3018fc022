//! Kernels: WGSL put together, compiled once for each set of constants, bound and dispatched.
//! Sizes are pipeline-overridable constants; the same source serves every adapter and every network.

use std::sync::PoisonError;

use super::buffers::View;
use super::device::Gpu;
use super::pass::{Pass, SLOT};

/// A kernel before it is compiled.
pub struct Kernel {
    /// Its entry point, which names it.
    pub entry: &'static str,
    /// Its source, in parts.
    pub source: &'static [&'static str],
    /// Its bindings after the pass: `u`niform, `r`ead, `w`ritten.
    pub bindings: &'static str,
}

/// Entry point and constants.
pub type Key = (&'static str, Vec<(&'static str, u64)>);

/// A kernel that is compiled.
#[derive(Clone)]
pub struct Compiled {
    pipeline: wgpu::ComputePipeline,
    layout: wgpu::BindGroupLayout,
}

/// How many workgroups a dispatch has; a zero skips it.
type Grid = Box<dyn Fn(&Pass) -> [u32; 3] + Send + Sync>;

/// A dispatch, ready but for the pass.
pub struct Op {
    pipeline: wgpu::ComputePipeline,
    bind: wgpu::BindGroup,
    grid: Grid,
    /// Runs only when somebody watches.
    pub watch: bool,
}

impl Op {
    /// The dispatch of `kernel` over `views`, its bindings after the pass, which is one of `passes`.
    pub fn new(
        gpu: &Gpu,
        kernel: &Compiled,
        passes: &View,
        views: &[&View],
        grid: impl Fn(&Pass) -> [u32; 3] + Send + Sync + 'static,
    ) -> Self {
        let pass = wgpu::BufferBinding {
            buffer: &passes.buffer,
            offset: passes.offset,
            size: wgpu::BufferSize::new(size_of::<Pass>() as u64),
        };
        let resources = std::iter::once(pass).chain(views.iter().map(|view| view.binding()));
        let entries: Vec<_> = (0..)
            .zip(resources)
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: wgpu::BindingResource::Buffer(buffer) })
            .collect();
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &kernel.layout, entries: &entries };
        let bind = gpu.device().create_bind_group(&descriptor);
        Self { pipeline: kernel.pipeline.clone(), bind, grid: Box::new(grid), watch: false }
    }

    /// Dispatches it under `pass`, which is the one at `slot`; returns how many dispatches that were.
    pub fn encode(&self, encoder: &mut wgpu::ComputePass<'_>, pass: &Pass, slot: usize) -> u64 {
        let [x, y, z] = (self.grid)(pass);
        if x == 0 || y == 0 || z == 0 {
            return 0;
        }
        encoder.set_pipeline(&self.pipeline);
        encoder.set_bind_group(0, &self.bind, &[(slot as u64 * SLOT) as u32]);
        encoder.dispatch_workgroups(x, y, z);
        1
    }
}

impl Gpu {
    /// `kernel` with `constants`, compiled unless it already is.
    pub(super) fn compile(&self, kernel: &Kernel, constants: &[(&'static str, f64)]) -> Compiled {
        let key = (kernel.entry, constants.iter().map(|&(name, value)| (name, value.to_bits())).collect());
        let mut compiled = self.compiled().lock().unwrap_or_else(PoisonError::into_inner);
        compiled.entry(key).or_insert_with(|| self.build(kernel, constants)).clone()
    }

    fn build(&self, kernel: &Kernel, constants: &[(&str, f64)]) -> Compiled {
        let entry = |binding: u32, ty, has_dynamic_offset| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
            count: None,
        };
        let kinds = kernel.bindings.chars().map(|kind| match kind {
            'u' => wgpu::BufferBindingType::Uniform,
            kind => wgpu::BufferBindingType::Storage { read_only: kind == 'r' },
        });
        let mut entries = vec![entry(0, wgpu::BufferBindingType::Uniform, true)];
        entries.extend((1..).zip(kinds).map(|(binding, kind)| entry(binding, kind, false)));
        let label = Some(kernel.entry);
        let device = self.device();
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let source = [&[include_str!("pass.wgsl")], kernel.source].concat().join("\n");
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label,
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: label,
            compilation_options: wgpu::PipelineCompilationOptions {
                constants,
                ..wgpu::PipelineCompilationOptions::default()
            },
            cache: None,
        });
        Compiled { pipeline, layout }
    }
}
