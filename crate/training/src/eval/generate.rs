//! Generates the images to measure: classes in turn, one seed per image, rounded to bytes.
//! Uses the same decoding loop as the page and `sample`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use super::{EvalError, EvalOptions};
use crate::data::ImageSet;
use marscope_core::pipeline::Pipeline;
use marscope_core::sampler::OrderKind;
use marscope_core::tokenizer::to_byte;

/// Images decoded together; bounds the memory of the attention.
const BATCH: usize = 100;

/// The generated images.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// The images in bytes, labelled with the requested classes.
    pub images: ImageSet,
    /// Seconds it took; `None` for images from elsewhere.
    pub seconds: Option<f64>,
}

/// Generates `options.count` images and shows progress on stderr. Image `i` has class `i % classes` and seed
/// `options.seed + i`.
///
/// # Errors
/// [`EvalError::Sample`] for settings out of range, [`EvalError::Classes`] for more than 65,536 classes.
pub fn generate(pipeline: &Pipeline, options: &EvalOptions) -> Result<Generated, EvalError> {
    Ok(generate_until(pipeline, options, &AtomicBool::new(false))?.expect("nothing stops it"))
}

/// As [`generate`]; `None` once `stop` is set, which it looks at before every iteration.
///
/// # Errors
/// As [`generate`].
pub fn generate_until(
    pipeline: &Pipeline,
    options: &EvalOptions,
    stop: &AtomicBool,
) -> Result<Option<Generated>, EvalError> {
    let classes = pipeline.config.model.class_num;
    let [channels, side] = pipeline.tokenizer()?.image();
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
        let mut decoding = pipeline.decode(&asked, OrderKind::Random, options.settings.clone(), None)?;
        loop {
            if stop.load(Ordering::Relaxed) {
                progress.finish_and_clear();
                return Ok(None);
            }
            if pollster::block_on(decoding.advance())?.is_none() {
                break;
            }
        }
        let drawn = pollster::block_on(pipeline.images(decoding.tokens()))?;
        images.pixels.extend(drawn.into_iter().flatten().map(to_byte));
        progress.inc(labels.len() as u64);
    }
    progress.finish_and_clear();
    Ok(Some(Generated { images, seconds: Some(started.elapsed().as_secs_f64()) }))
}
