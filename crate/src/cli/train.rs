//! `marscope train`: a network from a folder of images, of cached latents, or of a run that was stopped.
//! Ctrl-C saves and stops; `--resume` goes on from there.

use std::path::PathBuf;

use super::autoencoder::KlArgs;
use super::device::TrainDevice;
use super::{Failure, stop_on_ctrl_c};
use crate::config::TokenizerKind;
use crate::data::{self, Layout, OpenOptions, Opened, Split};
use crate::train::{Compute, Machines, Plan, Preset, RateSchedule, Recipe, TrainOptions, resumed_plan, train};

#[derive(clap::Args)]
pub struct Args {
    /// Folder of the examples: idx files, CIFAR's binary files, a folder of images a class, or cached latents
    #[arg(long)]
    data: PathBuf,
    /// Network and recipe
    #[arg(long, value_enum, required_unless_present = "resume")]
    preset: Option<Preset>,
    /// Folder of the run: checkpoints, log, and a weights folder to sample from
    #[arg(long)]
    out: PathBuf,
    /// Go on with the run in --out, by its own recipe but for what is given here
    #[arg(long)]
    resume: bool,
    /// Weights to start from, safetensors or .pth; a checkpoint of the official script is gone on with, optimizer and all
    #[arg(long, conflicts_with = "resume")]
    from: Option<PathBuf>,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    disk: DiskArgs,
    #[command(flatten)]
    kl: KlArgs,
    /// Threads that decode images, for each device
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Unreadable images that are borne; more stop the run
    #[arg(long, default_value_t = 100)]
    max_bad: usize,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    device: TrainDevice,
    /// Devices of this machine that train together. The processor can be cut into as many as it has cores, which then have
    /// a share of the batch, a core and a copy of the network each: faster for a small network than all cores on every layer
    #[arg(long, default_value_t = 1)]
    devices: usize,
    #[command(flatten)]
    machines: MachineArgs,
}

/// What the preset's recipe is changed in.
#[derive(clap::Args)]
#[command(next_help_heading = "Recipe [default: the preset's]")]
struct RecipeArgs {
    /// Examples a step, over all devices
    #[arg(long)]
    batch: Option<usize>,
    /// Passes over the data
    #[arg(long)]
    epochs: Option<f64>,
    /// Steps in all, instead of epochs
    #[arg(long, conflicts_with = "epochs")]
    steps: Option<usize>,
    /// Peak learning rate per 256 examples of the batch
    #[arg(long)]
    base_rate: Option<f64>,
    /// Epochs over which the rate rises
    #[arg(long)]
    warmup_epochs: Option<f64>,
    /// How the rate goes on after that
    #[arg(long, value_enum)]
    schedule: Option<RateSchedule>,
    /// EMA decay
    #[arg(long)]
    ema: Option<f32>,
    /// Dropout of attention weights
    #[arg(long)]
    attention_dropout: Option<f64>,
    /// Dropout behind the attention and in the MLP
    #[arg(long)]
    projection_dropout: Option<f64>,
    /// Mirror half of the images
    #[arg(long)]
    flip: Option<bool>,
    /// Precision of the backbone; the head and all weights are f32
    #[arg(long, value_enum)]
    compute: Option<Compute>,
    /// Passes that a device's share of the batch is cut into
    #[arg(long)]
    accumulate: Option<usize>,
    /// Compute activations again in the backward pass instead of keeping them
    #[arg(long)]
    checkpoint_activations: Option<bool>,
    /// Seed of everything random
    #[arg(long)]
    seed: Option<u64>,
}

impl RecipeArgs {
    /// `recipe` with what was given in its place.
    fn over(&self, mut recipe: Recipe) -> Recipe {
        fn set<T: Copy>(value: &mut T, given: Option<T>) {
            *value = given.unwrap_or(*value);
        }
        set(&mut recipe.batch, self.batch);
        set(&mut recipe.epochs, self.epochs);
        set(&mut recipe.base_rate, self.base_rate);
        set(&mut recipe.warmup_epochs, self.warmup_epochs);
        set(&mut recipe.schedule, self.schedule);
        set(&mut recipe.ema, self.ema);
        set(&mut recipe.attention_dropout, self.attention_dropout);
        set(&mut recipe.projection_dropout, self.projection_dropout);
        set(&mut recipe.flip, self.flip);
        set(&mut recipe.compute, self.compute);
        set(&mut recipe.accumulate, self.accumulate);
        set(&mut recipe.checkpoint_activations, self.checkpoint_activations);
        set(&mut recipe.seed, self.seed);
        recipe
    }

    /// Whether anything that decides the number of steps was given.
    fn sets_length(&self) -> bool {
        self.epochs.is_some() || self.batch.is_some() || self.warmup_epochs.is_some()
    }
}

/// What is written, and when.
#[derive(clap::Args)]
#[command(next_help_heading = "On disk")]
struct DiskArgs {
    /// Seconds between checkpoints
    #[arg(long, default_value_t = 120)]
    save_every: u64,
    /// Steps between checkpoints that are kept for good [default: only the last is]
    #[arg(long)]
    keep_every: Option<usize>,
    /// Steps between lines of the log
    #[arg(long, default_value_t = 20)]
    log_every: usize,
    /// Steps between samples of the EMA and the raw weights, always of the same classes and seeds [default: none]
    #[arg(long)]
    sample_every: Option<usize>,
    /// Plain lines, even where there is a terminal
    #[arg(long)]
    plain: bool,
    /// Write event files for TensorBoard, into OUT/tensorboard
    #[arg(long)]
    tensorboard: bool,
    /// Do not measure first what the device can do at best, which takes a second or two
    #[arg(long)]
    no_roof: bool,
}

/// Several machines.
#[derive(clap::Args)]
#[command(next_help_heading = "Several machines, each with --devices devices")]
struct MachineArgs {
    /// This machine, from 0
    #[arg(long, default_value_t = 0)]
    machine: usize,
    /// Machines in all
    #[arg(long, default_value_t = 1, requires = "meet")]
    machines: usize,
    /// Where machine 0 listens and the others find it, host:port
    #[arg(long)]
    meet: Option<String>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let stop = stop_on_ctrl_c()?;
    let devices = args.device.open_all(args.devices)?;
    let (plan, opened) = plan(&args)?;
    let options = TrainOptions {
        out: args.out,
        resume: args.resume,
        from: args.from,
        save_every: args.disk.save_every,
        keep_every: args.disk.keep_every,
        log_every: args.disk.log_every,
        sample_every: args.disk.sample_every,
        autoencoder: args.kl.autoencoder(&devices[0])?,
        dashboard: !args.disk.plain,
        tensorboard: args.disk.tensorboard,
        roof: !args.disk.no_roof,
        workers: args.workers,
        max_bad: args.max_bad,
        machines: args.machines.meet.map(|meet| Machines {
            machine: args.machines.machine,
            machines: args.machines.machines,
            meet,
        }),
    };
    let outcome = train(&plan, &opened.dataset, &options, &devices, &stop)?;
    let (step, loss, out) = (outcome.step, outcome.loss, options.out.display());
    if outcome.stopped {
        println!("stopped and saved after step {step} (loss {loss:.4}): go on by --resume");
    } else {
        println!("done: {step} steps, loss {loss:.4}. Sample from it: marscope sample --model {out} --out grid.png");
    }
    Ok(())
}

/// What to train, and on what.
fn plan(args: &Args) -> Result<(Plan, Opened), Failure> {
    let kept = if args.resume { Some(resumed_plan(&args.out)?) } else { None };
    // The data has to be opened as the preset says, and the preset's classes are the data's.
    let (shape, recipe) = match (&kept, args.preset) {
        (Some(plan), _) => (plan.weights.clone(), plan.recipe.clone()),
        (None, Some(preset)) => (preset.weights(&[]), preset.recipe()),
        (None, None) => return Err("give a --preset, or --resume".into()),
    };
    let recipe = args.recipe.over(recipe);
    let of_pixels = shape.tokenizer == TokenizerKind::Pixel;
    let opened = data::open(
        &args.data,
        &OpenOptions {
            split: Split::Train,
            side: of_pixels.then_some(shape.model.img_size),
            patch: shape.model.patch_size,
            flip: recipe.flip,
        },
    )?;
    if of_pixels == (opened.layout == Layout::Latents) {
        let (wants, has) = if of_pixels { ("images", "latents") } else { ("latents", "images") };
        let hint = if of_pixels { "" } else { ": encode them once by marscope cache" };
        return Err(format!("{}: the preset trains on {wants}, and these are {has}{hint}", args.data.display()).into());
    }
    let examples = opened.dataset.len();
    let mut plan = match (kept, args.preset) {
        (Some(kept), _) if !args.recipe.sets_length() => Plan { recipe, ..kept },
        (Some(kept), _) => Plan::new(kept.weights, recipe, examples),
        (None, Some(preset)) => Plan::new(preset.weights(&opened.classes), recipe, examples),
        (None, None) => unreachable!("there was a preset or a run"),
    };
    plan.weights.latent_scale = opened.latent_scale;
    plan.steps = args.recipe.steps.unwrap_or(plan.steps);
    Ok((plan, opened))
}
