//! The KL autoencoder against tensors that the official implementation computed, and the engines against the reference in
//! Burn on awkward shapes. The WGSL engine runs on the adapter of the machine, or on Chromium's `SwiftShader` without a GPU.

mod common;

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use common::{Expected, assert_close, burn_device, parity_dirs, read, relative_error, tolerance};
use marscope_core::checkpoint::{Checkpoint, HostTensor, read_safetensors};
use marscope_core::random::Philox;
use marscope_core::tokenizer::{Autoencoder, KlConfig};
use marscope_inference::cpu;
#[cfg(feature = "webgpu")]
use marscope_inference::gpu;
use marscope_training::autoencoder::{Kl, KlError};
use marscope_training::model::to_checkpoint;
use pollster::block_on;

fn config(dir: &Path) -> KlConfig {
    KlConfig::parse(&std::fs::read_to_string(dir.join("config.json")).unwrap()).unwrap()
}

fn parameters(dir: &Path) -> Checkpoint {
    read_safetensors(&std::fs::read(dir.join("model.safetensors")).unwrap()).unwrap()
}

fn upload(tensor: &Expected) -> Tensor<4> {
    let shape: [usize; 4] = tensor.shape.clone().try_into().expect("four dimensions");
    Tensor::from_data(TensorData::new(tensor.f32(), shape), &burn_device())
}

fn download(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("f32 on every device")
}

/// The configuration and parameters of the first parity folder.
fn first() -> (KlConfig, Checkpoint) {
    let dir = &parity_dirs("kl-")[0];
    (config(dir), parameters(dir))
}

#[test]
fn encodes_and_decodes_as_the_official_implementation() {
    for dir in parity_dirs("kl-") {
        let kl = Kl::load(&config(&dir), &parameters(&dir), &burn_device()).unwrap();
        let recorded = read(&dir.join("forward.safetensors"));
        let expected = |name: &str| &recorded[name];
        let check = |name: &str, found: Tensor<4>| {
            assert_eq!(found.dims().to_vec(), expected(name).shape, "{}: shape of {name}", dir.display());
            assert_close(name, &download(found), expected(name), tolerance(1e-4));
        };
        let posterior = kl.encode(upload(expected("image")));
        check("mean", posterior.mean.clone());
        check("logvar", posterior.logvar.clone());
        check("std", posterior.std());
        check("sample", posterior.sample(upload(expected("eps"))));
        // From the recorded mean, so that an error of the encoder does not show here too.
        check("decoded", kl.decode(upload(expected("mean"))));
    }
}

#[test]
fn log_variance_stays_within_its_bounds() {
    let (config, mut checkpoint) = first();
    let latent = config.embed_dim;
    let bias = &mut checkpoint.tensors.get_mut("quant_conv.bias").unwrap().data;
    bias[latent..].fill(1e4);
    bias[latent] = -1e4;
    let kl = Kl::load(&config, &checkpoint, &burn_device()).unwrap();
    let side = config.resolution;
    let posterior = kl.encode(Tensor::zeros([1, 3, side, side], &burn_device()));
    let logvar = download(posterior.logvar);
    let (low, high) = logvar.split_at(logvar.len() / latent);
    assert_eq!(low, vec![-30.0; low.len()]);
    assert_eq!(high, vec![20.0; high.len()]);
}

#[test]
fn a_discriminator_in_the_file_is_named_and_can_be_dropped() {
    let (config, mut checkpoint) = first();
    let extra = HostTensor { shape: vec![1], data: vec![0.0] };
    checkpoint.tensors.insert("loss.logvar".to_owned(), extra);
    let error = Kl::load(&config, &checkpoint, &burn_device()).unwrap_err().to_string();
    assert!(error.contains("'loss.logvar'"), "{error}");
    Kl::load(&config, &checkpoint.without_prefix("loss."), &burn_device()).unwrap();
}

#[test]
fn what_does_not_fit_is_an_error_that_names_it() {
    let (config, mut checkpoint) = first();
    let odd = KlConfig { ch: 33, ..config.clone() };
    assert!(matches!(Kl::load(&odd, &checkpoint, &burn_device()), Err(KlError::Config(_))));

    let deeper = KlConfig { num_res_blocks: config.num_res_blocks + 1, ..config.clone() };
    let error = Kl::load(&deeper, &checkpoint, &burn_device()).unwrap_err().to_string();
    assert!(error.contains(&format!("encoder.down.0.block.{}", config.num_res_blocks)), "{error}");

    checkpoint.tensors.remove("decoder.mid.attn_1.k.bias");
    let error = Kl::load(&config, &checkpoint, &burn_device()).unwrap_err().to_string();
    assert!(error.contains("'decoder.mid.attn_1.k.bias'"), "{error}");
}

/// The engines with the autoencoder of `config`, by name, and how far each may be from the reference.
fn engines(config: &KlConfig, checkpoint: &Checkpoint) -> Vec<(&'static str, Arc<dyn Autoencoder>, f64)> {
    let cpu: Arc<dyn Autoencoder> = Arc::new(cpu::Kl::load(config, checkpoint).unwrap());
    #[allow(unused_mut)] // without the WGSL engine, there is one
    let mut engines = vec![("CPU", cpu, 1e-4)];
    #[cfg(feature = "webgpu")]
    for (name, tuning) in [("WGSL, software", gpu::Tuning::SOFTWARE), ("WGSL, hardware", gpu::Tuning::HARDWARE)] {
        engines.push((name, Arc::new(on_gpu(config, checkpoint, tuning)), 1e-3));
    }
    engines
}

/// The autoencoder on the GPU, which is opened once.
#[cfg(feature = "webgpu")]
fn on_gpu(config: &KlConfig, checkpoint: &Checkpoint, tuning: gpu::Tuning) -> gpu::Kl {
    static GPU: std::sync::OnceLock<gpu::Gpu> = std::sync::OnceLock::new();
    let network = marscope_core::preset::Preset::Tiny.weights(&[]).model;
    let gpu = GPU.get_or_init(|| block_on(gpu::Gpu::open(&network)).unwrap());
    block_on(gpu.tuned(tuning).load_autoencoder(config, checkpoint)).unwrap()
}

fn close(what: &str, found: &[f32], expected: &[f64], most: f64) {
    let error = relative_error(found, expected);
    println!("  {what}: {error:.2e} (at most {most:.0e})");
    assert!(error <= most, "{what} is off by {error:.3e}, more than {most:.0e}");
}

#[test]
fn engines_encode_and_decode_as_the_official_implementation() {
    for dir in parity_dirs("kl-") {
        let recorded = read(&dir.join("forward.safetensors"));
        let [image, mean, decoded] = ["image", "mean", "decoded"].map(|name| &recorded[name]);
        let count = image.shape[0];
        let part = |tensor: &Expected, i: usize| {
            let each = tensor.data.len() / count;
            tensor.data[i * each..(i + 1) * each].to_vec()
        };
        let numbers = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<_>>();
        for (name, engine, most) in engines(&config(&dir), &parameters(&dir)) {
            for i in 0..count {
                let found = block_on(engine.encode(&numbers(&part(image, i)), image.shape[3])).unwrap();
                close(&format!("{name}, mean of {i}"), &found, &part(mean, i), most);
                // From the recorded mean, so that an error of the encoder does not show here too.
                let found = block_on(engine.decode(&numbers(&part(mean, i)), mean.shape[3])).unwrap();
                close(&format!("{name}, picture {i}"), &found, &part(decoded, i), most);
            }
        }
    }
}

/// An autoencoder whose norms and biases do something: a fresh one has ones and zeros there.
fn random(config: &KlConfig, seed: u32) -> Checkpoint {
    let fresh = Kl::init(config, u64::from(seed), &burn_device()).unwrap();
    let mut checkpoint = to_checkpoint(&fresh, fresh.names());
    for (i, tensor) in checkpoint.tensors.values_mut().enumerate() {
        let mut noise = vec![0.0; tensor.data.len()];
        Philox::new(5).normal([seed, i as u32, 0], &mut noise);
        tensor.data.iter_mut().zip(noise).for_each(|(value, noise)| *value += 0.2 * noise);
    }
    checkpoint
}

/// Channels that no vector divides, one group, a group a channel, one level, several residual blocks, attention on every
/// level, more positions than the attention takes at once, and the shape of the portraits; latents of sides that are no powers
/// of two, down to one position.
#[test]
fn engines_are_the_reference_on_awkward_shapes() {
    let portraits = KlConfig {
        ch: 16,
        ch_mult: vec![1, 2, 4, 6],
        z_channels: 16,
        embed_dim: 16,
        resolution: 64,
        num_res_blocks: 1,
        encoder_attn_resolutions: vec![],
        decoder_attn_resolutions: vec![],
        groups: 4,
    };
    let small = KlConfig { ch: 6, ch_mult: vec![1, 2], z_channels: 3, embed_dim: 5, groups: 3, ..portraits.clone() };
    let attentive = KlConfig {
        ch: 5,
        ch_mult: vec![1, 3, 2],
        z_channels: 2,
        embed_dim: 1,
        resolution: 12,
        num_res_blocks: 2,
        encoder_attn_resolutions: vec![6, 12],
        decoder_attn_resolutions: vec![3, 12],
        groups: 1,
    };
    let flat = KlConfig { ch: 7, ch_mult: vec![1], groups: 7, resolution: 5, embed_dim: 2, ..small.clone() };
    let narrowing = KlConfig { ch: 13, ch_mult: vec![2, 1, 1], groups: 13, resolution: 8, ..small.clone() };
    let wide = KlConfig { ch: 32, ch_mult: vec![1, 3], groups: 32, resolution: 20, ..small.clone() };
    let cases = [
        (small, &[1, 3, 8][..]),
        (attentive, &[3]),
        (flat, &[5]),
        (narrowing, &[2, 3]),
        (wide, &[10]),
        (portraits, &[1, 3, 8]),
    ];
    for (seed, (config, sides)) in (0..).zip(cases) {
        let checkpoint = random(&config, seed);
        let reference = Kl::load(&config, &checkpoint, &burn_device()).unwrap();
        let reference: &dyn Autoencoder = &reference;
        for (name, engine, most) in engines(&config, &checkpoint) {
            assert_eq!(engine.parameters(), reference.parameters());
            for &side in sides {
                let what = format!("{name}, shape {seed}, latents of {side}");
                let mut latents = vec![0.0; config.embed_dim * side * side];
                Philox::new(6).normal([seed, side as u32, 0], &mut latents);
                let image_side = side * config.stride();
                let mut image = vec![0.0; 3 * image_side * image_side];
                Philox::new(7).normal([seed, side as u32, 0], &mut image);
                let wide = |numbers: Vec<f32>| numbers.into_iter().map(f64::from).collect::<Vec<_>>();
                let expected = wide(block_on(reference.decode(&latents, side)).unwrap());
                close(&format!("{what}, decoded"), &block_on(engine.decode(&latents, side)).unwrap(), &expected, most);
                let expected = wide(block_on(reference.encode(&image, image_side)).unwrap());
                let found = block_on(engine.encode(&image, image_side)).unwrap();
                close(&format!("{what}, encoded"), &found, &expected, most);
            }
        }
    }
}

#[test]
fn engines_name_what_is_wrong_with_a_file() {
    let (config, checkpoint) = first();
    let error = |change: &dyn Fn(&mut Checkpoint)| {
        let mut checkpoint = checkpoint.clone();
        change(&mut checkpoint);
        cpu::Kl::load(&config, &checkpoint).err().expect("what was changed is found").to_string()
    };
    let missing = error(&|checkpoint| drop(checkpoint.tensors.remove("decoder.mid.attn_1.k.bias")));
    assert!(missing.contains("no tensor 'decoder.mid.attn_1.k.bias'"), "{missing}");
    let misshapen = error(&|checkpoint| checkpoint.tensors.get_mut("decoder.conv_out.weight").unwrap().shape[0] = 4);
    assert!(misshapen.contains("'decoder.conv_out.weight' has shape [4, "), "{misshapen}");
    let infinite = error(&|checkpoint| checkpoint.tensors.get_mut("quant_conv.bias").unwrap().data[1] = f32::INFINITY);
    assert!(infinite.contains("'quant_conv.bias' holds inf at element 1"), "{infinite}");
    let extra = || HostTensor { shape: vec![1], data: vec![0.0] };
    let left = error(&|checkpoint| drop(checkpoint.tensors.insert("decoder.extra".into(), extra())));
    assert!(left.contains("1 tensors that the configuration has no place for, the first is 'decoder.extra'"), "{left}");
    // The discriminator of the training, which official files carry.
    let mut with = checkpoint.clone();
    with.tensors.insert("loss.logvar".into(), extra());
    assert_eq!(cpu::Kl::load(&config, &with).unwrap().parameters(), engines(&config, &checkpoint)[0].1.parameters());
}

#[cfg(feature = "webgpu")]
#[test]
fn a_picture_is_one_submission_on_the_gpu() {
    let (config, checkpoint) = first();
    let kl = on_gpu(&config, &checkpoint, gpu::Tuning::SOFTWARE);
    let side = config.resolution / config.stride();
    let latents = vec![0.5; config.embed_dim * side * side];
    let picture = block_on(Autoencoder::decode(&kl, &latents, side)).unwrap();
    let first = kl.cost();
    assert_eq!((first.submissions, first.grown), (1, 1), "the buffers were made when it was loaded");
    assert_eq!(first.read, 4 * picture.len() as u64);
    assert_eq!(block_on(Autoencoder::decode(&kl, &latents, side)).unwrap(), picture);
    let second = kl.cost();
    assert_eq!((second.submissions, second.grown), (2, 1), "and serve again");
    assert_eq!(second.dispatches, 2 * first.dispatches);
    block_on(Autoencoder::encode(&kl, &picture, config.resolution)).unwrap();
    assert_eq!((kl.cost().submissions, kl.cost().grown), (3, 2));
}
