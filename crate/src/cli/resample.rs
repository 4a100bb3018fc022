//! `marscope resample`: many samples of one token at one point of a decoding, with their mean and deviation.
//! Section 3.2 of the paper: the diffusion head has learned a distribution for each token.

use std::path::PathBuf;

use serde::Serialize;

use super::Failure;
use super::device::DeviceKind;
use super::sample::open;
use super::settings::PictureArgs;
use marscope_core::diffusion::Respacing;
use marscope_core::sampler::HeadSettings;

#[derive(clap::Args)]
pub struct Args {
    /// Weights folder: config.json and model.safetensors
    #[arg(long, default_value = "weights/fashion")]
    model: PathBuf,
    #[command(flatten)]
    picture: PictureArgs,
    /// Iteration at whose start the token is drawn, from 0
    #[arg(long)]
    iteration: usize,
    /// Position of the token: row by row, from 0
    #[arg(long)]
    token: usize,
    /// Number of samples; sample i uses the noise of seed + i
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    count: u32,
    /// Device to compute on
    #[arg(long, value_enum, default_value_t)]
    device: DeviceKind,
}

/// The output. Mean, deviation and each sample have C numbers.
#[derive(Serialize)]
struct Distribution<'a> {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    samples: Vec<&'a [f32]>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let (pipeline, _) = open(&args.model, args.device)?;
    let (label, seed) = (args.picture.label(&pipeline.config.classes)?, args.picture.seed);
    let settings = args.picture.settings(&pipeline)?;
    let mut decoding = pipeline.decode(&[(label, seed)], args.picture.order, settings.clone(), None)?;
    while decoding.state().iteration < args.iteration && pollster::block_on(decoding.advance())?.is_some() {}
    let Some(cfg) = decoding.next_cfg() else {
        let last = decoding.iterations() - 1;
        return Err(format!("there is no iteration {}: give --iteration from 0 to {last}", args.iteration).into());
    };
    // As many steps as the iteration itself would take.
    let steps = decoding.next_steps().map_or(settings.steps, Respacing::from);
    let head = HeadSettings { seed, cfg, steps, solver: settings.solver, temperature: settings.temperature };
    let probe = pipeline.probe(label, decoding.state().clone())?;
    let samples = pollster::block_on(probe.draw(&[args.token], args.count as usize, &head, &mut async || true))?;
    println!("{}", serde_json::to_string(&distribution(&samples, pipeline.config.model.token_dim()))?);
    Ok(())
}

/// Mean and standard deviation (over n - 1) of `samples`, rows of `dim`.
fn distribution(samples: &[f32], dim: usize) -> Distribution<'_> {
    let samples: Vec<&[f32]> = samples.chunks_exact(dim).collect();
    let over_samples = |i: usize, f: &dyn Fn(f64) -> f64| samples.iter().map(|row| f(f64::from(row[i]))).sum::<f64>();
    let count = samples.len() as f64;
    let mean: Vec<f64> = (0..dim).map(|i| over_samples(i, &|value| value) / count).collect();
    let spread = |i: usize| over_samples(i, &|value| (value - mean[i]).powi(2)) / (count - 1.0);
    let deviation = (0..dim).map(|i| spread(i).sqrt()).collect();
    Distribution { mean, deviation, samples }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_deviation_by_hand() {
        let samples = [1.0, 5.0, 2.0, 5.0, 6.0, 5.0];
        let found = distribution(&samples, 2);
        assert_eq!(found.mean, [3.0, 5.0]);
        // (4 + 1 + 9) / 2
        assert_eq!(found.deviation, [7f64.sqrt(), 0.0]);
        assert_eq!(found.samples[1], [2.0, 5.0]);
    }
}
