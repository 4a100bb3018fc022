//! `marscope import`: a weights file, an official checkpoint for instance, as a weights folder.
//! What `sample`, `eval` and the page read from then on; pickled files are read and never run.

use std::path::{Path, PathBuf};

use super::{Failure, read};
use crate::checkpoint::{Checkpoint, Precision, Weights, write_safetensors};
use crate::config::WeightsConfig;
use crate::network::{Device, Network};
use crate::preset::Preset;
use crate::replace::replace;

#[derive(clap::Args)]
pub struct Args {
    /// Weights file: a checkpoint of the official script (checkpoint-last.pth), or safetensors under official names
    #[arg(long)]
    from: PathBuf,
    #[command(flatten)]
    network: NetworkArgs,
    /// Take the weights that were trained, and not their running average
    #[arg(long)]
    raw: bool,
    /// Text file of the classes' names, one a line [default: their numbers, or the preset's own]
    #[arg(long, conflicts_with = "config")]
    classes: Option<PathBuf>,
    /// Store 16 bits a number instead of 32
    #[arg(long)]
    f16: bool,
    /// Weights folder to write
    #[arg(long)]
    out: PathBuf,
}

/// Which network the file is of.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
struct NetworkArgs {
    /// One that goes by a name
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// One that a config.json describes, as weights folders have it
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", args.from.display());
    let which = if args.raw { Weights::Raw } else { Weights::Ema };
    let checkpoint = Checkpoint::read(&read(&args.from)?, which).map_err(|error| named(&error))?;
    let config = match (&args.network.config, args.network.preset) {
        (Some(path), _) => {
            WeightsConfig::parse(&text(path)?).map_err(|error| format!("{}: {error}", path.display()))?
        }
        (None, Some(preset)) => {
            let table = checkpoint.get("class_emb.weight").map_err(|error| named(&error))?;
            let count = table.shape.first().copied().unwrap_or_default();
            preset.weights(&class_names(args.classes.as_deref(), count)?)
        }
        (None, None) => return Err("give a --preset or a --config".into()),
    };
    // Loading is checking.
    let loaded = pollster::block_on(Network::load(&config.model, &checkpoint, &Device::Cpu));
    let parameters = loaded.map_err(|error| named(&error))?.parameters();

    let precision = if args.f16 { Precision::F16 } else { Precision::F32 };
    let files = [
        ("model.safetensors", write_safetensors(&checkpoint, precision)?),
        // Last: a folder with a config.json is whole.
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

/// The names in the file `path`, if there is one, of `count` classes; else their numbers.
fn class_names(path: Option<&Path>, count: usize) -> Result<Vec<String>, Failure> {
    let Some(path) = path else { return Ok((0..count).map(|class| class.to_string()).collect()) };
    let names: Vec<String> = text(path)?.lines().map(|line| line.trim().to_owned()).collect();
    if names.len() == count {
        return Ok(names);
    }
    let (path, found) = (path.display(), names.len());
    Err(format!("{path} names {found} classes; the weights have {count}: give as many, one a line").into())
}

fn text(path: &Path) -> Result<String, Failure> {
    Ok(String::from_utf8(read(path)?).map_err(|_| format!("{} is no text", path.display()))?)
}
