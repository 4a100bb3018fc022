//! Every number of the official implementation's fixtures, reproduced: forward, loss, decoding, schedules.
//! Fixtures are found by walking `tests/fixtures/parity` and `$MARSCOPE_PARITY_DIR`; shapes come from their config.json.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use common::{Expected, assert_close, burn_device, device, parity_dirs, read, tolerance};
use marscope_core::checkpoint::read_safetensors;
use marscope_core::config::Label;
use marscope_core::config::MarConfig;
use marscope_core::diffusion::{Schedule, Solver};
use marscope_core::network::Network;
use marscope_core::sampler::{CfgSchedule, Decoding, ImagePlan, Noise, Settings};
use marscope_core::tokenizer::Patches;
use marscope_training::model::Mar;
use marscope_training::model::head::{Head, diffusion_loss};

fn config(folder: &Path) -> MarConfig {
    let config: MarConfig = serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap();
    config.validate().unwrap();
    config
}

fn load(folder: &Path, device: &burn::tensor::Device) -> Mar {
    let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
    Mar::load(&config(folder), &read_safetensors(&bytes).unwrap(), device).unwrap()
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().unwrap()
}

/// Cuts square latents `[n, c, side, side]` into tokens, image by image.
fn patchify(config: &MarConfig, images: &[f32]) -> Vec<f32> {
    let side = config.img_size / config.vae_stride;
    let patches = Patches::new(config.vae_embed_dim, side, config.patch_size);
    images.chunks_exact(config.vae_embed_dim * side * side).flat_map(|image| patches.patchify(image)).collect()
}

/// What a fixture trains on: tokens, masks, labels.
struct Batch {
    tokens: Vec<f32>,
    masked: Vec<bool>,
    labels: Vec<Label>,
}

fn batch(config: &MarConfig, forward: &BTreeMap<String, Expected>) -> Batch {
    let dropped = &forward["label_dropped"].data;
    Batch {
        tokens: patchify(config, &forward["images"].f32()),
        masked: forward["mask"].data.iter().map(|&m| m != 0.0).collect(),
        labels: forward["labels"].usize().into_iter().zip(dropped).map(|(l, &d)| (d == 0.0).then_some(l)).collect(),
    }
}

#[test]
fn forward_and_loss() {
    let device = burn_device();
    for folder in parity_dirs("mar-") {
        let (config, model) = (config(&folder), load(&folder, &device));
        let forward = read(&folder.join("forward.safetensors"));
        let Batch { tokens, masked, labels } = batch(&config, &forward);
        let most = tolerance(1e-5);
        assert_close("tokens", &tokens, &forward["tokens"], 0.0);

        let backbone = model.forward(&tokens, &masked, &labels);
        assert_close("encoder_out", &host(backbone.features), &forward["encoder_out"], most);
        assert_close("decoder_out", &host(backbone.z.clone()), &forward["decoder_out"], most);

        let [images, length, width] = backbone.z.dims();
        let repeats = config.diffusion_batch_mul;
        let t = forward["t"].usize();
        let dim = config.token_dim();
        let rows = |data: Vec<f32>| {
            let count = data.len() / dim;
            Tensor::<2>::from_data(TensorData::new(data, [count, dim]), &device)
        };
        let Head::Diffusion(head) = &model.head;
        let condition = head.embed_condition(backbone.z.reshape([images * length, width]));
        let loss = diffusion_loss(
            head,
            &Schedule::train(),
            rows(tokens).repeat_dim(0, repeats),
            condition.repeat_dim(0, repeats),
            &t,
            rows(forward["noise"].f32()),
        );
        assert_close("x_t", &host(loss.x_t), &forward["x_t"], most);
        assert_close("net_out", &host(loss.out), &forward["net_out"], most);
        let (mse, vb) = (host(loss.mse), host(loss.vb));
        assert_close("mse", &mse, &forward["mse"], most);
        assert_close("vb", &vb, &forward["vb"], most);
        let per_row: Vec<f32> = mse.iter().zip(&vb).map(|(mse, vb)| mse + vb).collect();
        assert_close("loss_per_row", &per_row, &forward["loss_per_row"], most);
        let kept = per_row.iter().enumerate().filter(|(row, _)| masked[row % masked.len()]).map(|(_, &loss)| loss);
        let (sum, count) = kept.fold((0.0f64, 0), |(sum, count), loss| (sum + f64::from(loss), count + 1));
        assert_close("loss", &[(sum / f64::from(count)) as f32], &forward["loss"], most);
    }
}

/// The noise that a fixture recorded, in place of a generator.
struct Recorded {
    images: usize,
    dim: usize,
    iterations: Vec<Draws>,
}

struct Draws {
    rows: usize,
    init: Vec<f32>,
    steps: Vec<f32>,
    /// Position of each row, image-major.
    tokens: Vec<(usize, usize)>,
}

impl Noise for Recorded {
    fn fill(&self, image: usize, iteration: usize, step: usize, token: usize, out: &mut [f32]) {
        let draws = &self.iterations[iteration];
        let row = draws.tokens.iter().position(|&at| at == (image, token)).unwrap();
        assert!(image < self.images);
        let from = match step.checked_sub(1) {
            None => &draws.init[row * self.dim..],
            Some(step) => &draws.steps[(step * draws.rows + row) * self.dim..],
        };
        out.copy_from_slice(&from[..self.dim]);
    }
}

#[derive(serde::Deserialize)]
struct Sample {
    labels: Vec<usize>,
    num_iter: usize,
    cfg: f32,
    cfg_schedule: CfgSchedule,
    temperature: f32,
    clip_denoised: bool,
    num_sampling_steps: String,
}

#[test]
fn decoding_with_recorded_noise() {
    let device = device();
    for folder in parity_dirs("mar-") {
        let config = config(&folder);
        let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
        let checkpoint = read_safetensors(&bytes).unwrap();
        let network = device.load(&config, &checkpoint);
        let mut samples = 0;
        for index in 0.. {
            let Ok(json) = std::fs::read(folder.join(format!("sample{index}.json"))) else { break };
            println!("sample{index}");
            decode(&config, &network, &serde_json::from_slice(&json).unwrap(), &folder, index);
            samples += 1;
        }
        assert!(samples > 0, "{} has no sample0.json", folder.display());
    }
}

fn decode(config: &MarConfig, network: &Arc<dyn Network>, sample: &Sample, folder: &Path, index: usize) {
    let expected = read(&folder.join(format!("sample{index}.safetensors")));
    let (length, dim, images) = (config.tokens(), config.token_dim(), sample.labels.len());
    let most = tolerance(1e-5);
    // Officially the first of an order stay masked longest; here they come first.
    let orders: Vec<Vec<usize>> =
        expected["orders"].usize().chunks_exact(length).map(|order| order.iter().rev().copied().collect()).collect();

    let mut known = 0;
    let iterations = (0..sample.num_iter)
        .map(|k| {
            let init = &expected[&format!("iter{k}.noise_init")];
            let rows = init.shape[0];
            let each = rows / images;
            let mut tokens = Vec::new();
            for (image, order) in orders.iter().enumerate() {
                let mut places = order[known..known + each].to_vec();
                places.sort_unstable();
                tokens.extend(places.into_iter().map(|place| (image, place)));
            }
            known += each;
            Draws { rows, init: init.f32(), steps: expected[&format!("iter{k}.noise_steps")].f32(), tokens }
        })
        .collect();
    assert_eq!(known, length);

    let settings = Settings {
        iterations: sample.num_iter,
        steps: sample.num_sampling_steps.as_str().into(),
        late_steps: None,
        solver: Solver::Ddpm,
        cfg: sample.cfg,
        cfg_every: 1,
        cfg_schedule: sample.cfg_schedule,
        temperature: sample.temperature,
    };
    let plans =
        sample.labels.iter().zip(orders).map(|(&label, order)| ImagePlan { label: Some(label), order }).collect();
    let noise = Arc::new(Recorded { images, dim, iterations });
    let decoding = Decoding::new(network.clone(), settings, plans, noise, None).unwrap();
    let mut decoding = decoding.clipping(sample.clip_denoised.then_some(1.0)).keeping_steps(1).keeping_z();
    let mut worst = [0.0f64; 2];
    while let Some(event) = pollster::block_on(decoding.advance()).unwrap() {
        let k = event.iteration;
        let trajectory = event.drawn.trajectory().expect("the head is a diffusion");
        let rows = event.rows.len();
        let z = &expected[&format!("iter{k}.z")];
        let predicted = &expected[&format!("iter{k}.predicted")];
        let found = &trajectory.frames[trajectory.frames.len() - rows * dim..];
        worst[0] = worst[0].max(common::relative_error(event.z.as_ref().unwrap(), &z.data));
        worst[1] = worst[1].max(common::relative_error(found, &predicted.data));
        if let Some(official) = expected.get(&format!("iter{k}.trajectory")) {
            // Frame 0 is the noise; the fixture has x after each step.
            assert_eq!(trajectory.taken, (0..=official.shape[0]).collect::<Vec<_>>());
            assert_close(&format!("iter{k}.trajectory"), &trajectory.frames[rows * dim..], official, most);
        }
    }
    println!("  z: at most {:.2e}, predicted: at most {:.2e}", worst[0], worst[1]);
    assert!(worst[0] <= most, "z is off by {:.3e}", worst[0]);
    assert!(worst[1] <= most, "predicted is off by {:.3e}", worst[1]);
    let latents = Expected {
        data: patchify(config, &expected["latents"].f32()).into_iter().map(f64::from).collect(),
        shape: vec![],
    };
    assert_close("latents", decoding.tokens().continuous().unwrap(), &latents, most);
}

#[test]
fn schedules() {
    type Tables = BTreeMap<String, BTreeMap<String, Vec<f64>>>;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/parity/schedules.json");
    let tables: Tables = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(tables.len() >= 6);
    for (spec, expected) in tables {
        let schedule = if spec == "train" { Schedule::train() } else { Schedule::respaced(&spec).unwrap() };
        let timesteps: Vec<f64> = schedule.timesteps.iter().map(|&t| t as f64).collect();
        for (name, found) in [
            ("timestep_map", &timesteps),
            ("betas", &schedule.betas),
            ("alphas_cumprod", &schedule.alpha_bar),
            ("posterior_variance", &schedule.posterior_variance),
            ("posterior_log_variance_clipped", &schedule.posterior_log_variance),
            ("posterior_mean_coef1", &schedule.posterior_mean_x0),
            ("posterior_mean_coef2", &schedule.posterior_mean_xt),
        ] {
            assert_eq!(found.len(), expected[name].len(), "{spec} {name}");
            for (step, (&found, &expected)) in found.iter().zip(&expected[name]).enumerate() {
                let error = (found - expected).abs() / expected.abs().max(1e-30);
                assert!(error < 1e-9, "{spec} {name}[{step}]: {found} for {expected}");
            }
        }
    }
}

#[cfg(feature = "train")]
mod training {
    use super::*;
    use burn::module::{ModuleVisitor, Param};
    use burn::tensor::Gradients;
    use marscope_core::checkpoint::HostTensor;
    use marscope_training::model::{Names, from_official, to_official};
    use marscope_training::train::{Batch, Grads, Optimizer, OptimizerSettings, loss};

    struct Collect<'a> {
        names: &'a Names,
        gradients: &'a Gradients,
        found: Vec<(String, Vec<f32>)>,
    }

    impl ModuleVisitor for Collect<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let name = &self.names[&param.id];
            let gradient = param.val().grad(self.gradients).unwrap_or_else(|| panic!("no gradient of {name:?}"));
            let held = HostTensor { shape: gradient.dims().to_vec(), data: host(gradient) };
            self.found.push((name.official.clone(), to_official(name, held).data));
        }
    }

    /// The fixture's own gradients, as those of the sum of every parameter times its gradient.
    fn given_gradients(model: &Mar, expected: &BTreeMap<String, Expected>) -> Gradients {
        struct Sum<'a> {
            names: &'a Names,
            expected: &'a BTreeMap<String, Expected>,
            total: Option<Tensor<1>>,
        }
        impl ModuleVisitor for Sum<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let name = &self.names[&param.id];
                let gradient = &self.expected[&format!("grad.{}", name.official)];
                let official = HostTensor { shape: gradient.shape.clone(), data: gradient.f32() };
                let value = param.val();
                let data = TensorData::new(from_official(name, &official), value.dims());
                let term = (value.clone() * Tensor::from_data(data, &value.device())).sum();
                self.total = Some(self.total.take().map_or(term.clone(), |total| total + term));
            }
        }
        let mut sum = Sum { names: model.names(), expected, total: None };
        burn::module::Module::visit(model, &mut sum);
        sum.total.unwrap().backward()
    }

    /// Gradients of the masked-rows-only loss, and one `AdamW` step in the official groups on clipped gradients.
    #[test]
    fn gradients_and_one_step() {
        let device = burn_device().autodiff();
        for folder in parity_dirs("mar-") {
            let (config, model) = (config(&folder), load(&folder, &device));
            let forward = read(&folder.join("forward.safetensors"));
            let expected = read(&folder.join("train_step.safetensors"));
            let super::Batch { tokens, masked, labels } = batch(&config, &forward);
            let dim = config.token_dim();
            // The fixture draws for every token, the trainer for masked ones only.
            let kept: Vec<usize> = (0..forward["t"].data.len()).filter(|row| masked[row % masked.len()]).collect();
            let (t, noise) = (forward["t"].usize(), forward["noise"].f32());
            let batch = Batch {
                t: kept.iter().map(|&row| t[row]).collect(),
                noise: kept.iter().flat_map(|row| &noise[row * dim..(row + 1) * dim]).copied().collect(),
                tokens,
                masked,
                labels,
            };
            let losses = loss(&model, &Schedule::train(), &batch);
            let value = (losses.mse + losses.vb).mean();
            let gradients = value.backward();
            assert_close("loss", &host(value), &forward["loss"], tolerance(1e-5));

            let mut grads = Collect { names: model.names(), gradients: &gradients, found: Vec::new() };
            burn::module::Module::visit(&model, &mut grads);
            let count = expected.keys().filter(|name| name.starts_with("grad.")).count();
            assert_eq!(grads.found.len(), count);
            for (name, found) in &grads.found {
                assert_close(&format!("grad.{name}"), found, &expected[&format!("grad.{name}")], tolerance(1e-4));
            }

            let settings = OptimizerSettings { beta_2: 0.95, weight_decay: 0.02, clip: 3.0 };
            let step = |gradients: Gradients| {
                let gradients = Grads::of(&model, gradients);
                let norm = gradients.norm();
                assert_close("grad_norm", &[norm], &forward["grad_norm"], tolerance(1e-4));
                let moved = Optimizer::new(&model, settings).step(model.clone(), gradients, norm, 1e-3, 0.9);
                moved.to_checkpoint().tensors
            };
            println!("step on the fixture's gradients");
            for (name, tensor) in step(given_gradients(&model, &expected)) {
                assert_close(
                    &format!("adamw.{name}"),
                    &tensor.data,
                    &expected[&format!("adamw.{name}")],
                    tolerance(1e-5),
                );
            }
            println!("step on the gradients found");
            for (name, mut tensor) in step(gradients) {
                let mut expected = expected[&format!("adamw.{name}")].clone();
                // Softmax does not feel a bias on the keys: its true gradient is 0, what is found is rounding, and
                // AdamW's first step blows it up to a whole step. Queries and values are compared.
                if name.ends_with("attn.qkv.bias") {
                    let third = tensor.data.len() / 3;
                    tensor.data.drain(third..2 * third);
                    expected.data.drain(third..2 * third);
                }
                assert_close(&format!("adamw.{name}"), &tensor.data, &expected, tolerance(1e-4));
            }
        }
    }
}
