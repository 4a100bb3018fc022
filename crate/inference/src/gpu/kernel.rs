//! Kernels: WGSL put together and compiled, once for each set of constants.
//! Sizes are pipeline-overridable constants, so the same source serves every adapter and every network.

use super::device::Gpu;
use super::pipelines::{Key, Pipeline};

/// A kernel before it is compiled.
pub struct Kernel {
    /// Its entry point, which names it.
    pub entry: &'static str,
    /// Its source, in parts; `uniforms.wgsl` comes before them.
    pub source: &'static [&'static str],
    /// Its bindings after the uniforms: `u`niform, `r`ead, `w`ritten.
    pub bindings: &'static str,
}

impl Gpu {
    /// `kernel` with `constants`, compiled unless it already is.
    pub(super) fn compile(&self, kernel: &Kernel, constants: &[(&'static str, f64)]) -> Pipeline {
        let key: Key = (kernel.entry, constants.iter().map(|&(name, value)| (name, value.to_bits())).collect());
        self.pipelines().get(key, || self.build(kernel, constants))
    }

    fn build(&self, kernel: &Kernel, constants: &[(&str, f64)]) -> Pipeline {
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
        let source = [&[include_str!("uniforms.wgsl")], kernel.source].concat().join("\n");
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
        Pipeline { pipeline, layout }
    }
}
