//! Fits a small network to examples: `AdamW`, linear warm-up, then a cosine to zero, a new order each epoch.
//! Trains the classifier and the parts network of the evaluation; MAR has its own trainer.

use std::f64::consts::PI;

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::Tensor;
use indicatif::{ProgressBar, ProgressStyle};

use marscope_core::random::{Philox, Stream};

/// Examples per step.
pub(super) const BATCH: usize = 64;

/// Steps of warm-up.
const WARM_UP: usize = 100;

/// How a small network is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Training {
    /// Number of epochs.
    pub epochs: usize,
    /// Peak learning rate; it falls to zero along a cosine.
    pub rate: f64,
    /// Random seed, which determines the weights.
    pub seed: u64,
}

/// Fits `network` to `examples` examples and shows progress under the name `what` on stderr. `loss` has the network, the
/// numbers of a batch's examples, and random numbers for it.
pub(super) fn fit<M: Module>(
    mut network: M,
    examples: usize,
    training: Training,
    what: &str,
    loss: impl Fn(&M, &[usize], &mut Stream) -> Tensor<1>,
) -> M {
    let mut optimizer = AdamWConfig::new().with_weight_decay(0.02).init();
    let random = Philox::new(training.seed);
    let total = training.epochs * examples.div_ceil(BATCH);
    let template = format!("{what} {{bar:30}} {{pos}}/{{len}} steps, {{msg}}, {{eta}} left");
    let progress = ProgressBar::new(total as u64)
        .with_style(ProgressStyle::with_template(&template).expect("the template names fields that exist"));
    let (mut step, mut mean_loss) = (0, f64::NAN);
    for epoch in 0..training.epochs {
        let mut stream = random.stream(epoch as u32, 0);
        let mut order: Vec<usize> = (0..examples).collect();
        stream.shuffle(&mut order);
        for batch in order.chunks(BATCH) {
            let loss = loss(&network, batch, &mut stream);
            let value = f64::from(loss.clone().into_scalar::<f32>());
            mean_loss = if mean_loss.is_nan() { value } else { 0.98 * mean_loss + 0.02 * value };
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            network = optimizer.step(rate_at(training.rate, step, total), network, gradients);
            step += 1;
            progress.set_message(format!("loss {mean_loss:.3}"));
            progress.inc(1);
        }
    }
    progress.finish();
    network
}

/// The learning rate of step `step` of `total`: linear warm-up, then a cosine to zero.
fn rate_at(highest: f64, step: usize, total: usize) -> f64 {
    let warm_up = WARM_UP.min(total / 2);
    if step < warm_up {
        return highest * (step + 1) as f64 / warm_up as f64;
    }
    let passed = (step - warm_up) as f64 / (total - warm_up) as f64;
    highest * 0.5 * (1.0 + (PI * passed).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_then_falls_to_zero() {
        let rates: Vec<f64> = (0..1_000).map(|step| rate_at(2.0, step, 1_000)).collect();
        assert!((rates[0] - 0.02).abs() < 1e-12);
        assert!((rates[WARM_UP] - 2.0).abs() < 1e-12);
        assert!((rates[550] - 1.0).abs() < 1e-12);
        assert!(rates[..WARM_UP].is_sorted() && rates[WARM_UP..].is_sorted_by(|a, b| a > b));
        assert!(rates[999] < 1e-4);
    }
}
