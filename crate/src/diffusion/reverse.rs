//! The reverse process in plain Burn: noise to tokens, step by step, under the conditions z of one decoding iteration.
//! Section 3.2 of the paper ("Sampler"), with guidance and temperature; what the fast engines are held against.

use burn::tensor::{Tensor, TensorData};

use super::Draw;
use super::steps::Step;
use crate::model::Head;

/// Runs `draw` on the device of `z`, `[rows, decoder width]`, or `[2 rows, ..]` with guidance: the conditional rows, then
/// the unconditional ones. The frames, `[frames, rows, C]`, and, where asked to explain, what the head said at each step,
/// `[steps, rows, 2C]`; `None` once `go_on`, which is asked before every step, says no.
pub async fn draw(
    head: &Head,
    z: Tensor<2>,
    draw: &Draw<'_>,
    mut go_on: impl AsyncFnMut() -> bool,
) -> Option<(Tensor<3>, Option<Tensor<3>>)> {
    let steps = draw.steps;
    let rows = z.dims()[0] / if draw.cfg.is_some() { 2 } else { 1 };
    let dim = draw.noise.len() / (steps.len() + 1) / rows;
    let noise: Tensor<3> =
        Tensor::from_data(TensorData::new(draw.noise.to_vec(), [steps.len() + 1, rows, dim]), &z.device());
    let noise = |taken: usize| -> Tensor<2> { noise.clone().narrow(0, taken, 1).squeeze_dim(0) };
    let (condition, time) = (head.embed_condition(z), head.embed_time(&steps.timesteps));

    let (mut x, mut previous) = (noise(0), None);
    let (mut frames, mut said) = (Vec::new(), Vec::new());
    for (taken, step) in steps.table.iter().enumerate() {
        if draw.stride > 0 && taken.is_multiple_of(draw.stride) {
            frames.push(x.clone());
        }
        if !go_on().await {
            return None;
        }
        let y = condition.clone() + time.clone().narrow(0, taken, 1);
        let out = guided(head, x.clone(), y, draw.cfg);
        if draw.explain {
            said.push(out.clone());
        }
        let clean = x.clone() * step.clean_x - out.clone().narrow(1, 0, dim) * step.clean_epsilon;
        let clean = if draw.clip { clean.clamp(-1.0, 1.0) } else { clean };
        let mut next = clean.clone() * step.to_clean + x * step.to_x;
        if let Some(previous) = previous.filter(|_| step.to_previous != 0.0) {
            next = next + previous * step.to_previous;
        }
        if step.add_noise != 0.0 {
            next = next + deviation(step, out.narrow(1, dim, dim)) * noise(taken + 1) * draw.temperature;
        }
        (x, previous) = (next, Some(clean));
    }
    frames.push(x);
    Some((Tensor::stack(frames, 0), draw.explain.then(|| Tensor::stack(said, 0))))
}

/// Standard deviation of what the step adds, before temperature.
fn deviation(step: &Step, v: Tensor<2>) -> Tensor<2> {
    (((v + 1.0) * step.half_range + step.least) * 0.5).exp()
}

/// What the head makes of `x` `[rows, C]` under `y`: the predicted noise, guidance included, and v, `[rows, 2C]`.
fn guided(head: &Head, x: Tensor<2>, y: Tensor<2>, cfg: Option<f32>) -> Tensor<2> {
    let Some(cfg) = cfg else { return head.forward(x, y) };
    let [rows, dim] = x.dims();
    let out = head.forward(Tensor::cat(vec![x.clone(), x], 0), y);
    let noise = out.clone().narrow(1, 0, dim);
    let (with, without) = (noise.clone().narrow(0, 0, rows), noise.narrow(0, rows, rows));
    let noise = without.clone() + (with - without) * cfg;
    Tensor::cat(vec![noise, out.narrow(0, 0, rows).narrow(1, dim, dim)], 1)
}
