//! `marscope import`: turns a weights file, for instance an official checkpoint, into a weights folder.
//! `sample`, `eval` and the page read that folder. Pickled files are parsed, never executed.

use std::path::{Path, PathBuf};

use super::{Failure, read};
use marscope_core::checkpoint::{Precision, write_safetensors};
use marscope_core::config::WeightsConfig;
use marscope_core::network::Network;
use marscope_core::preset::Preset;
use marscope_inference::cpu::Cpu;
use marscope_training::checkpoint::{Weights, read_weights};
use marscope_training::replace::replace;

#[derive(clap::Args)]
pub struct Args {
    /// Weights file: a checkpoint of the official script (checkpoint-last.pth), or safetensors under official names
    #[arg(long)]
    from: PathBuf,
    #[command(flatten)]
    network: NetworkArgs,
    /// Take the trained weights instead of their moving average (EMA)
    #[arg(long)]
    raw: bool,
    /// Text file with the names of the classes, one per line [default: their numbers, or the preset's names]
    #[arg(long, conflicts_with = "config")]
    classes: Option<PathBuf>,
    /// Store numbers as f16 instead of f32
    #[arg(long)]
    f16: bool,
    /// Weights folder to write
    #[arg(long)]
    out: PathBuf,
}

/// The network that the file belongs to.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct NetworkArgs {
    /// A network by its name
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// A network described by a config.json, in the form of weights folders
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", args.from.display());
    let which = if args.raw { Weights::Raw } else { Weights::Ema };
    let checkpoint = read_weights(&read(&args.from)?, which).map_err(|error| named(&error))?;
    let config = match (&args.network.config, args.network.preset) {
        (Some(path), _) => {
            WeightsConfig::parse(&text(path)?).map_err(|error| format!("{}: {error}", path.display()))?
        }
        (None, Some(preset)) => {
            let table = checkpoint.get("class_emb.weight").map_err(|error| named(&error))?;
            let count = table.shape.first().copied().unwrap_or_default();
            preset.weights(&class_names(args.classes.as_deref(), count)?)
        }
        (None, None) => return Err("give --preset or --config".into()),
    };
    // Loading checks every tensor.
    let loaded = Cpu::load(&config.model, &checkpoint);
    let parameters = loaded.map_err(|error| named(&error))?.parameters();

    let precision = if args.f16 { Precision::F16 } else { Precision::F32 };
    let files = [
        ("model.safetensors", write_safetensors(&checkpoint, precision)?),
        // Written last: a folder with a config.json is complete.
        ("config.json", (serde_json::to_string_pretty(&config)? + "\n").into_bytes()),
    ];
    let written = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    std::fs::create_dir_all(&args.out).map_err(|error| written(&args.out, error))?;
    for (name, bytes) in files {
        let path = args.out.join(name);
        replace(&path, &bytes).map_err(|error| written(&path, error))?;
    }
    let (out, count) = (args.out.display(), config.classes.len());
    println!("{out}: {}, {parameters} parameters, {count} classes", config.name);
    Ok(())
}

/// The names of `count` classes from the file `path`; without a path, their numbers.
fn class_names(path: Option<&Path>, count: usize) -> Result<Vec<String>, Failure> {
    let Some(path) = path else { return Ok((0..count).map(|class| class.to_string()).collect()) };
    let names: Vec<String> = text(path)?.lines().map(|line| line.trim().to_owned()).collect();
    if names.len() == count {
        return Ok(names);
    }
    let (path, found) = (path.display(), names.len());
    Err(format!("{path} names {found} classes; the weights have {count}: give {count} names, one per line").into())
}

fn text(path: &Path) -> Result<String, Failure> {
    Ok(String::from_utf8(read(path)?).map_err(|_| format!("{} is not a text file", path.display()))?)
}
