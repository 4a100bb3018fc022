//! How many multiplications a step of the autoencoder's training takes, for the speed that a run reports.
//! The layers of Rombach et al., arXiv 2112.10752.

use marscope_core::tokenizer::KlConfig;

/// Multiplications of convolutions and attention on one image of the side `resolution`, encoder and decoder together.
pub fn multiplications(config: &KlConfig) -> usize {
    let coarsest = config.ch_mult.len() - 1;
    let conv = |side: usize, c_in: usize, c_out: usize, kernel: usize| (side * kernel).pow(2) * c_in * c_out;
    let block = |side, c_in, c_out| {
        let shortcut = if c_in == c_out { 0 } else { conv(side, c_in, c_out, 1) };
        conv(side, c_in, c_out, 3) + conv(side, c_out, c_out, 3) + shortcut
    };
    let attention = |side: usize, c| 4 * conv(side, c, c, 1) + 2 * side.pow(4) * c;
    let level = |level: usize, c_in, count: usize, attends: &[usize]| {
        let (side, c) = (config.side(level), config.channels(level));
        let each = if attends.contains(&side) { attention(side, c) } else { 0 };
        block(side, c_in, c) + (count - 1) * block(side, c, c) + count * each
    };
    let (last, widest) = (config.side(coarsest), config.channels(coarsest));
    let middle = 2 * block(last, widest, widest) + attention(last, widest);
    let (z, latent) = (config.z_channels, config.embed_dim);
    let mut all = 2 * middle + conv(config.resolution, 3, config.ch, 3) + conv(config.resolution, config.ch, 3, 3);
    all += conv(last, widest, 2 * z, 3) + conv(last, 2 * z, 2 * latent, 1);
    all += conv(last, latent, z, 1) + conv(last, z, widest, 3);
    for at in 0..=coarsest {
        let (c, side) = (config.channels(at), config.side(at));
        let finer = if at == 0 { config.ch } else { config.channels(at - 1) };
        let coarser = config.channels((at + 1).min(coarsest));
        all += level(at, finer, config.num_res_blocks, &config.encoder_attn_resolutions);
        all += level(at, coarser, config.num_res_blocks + 1, &config.decoder_attn_resolutions);
        if at > 0 {
            all += conv(side, finer, finer, 3) + conv(2 * side, c, c, 3);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::Kl;
    use super::*;
    use crate::model::to_checkpoint;

    /// A convolution multiplies every number of its kernel once at each of its outputs, and the names say where those are.
    #[test]
    fn multiplications_are_those_of_the_tensors() {
        let config = KlConfig { ch: 32, ch_mult: vec![1, 2, 3], resolution: 16, ..KlConfig::kl16() };
        let config = KlConfig { encoder_attn_resolutions: vec![8], ..config };
        let kl = Kl::init(&config, 0, &burn::tensor::Device::flex()).unwrap();
        let mut expected = 0;
        for (name, tensor) in to_checkpoint(&kl, kl.names()).tensors {
            let parts: Vec<&str> = name.split('.').collect();
            let level = |at: usize| parts[at].parse::<usize>().unwrap();
            let side = match parts[..] {
                ["encoder", "down", _, "downsample", ..] => 16 >> (level(2) + 1),
                ["decoder", "up", _, "upsample", ..] => 16 >> (level(2) - 1),
                [_, "down" | "up", ..] => 16 >> level(2),
                ["encoder", "conv_in", ..] | ["decoder", "conv_out", ..] => 16,
                _ => 4,
            };
            if let [c_out, c_in, k, _] = tensor.shape[..] {
                expected += side * side * c_out * c_in * k * k;
                if parts.contains(&"q") {
                    // Scores, and their products with the values.
                    expected += 2 * (side * side).pow(2) * c_in;
                }
            }
        }
        assert_eq!(multiplications(&config), expected);
    }
}
