//! Compares every kernel with plain Burn, output and gradients, on shapes that fill vectors, tiles and cores and on
//! shapes that do not.

use burn::tensor::{Device, Tensor, TensorData};

use super::{plain_gate, plain_modulated_norm, plain_norm, plain_self_attention, plain_then};
use marscope_core::random::Philox;
use marscope_kernels::{
    Activation, GroupNorm, Sides, attention, conv, gate, group_norm, linear, modulated_norm, norm, then,
};

/// Devices with autodiff: with and without activation checkpointing.
fn devices() -> [Device; 2] {
    let keeping = Device::flex().autodiff();
    [keeping.clone(), keeping.gradient_checkpointing()]
}

/// Random numbers of `shape`, some of them large, determined by `salt`.
fn random<const D: usize>(shape: [usize; D], salt: u32, device: &Device) -> Tensor<D> {
    let mut numbers = vec![0.0; shape.iter().product()];
    Philox::new(7).normal([salt, 0, 0], &mut numbers);
    numbers.iter_mut().step_by(11).for_each(|x| *x *= 4.0);
    Tensor::from_data(TensorData::new(numbers, shape), device)
}

fn numbers_of<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().try_into_vec().unwrap()
}

/// Output and gradients of `f` of `rows` (`[rows, width]`, each) and `vectors` (`[width]`, each), where the output's
/// gradient is random and what comes before and after `f` needs its inputs and its output too.
fn found<const R: usize, const V: usize>(
    shape: [usize; 2],
    device: &Device,
    f: impl Fn([Tensor<2>; R], [Tensor<1>; V]) -> Tensor<2>,
) -> Vec<Vec<f32>> {
    let rows = std::array::from_fn(|i| random(shape, i as u32, device).require_grad());
    let vectors = std::array::from_fn(|i| random([shape[1]], 100 + i as u32, device).require_grad());
    let [doubled, tripled] = [2.0, 3.0].map(|factor| rows.each_ref().map(|x: &Tensor<2>| x.clone() * factor));
    let out = f(doubled, vectors.clone());
    let weight = random(out.dims(), 200, device);
    let beside = tripled.into_iter().map(Tensor::sum).reduce(|a, b| a + b).unwrap();
    let loss = (out.clone() * weight + out.clone().square() * 0.1).sum() + beside;
    let mut gradients = loss.backward();
    let mut all = vec![numbers_of(out)];
    all.extend(rows.iter().map(|x| numbers_of(x.grad_remove(&mut gradients).unwrap())));
    all.extend(vectors.iter().map(|x| numbers_of(x.grad_remove(&mut gradients).unwrap())));
    all
}

/// Asserts that output and gradients are the same but for rounding, which grows with what is added up.
fn same(what: &str, shape: [usize; 2], found: &[Vec<f32>], expected: &[Vec<f32>]) {
    assert_eq!(found.len(), expected.len());
    for (which, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found.len(), expected.len(), "{what} of {shape:?}, tensor {which}");
        let size = expected.iter().fold(1.0f32, |most, x| most.max(x.abs()));
        for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
            let off = (found - expected).abs();
            assert!(off <= 2e-5 * size, "{what} of {shape:?}, tensor {which} at {at}: {found}, not {expected}");
        }
    }
}

/// Rows and width: one number, less than a vector, a vector and a bit, whole ones, enough for several cores, none.
const SHAPES: [[usize; 2]; 8] = [[1, 1], [1, 3], [5, 1], [3, 17], [7, 16], [9, 40], [700, 131], [0, 8]];

#[test]
fn functions_are_plain_burns() {
    for device in devices() {
        for shape in SHAPES {
            for function in [Activation::Gelu, Activation::Silu] {
                let kernel = found::<1, 0>(shape, &device, |[x], []| then(x, function));
                let plain = found::<1, 0>(shape, &device, |[x], []| plain_then(x, function));
                same(&format!("{function:?}"), shape, &kernel, &plain);
            }
        }
    }
}

#[test]
fn linear_layers_are_plain_burns() {
    for device in devices() {
        // Wide and tall enough for several blocks, and not a multiple of one.
        for [rows, width, out] in [[1, 1, 1], [2, 3, 17], [5, 16, 8], [1300, 9, 131], [700, 40, 5], [2100, 12, 128]] {
            let weight = || random([width, out], 50, &device).require_grad();
            let run = |f: &dyn Fn(Tensor<2>, Tensor<2>, Tensor<1>) -> Tensor<2>| {
                let (weight, bias) = (weight(), random([out], 51, &device).require_grad());
                let x = random([rows, width], 52, &device).require_grad();
                let out = f(x.clone() * 0.5, weight.clone(), bias.clone());
                let mut gradients = (out.clone() * random(out.dims(), 53, &device)).sum().backward();
                vec![
                    numbers_of(out),
                    numbers_of(x.grad_remove(&mut gradients).unwrap()),
                    numbers_of(weight.grad_remove(&mut gradients).unwrap()),
                    numbers_of(bias.grad_remove(&mut gradients).unwrap()),
                ]
            };
            let kernel = run(&linear);
            let plain = run(&|x, weight, bias| x.matmul(weight) + bias.unsqueeze());
            same("linear", [rows, width], &kernel, &plain);
        }
    }
}

#[test]
fn norms_are_plain_burns() {
    for device in devices() {
        // The norm of one number is zero, whatever the number; its gradient is rounding alone.
        for shape in SHAPES.into_iter().filter(|shape| shape[1] > 1) {
            let kernel = found::<1, 2>(shape, &device, |[x], [scale, shift]| norm(x, scale, shift));
            let plain = found::<1, 2>(shape, &device, |[x], [scale, shift]| plain_norm(x, scale, shift));
            same("norm", shape, &kernel, &plain);
            let kernel = found::<3, 2>(shape, &device, |[x, shift, scale], own| modulated_norm(x, own, [shift, scale]));
            let plain =
                found::<3, 2>(shape, &device, |[x, shift, scale], own| plain_modulated_norm(x, own, [shift, scale]));
            same("modulated norm", shape, &kernel, &plain);
        }
    }
}

#[test]
fn gates_are_plain_burns() {
    for device in devices() {
        for shape in SHAPES {
            let kernel = found::<3, 0>(shape, &device, |[x, by, y], []| gate(x, by, y));
            let plain = found::<3, 0>(shape, &device, |[x, by, y], []| plain_gate(x, by, y));
            same("gate", shape, &kernel, &plain);
        }
    }
}

#[test]
fn attention_is_plain_burns() {
    for device in devices() {
        // Batch, sequence, heads, numbers of a head.
        for [batch, seq, heads, dim] in
            [[1, 1, 1, 1], [2, 3, 2, 3], [1, 17, 3, 8], [3, 57, 4, 32], [2, 8, 1, 16], [5, 10, 2, 20]]
        {
            let shape = [batch * seq, 3 * heads * dim];
            let run = |f: &dyn Fn(Tensor<3>) -> Tensor<3>| {
                found::<1, 0>(shape, &device, |[qkv], []| {
                    f(qkv.reshape([batch, seq, shape[1]])).reshape([batch * seq, heads * dim])
                })
            };
            let (kernel, plain) =
                (run(&|qkv| attention(qkv, heads)), run(&|qkv| plain_self_attention(qkv, heads, 0.0, None)));
            same("attention", shape, &kernel, &plain);
        }
    }
}

#[test]
fn inputs_that_are_views_or_constants_are_taken_as_they_are() {
    let device = Device::flex().autodiff();
    let wide = random([6, 34], 1, &device).require_grad();
    let half = |i: usize| wide.clone().narrow(1, 17 * i, 17);
    let constant = Tensor::<1>::ones([17], &device);
    let gradient_of = |f: &dyn Fn() -> Tensor<2>| {
        let out = f();
        let mut gradients = (out * random([6, 17], 2, &device)).sum().backward();
        numbers_of(wide.grad_remove(&mut gradients).unwrap())
    };
    let own = || [constant.clone(), constant.clone()];
    let turned = || random([17, 6], 3, &device).transpose();
    let kernel = gradient_of(&|| gate(modulated_norm(turned(), own(), [half(0), half(1)]), half(1), half(0)));
    let plain =
        gradient_of(&|| plain_gate(plain_modulated_norm(turned(), own(), [half(0), half(1)]), half(1), half(0)));
    same("views", [6, 34], &[kernel], &[plain]);
}

#[test]
fn inputs_are_left_as_they_were() {
    let device = Device::flex();
    let (x, by) = (random([4, 9], 1, &device), random([9], 2, &device));
    let weight = random([9, 9], 3, &device);
    let before = numbers_of(x.clone());
    let _ = linear(x.clone(), weight, by.clone());
    let _ = then(x.clone(), Activation::Gelu);
    let _ = norm(x.clone(), by.clone(), by);
    let _ = gate(x.clone(), x.clone(), x.clone());
    assert_eq!(numbers_of(x), before);
}

/// Shape of a picture's features and the channels they go to: less than a block and more, tiles that fill and that do not.
const PICTURES: [([usize; 4], usize); 4] =
    [([2, 8, 8, 16], 16), ([1, 6, 10, 3], 5), ([3, 2, 4, 20], 33), ([9, 16, 16, 8], 16)];

/// Output and gradients of `f` of features, weights `[c_out, c_in, k, k]` and bias.
fn convolved(
    (shape, c_out, k): ([usize; 4], usize, usize),
    device: &Device,
    f: &dyn Fn(Tensor<4>, Tensor<4>, Tensor<1>) -> Tensor<4>,
) -> Vec<Vec<f32>> {
    let x = random(shape, 60, device).require_grad();
    let weight = random([c_out, shape[3], k, k], 61, device).require_grad();
    let bias = random([c_out], 62, device).require_grad();
    let out = f(x.clone() * 0.5, weight.clone(), bias.clone());
    let mut gradients = (out.clone() * random(out.dims(), 63, device)).sum().backward();
    vec![
        numbers_of(out),
        numbers_of(x.grad_remove(&mut gradients).unwrap()),
        numbers_of(weight.grad_remove(&mut gradients).unwrap()),
        numbers_of(bias.grad_remove(&mut gradients).unwrap()),
    ]
}

#[test]
fn convolutions_are_plain_burns() {
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;

    let plain = |x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>, sides: Sides| {
        let x = x.permute([0, 3, 1, 2]);
        let [n, c, h, w] = x.dims();
        let around = weight.dims()[2] / 2;
        let (x, stride, padding) = match sides {
            Sides::Same => (x, 1, (around, around)),
            Sides::Halve => (x, 2, (0, 1)),
            Sides::Double => {
                let each: Tensor<6> = x.reshape([n, c, h, 1, w, 1]);
                (each.expand([n, c, h, 2, w, 2]).reshape([n, c, 2 * h, 2 * w]), 1, (1, 1))
            }
        };
        let options = ConvOptions { stride: [stride; 2], padding: [padding; 2], dilation: [1; 2], groups: 1 };
        conv2d(x, weight, Some(bias), options).permute([0, 2, 3, 1])
    };
    for device in devices() {
        for (sides, k) in [(Sides::Same, 1), (Sides::Same, 3), (Sides::Halve, 3), (Sides::Double, 3)] {
            for (shape, c_out) in PICTURES {
                let of = (shape, c_out, k);
                let kernel = convolved(of, &device, &|x, weight, bias| conv(x, weight, bias, sides));
                let plain = convolved(of, &device, &|x, weight, bias| plain(x, weight, bias, sides));
                same(&format!("{sides:?} by {k}, {shape:?} to {c_out}"), [k, k], &kernel, &plain);
            }
        }
    }
}

#[test]
fn group_norms_are_plain_burns() {
    let plain = |x: Tensor<4>, scale: Tensor<1>, shift: Tensor<1>, norm: &GroupNorm| {
        let [n, h, w, c] = x.dims();
        let groups = x.permute([0, 3, 1, 2]).reshape([n, norm.groups, c / norm.groups * h * w]);
        let (variance, mean) = groups.clone().var_mean_bias(2);
        let normal: Tensor<4> = ((groups - mean) / (variance + norm.epsilon).sqrt()).reshape([n, c, h, w]);
        let y = normal.permute([0, 2, 3, 1]) * scale.reshape([1, 1, 1, c]) + shift.reshape([1, 1, 1, c]);
        if norm.silu { burn::tensor::activation::silu(y) } else { y }
    };
    for device in devices() {
        for (shape, groups) in [([2, 8, 8, 16], 4), ([1, 3, 5, 6], 3), ([3, 2, 2, 20], 20), ([9, 16, 16, 8], 1)] {
            for silu in [false, true] {
                let norm = GroupNorm { groups, epsilon: 1e-6, silu };
                let run = |f: &dyn Fn(Tensor<4>, Tensor<1>, Tensor<1>) -> Tensor<4>| {
                    let x = random(shape, 70, &device).require_grad();
                    let [scale, shift] = [71, 72].map(|salt| random([shape[3]], salt, &device).require_grad());
                    let out = f(x.clone() * 2.0 + 1.5, scale.clone(), shift.clone());
                    let mut gradients = (out.clone() * random(shape, 73, &device)).sum().backward();
                    let mut all = vec![numbers_of(out), numbers_of(x.grad_remove(&mut gradients).unwrap())];
                    all.extend([scale, shift].map(|x| numbers_of(x.grad_remove(&mut gradients).unwrap())));
                    all
                };
                let kernel = run(&|x, scale, shift| group_norm(x, scale, shift, norm.clone()));
                let plain = run(&|x, scale, shift| plain(x, scale, shift, &norm));
                same(&format!("group norm of {shape:?}, {norm:?}"), [groups, 0], &kernel, &plain);
            }
        }
    }
}
