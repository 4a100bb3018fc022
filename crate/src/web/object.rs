//! Builds plain JavaScript objects from Rust values, and reads the messages of JavaScript errors.
//! Objects are built by hand, because typed arrays must stay typed arrays.

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

/// The message of a thrown value, without the prefix `Error:`.
pub fn message_of(thrown: &JsValue) -> String {
    match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => error.message().into(),
        None => format!("{thrown:?}"),
    }
}
