//! The reverse process in plain Burn: from noise to tokens, step by step, given the conditions z of one iteration.
//! Section 3.2 of the paper ("Sampler"), with guidance and temperature. The tests compare the engines with it.

use burn::tensor::{Tensor, TensorData};

use marscope_core::diffusion::{ReverseProcess, Step};
use marscope_core::network::{Continue, NetworkError};

use super::DiffusionHead;

/// Runs `process` on the device of `z`. `z` is `[rows, decoder width]`, or `[2 rows, ..]` with guidance: the
/// conditional rows, then the unconditional ones. Returns the frames, `[frames, rows, C]`, and with `explain` the
/// head's prediction at each step, `[steps, rows, 2C]`. `proceed` is asked before every step.
///
/// # Errors
/// [`NetworkError::Stopped`] once `proceed` says no.
pub async fn reverse(
    head: &DiffusionHead,
    z: Tensor<2>,
    process: &ReverseProcess<'_>,
    proceed: &mut dyn Continue,
) -> Result<(Tensor<3>, Option<Tensor<3>>), NetworkError> {
    let steps = process.steps;
    let rows = z.dims()[0] / if process.cfg.is_some() { 2 } else { 1 };
    let dim = process.noise.len() / (steps.len() + 1) / rows;
    let noise: Tensor<3> =
        Tensor::from_data(TensorData::new(process.noise.to_vec(), [steps.len() + 1, rows, dim]), &z.device());
    let noise = |taken: usize| -> Tensor<2> { noise.clone().narrow(0, taken, 1).squeeze_dim(0) };
    let (condition, time) = (head.embed_condition(z), head.embed_time(&steps.timesteps));

    let (mut x, mut previous) = (noise(0), None);
    let (mut frames, mut said) = (Vec::new(), Vec::new());
    for (taken, step) in steps.table.iter().enumerate() {
        if process.stride > 0 && taken.is_multiple_of(process.stride) {
            frames.push(x.clone());
        }
        if !proceed.should_continue().await {
            return Err(NetworkError::Stopped);
        }
        let y = condition.clone() + time.clone().narrow(0, taken, 1);
        let out = guided(head, x.clone(), y, process.cfg);
        if process.explain {
            said.push(out.clone());
        }
        let clean = x.clone() * step.clean_x - out.clone().narrow(1, 0, dim) * step.clean_epsilon;
        let clean = if let Some(bound) = process.clip { clean.clamp(-bound, bound) } else { clean };
        let mut next = clean.clone() * step.to_clean + x * step.to_x;
        if let Some(previous) = previous.filter(|_| step.to_previous != 0.0) {
            next = next + previous * step.to_previous;
        }
        if step.add_noise != 0.0 {
            next = next + deviation(step, out.narrow(1, dim, dim)) * noise(taken + 1) * process.temperature;
        }
        (x, previous) = (next, Some(clean));
    }
    frames.push(x);
    Ok((Tensor::stack(frames, 0), process.explain.then(|| Tensor::stack(said, 0))))
}

/// Standard deviation of the noise that the step adds, before temperature.
fn deviation(step: &Step, v: Tensor<2>) -> Tensor<2> {
    (((v + 1.0) * step.half_range + step.least) * 0.5).exp()
}

/// The head's prediction for `x` `[rows, C]` given `y`: the noise, guidance included, and v, `[rows, 2C]`.
fn guided(head: &DiffusionHead, x: Tensor<2>, y: Tensor<2>, cfg: Option<f32>) -> Tensor<2> {
    let Some(cfg) = cfg else { return head.forward(x, y) };
    let [rows, dim] = x.dims();
    let out = head.forward(Tensor::cat(vec![x.clone(), x], 0), y);
    let noise = out.clone().narrow(1, 0, dim);
    let (with, without) = (noise.clone().narrow(0, 0, rows), noise.narrow(0, rows, rows));
    let noise = without.clone() + (with - without) * cfg;
    Tensor::cat(vec![noise, out.narrow(0, 0, rows).narrow(1, dim, dim)], 1)
}
