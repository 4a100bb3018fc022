//! The Diffusion Loss: mean squared error of the predicted noise, plus the variational bound for the learned variance.
//! Section 3.2 of the paper; Improved DDPM, equations 14 to 16 (the noise prediction is detached in the bound).

use burn::tensor::{Tensor, TensorData};

use marscope_core::diffusion::Schedule;

use super::DiffusionHead;
use crate::model::indices;

/// The loss of each row and its two parts, each `[rows]`.
pub struct DiffusionLoss {
    /// Mean squared error of the noise.
    pub mse: Tensor<1>,
    /// Variational bound, in bits, averaged over the token's numbers.
    pub vb: Tensor<1>,
    /// What the head predicted, `[rows, 2C]`.
    pub out: Tensor<2>,
    /// The noised tokens, `[rows, C]`.
    pub x_t: Tensor<2>,
}

/// Noises `x0` `[rows, C]` to timestep `t` `[rows]` with `noise` `[rows, C]`, and scores the head's prediction under
/// `condition` (embedded z, `[rows, head width]`). `schedule` is the training schedule.
pub fn diffusion_loss(
    head: &DiffusionHead,
    schedule: &Schedule,
    x0: Tensor<2>,
    condition: Tensor<2>,
    t: &[usize],
    noise: Tensor<2>,
) -> DiffusionLoss {
    let [rows, dim] = x0.dims();
    let device = x0.device();
    let column = |f: &dyn Fn(usize) -> f64| {
        let values: Vec<f32> = t.iter().map(|&t| f(t) as f32).collect();
        Tensor::<2>::from_data(TensorData::new(values, [rows, 1]), &device)
    };
    let signal = column(&|t| schedule.alpha_bar[t].sqrt());
    let spread = column(&|t| (1.0 - schedule.alpha_bar[t]).sqrt());
    let x_t = x0.clone() * signal + noise.clone() * spread;

    let out = head.forward(x_t.clone(), condition + time_rows(head, t));
    let eps = out.clone().narrow(1, 0, dim);
    let v = out.clone().narrow(1, dim, dim);
    let error = eps - noise;
    let mse = error.clone().square().mean_dim(1).squeeze_dim(1);

    // KL of q(x_{t-1} | x_t, x_0) from the predicted Gaussian. Both means contain the same multiple of x_t, so their
    // difference is a multiple of the error in the noise.
    let least = column(&|t| schedule.posterior_log_variance[t]);
    let most = column(&|t| schedule.betas[t].ln());
    let log_variance = (v + 1.0) * 0.5 * (most - least.clone()) + least.clone();
    let mean_per_error = column(&|t| schedule.posterior_mean_x0[t] * (1.0 / schedule.alpha_bar[t] - 1.0).sqrt());
    let mean_error = error.detach() * mean_per_error;
    let kl = ((log_variance.clone() - least.clone())
        + (least - log_variance.clone()).exp()
        + mean_error.clone().square() * (-log_variance.clone()).exp()
        - 1.0)
        * 0.5;
    let not_first = column(&|t| f64::from(t != 0));
    let mut bound = kl * not_first;

    // At t = 0 the bound is the likelihood of the token under a discretised Gaussian; few rows have t = 0.
    let first: Vec<i32> = (0..rows).filter(|&row| t[row] == 0).map(|row| row as i32).collect();
    if !first.is_empty() {
        let rows_at_0 = indices(first, &device);
        let pick = |x: Tensor<2>| x.select(0, rows_at_0.clone());
        let x0 = pick(x0);
        // At t = 0 the mean of q is x_0, so the predicted mean is x_0 minus the mean's error.
        let mean = x0.clone() - pick(mean_error);
        let nll = -discretized_log_likelihood(x0, mean, pick(log_variance) * 0.5);
        bound = bound.select_assign(0, rows_at_0, nll, burn::tensor::IndexingUpdateOp::Add);
    }
    let vb = bound.mean_dim(1).squeeze_dim(1) / std::f32::consts::LN_2;
    DiffusionLoss { mse, vb, out, x_t }
}

/// Time embeddings of `t`, `[rows, width]`; each distinct timestep goes through the MLP once.
fn time_rows(head: &DiffusionHead, t: &[usize]) -> Tensor<2> {
    let mut distinct = t.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let row = |t: &usize| distinct.binary_search(t).expect("every t is among the distinct ones") as i32;
    let rows = t.iter().map(row).collect();
    let table = head.embed_time(&distinct);
    let device = table.device();
    table.select(0, indices(rows, &device))
}

/// Log-likelihood of `x`, 8-bit levels in `[-1, 1]`, under a Gaussian rounded to those levels.
fn discretized_log_likelihood(x: Tensor<2>, mean: Tensor<2>, log_std: Tensor<2>) -> Tensor<2> {
    let centered = x.clone() - mean;
    let inverse_std = (-log_std).exp();
    let above = standard_normal_cdf((centered.clone() + 1.0 / 255.0) * inverse_std.clone());
    let below = standard_normal_cdf((centered - 1.0 / 255.0) * inverse_std);
    let log = |p: Tensor<2>| p.clamp_min(1e-12).log();
    let inside = log(above.clone() - below.clone());
    let lowest = x.clone().lower_scalar(-0.999);
    let highest = x.greater_scalar(0.999);
    inside.mask_where(highest, log(-below + 1.0)).mask_where(lowest, log(above))
}

/// The tanh approximation of the normal distribution function that Improved DDPM uses.
fn standard_normal_cdf(x: Tensor<2>) -> Tensor<2> {
    let cubed = x.clone().square() * x.clone();
    ((x + cubed * 0.044_715) * (2.0 / std::f64::consts::PI).sqrt()).tanh() * 0.5 + 0.5
}
