//! Reads and checks the page's arguments. Every mistake is an `Error` with a message for a person.
//! The settings are the sampler's own; what is added here are the typed arrays.

use js_sys::{Float32Array, Uint8Array};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;

use super::object::message_of;
use marscope_core::config::Label;
use marscope_core::sampler::{self, HeadSettings};
use marscope_core::tokens::{TokenKind, Tokens};

/// `value` as a `T`; `what` names it in the error.
pub fn parse<T: DeserializeOwned>(what: &str, value: JsValue) -> Result<T, JsError> {
    serde_wasm_bindgen::from_value(value)
        .map_err(|error| JsError::new(&format!("{what}: {}", message_of(&error.into()))))
}

/// The state of a decoding.
#[derive(Deserialize)]
#[serde(expecting = "an object of iteration, tokens and masked")]
pub struct DecodeState {
    iteration: usize,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    tokens: Float32Array,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    masked: Uint8Array,
}

impl DecodeState {
    /// What the sampler takes, with tokens of `kind`.
    pub fn state(&self, kind: TokenKind) -> Result<sampler::DecodeState, JsError> {
        let masked = self.masked.to_vec();
        if let Some(other) = masked.iter().find(|&&entry| entry > 1) {
            return Err(JsError::new(&format!("the mask holds a {other}: give 1 where masked and 0 where known")));
        }
        let masked = masked.into_iter().map(|entry| entry == 1).collect();
        let TokenKind::Continuous { dim } = kind else {
            return Err(JsError::new("the page passes continuous tokens, but this model's are ids of a codebook"));
        };
        let tokens = Tokens::Continuous { dim, values: self.tokens.to_vec() };
        Ok(sampler::DecodeState { iteration: self.iteration, tokens, masked })
    }
}

/// The class of a decoding; the object also holds its [`DecodeState`].
#[derive(Deserialize)]
#[serde(expecting = "an object of label, iteration, tokens and masked")]
pub struct Labelled {
    pub label: Label,
}

/// A request for samples of some tokens.
#[derive(Deserialize)]
#[serde(expecting = "an object of probe, settings, tokens and count")]
pub struct DrawRequest {
    #[serde(with = "serde_wasm_bindgen::preserve")]
    pub probe: JsValue,
    pub settings: HeadSettings,
    pub tokens: Vec<usize>,
    pub count: usize,
}
