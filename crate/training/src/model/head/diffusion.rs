//! The denoising head: a small MLP that, given a noisy token, a timestep and z, predicts the noise and its variance.
//! Section 3.2 and appendix B of the paper (adaptive layer norm, as in DiT).

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};

use crate::model::ops::{LayerNorm, Linear, add_gated, bare_norm_modulate, linear_silu, norm_modulate, silu};
use crate::model::params::{Init, Params};
use marscope_core::checkpoint::CheckpointError;
use marscope_core::config::MarConfig;

/// Sinusoidal features of a timestep.
const FREQUENCIES: usize = 256;

/// `x + gate * MLP(modulate(LN(x)))`.
#[derive(Module, Debug)]
struct ResBlock {
    in_ln: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    modulation: Linear,
}

impl ResBlock {
    fn new(params: &mut Params, name: &str, width: usize) -> Result<Self, CheckpointError> {
        Ok(Self {
            in_ln: LayerNorm::new(params, &format!("{name}.in_ln"), width)?,
            fc1: Linear::new(params, &format!("{name}.mlp.0"), [width, width], Init::Xavier)?,
            fc2: Linear::new(params, &format!("{name}.mlp.2"), [width, width], Init::Xavier)?,
            modulation: Linear::new(
                params,
                &format!("{name}.adaLN_modulation.1"),
                [width, 3 * width],
                Init::Constant(0.0),
            )?,
        })
    }

    /// `x` and `silu(y)`, each `[rows, width]`.
    fn forward(&self, x: Tensor<2>, silu_y: Tensor<2>) -> Tensor<2> {
        let [shift, scale, gate] = self.modulation.forward_parts(silu_y);
        let h = norm_modulate(&self.in_ln, x.clone(), shift, scale);
        add_gated(x, gate, self.fc2.forward(linear_silu(&self.fc1, h)))
    }
}

/// The head's network, `diffloss.net` in the official checkpoint.
#[derive(Module, Debug)]
pub struct DiffusionHead {
    input_proj: Linear,
    time1: Linear,
    time2: Linear,
    cond_embed: Linear,
    blocks: Vec<ResBlock>,
    final_modulation: Linear,
    final_linear: Linear,
}

impl DiffusionHead {
    /// The head of `config`.
    ///
    /// # Errors
    /// As [`Params::tensor`].
    pub fn new(params: &mut Params, config: &MarConfig) -> Result<Self, CheckpointError> {
        let (width, token) = (config.diffloss_w, config.token_dim());
        let mut linear = |name: &str, shape, init| Linear::new(params, &format!("diffloss.net.{name}"), shape, init);
        let zero = Init::Constant(0.0);
        Ok(Self {
            input_proj: linear("input_proj", [token, width], Init::Xavier)?,
            time1: linear("time_embed.mlp.0", [FREQUENCIES, width], Init::Normal(0.02))?,
            time2: linear("time_embed.mlp.2", [width, width], Init::Normal(0.02))?,
            cond_embed: linear("cond_embed", [config.decoder_embed_dim, width], Init::Xavier)?,
            final_modulation: linear("final_layer.adaLN_modulation.1", [width, 2 * width], zero)?,
            final_linear: linear("final_layer.linear", [width, 2 * token], zero)?,
            blocks: (0..config.diffloss_d)
                .map(|i| ResBlock::new(params, &format!("diffloss.net.res_blocks.{i}"), width))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Embeds `timesteps` (of the 1,000): `[timesteps, width]`. Depends on nothing else: call it once per schedule.
    pub fn embed_time(&self, timesteps: &[usize]) -> Tensor<2> {
        let half = FREQUENCIES / 2;
        let features = timesteps.iter().flat_map(|&t| {
            let angle = move |i: usize| t as f32 * (-(10_000f64.ln()) * i as f64 / half as f64).exp() as f32;
            (0..half).map(move |i| angle(i).cos()).chain((0..half).map(move |i| angle(i).sin()))
        });
        let data = TensorData::new(features.collect::<Vec<f32>>(), [timesteps.len(), FREQUENCIES]);
        let features = Tensor::from_data(data, &self.time1.device());
        self.time2.forward(linear_silu(&self.time1, features))
    }

    /// Embeds conditions z `[rows, decoder width]`: `[rows, width]`. Call it once per iteration.
    pub fn embed_condition(&self, z: Tensor<2>) -> Tensor<2> {
        self.cond_embed.forward(z)
    }

    /// Noisy tokens `x_t` `[rows, C]` and `y` = time embedding + condition embedding `[rows, width]` to the predicted
    /// noise and the variance interpolation v, `[rows, 2C]`.
    pub fn forward(&self, x_t: Tensor<2>, y: Tensor<2>) -> Tensor<2> {
        let silu_y = silu(y);
        let x = self.input_proj.forward(x_t);
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x, silu_y.clone()));
        let [shift, scale] = self.final_modulation.forward_parts(silu_y);
        self.final_linear.forward(bare_norm_modulate(x, shift, scale))
    }
}
