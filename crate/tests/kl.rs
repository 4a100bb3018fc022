//! The KL autoencoder against tensors that the official implementation computed.

mod common;

use std::path::Path;

use burn::tensor::{Tensor, TensorData};
use common::{Expected, assert_close, burn_device, parity_dirs, read, tolerance};
use marscope_core::checkpoint::{Checkpoint, HostTensor, read_safetensors};
use marscope_training::autoencoder::{Kl, KlConfig, KlError};

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
