//! Prints what the page's TypeScript has from Rust: the shapes that cross between them, and the ranges of the settings.
//! `cargo xtask types` writes it into `www/src/engine/generated.ts`.

use std::error::Error;
use std::fmt::Display;
use std::ops::RangeInclusive;

use marscope_core::config::{Defaults, TokenizerKind};
use marscope_core::diffusion::{Solver, TRAIN_STEPS};
use marscope_core::pipeline::ModelInfo;
use marscope_core::preset::Preset;
use marscope_core::sampler::probe::AttentionWeights;
use marscope_core::sampler::settings::{CFG, SEED, STEPS, TEMPERATURE};
use marscope_core::sampler::{
    BackboneProbe, CfgSchedule, DecodeSettings, DecodeState, Explanation, HeadSettings, OrderKind, PictureSettings,
};
use marscope_core::trace::{FORMAT, TraceIteration, TraceModel, TraceMs, VERSION};
use serde::Serialize;
use ts_rs::{Config, TS};

const HEAD: &str = "\
// Written by `cargo xtask types` from the Rust definitions in crate/core: change those, not this file.
// Shapes that cross between the page and the engine, and the range of every setting.

/** The engine a bundle computes with. */
export type Device = 'cpu' | 'webgpu';
";

fn main() -> Result<(), Box<dyn Error>> {
    println!("{HEAD}");
    declare::<TokenizerKind>();
    declare::<Solver>();
    declare::<CfgSchedule>();
    declare::<OrderKind>();
    declare::<Defaults>();
    declare::<ModelInfo>();
    declare::<PictureSettings>();
    declare::<DecodeSettings>();
    declare::<HeadSettings>();
    declare::<DecodeState>();
    declare::<TraceModel>();
    declare::<TraceMs>();
    declare::<TraceIteration>();
    declare::<AttentionWeights>();
    declare::<BackboneProbe>();
    declare::<Explanation>();

    all("SOLVERS", "Solver", &[Solver::Ddpm, Solver::Ddim, Solver::Dpm])?;
    all("CFG_SCHEDULES", "CfgSchedule", &[CfgSchedule::Linear, CfgSchedule::Constant])?;
    all("ORDERS", "OrderKind", &[OrderKind::Random, OrderKind::Raster, OrderKind::Spiral, OrderKind::Center])?;

    println!("/** What each setting may be; iterations are 1 to the number of tokens. */");
    println!("export const RANGES = {{");
    range("seed", &SEED);
    range("cfg", &CFG);
    range("steps", &STEPS);
    range("temperature", &TEMPERATURE);
    println!("}} as const;\n");
    println!("/** Timesteps of training. */\nexport const TIMESTEPS = {TRAIN_STEPS};\n");
    println!("export const TRACE_FORMAT = {};", serde_json::to_string(FORMAT)?);
    println!("export const TRACE_VERSION = {VERSION};\n");
    println!("/** The weights that come with the page, which it assumes until it has some. */");
    let fashion = ModelInfo::of(&Preset::Fashion.weights(&[]), 0, "cpu");
    println!("export const FASHION: ModelInfo = {};", serde_json::to_string_pretty(&fashion)?);
    Ok(())
}

/// The declaration of `T`, with what Rust says of it.
fn declare<T: TS>() {
    let config = Config::default();
    let text = format!("{}export {}\n", T::docs().unwrap_or_default(), T::decl(&config));
    println!(
        "{}",
        text.replace("/**\n * ", "/** ").replace("\n */", " */").replace(", \n", ",\n").replace("{ \n", "{\n")
    );
}

/// Every value of an enum, as a list of the type `name`.
fn all<T: Serialize>(list: &str, name: &str, values: &[T]) -> Result<(), serde_json::Error> {
    println!("export const {list}: readonly {name}[] = {};\n", serde_json::to_string(values)?);
    Ok(())
}

fn range<T: Display>(name: &str, range: &RangeInclusive<T>) {
    println!("  {name}: {{ min: {}, max: {} }},", range.start(), range.end());
}
