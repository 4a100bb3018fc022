//! An iteration as the page takes it: what a trace notes of it, and how the picture stands after it, in typed arrays.
//! The worker transfers the arrays' buffers without copying.

use js_sys::{Float32Array, Uint8Array, Uint32Array};
use wasm_bindgen::prelude::*;

use super::object::object;
use marscope_core::sampler::{DecodeState, Decoding, Iteration};
use marscope_core::trace::TraceIteration;

/// `iteration` of `decoding`, before which the picture stood at `before`.
pub fn to_js(before: &DecodeState, iteration: &Iteration, decoding: &Decoding) -> Result<JsValue, JsError> {
    let noted = TraceIteration::new(before, iteration)?;
    let mask: Vec<u8> = decoding.masked().iter().map(|&masked| u8::from(masked)).collect();
    // A trace has room for continuous tokens alone, so that there are numbers.
    let after = decoding.tokens().continuous().unwrap_or_default();
    let ms = object(&[("backbone", noted.ms.backbone.into()), ("head", noted.ms.head.into())])?;
    object(&[
        ("iteration", (noted.iteration as u32).into()),
        ("iterations", (decoding.iterations() as u32).into()),
        ("tokens", whole(&noted.tokens)),
        ("maskBefore", Uint8Array::from(&noted.mask_before[..]).into()),
        ("maskAfter", Uint8Array::from(&mask[..]).into()),
        ("cfg", noted.cfg.into()),
        ("timesteps", whole(&noted.timesteps)),
        ("alphaBar", Float32Array::from(&noted.alpha_bar[..]).into()),
        ("trajectory", Float32Array::from(&noted.trajectory[..]).into()),
        ("before", Float32Array::from(&noted.before[..]).into()),
        ("after", Float32Array::from(after).into()),
        ("ms", ms),
    ])
}

fn whole(values: &[usize]) -> JsValue {
    let values: Vec<u32> = values.iter().map(|&value| value as u32).collect();
    Uint32Array::from(&values[..]).into()
}
