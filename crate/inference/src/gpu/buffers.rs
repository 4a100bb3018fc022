//! Buffers, parts of buffers, and reading one back.
//! A read-back is asynchronous everywhere; natively the device has to be polled for it.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use super::device::Gpu;
use super::error::GpuError;

/// Alignment of the parts of a buffer: the least that WebGPU promises to bind at.
const ALIGNMENT: u64 = 256;

/// A buffer, or a part of one.
#[derive(Clone)]
pub struct View {
    /// The buffer.
    pub buffer: wgpu::Buffer,
    /// Where the part starts.
    pub offset: u64,
    /// Its bytes.
    pub size: u64,
}

impl View {
    /// As a binding of a kernel.
    pub fn binding(&self) -> wgpu::BufferBinding<'_> {
        wgpu::BufferBinding { buffer: &self.buffer, offset: self.offset, size: wgpu::BufferSize::new(self.size) }
    }

    /// The part of `bytes` from `offset` on.
    pub fn part(&self, offset: u64, bytes: u64) -> Self {
        Self { buffer: self.buffer.clone(), offset: self.offset + offset, size: bytes }
    }
}

/// Numbers of a row of activations, or inputs of a layer, with their padding: whole vec4.
pub fn padded(width: usize) -> usize {
    width.next_multiple_of(4)
}

/// Lays out parts one after the other.
#[derive(Default)]
pub struct Layout {
    end: u64,
}

impl Layout {
    /// Where a part of `bytes` starts, and its size.
    pub fn part(&mut self, bytes: usize) -> (u64, u64) {
        let (offset, size) = (self.end, (bytes as u64).next_multiple_of(16).max(16));
        self.end = (offset + size).next_multiple_of(ALIGNMENT);
        (offset, size)
    }

    /// Bytes of all parts.
    pub fn bytes(&self) -> u64 {
        self.end
    }
}

impl Gpu {
    /// A buffer of zeros that kernels can use; `what` names it in errors.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`].
    pub(super) fn storage(&self, what: &str, bytes: u64) -> Result<View, GpuError> {
        let limits = self.device().limits();
        let limit = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
        self.buffer(what, bytes.next_multiple_of(16).max(16), limit, usage)
    }

    /// A buffer of at most `limit` bytes.
    ///
    /// # Errors
    /// [`GpuError::TooLarge`].
    pub(super) fn buffer(
        &self,
        what: &str,
        size: u64,
        limit: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<View, GpuError> {
        if size > limit {
            let advice = "Draw fewer images or tokens at once, or use the CPU engine";
            return Err(GpuError::TooLarge { what: what.to_owned(), bytes: size, limit, advice });
        }
        let descriptor = wgpu::BufferDescriptor { label: Some(what), size, usage, mapped_at_creation: false };
        Ok(View { buffer: self.device().create_buffer(&descriptor), offset: 0, size })
    }

    /// A buffer that holds `words`, for kernels to read.
    pub(super) fn constant(&self, words: &[u32]) -> View {
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::UNIFORM
            | wgpu::BufferUsages::COPY_DST
            | wgpu::BufferUsages::COPY_SRC;
        let size = 4 * words.len() as u64;
        let descriptor =
            wgpu::BufferDescriptor { label: None, size: size.next_multiple_of(16), usage, mapped_at_creation: false };
        let buffer = self.device().create_buffer(&descriptor);
        self.queue().write_buffer(&buffer, 0, bytemuck::cast_slice(words));
        View { buffer, offset: 0, size }
    }

    /// Waits until what was written is on the GPU, so that the driver frees its copy of it. A browser does so by itself.
    pub(super) fn flush(&self) {
        self.queue().submit([]);
        // Why a wait failed is known from the lost device.
        let _ = self.device().poll(wgpu::PollType::wait_indefinitely());
    }

    /// A buffer of `parts` one after the other.
    pub(super) fn joined(&self, parts: &[&View]) -> View {
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
        let size = parts.iter().map(|part| part.size).sum();
        let descriptor = wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false };
        let buffer = self.device().create_buffer(&descriptor);
        let mut encoder = self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let mut end = 0;
        for part in parts {
            encoder.copy_buffer_to_buffer(&part.buffer, part.offset, &buffer, end, part.size);
            end += part.size;
        }
        self.queue().submit([encoder.finish()]);
        View { buffer, offset: 0, size }
    }

    /// The numbers of the first `bytes` of a read-back buffer, on which `mapped` waits.
    pub(super) async fn read(&self, buffer: &wgpu::Buffer, bytes: u64, mapped: Mapped) -> Result<Vec<f32>, GpuError> {
        // Why a wait failed is known from the mapping, or from the lost device.
        let _ = self.device().poll(wgpu::PollType::wait_indefinitely());
        let doing = "while reading back";
        if let Err(reason) = mapped.wait().await {
            self.check()?;
            return Err(GpuError::Refused { doing, reason });
        }
        let numbers = match buffer.get_mapped_range(0..bytes) {
            // In a browser the bytes are a copy, which need not be aligned.
            Ok(view) => bytemuck::pod_collect_to_vec(&view[..]),
            Err(error) => return Err(GpuError::Refused { doing, reason: error.to_string() }),
        };
        buffer.unmap();
        Ok(numbers)
    }
}

/// The outcome of a mapping, which arrives some time later.
#[derive(Clone, Default)]
pub struct Mapped(Arc<Mutex<Outcome>>);

#[derive(Default)]
struct Outcome {
    result: Option<Result<(), String>>,
    waker: Option<Waker>,
}

impl Mapped {
    /// Maps the first `bytes` of `buffer` for reading, once all that is submitted is done.
    pub fn request(buffer: &wgpu::Buffer, bytes: u64) -> Self {
        let mapped = Self::default();
        let shared = mapped.clone();
        buffer.map_async(wgpu::MapMode::Read, 0..bytes, move |outcome| {
            let mut state = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.result = Some(outcome.map_err(|error| error.to_string()));
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        });
        mapped
    }

    async fn wait(self) -> Result<(), String> {
        poll_fn(|context| {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(outcome) = state.result.take() {
                return Poll::Ready(outcome);
            }
            state.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}
