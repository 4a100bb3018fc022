//! An iteration as the page takes it: one flat object of numbers and typed arrays.
//! The worker hands the arrays' buffers over without copying.

use js_sys::{Float32Array, Uint8Array, Uint32Array};
use wasm_bindgen::prelude::*;

use super::object::object;
use crate::sampler::{Decoding, Iteration};
use crate::tokenizer::Tokenizer;

/// How a decoding stood before an iteration.
pub struct Before {
    masked: Vec<u8>,
    image: Vec<f32>,
}

impl Before {
    /// How `decoding` stands now.
    pub fn of(decoding: &Decoding, tokenizer: &dyn Tokenizer) -> Self {
        Self { masked: mask(decoding), image: tokenizer.decode(decoding.tokens()) }
    }
}

fn mask(decoding: &Decoding) -> Vec<u8> {
    decoding.masked().iter().map(|&masked| u8::from(masked)).collect()
}

/// `iteration` of `decoding`, which stood at `before` when it began.
pub fn to_js(
    iteration: &Iteration,
    before: &Before,
    decoding: &Decoding,
    tokenizer: &dyn Tokenizer,
) -> Result<JsValue, JsError> {
    let (mut timesteps, mut alpha_bar) = (Vec::new(), Vec::new());
    for &taken in &iteration.taken {
        let (timestep, share) = iteration.steps.after(taken);
        timesteps.push(timestep as u32);
        alpha_bar.push(share as f32);
    }
    let tokens: Vec<u32> = iteration.rows.iter().map(|&(_, token)| token as u32).collect();
    let image = tokenizer.decode(decoding.tokens());

    let ms = object(&[("backbone", iteration.backbone_ms.unwrap_or(0.0).into()), ("head", iteration.head_ms.into())])?;
    object(&[
        ("iteration", (iteration.iteration as u32).into()),
        ("iterations", (decoding.iterations() as u32).into()),
        ("tokens", Uint32Array::from(&tokens[..]).into()),
        ("maskBefore", Uint8Array::from(&before.masked[..]).into()),
        ("maskAfter", Uint8Array::from(&mask(decoding)[..]).into()),
        ("cfg", iteration.cfg.into()),
        ("timesteps", Uint32Array::from(&timesteps[..]).into()),
        ("alphaBar", Float32Array::from(&alpha_bar[..]).into()),
        ("trajectory", Float32Array::from(&iteration.trajectory[..]).into()),
        ("imageBefore", Float32Array::from(&before.image[..]).into()),
        ("image", Float32Array::from(&image[..]).into()),
        ("ms", ms),
    ])
}
