//! Kernels for the CPU, each replacing several of Burn's operations, with a gradient written by hand: one pass over
//! memory instead of one per operation. They run in f32 on `Flex`, where [`take`] says so; elsewhere callers use plain Burn.

// Kernels are generic over the vector length. They become the machine's instructions only if they are inlined into the
// function that is compiled for that machine (`Arch::dispatch`).
#![allow(clippy::inline_always)]
// Only training needs gradients.
#![cfg_attr(not(feature = "train"), allow(dead_code))]

mod activation;
mod attention;
mod conv;
mod gate;
mod group_norm;
mod linear;
mod norm;
mod rows;
#[cfg(feature = "train")]
mod tape;

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
#[cfg(feature = "train")]
use burn::backend::{Autodiff, autodiff::checkpoint::strategy::CheckpointStrategy};
use burn::backend::{Backend, Dispatch, DispatchDevice, Flex, backend_extension};
use burn::tensor::{DType, Tensor};

pub use self::activation::Activation;
pub use self::conv::Sides;
pub use self::group_norm::GroupNorm;
pub use self::norm::EPSILON as NORM_EPSILON;
pub use self::rows::{map, numbers};

/// A function of N tensors and its gradient.
trait Kernel<const N: usize>: Clone + std::fmt::Debug + Send + 'static {
    /// Whether the output is kept even with activation checkpointing, because recomputing it is costly.
    const HEAVY: bool;

    /// The inputs that the gradient needs.
    fn reads(&self) -> [bool; N];

    /// The output.
    fn forward(&self, inputs: [FlexTensor; N]) -> FlexTensor;

    /// The gradients of the `wanted` inputs, given the gradient of the output. May return others too, where that costs
    /// nothing. `inputs` holds only those that [`Self::reads`] names.
    fn backward(
        &self,
        inputs: [Option<FlexTensor>; N],
        gradient: FlexTensor,
        wanted: [bool; N],
    ) -> [Option<FlexTensor>; N];
}

/// The kernels as operations of a backend.
#[backend_extension(Flex, Autodiff: cfg(feature = "train"))]
trait Kernels: Backend {
    fn kernel_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;

    fn kernel_then(x: FloatTensor<Self>, then: Activation) -> FloatTensor<Self>;

    fn kernel_norm(x: FloatTensor<Self>, scale: FloatTensor<Self>, shift: FloatTensor<Self>) -> FloatTensor<Self>;

    fn kernel_modulated_norm(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        then_scale: FloatTensor<Self>,
        then_shift: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    fn kernel_gate(x: FloatTensor<Self>, gate: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self>;

    fn kernel_attention(qkv: FloatTensor<Self>, heads: usize) -> FloatTensor<Self>;

    fn kernel_conv(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        sides: Sides,
    ) -> FloatTensor<Self>;

    fn kernel_group_norm(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        norm: GroupNorm,
    ) -> FloatTensor<Self>;
}

/// Implements [`Kernels`]: passes the kernel and its tensors to a function.
macro_rules! kernels {
    () => {
        fn kernel_linear(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
        ) -> FloatTensor<Self> {
            Self::run(linear::Linear, [x, weight, bias])
        }

        fn kernel_then(x: FloatTensor<Self>, then: Activation) -> FloatTensor<Self> {
            Self::run(then, [x])
        }

        fn kernel_norm(x: FloatTensor<Self>, scale: FloatTensor<Self>, shift: FloatTensor<Self>) -> FloatTensor<Self> {
            Self::run(norm::Norm, [x, scale, shift])
        }

        fn kernel_modulated_norm(
            x: FloatTensor<Self>,
            scale: FloatTensor<Self>,
            shift: FloatTensor<Self>,
            then_scale: FloatTensor<Self>,
            then_shift: FloatTensor<Self>,
        ) -> FloatTensor<Self> {
            Self::run(norm::Norm, [x, scale, shift, then_scale, then_shift])
        }

        fn kernel_gate(x: FloatTensor<Self>, gate: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self> {
            Self::run(gate::Gate, [x, gate, y])
        }

        fn kernel_attention(qkv: FloatTensor<Self>, heads: usize) -> FloatTensor<Self> {
            Self::run(attention::Attention { heads }, [qkv])
        }

        fn kernel_conv(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            bias: FloatTensor<Self>,
            sides: Sides,
        ) -> FloatTensor<Self> {
            Self::run(conv::Conv { sides }, [x, weight, bias])
        }

        fn kernel_group_norm(
            x: FloatTensor<Self>,
            scale: FloatTensor<Self>,
            shift: FloatTensor<Self>,
            norm: GroupNorm,
        ) -> FloatTensor<Self> {
            Self::run(norm, [x, scale, shift])
        }
    };
}

/// How a backend runs a kernel.
trait Run: Backend {
    fn run<const N: usize>(kernel: impl Kernel<N>, inputs: [FloatTensor<Self>; N]) -> FloatTensor<Self>;
}

impl Run for Flex {
    fn run<const N: usize>(kernel: impl Kernel<N>, inputs: [FlexTensor; N]) -> FlexTensor {
        kernel.forward(inputs)
    }
}

impl Kernels for Flex {
    kernels!();
}

#[cfg(feature = "train")]
impl<C: CheckpointStrategy> Run for Autodiff<Flex, C> {
    fn run<const N: usize>(kernel: impl Kernel<N>, inputs: [FloatTensor<Self>; N]) -> FloatTensor<Self> {
        tape::record::<C, _, N>(kernel, inputs)
    }
}

#[cfg(feature = "train")]
impl<C: CheckpointStrategy> Kernels for Autodiff<Flex, C> {
    kernels!();
}

/// Whether the kernels can run on `x`.
pub fn take<const D: usize>(x: &Tensor<D>) -> bool {
    let device = x.device().inner();
    x.dtype() == DType::F32 && matches!(device.as_dispatch(), DispatchDevice::Flex(_))
}

/// `x W + b`, of `[rows, d_in]`, `[d_in, d_out]` and `[d_out]`.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::kernel_linear(x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()))
}

/// `then(x)`.
pub fn then<const D: usize>(x: Tensor<D>, then: Activation) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::kernel_then(x.into_dispatch(), then))
}

/// `(x - mean) / sqrt(variance + epsilon) * scale + shift` over the last dimension.
pub fn norm<const D: usize>(x: Tensor<D>, scale: Tensor<1>, shift: Tensor<1>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::kernel_norm(x.into_dispatch(), scale.into_dispatch(), shift.into_dispatch()))
}

/// `norm(x) * (1 + scale) + shift`, where `norm` has its own scale and shift; `[rows, width]`.
pub fn modulated_norm(x: Tensor<2>, norm: [Tensor<1>; 2], [shift, scale]: [Tensor<2>; 2]) -> Tensor<2> {
    let [norm_scale, norm_shift] = norm.map(Tensor::into_dispatch);
    let (shift, scale) = (shift.into_dispatch(), scale.into_dispatch());
    Tensor::from_dispatch(Dispatch::kernel_modulated_norm(x.into_dispatch(), norm_scale, norm_shift, scale, shift))
}

/// `x + gate * y`, of `[rows, width]` each.
pub fn gate(x: Tensor<2>, gate: Tensor<2>, y: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::kernel_gate(x.into_dispatch(), gate.into_dispatch(), y.into_dispatch()))
}

/// `softmax(q k^T / sqrt(d)) v` in every head, of `[batch, seq, 3 width]` (queries, keys, values): `[batch, seq,
/// width]`.
pub fn attention(qkv: Tensor<3>, heads: usize) -> Tensor<3> {
    Tensor::from_dispatch(Dispatch::kernel_attention(qkv.into_dispatch(), heads))
}

/// The convolution of x `[n, h, w, c_in]` with weights `[c_out, c_in, k, k]`, k 1 or 3, and bias `[c_out]`:
/// `[n, h', w', c_out]`, the sides as `sides` says.
pub fn conv(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>, sides: Sides) -> Tensor<4> {
    let [x, weight] = [x, weight].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::kernel_conv(x, weight, bias.into_dispatch(), sides))
}

/// The group norm of x `[n, h, w, channels]`, with scale and shift `[channels]`.
pub fn group_norm(x: Tensor<4>, scale: Tensor<1>, shift: Tensor<1>, norm: GroupNorm) -> Tensor<4> {
    let [scale, shift] = [scale, shift].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::kernel_group_norm(x.into_dispatch(), scale, shift, norm))
}
