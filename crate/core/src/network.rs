//! The contract with whatever computes a network: the CPU engine, the WGSL engine, Burn, or a fake in a test.
//! Sections 3.2 and 3.3 of the paper: z from the known tokens, tokens from z, and what the attention looked at.

use std::any::Any;
use std::ops::Range;
use std::pin::Pin;

use web_time::Instant;

use crate::config::{Label, MarConfig};
use crate::head::{HeadInput, HeadOutput};
use crate::tokens::TokensRef;

/// The input of the backbone: the known tokens of some pictures.
#[derive(Clone, Copy, Debug)]
pub struct BackboneInput<'a> {
    /// `[images, L]` tokens; read where not masked.
    pub tokens: TokensRef<'a>,
    /// `[images, L]`: true where a token is not known; the same number in every image.
    pub masked: &'a [bool],
    /// `[images]`.
    pub labels: &'a [Label],
}

impl<'a> BackboneInput<'a> {
    /// The part of some of the images.
    ///
    /// # Panics
    /// If there are no images, or not so many.
    #[must_use]
    pub fn of_images(&self, images: Range<usize>) -> BackboneInput<'a> {
        let length = self.masked.len() / self.labels.len();
        let tokens = images.start * length..images.end * length;
        BackboneInput {
            tokens: self.tokens.slice(tokens.clone()),
            masked: &self.masked[tokens],
            labels: &self.labels[images],
        }
    }
}

/// The output of the backbone for some pictures, with attention weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackboneOutput {
    /// The condition of every token, `[images, L, decoder width]`.
    pub z: Vec<f32>,
    /// Attention weights of each encoder block, `[images, heads, buffer + known, buffer + known]`.
    pub encoder: Vec<Vec<f32>>,
    /// Attention weights of each decoder block, `[images, heads, buffer + L, buffer + L]`.
    pub decoder: Vec<Vec<f32>>,
}

/// The result of one iteration.
#[derive(Clone, Debug)]
pub struct IterationOutput {
    /// What the head drew.
    pub drawn: HeadOutput,
    /// `[picks, width]`, if requested.
    pub z: Option<Vec<f32>>,
    /// Milliseconds in the backbone; `None` if the device ran backbone and head together.
    pub backbone_ms: Option<f64>,
    /// Milliseconds in the head, or in both.
    pub head_ms: f64,
}

/// Why a network returned no result.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The caller stopped the computation.
    #[error("the computation was stopped")]
    Stopped,
    /// The device failed.
    #[error("{0}")]
    Device(String),
}

/// The future of a result.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, NetworkError>> + 'a>>;

/// Decides between the steps of a computation whether it continues.
pub trait Continue {
    /// `false` ends the computation with [`NetworkError::Stopped`].
    fn should_continue(&mut self) -> Pin<Box<dyn Future<Output = bool> + '_>>;
}

impl<F: AsyncFnMut() -> bool> Continue for F {
    fn should_continue(&mut self) -> Pin<Box<dyn Future<Output = bool> + '_>> {
        Box::pin(self())
    }
}

/// What a network keeps of one decoding between iterations, for instance the keys and values of a causal backbone. The
/// decoding owns it and forks it with itself. Bidirectional backbones keep nothing: [`Stateless`].
pub trait Session: Any {
    /// An independent copy.
    fn fork(&self) -> Box<dyn Session>;

    /// Lets the network that made it downcast it to its own type.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

/// The session of a network that keeps nothing.
#[derive(Clone, Copy, Debug)]
pub struct Stateless;

impl Session for Stateless {
    fn fork(&self) -> Box<dyn Session> {
        Box::new(*self)
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

impl Clone for Box<dyn Session> {
    fn clone(&self) -> Self {
        // Clones the content of the box, not the box.
        (**self).fork()
    }
}

/// A network on its device.
///
/// `picks` and rows are pairs of image and token. With guidance the images are the conditional ones, then the same ones
/// unconditional, and so are the rows of z.
pub trait Network {
    /// The network's shape.
    fn config(&self) -> &MarConfig;

    /// Number of parameters.
    fn parameters(&self) -> usize;

    /// A new session for a decoding of `images` images.
    fn session(&self, images: usize) -> Box<dyn Session> {
        let _ = images;
        Box::new(Stateless)
    }

    /// z of `picks`, `[picks, decoder width]`. If it fails, `session` is unchanged.
    ///
    /// # Errors
    /// [`NetworkError::Device`].
    fn z<'a>(
        &'a self,
        session: &'a mut dyn Session,
        input: &'a BackboneInput<'a>,
        picks: &'a [(usize, usize)],
    ) -> Answer<'a, Vec<f32>>;

    /// Tokens under `z`, `[rows, width]`, or `[2 rows, width]` with guidance: the conditional rows, then the unconditional
    /// ones. `proceed` is asked before every step, where the device can stop there.
    ///
    /// # Errors
    /// [`NetworkError::Stopped`] once `proceed` says no, or [`NetworkError::Device`].
    fn draw<'a>(
        &'a self,
        z: &'a [f32],
        input: &'a HeadInput<'a>,
        proceed: &'a mut dyn Continue,
    ) -> Answer<'a, HeadOutput>;

    /// [`Self::z`] of `picks`, then [`Self::draw`] with it: one iteration, in a single submission if the device can.
    ///
    /// # Errors
    /// As [`Self::draw`].
    fn iterate<'a>(
        &'a self,
        session: &'a mut dyn Session,
        input: &'a BackboneInput<'a>,
        picks: &'a [(usize, usize)],
        head: &'a HeadInput<'a>,
        want_z: bool,
        proceed: &'a mut dyn Continue,
    ) -> Answer<'a, IterationOutput> {
        Box::pin(async move {
            let started = Instant::now();
            let z = self.z(session, input, picks).await?;
            let backbone_ms = Some(milliseconds(started));
            let started = Instant::now();
            let drawn = self.draw(&z, head, proceed).await?;
            Ok(IterationOutput { drawn, z: want_z.then_some(z), backbone_ms, head_ms: milliseconds(started) })
        })
    }

    /// z of every token and all attention weights.
    ///
    /// # Errors
    /// [`NetworkError::Device`].
    fn backbone<'a>(&'a self, input: &'a BackboneInput<'a>) -> Answer<'a, BackboneOutput>;
}

/// Milliseconds since `started`.
pub fn milliseconds(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}
