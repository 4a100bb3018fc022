//! Inception against torch-fidelity's, on weights and an image that a formula fills.
//! `tests/fixtures/inception/make.py` made what is expected.
#![cfg(feature = "cli")]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Tensor;
use common::{Expected, assert_close, burn_device, read, relative_error, tolerance};
use marscope_core::checkpoint::{Checkpoint, HostTensor, Precision, read_safetensors, write_safetensors};
use marscope_training::data::ImageSet;
use marscope_training::eval::features::FeatureExtractor;
use marscope_training::eval::inception::Inception;

const SIDE: usize = 40;
const PROBES: usize = 8;

/// Numbers in `[0, 1)`: one for each index, a function of the tensor's number and the index alone.
fn uniform(tensor: u64, count: usize) -> impl Iterator<Item = f64> {
    (0..count as u64).map(move |i| {
        let mut x = (i * 2_654_435_761 + tensor * 2_246_822_519) & 0xffff_ffff;
        x = ((x ^ (x >> 15)) * 739_982_445) & 0xffff_ffff;
        x = ((x ^ (x >> 12)) * 695_872_825) & 0xffff_ffff;
        (x ^ (x >> 15)) as f64 / f64::from(1u32 << 31) / 2.0
    })
}

/// The network's convolutions as torch-fidelity's source defines them: name, channels in, channels out, kernel. A list of
/// its own beside the code's, so that a wrong shape there shows.
fn convolutions() -> Vec<(String, usize, usize, [usize; 2])> {
    let mut all = Vec::new();
    let mut add = |name: String, c_in: usize, c_out: usize, kernel: [usize; 2]| all.push((name, c_in, c_out, kernel));
    for (name, c_in, c_out, side) in [
        ("Conv2d_1a_3x3", 3, 32, 3),
        ("Conv2d_2a_3x3", 32, 32, 3),
        ("Conv2d_2b_3x3", 32, 64, 3),
        ("Conv2d_3b_1x1", 64, 80, 1),
        ("Conv2d_4a_3x3", 80, 192, 3),
    ] {
        add(name.to_owned(), c_in, c_out, [side, side]);
    }
    for (block, c_in, pool) in [("5b", 192, 32), ("5c", 256, 64), ("5d", 288, 64)] {
        for (name, from, to, side) in [
            ("branch1x1", c_in, 64, 1),
            ("branch5x5_1", c_in, 48, 1),
            ("branch5x5_2", 48, 64, 5),
            ("branch3x3dbl_1", c_in, 64, 1),
            ("branch3x3dbl_2", 64, 96, 3),
            ("branch3x3dbl_3", 96, 96, 3),
            ("branch_pool", c_in, pool, 1),
        ] {
            add(format!("Mixed_{block}.{name}"), from, to, [side, side]);
        }
    }
    for (name, from, to, side) in [
        ("branch3x3", 288, 384, 3),
        ("branch3x3dbl_1", 288, 64, 1),
        ("branch3x3dbl_2", 64, 96, 3),
        ("branch3x3dbl_3", 96, 96, 3),
    ] {
        add(format!("Mixed_6a.{name}"), from, to, [side, side]);
    }
    for (block, inner) in [("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)] {
        for (name, from, to, kernel) in [
            ("branch1x1", 768, 192, [1, 1]),
            ("branch7x7_1", 768, inner, [1, 1]),
            ("branch7x7_2", inner, inner, [1, 7]),
            ("branch7x7_3", inner, 192, [7, 1]),
            ("branch7x7dbl_1", 768, inner, [1, 1]),
            ("branch7x7dbl_2", inner, inner, [7, 1]),
            ("branch7x7dbl_3", inner, inner, [1, 7]),
            ("branch7x7dbl_4", inner, inner, [7, 1]),
            ("branch7x7dbl_5", inner, 192, [1, 7]),
            ("branch_pool", 768, 192, [1, 1]),
        ] {
            add(format!("Mixed_{block}.{name}"), from, to, kernel);
        }
    }
    for (name, from, to, kernel) in [
        ("branch3x3_1", 768, 192, [1, 1]),
        ("branch3x3_2", 192, 320, [3, 3]),
        ("branch7x7x3_1", 768, 192, [1, 1]),
        ("branch7x7x3_2", 192, 192, [1, 7]),
        ("branch7x7x3_3", 192, 192, [7, 1]),
        ("branch7x7x3_4", 192, 192, [3, 3]),
    ] {
        add(format!("Mixed_7a.{name}"), from, to, kernel);
    }
    for (block, c_in) in [("7b", 1280), ("7c", 2048)] {
        for (name, from, to, kernel) in [
            ("branch1x1", c_in, 320, [1, 1]),
            ("branch3x3_1", c_in, 384, [1, 1]),
            ("branch3x3_2a", 384, 384, [1, 3]),
            ("branch3x3_2b", 384, 384, [3, 1]),
            ("branch3x3dbl_1", c_in, 448, [1, 1]),
            ("branch3x3dbl_2", 448, 384, [3, 3]),
            ("branch3x3dbl_3a", 384, 384, [1, 3]),
            ("branch3x3dbl_3b", 384, 384, [3, 1]),
            ("branch_pool", c_in, 192, [1, 1]),
        ] {
            add(format!("Mixed_{block}.{name}"), from, to, kernel);
        }
    }
    all
}

/// The weights of `make.py`: tensors are numbered in the order of their names.
fn weights() -> Checkpoint {
    let mut shapes = BTreeMap::from([("fc.weight".to_owned(), vec![1008, 2048]), ("fc.bias".to_owned(), vec![1008])]);
    for (name, c_in, c_out, [height, width]) in convolutions() {
        shapes.insert(format!("{name}.conv.weight"), vec![c_out, c_in, height, width]);
        for part in ["weight", "bias", "running_mean", "running_var"] {
            shapes.insert(format!("{name}.bn.{part}"), vec![c_out]);
        }
    }
    let fill = |(number, (name, shape)): (usize, (String, Vec<usize>))| {
        let (scale, shift) = if name.ends_with("conv.weight") {
            let bound = (6.0 / shape[1..].iter().product::<usize>() as f64).sqrt();
            (2.0 * bound, -bound)
        } else if name.ends_with("bn.weight") || name.ends_with("running_var") {
            (0.5, 0.75)
        } else if name == "fc.weight" {
            (0.1, -0.05)
        } else {
            (0.4, -0.2)
        };
        let numbers = uniform(number as u64, shape.iter().product());
        let data = numbers.map(|u| (scale * u + shift) as f32).collect();
        (name, HostTensor { shape, data })
    };
    Checkpoint { tensors: shapes.into_iter().enumerate().map(fill).collect() }
}

fn image() -> ImageSet {
    let pixels = uniform(1_000_000, 3 * SIDE * SIDE).map(|u| (256.0 * u) as u8).collect();
    ImageSet { pixels, labels: vec![0], channels: 3, side: SIDE }
}

fn expected() -> BTreeMap<String, Expected> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/inception/expected.safetensors"))
}

/// Mean, root mean square and eight evenly spread numbers.
fn describe(x: &Tensor<4>) -> Vec<f32> {
    let numbers: Vec<f32> = x.clone().into_data().try_into_vec().expect("f32 on every device");
    let count = numbers.len();
    let mean = numbers.iter().map(|&x| f64::from(x)).sum::<f64>() / count as f64;
    let square = numbers.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / count as f64;
    let probes = (0..PROBES).map(|i| numbers[(2 * i + 1) * count / (2 * PROBES)]);
    [mean as f32, square.sqrt() as f32].into_iter().chain(probes).collect()
}

#[test]
fn block_by_block_as_torch_fidelity_has_it() {
    let expected = expected();
    let inception = Inception::load(&weights(), &burn_device()).unwrap();
    let mut blocks = 0;
    let mut check = |name: &str, x: &Tensor<4>| {
        assert_eq!(x.dims()[1..], expected[&format!("{name}.shape")].usize(), "shape of {name}");
        assert_close(name, &describe(x), &expected[name], tolerance(1e-5));
        blocks += 1;
    };
    let image = image();
    let input = inception.input(&image.pixels, 3, SIDE);
    check("input", &input);
    let found = inception.forward(input, |name, x| check(name, x));
    assert_eq!(blocks, 1 + 18);
    let host = |tensor: Tensor<2>| -> Vec<f32> { tensor.into_data().try_into_vec().expect("f32 on every device") };
    assert_close("features", &host(found.features), &expected["features"], tolerance(1e-5));
    assert_close("logits", &host(found.logits), &expected["logits"], tolerance(1e-5));
    assert_close("spatial", &host(found.spatial), &expected["spatial"], tolerance(1e-5));

    // As a batch of several, through the trait; a grey image is one of three equal channels.
    let grey = ImageSet { pixels: image.pixels[..SIDE * SIDE].to_vec(), channels: 1, ..image.clone() };
    let three = ImageSet { pixels: [&image.pixels[..], &grey.pixels.repeat(3)].concat(), labels: vec![0; 2], ..image };
    let both = inception.extract(&three, "two images");
    assert!(relative_error(&both.features[..2048], &expected["features"].data) < tolerance(1e-5));
    let alone = inception.extract(&grey, "a grey image");
    let second: Vec<f64> = both.features[2048..].iter().map(|&value| f64::from(value)).collect();
    assert!(relative_error(&alone.features, &second) < tolerance(1e-5));
    assert!(relative_error(&alone.features, &expected["features"].data) > 1e-2, "another image, other features");
}

#[test]
fn a_file_that_does_not_fit_is_refused_by_name() {
    let refused = |change: fn(&mut Checkpoint), name: &str| {
        let mut checkpoint = weights();
        change(&mut checkpoint);
        let error = Inception::load(&checkpoint, &burn_device()).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    };
    refused(
        |file| drop(file.tensors.remove("Mixed_7c.branch_pool.bn.running_var")),
        "Mixed_7c.branch_pool.bn.running_var",
    );
    refused(|file| file.tensors.get_mut("fc.weight").unwrap().shape = vec![1000, 2048], "fc.weight");
    let extra = |file: &mut Checkpoint| {
        file.tensors.insert("AuxLogits.fc.bias".into(), HostTensor { shape: vec![1], data: vec![0.0] });
    };
    refused(extra, "AuxLogits.fc.bias");
}

/// A batch norm's counter of steps is in the file and no weight: read, it is gone, in safetensors as in `.pth`.
#[test]
fn counters_of_steps_are_left_out() {
    let tensor = |data: f32| HostTensor { shape: vec![1], data: vec![data] };
    let name = |part: &str| format!("Conv2d_1a_3x3.bn.{part}");
    let with =
        Checkpoint { tensors: [(name("weight"), tensor(1.0)), (name("num_batches_tracked"), tensor(7.0))].into() };
    let read = read_safetensors(&write_safetensors(&with, Precision::F32).unwrap()).unwrap();
    assert_eq!(read.tensors, [(name("weight"), tensor(1.0))].into());
}
