//! `marscope train-tokenizer`: trains the autoencoder between pictures and tokens.
//! Ctrl-C saves and stops, `--resume` continues. At the end the quality on validation pictures is printed and saved.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use super::autoencoder::KlFiles;
use super::device::TrainDevice;
use super::train::{DiskArgs, MachineArgs, RecipeArgs};
use super::{Failure, stop_on_ctrl_c, write};
use marscope_core::tokenizer::{AUTOENCODER_CONFIG, KlConfig};
use marscope_training::data::{self, DataError, ImageSet, OpenOptions, Opened, Split};
use marscope_training::train::{
    Quality, TokenizerPlan, TokenizerPreset, TokenizerTask, TrainOptions, measure, resumed_record, train,
};

#[derive(clap::Args)]
pub struct Args {
    /// Folder of the pictures: train/CLASS/*.png and val/CLASS/*.png, or CIFAR's binary files
    #[arg(long)]
    data: PathBuf,
    /// Preset of the autoencoder and its recipe
    #[arg(long, value_enum, required_unless_present = "resume")]
    preset: Option<TokenizerPreset>,
    /// Folder of the run: checkpoints, log, autoencoder.safetensors and autoencoder.json
    #[arg(long)]
    out: PathBuf,
    /// Continue the run in --out with its own recipe; options given here replace parts of it
    #[arg(long)]
    resume: bool,
    /// Weights to start from, safetensors or .pth
    #[arg(long, conflicts_with = "resume")]
    from: Option<PathBuf>,
    /// Train the decoder alone: the latents stay as they are, so that a network which was trained on them still fits
    #[arg(long)]
    decoder_only: bool,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    disk: DiskArgs,
    /// Threads that decode images, for each device
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Number of unreadable images to tolerate; more end the run
    #[arg(long, default_value_t = 100)]
    max_bad: usize,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    device: TrainDevice,
    /// Number of devices of this machine; the CPU can serve as several, at most one per core
    #[arg(long, default_value_t = 1)]
    devices: usize,
    #[command(flatten)]
    machines: MachineArgs,
}

/// The content of `autoencoder.json` after the last step.
#[derive(Serialize)]
struct Described<'a> {
    #[serde(flatten)]
    shape: &'a KlConfig,
    quality: Quality,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let stop = stop_on_ctrl_c()?;
    let devices = args.device.open_all(args.devices)?;
    let (task, opened) = task(&args)?;
    let options = TrainOptions {
        resume: args.resume,
        from: args.from,
        workers: args.workers,
        max_bad: args.max_bad,
        machines: args.machines.machines(),
        ..args.disk.options(args.out)
    };
    let outcome = train(&task, &opened.dataset, &options, &devices, &stop)?;
    let (step, loss, out) = (outcome.step, outcome.loss, &options.out);
    if outcome.stopped {
        println!("stopped and saved after step {step} (loss {loss:.4}); continue with --resume");
        return Ok(());
    }
    println!("done: {step} steps, loss {loss:.4}. Measuring {} validation pictures", task.validation.len());
    let kl = KlFiles::new(out, None)?.burn(&devices[0])?;
    let measured = measure(&kl, &devices[0], &task.validation, &AtomicBool::new(false));
    let (quality, sheet) = measured.expect("nothing stops it");
    let described = serde_json::to_string_pretty(&Described { shape: &task.plan.autoencoder, quality })?;
    write(&out.join(AUTOENCODER_CONFIG), described + "\n")?;
    sheet.save(&out.join("reconstructions.png"))?;
    let scale = quality.latent_scale;
    println!("{}; scale {scale:.4}. Pictures beside their reconstructions: reconstructions.png", quality.line());
    println!("Encode the data: marscope cache --kl {}", out.display());
    Ok(())
}

/// The task, and the data to train on.
fn task(args: &Args) -> Result<(TokenizerTask, Opened), Failure> {
    let kept: Option<TokenizerPlan> = if args.resume { Some(resumed_record(&args.out)?) } else { None };
    let (shape, loss, recipe) = match (&kept, args.preset) {
        (Some(plan), _) => (plan.autoencoder.clone(), plan.loss, plan.recipe.clone()),
        (None, Some(preset)) => (preset.shape(), preset.loss(), preset.recipe()),
        (None, None) => return Err("give a --preset, or --resume".into()),
    };
    shape.validate()?;
    let recipe = args.recipe.over(recipe);
    let side = shape.resolution;
    let options = OpenOptions { split: Split::Train, side: Some(side), patch: side, flip: recipe.flip };
    let opened = data::open(&args.data, &options)?;
    let validation = ImageSet::read_scaled(&args.data, Split::Test, Some(side)).map_err(|error| match error {
        DataError::NoLayout(folder) => {
            format!("{}: no pictures for validation: put some into val/, a folder a class", folder.display()).into()
        }
        other => Failure::from(other),
    })?;
    let examples = opened.dataset.len();
    let mut plan = match kept {
        Some(kept) if !args.recipe.sets_length() => TokenizerPlan { recipe, ..kept },
        _ => TokenizerPlan::new(shape, loss, recipe, examples),
    };
    plan.steps = args.recipe.steps.unwrap_or(plan.steps);
    plan.decoder_only |= args.decoder_only;
    Ok((TokenizerTask { plan, validation }, opened))
}
