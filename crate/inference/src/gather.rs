//! Rows to gather: what the inputs of encoder and decoder are made of, for given images.
//! Section 3.3 of the paper: masked tokens are dropped before the encoder, and the decoder gets mask tokens instead.

use marscope_core::config::MarConfig;
use marscope_core::network::BackboneInput;

/// A row: the sum of a row of the input, or of the fixed table, and a position.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct GatherRow {
    /// The row of the input; -1 and below are the rows of the fixed table, -1 its first.
    pub source: i32,
    /// The row of the positions that is added.
    pub position: i32,
}

/// The rows of one pass.
#[derive(Clone, Debug)]
pub struct GatherPlan {
    /// Images.
    pub images: usize,
    /// Known tokens of each.
    pub known: usize,
    /// Rows of each in the encoder: the buffer and the known tokens.
    pub encoder_rows: usize,
    /// Rows of each in the decoder: the buffer and all L.
    pub decoder_rows: usize,
    /// `[images * known, C]`.
    pub tokens: Vec<f32>,
    /// `[images * encoder_rows]`: from embedded tokens and the class table to the encoder's input.
    pub encoder_input: Vec<GatherRow>,
    /// `[images * decoder_rows]`: from the encoder's output and the mask token to the decoder's input.
    pub decoder_input: Vec<GatherRow>,
    /// The decoder rows whose z is asked for.
    pub picks: Vec<i32>,
    /// `[picks]`: adds each one's position to its z.
    pub z: Vec<GatherRow>,
}

impl GatherPlan {
    /// The pass over `input` that ends with z of `picks` (image and token).
    ///
    /// # Panics
    /// If the images do not all have the same number of known tokens; the caller must check it.
    pub fn new(config: &MarConfig, input: &BackboneInput<'_>, picks: &[(usize, usize)]) -> Self {
        let mut plan = Self::without_picks(config, input);
        let (buffer, all) = (config.buffer_size, plan.decoder_rows);
        for (row, &(image, token)) in picks.iter().enumerate() {
            plan.picks.push((image * all + buffer + token) as i32);
            plan.z.push(GatherRow { source: row as i32, position: token as i32 });
        }
        plan
    }

    /// The pass over `input` that keeps every row of the decoder. z of the buffer's rows has no meaning.
    pub fn whole(config: &MarConfig, input: &BackboneInput<'_>) -> Self {
        let mut plan = Self::without_picks(config, input);
        for row in 0..plan.images * plan.decoder_rows {
            plan.picks.push(row as i32);
            let token = (row % plan.decoder_rows).saturating_sub(config.buffer_size);
            plan.z.push(GatherRow { source: row as i32, position: token as i32 });
        }
        plan
    }

    fn without_picks(config: &MarConfig, &BackboneInput { tokens, masked, labels }: &BackboneInput<'_>) -> Self {
        let (length, dim, buffer) = (config.tokens(), config.token_dim(), config.buffer_size);
        let images = labels.len();
        assert_eq!(masked.len(), images * length);
        let tokens = tokens.expect_continuous();
        assert_eq!(tokens.len(), images * length * dim);
        let known = masked[..length].iter().filter(|&&masked| !masked).count();
        let (encoder_rows, decoder_rows) = (buffer + known, buffer + length);
        let mut plan = Self {
            images,
            known,
            encoder_rows,
            decoder_rows,
            tokens: Vec::with_capacity(images * known * dim),
            encoder_input: Vec::with_capacity(images * encoder_rows),
            decoder_input: Vec::with_capacity(images * decoder_rows),
            picks: Vec::new(),
            z: Vec::new(),
        };
        for (image, &label) in labels.iter().enumerate() {
            let class = -1 - label.unwrap_or(config.class_num) as i32;
            let first = image * encoder_rows;
            plan.encoder_input
                .extend((0..buffer).map(|position| GatherRow { source: class, position: position as i32 }));
            plan.decoder_input
                .extend((0..buffer).map(|at| GatherRow { source: (first + at) as i32, position: at as i32 }));
            let mut at = 0;
            for token in 0..length {
                let position = (buffer + token) as i32;
                if masked[image * length + token] {
                    plan.decoder_input.push(GatherRow { source: -1, position });
                    continue;
                }
                let from = (image * length + token) * dim;
                plan.tokens.extend_from_slice(&tokens[from..from + dim]);
                plan.encoder_input.push(GatherRow { source: (image * known + at) as i32, position });
                plan.decoder_input.push(GatherRow { source: (first + buffer + at) as i32, position });
                at += 1;
            }
            assert_eq!(at, known, "every image of a batch has the same number of known tokens");
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use marscope_core::head::HeadKind;
    use marscope_core::tokens::TokensRef;

    use super::*;

    /// Four tokens of one number and a buffer of two.
    fn config() -> MarConfig {
        MarConfig {
            img_size: 2,
            vae_stride: 1,
            patch_size: 1,
            vae_embed_dim: 1,
            encoder_embed_dim: 2,
            encoder_depth: 1,
            encoder_num_heads: 1,
            decoder_embed_dim: 2,
            decoder_depth: 1,
            decoder_num_heads: 1,
            mlp_ratio: 1.0,
            class_num: 10,
            head: HeadKind::Diffusion,
            buffer_size: 2,
            diffloss_d: 1,
            diffloss_w: 2,
            num_sampling_steps: "1".into(),
            diffusion_batch_mul: 1,
        }
    }

    /// Two images; tokens 1 and 3 of the first are known, 0 and 1 of the second, which has no class.
    fn input<'a>() -> BackboneInput<'a> {
        BackboneInput {
            tokens: TokensRef::Continuous { dim: 1, values: &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0] },
            masked: &[true, false, true, false, false, false, true, true],
            labels: &[Some(7), None],
        }
    }

    fn rows(pairs: &[(i32, i32)]) -> Vec<GatherRow> {
        pairs.iter().map(|&(source, position)| GatherRow { source, position }).collect()
    }

    #[test]
    fn rows_of_two_images() {
        let plan = GatherPlan::new(&config(), &input(), &[(0, 2), (1, 3), (1, 0)]);
        assert_eq!((plan.images, plan.known, plan.encoder_rows, plan.decoder_rows), (2, 2, 4, 6));
        assert_eq!(plan.tokens, [1.0, 3.0, 4.0, 5.0]);
        // The buffer is the class, 7 or the unconditional one; then the known tokens at their positions.
        let encoder = [(-8, 0), (-8, 1), (0, 3), (1, 5), (-11, 0), (-11, 1), (2, 2), (3, 3)];
        assert_eq!(plan.encoder_input, rows(&encoder));
        // The encoder's rows, and mask tokens (-1) between them.
        let first = [(0, 0), (1, 1), (-1, 2), (2, 3), (-1, 4), (3, 5)];
        let second = [(4, 0), (5, 1), (6, 2), (7, 3), (-1, 4), (-1, 5)];
        assert_eq!(plan.decoder_input, rows(&[first, second].concat()));
        // Decoder rows of the picks, and the position that each adds to its z.
        assert_eq!(plan.picks, [4, 11, 8]);
        assert_eq!(plan.z, rows(&[(0, 2), (1, 3), (2, 0)]));
    }

    #[test]
    fn a_whole_plan_picks_every_row() {
        let plan = GatherPlan::whole(&config(), &input());
        assert_eq!(plan.picks, (0..12).collect::<Vec<i32>>());
        assert_eq!(plan.z[2..6], rows(&[(2, 0), (3, 1), (4, 2), (5, 3)]));
        assert_eq!(plan.z[8].position, 0, "the second image's first token");
    }
}
