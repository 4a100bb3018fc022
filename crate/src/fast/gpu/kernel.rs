//! Kernels: WGSL put together, compiled once for each set of constants, bound and dispatched.
//! Sizes are pipeline-overridable constants; the same source serves every adapter and every network.

use std::sync::PoisonError;

use super::buffers::View;
use super::device::Gpu;
use super::model::Cost;
use super::pass::{Dispatch, Pass, SLOT};

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

/// What an op does under a pass.
type Does = Box<dyn Fn(&Pass) -> Dispatch + Send + Sync>;

/// A dispatch, ready but for the pass.
pub struct Op {
    pipeline: wgpu::ComputePipeline,
    bind: wgpu::BindGroup,
    does: Does,
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
        does: impl Fn(&Pass) -> Dispatch + Send + Sync + 'static,
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
        Self { pipeline: kernel.pipeline.clone(), bind, does: Box::new(does), watch: false }
    }

    /// Dispatches it under `pass`, which is the one at `slot`, and adds that to `cost`.
    pub fn encode(&self, encoder: &mut wgpu::ComputePass<'_>, pass: &Pass, slot: usize, cost: &mut Cost) {
        let Dispatch { groups: [x, y, z], bytes } = (self.does)(pass);
        if x == 0 || y == 0 || z == 0 {
            return;
        }
        encoder.set_pipeline(&self.pipeline);
        encoder.set_bind_group(0, &self.bind, &[(slot as u64 * SLOT) as u32]);
        encoder.dispatch_workgroups(x, y, z);
        cost.dispatches += 1;
        cost.moved += bytes;
    }
}

impl Gpu {
    /// `kernel` with `constants`, compiled unless it already is.
    pub(super) fn compile(&self, kernel: &Kernel, constants: &[(&'static str, f64)]) -> Compiled {
        let key: Key = (kernel.entry, constants.iter().map(|&(name, value)| (name, value.to_bits())).collect());
        let compiled = || self.compiled().lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = compiled().get(&key) {
            return found.clone();
        }
        // Not under the lock: a driver may take seconds, and another thread want another kernel meanwhile.
        let built = self.build(kernel, constants);
        compiled().entry(key).or_insert(built).clone()
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
