//! What a picture is decoded under: one definition for the command line, the page, traces and the page's TypeScript types.
//! Section 3.4 of the paper (iterations, temperature), section 4 (guidance), section 3.2 (the reverse process).

use std::ops::RangeInclusive;

use serde::{Deserialize, Deserializer, Serialize};

use super::SampleError;
use super::guidance::CfgSchedule;
use super::order::Order;
use crate::config::Label;
use crate::diffusion::{Respacing, Schedule, Solver, TRAIN_STEPS};

/// Seeds that a page or a trace can name: whole numbers that JavaScript holds exactly.
pub const SEED: RangeInclusive<u64> = 0..=(1 << 53) - 1;
/// Guidance scales.
pub const CFG: RangeInclusive<f32> = 0.0..=20.0;
/// Numbers of diffusion steps.
pub const STEPS: RangeInclusive<usize> = 2..=TRAIN_STEPS;
/// Temperatures.
pub const TEMPERATURE: RangeInclusive<f32> = 0.0..=2.0;

/// What an image is decoded under; the same for every image of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object of a decoding's settings")]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct Settings {
    /// Guidance scale; 1 turns guidance off
    #[cfg_attr(feature = "clap", arg(long))]
    pub cfg: f32,
    /// How the guidance scale changes over the iterations
    #[cfg_attr(feature = "clap", arg(long, value_enum))]
    pub cfg_schedule: CfgSchedule,
    /// Decoding iterations, from 1 to the number of tokens
    #[cfg_attr(feature = "clap", arg(long))]
    pub iterations: usize,
    /// Diffusion steps: a number, or a respacing such as ddim25
    #[cfg_attr(feature = "clap", arg(long))]
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub steps: Respacing,
    /// Diffusion steps of the last iteration; the number falls linearly from --steps to it [default: --steps]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "clap", arg(long))]
    pub late_steps: Option<usize>,
    /// How the reverse process is solved
    #[serde(default, skip_serializing_if = "Solver::is_ddpm")]
    #[cfg_attr(feature = "clap", arg(long, value_enum))]
    pub solver: Solver,
    /// Run the unconditional branch in every N-th iteration only; the others reuse its difference to the conditional z
    #[serde(default = "each", skip_serializing_if = "is_each")]
    #[cfg_attr(feature = "clap", arg(long))]
    pub cfg_every: usize,
    /// Scale of the noise added at each reverse step
    #[cfg_attr(feature = "clap", arg(long))]
    pub temperature: f32,
}

/// [`Settings`], and which picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(expecting = "an object of a decoding's settings")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct PictureSettings {
    /// Class; null is unconditional.
    #[serde(deserialize_with = "Option::deserialize")] // null, but not left out
    pub label: Label,
    /// Seed of the noise and of a random order, within [`SEED`].
    #[serde(deserialize_with = "seed")]
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub seed: u64,
    /// What it is decoded under.
    #[serde(flatten)]
    pub sampling: Settings,
}

/// What the page asks for: one picture, in an order.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(expecting = "an object of a decoding's settings")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct DecodeSettings {
    /// Which picture.
    #[serde(flatten)]
    pub picture: PictureSettings,
    /// A way to make an order, or the order itself: `order[rank]` is a position, each position once.
    #[cfg_attr(feature = "ts", ts(type = "OrderKind | readonly number[]"))]
    pub order: Order,
    /// Keep every stride-th diffusion step of the trajectory; 1 keeps all, 0 the tokens alone.
    pub stride: usize,
}

/// How the head draws tokens of a picture under way.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(expecting = "an object of seed, cfg, steps and temperature")]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
pub struct HeadSettings {
    /// The noise's seed.
    #[serde(deserialize_with = "seed")]
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub seed: u64,
    /// Effective guidance scale; 1 is no guidance.
    pub cfg: f32,
    /// Diffusion steps.
    #[cfg_attr(feature = "ts", ts(type = "number"))]
    pub steps: Respacing,
    /// How the reverse process is solved.
    #[serde(default)]
    pub solver: Solver,
    /// Scale of the noise that each reverse step adds.
    pub temperature: f32,
}

impl Settings {
    /// Checks every setting for pictures of `tokens` tokens.
    ///
    /// # Errors
    /// Names the first setting that is out of range, and its range.
    pub fn check(&self, tokens: usize) -> Result<(), SampleError> {
        if !(1..=tokens).contains(&self.iterations) {
            return Err(SampleError::Iterations { iterations: self.iterations, tokens });
        }
        if !(1..=tokens).contains(&self.cfg_every) {
            return Err(SampleError::CfgEvery { every: self.cfg_every, tokens });
        }
        in_range("cfg", self.cfg, CFG)?;
        in_range("temperature", self.temperature, TEMPERATURE)?;
        Schedule::respaced(&self.steps.to_string())?;
        if let Some(late) = self.late_steps {
            self.steps.count().ok_or_else(|| SampleError::LateSteps(self.steps.to_string()))?;
            Schedule::respaced(&late.to_string())?;
        }
        Ok(())
    }

    /// Whether an unconditional branch runs beside the conditional one.
    pub fn is_guided(&self) -> bool {
        is_guided(self.cfg)
    }
}

/// Whether `cfg` asks for an unconditional branch.
pub(super) fn is_guided(cfg: f32) -> bool {
    #[allow(clippy::float_cmp)] // exactly 1 is the setting that means "no guidance"
    {
        cfg != 1.0
    }
}

/// Checks that `value`, the setting `name`, lies in `range`.
pub(super) fn in_range(name: &'static str, value: f32, range: RangeInclusive<f32>) -> Result<(), SampleError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(SampleError::Range { name, value, least: *range.start(), most: *range.end() })
}

fn each() -> usize {
    1
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_each(every: &usize) -> bool {
    *every == 1
}

/// A seed within [`SEED`], whichever kind of number it comes as.
fn seed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    // Seeds are exact in an f64; what is beyond them stays beyond them when it is rounded.
    let number = f64::deserialize(deserializer)?;
    if number.fract() == 0.0 && number >= 0.0 && SEED.contains(&(number as u64)) {
        return Ok(number as u64);
    }
    Err(serde::de::Error::custom(format!("seed is {number}: give a whole number from 0 to 2^53 - 1")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(json: &str) -> Result<PictureSettings, serde_json::Error> {
        serde_json::from_str(json)
    }

    fn with(field: &str) -> String {
        format!(r#"{{"label":null,"cfg":2,"cfgSchedule":"linear","iterations":4,"steps":5,"temperature":1,{field}}}"#)
    }

    #[test]
    fn what_is_left_out_is_as_usual_and_not_written() {
        let read = picture(&with("\"seed\":3")).unwrap();
        let Settings { late_steps, solver, cfg_every, .. } = read.sampling;
        assert_eq!((late_steps, solver, cfg_every), (None, Solver::Ddpm, 1));
        let written = serde_json::to_string(&read).unwrap();
        let expected =
            r#"{"label":null,"seed":3,"cfg":2.0,"cfgSchedule":"linear","iterations":4,"steps":5,"temperature":1.0}"#;
        assert_eq!(written, expected);
        assert_eq!(picture(&written).unwrap(), read);
    }

    #[test]
    fn seeds_are_what_javascript_holds_exactly() {
        let seed = |text: &str| picture(&with(&format!("\"seed\":{text}"))).map(|read| read.seed);
        assert_eq!(seed("9007199254740991").unwrap(), *SEED.end());
        for wrong in ["9007199254740992", "9007199254740993", "-1", "1.5", "1e300"] {
            assert!(seed(wrong).unwrap_err().to_string().contains("from 0 to 2^53 - 1"), "{wrong}");
        }
        assert!(picture(&with("\"seed\":1").replace("\"label\":null,", "")).unwrap_err().to_string().contains("label"));
    }

    #[test]
    fn ranges_hold() {
        let good = picture(&with("\"seed\":1")).unwrap().sampling;
        good.check(4).unwrap();
        let refused = |change: fn(&mut Settings)| {
            let mut settings = good.clone();
            change(&mut settings);
            settings.check(4).unwrap_err().to_string()
        };
        assert!(refused(|s| s.iterations = 5).contains("5 iterations over 4 tokens"));
        assert!(refused(|s| s.cfg_every = 0).contains("every 0 iterations"));
        assert!(refused(|s| s.cfg = f32::NAN).contains("cfg is NaN: give a number from 0 to 20"));
        assert!(refused(|s| s.temperature = 2.5).contains("temperature is 2.5: give a number from 0 to 2"));
        assert!(refused(|s| s.steps = (STEPS.start() - 1).into()).contains("at least 2"));
        assert!(refused(|s| s.steps = (STEPS.end() + 1).into()).contains("2 to 1000"));
        assert!(refused(|s| s.late_steps = Some(1)).contains("at least 2"));
        assert!(refused(|s| (s.steps, s.late_steps) = ("ddim25".into(), Some(2))).contains("not 'ddim25'"));
        for steps in [*STEPS.start(), *STEPS.end()] {
            Settings { steps: steps.into(), late_steps: Some(steps), ..good.clone() }.check(4).unwrap();
        }
    }
}
