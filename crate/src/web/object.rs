//! Plain JavaScript objects out of Rust values, and the words of JavaScript errors.
//! Objects are built by hand, because typed arrays are to arrive as what they are.

use js_sys::{Object, Reflect};
use wasm_bindgen::prelude::*;

/// An object with `entries`.
pub fn object(entries: &[(&str, JsValue)]) -> Result<JsValue, JsError> {
    let object = Object::new();
    for (name, value) in entries {
        Reflect::set(&object, &(*name).into(), value)
            .map_err(|_| JsError::new("the browser refused to build an object"))?;
    }
    Ok(object.into())
}

/// What a thrown value says, without the `Error:` in front.
pub fn message_of(thrown: &JsValue) -> String {
    match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => error.message().into(),
        None => format!("{thrown:?}"),
    }
}
