//! An iteration as the page takes it: one flat object of numbers and typed arrays.
//! The worker hands the arrays' buffers over without copying.

use js_sys::{Float32Array, Object, Reflect, Uint8Array, Uint32Array};
use wasm_bindgen::prelude::*;

use crate::sampler::{Decoding, Iteration};
use crate::tokenizer::Tokenizer;

/// `iteration` of `decoding`, which had `before` masked when it began.
pub fn to_js(
    iteration: &Iteration,
    before: &[u8],
    decoding: &Decoding,
    tokenizer: &dyn Tokenizer,
) -> Result<JsValue, JsError> {
    let schedule = decoding.schedule();
    // Frame 0 is noise: the process's last timestep. After s steps x is at the timestep before the next one.
    let step_of = |taken: usize| schedule.len().checked_sub(taken + 1);
    let timesteps: Vec<u32> =
        iteration.steps.iter().map(|&taken| step_of(taken).map_or(0, |step| schedule.timesteps[step] as u32)).collect();
    let alpha_bar: Vec<f32> = iteration
        .steps
        .iter()
        .map(|&taken| step_of(taken).map_or(1.0, |step| schedule.alpha_bar[step] as f32))
        .collect();
    let tokens: Vec<u32> = iteration.rows.iter().map(|&(_, token)| token as u32).collect();
    let steps: Vec<u32> = iteration.steps.iter().map(|&taken| taken as u32).collect();
    let after: Vec<u8> = decoding.masked().iter().map(|&masked| u8::from(masked)).collect();
    let image = tokenizer.decode(decoding.tokens());

    let ms = object(&[("backbone", iteration.backbone_ms.into()), ("head", iteration.head_ms.into())])?;
    object(&[
        ("iteration", (iteration.iteration as u32).into()),
        ("iterations", (decoding.settings().iterations as u32).into()),
        ("tokens", Uint32Array::from(&tokens[..]).into()),
        ("maskBefore", Uint8Array::from(before).into()),
        ("maskAfter", Uint8Array::from(&after[..]).into()),
        ("cfg", iteration.cfg.into()),
        ("steps", Uint32Array::from(&steps[..]).into()),
        ("timesteps", Uint32Array::from(&timesteps[..]).into()),
        ("alphaBar", Float32Array::from(&alpha_bar[..]).into()),
        ("trajectory", Float32Array::from(&iteration.trajectory[..]).into()),
        ("image", Float32Array::from(&image[..]).into()),
        ("ms", ms),
    ])
}

fn object(entries: &[(&str, JsValue)]) -> Result<JsValue, JsError> {
    let object = Object::new();
    for (name, value) in entries {
        Reflect::set(&object, &(*name).into(), value)
            .map_err(|_| JsError::new("the browser refused to build an event"))?;
    }
    Ok(object.into())
}
