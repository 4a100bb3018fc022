//! Which row stands where: what the backbone gathers for given pictures, as lists of rows.
//! Section 3.3 of the paper: masked tokens are dropped before the encoder and stand as mask tokens in the decoder.

use crate::config::{Label, MarConfig};

/// Pictures as the backbone sees them.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// `[images, L, C]`; read where not masked.
    pub tokens: &'a [f32],
    /// `[images, L]`: true where a token is not known; equally many in every image.
    pub masked: &'a [bool],
    /// `[images]`.
    pub labels: &'a [Label],
}

/// What a row is made of.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Place {
    /// The row of the input; -1 and below are the rows of the fixed table, -1 its first.
    pub source: i32,
    /// The row of the positions that is added.
    pub position: i32,
}

/// The rows of one pass.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Pictures.
    pub images: usize,
    /// Known tokens of each.
    pub known: usize,
    /// Rows of each in the encoder: the buffer and the known tokens.
    pub seen: usize,
    /// Rows of each in the decoder: the buffer and all L.
    pub all: usize,
    /// `[images * known, C]`.
    pub tokens: Vec<f32>,
    /// `[images * seen]`: from embedded tokens and the class table to the encoder's input.
    pub enter: Vec<Place>,
    /// `[images * all]`: from the encoder's output and the mask token to the decoder's input.
    pub decode: Vec<Place>,
    /// The decoder rows whose z is asked for.
    pub picks: Vec<i32>,
    /// `[picks]`: adds each one's position to its z.
    pub leave: Vec<Place>,
}

impl Plan {
    /// The pass over `seen` that ends with z of `picks` (image and token).
    ///
    /// # Panics
    /// If the images do not all have the same number of known tokens; whoever calls has checked it.
    pub fn new(config: &MarConfig, seen: &Seen<'_>, picks: &[(usize, usize)]) -> Self {
        let mut plan = Self::without_picks(config, seen);
        let (buffer, all) = (config.buffer_size, plan.all);
        for (row, &(image, token)) in picks.iter().enumerate() {
            plan.picks.push((image * all + buffer + token) as i32);
            plan.leave.push(Place { source: row as i32, position: token as i32 });
        }
        plan
    }

    /// The pass over `seen` that keeps every row of the decoder, the buffer's too, whose z mean nothing.
    pub fn whole(config: &MarConfig, seen: &Seen<'_>) -> Self {
        let mut plan = Self::without_picks(config, seen);
        for row in 0..plan.images * plan.all {
            plan.picks.push(row as i32);
            let token = (row % plan.all).saturating_sub(config.buffer_size);
            plan.leave.push(Place { source: row as i32, position: token as i32 });
        }
        plan
    }

    fn without_picks(config: &MarConfig, &Seen { tokens, masked, labels }: &Seen<'_>) -> Self {
        let (length, dim, buffer) = (config.tokens(), config.token_dim(), config.buffer_size);
        let images = labels.len();
        assert_eq!(masked.len(), images * length);
        assert_eq!(tokens.len(), images * length * dim);
        let known = masked[..length].iter().filter(|&&masked| !masked).count();
        let (seen, all) = (buffer + known, buffer + length);
        let mut plan = Self {
            images,
            known,
            seen,
            all,
            tokens: Vec::with_capacity(images * known * dim),
            enter: Vec::with_capacity(images * seen),
            decode: Vec::with_capacity(images * all),
            picks: Vec::new(),
            leave: Vec::new(),
        };
        for (image, &label) in labels.iter().enumerate() {
            let class = -1 - label.unwrap_or(config.class_num) as i32;
            let first = image * seen;
            plan.enter.extend((0..buffer).map(|position| Place { source: class, position: position as i32 }));
            plan.decode.extend((0..buffer).map(|at| Place { source: (first + at) as i32, position: at as i32 }));
            let mut at = 0;
            for token in 0..length {
                let position = (buffer + token) as i32;
                if masked[image * length + token] {
                    plan.decode.push(Place { source: -1, position });
                    continue;
                }
                let from = (image * length + token) * dim;
                plan.tokens.extend_from_slice(&tokens[from..from + dim]);
                plan.enter.push(Place { source: (image * known + at) as i32, position });
                plan.decode.push(Place { source: (first + buffer + at) as i32, position });
                at += 1;
            }
            assert_eq!(at, known, "every image of a batch has the same number of known tokens");
        }
        plan
    }
}
