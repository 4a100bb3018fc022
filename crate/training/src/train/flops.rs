//! Floating-point operations: how many training on one example takes, and how many a device can do per second.
//! Counts matrix products only, as is usual; a multiplication and an addition are two operations.

use std::time::{Duration, Instant};

use burn::tensor::{Device, Distribution, Tensor};

use marscope_core::config::MarConfig;
use marscope_core::diffusion::Schedule;

/// Sinusoidal features of a timestep.
const FREQUENCIES: f64 = 256.0;

/// Floating-point operations of training on one example, forward and backward, in batches of `batch` with `mask_ratio`
/// of the tokens masked on average. The backward pass counts twice the forward pass: every product has a gradient for
/// each of its two factors.
pub fn flops_per_example(config: &MarConfig, mask_ratio: f64, batch: usize) -> f64 {
    3.0 * 2.0 * (backbone(config, mask_ratio) + head(config, mask_ratio, batch))
}

/// Multiplications of encoder and decoder on one example.
fn backbone(config: &MarConfig, mask_ratio: f64) -> f64 {
    let [length, buffer, dim] = [config.tokens(), config.buffer_size, config.token_dim()].map(|n| n as f64);
    let [encoder, decoder] = [config.encoder_embed_dim, config.decoder_embed_dim];
    let known = length * (1.0 - mask_ratio);
    let z_proj = known * dim * encoder as f64;
    let embed = (buffer + known) * encoder as f64 * decoder as f64;
    z_proj
        + blocks(config.encoder_depth, buffer + known, encoder, config.mlp_ratio)
        + embed
        + blocks(config.decoder_depth, buffer + length, decoder, config.mlp_ratio)
}

/// Multiplications of `depth` transformer blocks of `width` over `positions`.
fn blocks(depth: usize, positions: f64, width: usize, mlp_ratio: f64) -> f64 {
    let width = width as f64;
    let hidden = (width * mlp_ratio).floor();
    let linear = positions * (4.0 * width * width + 2.0 * width * hidden);
    let scores_and_values = 2.0 * positions * positions * width;
    depth as f64 * (linear + scores_and_values)
}

/// Multiplications of the denoising head on one example.
fn head(config: &MarConfig, mask_ratio: f64, batch: usize) -> f64 {
    let [length, dim, width] = [config.tokens(), config.token_dim(), config.diffloss_w].map(|n| n as f64);
    let masked = length * mask_ratio;
    let rows = masked * config.diffusion_batch_mul as f64;
    // Each block: shift, scale, gate and two layers. The final layer: shift and scale, and the noise with its variance.
    let block = 5.0 * width * width;
    let row = dim * width + config.diffloss_d as f64 * block + 2.0 * width * width + width * 2.0 * dim;
    // z is embedded once for all its repeats, and each distinct timestep once per batch.
    let condition = masked * config.decoder_embed_dim as f64 * width;
    let times = distinct_timesteps(rows * batch as f64) / batch as f64;
    condition + rows * row + times * (FREQUENCIES * width + width * width)
}

/// Expected number of distinct timesteps among `rows` draws.
fn distinct_timesteps(rows: f64) -> f64 {
    let timesteps = Schedule::train().len() as f64;
    timesteps * (1.0 - (1.0 - 1.0 / timesteps).powf(rows))
}

/// Floating-point operations per second that `device` reaches in its default precision: the best of several products of
/// square matrices, measured in about a second. The log compares the speed of training with it.
pub fn measure_roof(device: &Device) -> f64 {
    let (began, device) = (Instant::now(), device.clone().inner());
    let mut best = 0.0;
    for side in [256, 512, 1024, 2048, 4096, 8192] {
        let random = || Tensor::<2>::random([side, side], Distribution::Default, &device);
        let (a, b) = (random(), random());
        let product = || {
            let began = Instant::now();
            // Reads one number back: only then is the product certainly done.
            let one = a.clone().matmul(b.clone()).slice([0..1, 0..1]);
            one.try_into_scalar::<f32>().is_ok().then(|| began.elapsed())
        };
        // The first product compiles or selects kernels. The search ends where memory does.
        let Some(fastest) = product().and_then(|_| (0..3).filter_map(|_| product()).min()) else { break };
        let fastest = fastest.max(Duration::from_nanos(1));
        best = f64::max(best, 2.0 * f64::from(side).powi(3) / fastest.as_secs_f64());
        // The next size takes eight times as long, and runs four times.
        if began.elapsed() + 32 * fastest > Duration::from_millis(1500) {
            break;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Mar;
    use crate::train::Preset;

    fn assert_near(found: f64, expected: f64, tolerance: f64) {
        assert!((found / expected - 1.0).abs() <= tolerance, "{found} for {expected}");
    }

    /// 42 of 49 tokens of 16 numbers are masked: 9 positions in the encoder, 51 in the decoder, 84 rows in the head.
    #[test]
    fn the_tiny_preset_counted_by_hand() {
        let config = Preset::Tiny.weights(&[]).model;
        let z_proj = 7 * 16 * 32;
        let encoder = 9 * (32 * 96 + 32 * 32 + 32 * 128 + 128 * 32) + 2 * 9 * 9 * 32;
        let embed = 9 * 32 * 32;
        let decoder = 51 * (32 * 96 + 32 * 32 + 32 * 128 + 128 * 32) + 2 * 51 * 51 * 32;
        assert_near(backbone(&config, 6.0 / 7.0), f64::from(z_proj + encoder + embed + decoder), 1e-12);

        let condition = 42 * 32 * 48;
        let row = 16 * 48 + (48 * 144 + 2 * 48 * 48) + 48 * 96 + 48 * 32;
        // In so large a batch every one of the 1,000 timesteps is drawn.
        let time = 256 * 48 + 48 * 48;
        let expected = f64::from(condition + 84 * row) + f64::from(1000 * time) / 1e4;
        assert_near(head(&config, 6.0 / 7.0, 10_000), expected, 1e-12);
        let both = backbone(&config, 6.0 / 7.0) + head(&config, 6.0 / 7.0, 10_000);
        assert_near(flops_per_example(&config, 6.0 / 7.0, 10_000), 6.0 * both, 1e-12);
    }

    /// A linear layer takes one multiplication per position and weight; the weights are those of the real network.
    #[test]
    fn linear_layers_agree_with_the_network_they_count() {
        let config = Preset::Fashion.weights(&[]).model;
        let network = Mar::init(&config, 0, &Device::flex()).to_checkpoint();
        let numbers = |prefixes: &[&str]| -> f64 {
            let matrices = network
                .tensors
                .iter()
                .filter(|(name, host)| host.shape.len() == 2 && prefixes.iter().any(|prefix| name.starts_with(prefix)));
            matrices.map(|(_, host)| host.data.len() as f64).sum()
        };
        // Half of the tokens are known. The products inside attention have no weights; the time embedding is counted
        // apart.
        let (buffer, length, known) = (8.0, 49.0, 24.5);
        let attention = |positions: f64| 4.0 * 2.0 * positions * positions * 128.0;
        let backbone_by_matrices = known * numbers(&["z_proj"])
            + (buffer + known) * (numbers(&["encoder_blocks", "decoder_embed.weight"]))
            + (buffer + length) * numbers(&["decoder_blocks"])
            + attention(buffer + known)
            + attention(buffer + length);
        assert_near(backbone(&config, 0.5), backbone_by_matrices, 1e-12);

        let net = |part: &str| numbers(&[&format!("diffloss.net.{part}")]);
        let rows = 2.0 * known * (net("input_proj") + net("res_blocks") + net("final_layer"));
        let times = distinct_timesteps(2.0 * known * 64.0) / 64.0 * net("time_embed");
        assert_near(head(&config, 0.5, 64), known * net("cond_embed") + rows + times, 1e-12);
    }

    /// Published counts of multiplications (called FLOPs there) of plain transformers, minus the parts outside the
    /// blocks.
    #[test]
    fn blocks_agree_with_published_counts() {
        let outside_vit = |side: usize, width: usize| (side * side * 768 * width + width * 1000) as f64;
        // Swin Transformer (arXiv 2103.14030), table 1: DeiT-S and DeiT-B, at 224 and 384 pixels.
        for (side, width, published) in [(14, 384, 4.6e9), (14, 768, 17.5e9), (24, 768, 55.4e9)] {
            let counted = blocks(12, (side * side + 1) as f64, width, 4.0) + outside_vit(side, width);
            assert_near(counted, published, 0.01);
        }
        // DiT (arXiv 2212.09748), table 4: L/2 and XL/2 on 256 tokens, each block with six modulations.
        for (depth, width, published) in [(24, 1024, 80.71e9), (28, 1152, 118.64e9)] {
            let modulations = (depth * 6 * width * width) as f64;
            assert_near(blocks(depth, 256.0, width, 4.0) + modulations, published, 0.002);
        }
    }

    /// MAR-L, 400 epochs of ImageNet in 31 hours on 32 H100 (README of the official code): a plausible share of their
    /// 989 TFLOP/s.
    #[test]
    fn the_published_training_time_is_possible() {
        let config = MarConfig {
            img_size: 256,
            vae_stride: 16,
            patch_size: 1,
            vae_embed_dim: 16,
            encoder_embed_dim: 1024,
            encoder_depth: 16,
            encoder_num_heads: 16,
            decoder_embed_dim: 1024,
            decoder_depth: 16,
            decoder_num_heads: 16,
            class_num: 1000,
            buffer_size: 64,
            diffloss_d: 3,
            diffloss_w: 1024,
            diffusion_batch_mul: 4,
            ..Preset::Tiny.weights(&[]).model
        };
        let all = 400.0 * 1_281_167.0 * flops_per_example(&config, 0.85, 2048);
        let share = all / (31.0 * 3600.0 * 32.0) / 989e12;
        assert!((0.05..0.6).contains(&share), "{share}");
    }

    #[test]
    fn timesteps_are_hit_as_often_as_chance_has_it() {
        assert_near(distinct_timesteps(1.0), 1.0, 1e-9);
        assert_near(distinct_timesteps(2.0), 1.999, 1e-9);
        assert_near(distinct_timesteps(1e6), 1000.0, 1e-9);
    }

    /// Wide bounds that hold for every device; a mistake in units would leave them.
    #[test]
    fn the_roof_is_a_processors() {
        let roof = measure_roof(&Device::flex().autodiff());
        assert!((1e8..1e14).contains(&roof), "{roof}");
    }
}
