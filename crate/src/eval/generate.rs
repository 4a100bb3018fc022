//! Generates the images that are measured: labels evenly over the classes, one seed each, rounded to bytes.
//! The decoding loop is the one that the page and `sample` run.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use super::{EvalError, EvalOptions};
use crate::data::ImageSet;
use crate::engine::Engine;
use crate::sampler::OrderKind;
use crate::tokenizer::to_byte;

/// Images decoded together; bounds the memory of the attention.
const BATCH: usize = 100;

/// What was generated.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// The images as a viewer sees them, in bytes, and the class each was asked to be.
    pub images: ImageSet,
    /// Seconds it took.
    pub seconds: f64,
}

/// Generates `options.count` images, showing progress on stderr: image `i` is of class `i % classes` and has seed
/// `options.seed + i`.
///
/// # Errors
/// [`EvalError::Sample`] for settings that cannot be decoded under, [`EvalError::Classes`] beyond 65,536 classes.
pub fn generate(engine: &Engine, options: &EvalOptions) -> Result<Generated, EvalError> {
    let classes = engine.config.model.class_num;
    let [channels, side] = engine.tokenizer.image();
    if classes > usize::from(u16::MAX) + 1 {
        return Err(EvalError::Classes(classes));
    }
    let progress = ProgressBar::new(options.count as u64).with_style(
        ProgressStyle::with_template("generating {bar:30} {pos}/{len} images, {eta} left")
            .expect("the template names fields that exist"),
    );
    let started = Instant::now();
    let mut images = ImageSet {
        pixels: Vec::with_capacity(options.count * channels * side * side),
        labels: (0..options.count).map(|i| (i % classes) as u16).collect(),
        channels,
        side,
    };
    for (batch, labels) in images.labels.chunks(BATCH).enumerate() {
        let seed = |i: usize| options.seed.wrapping_add((batch * BATCH + i) as u64);
        let asked: Vec<_> = labels.iter().enumerate().map(|(i, &label)| (Some(usize::from(label)), seed(i))).collect();
        let mut decoding = engine.decode(&asked, OrderKind::Random, options.settings.clone(), None)?;
        while pollster::block_on(decoding.advance())?.is_some() {}
        images.pixels.extend(engine.images(&decoding).into_iter().flatten().map(to_byte));
        progress.inc(labels.len() as u64);
    }
    progress.finish_and_clear();
    Ok(Generated { images, seconds: started.elapsed().as_secs_f64() })
}
