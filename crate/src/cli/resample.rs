//! `marscope resample`: the distribution of one token at one moment, by drawing it again and again.
//! Section 3.2 of the paper: what the diffusion head has learned is a distribution for each token.

use std::path::PathBuf;

use serde::Serialize;

use super::Failure;
use super::device::DeviceKind;
use super::sample::open;
use super::settings::PictureArgs;
use crate::sampler::HeadSettings;

#[derive(clap::Args)]
pub struct Args {
    /// Weights folder: config.json and model.safetensors
    #[arg(long, default_value = "weights/fashion")]
    model: PathBuf,
    #[command(flatten)]
    picture: PictureArgs,
    /// Iteration before which the token is drawn, from 0
    #[arg(long)]
    iteration: usize,
    /// Position of the token, row by row from 0
    #[arg(long)]
    token: usize,
    /// Number of samples; the first is the seed's own, the others those of the seeds that follow
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    count: u32,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    device: DeviceKind,
}

/// What is printed, each of C numbers.
#[derive(Serialize)]
struct Distribution<'a> {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    samples: Vec<&'a [f32]>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let engine = open(&args.model, args.device)?;
    let (label, seed) = (args.picture.label(), args.picture.seed);
    let settings = args.picture.settings(&engine);
    let mut decoding = engine.decode(&[(label, seed)], args.picture.order, settings.clone(), None)?;
    while decoding.standing().iteration < args.iteration && pollster::block_on(decoding.advance())?.is_some() {}
    let Some(cfg) = decoding.next_cfg() else {
        let last = decoding.iterations() - 1;
        return Err(format!("there is no iteration {}: give 0 to {last} as --iteration", args.iteration).into());
    };
    // As many steps as the iteration itself would take.
    let steps = decoding.next_steps().map_or(settings.steps, |steps| steps.to_string());
    let head = HeadSettings {
        seed,
        cfg,
        steps,
        solver: settings.solver,
        temperature: settings.temperature,
        clip: settings.clip,
    };
    let moment = engine.moment(label, decoding.standing().clone())?;
    let samples = pollster::block_on(moment.draw(&[args.token], args.count as usize, &head, async || true))?;
    println!("{}", serde_json::to_string(&distribution(&samples, engine.config.model.token_dim()))?);
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
