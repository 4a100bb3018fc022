//! `marscope train`: trains a network on a folder of images or of cached latents.
//! Ctrl-C saves and stops; `--resume` continues the run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::autoencoder::{KlArgs, KlFiles};
use super::device::TrainDevice;
use super::{Failure, read, stop_on_ctrl_c};
use marscope_core::config::TokenizerKind;
use marscope_core::tokenizer::{AUTOENCODER_CONFIG, AUTOENCODER_WEIGHTS, KlConfig};
use marscope_inference::cpu::{self, Cpu};
use marscope_training::data::{self, Layout, OpenOptions, Opened, Split};
use marscope_training::replace::replace;
use marscope_training::train::{
    Compute, Machines, OpenNetwork, Plan, Preset, RateSchedule, Recipe, SharedAutoencoder, TrainOptions, resumed_plan,
    train,
};

#[derive(clap::Args)]
pub struct Args {
    /// Folder of the training data: idx files, CIFAR's binary files, one folder of images per class, or cached latents
    #[arg(long)]
    data: PathBuf,
    /// Network and recipe
    #[arg(long, value_enum, required_unless_present = "resume")]
    preset: Option<Preset>,
    /// Folder of the run: checkpoints, log, and the weights to sample from
    #[arg(long)]
    out: PathBuf,
    /// Continue the run in --out with its recipe; options given here override it
    #[arg(long)]
    resume: bool,
    /// Start from these weights, safetensors or .pth; an official checkpoint continues with its optimizer
    #[arg(long, conflicts_with = "resume")]
    from: Option<PathBuf>,
    #[command(flatten)]
    recipe: RecipeArgs,
    #[command(flatten)]
    transformer: TransformerArgs,
    #[command(flatten)]
    disk: DiskArgs,
    #[command(flatten)]
    kl: KlArgs,
    /// Threads per device that decode images
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Number of unreadable images to skip; one more stops the run
    #[arg(long, default_value_t = 100)]
    max_bad: usize,
    /// Device to compute on
    #[arg(long, value_enum, default_value_t)]
    device: TrainDevice,
    /// Number of devices of this machine that train together. The CPU can be split into as many devices as it has
    /// cores; each has its share of the batch and a copy of the network, which is faster for small networks
    #[arg(long, default_value_t = 1)]
    devices: usize,
    #[command(flatten)]
    machines: MachineArgs,
}

/// Changes to the preset's recipe.
#[derive(clap::Args)]
#[command(next_help_heading = "Recipe [default: the preset's]")]
pub struct RecipeArgs {
    /// Examples per step, over all devices
    #[arg(long)]
    batch: Option<usize>,
    /// Number of passes over the data
    #[arg(long)]
    epochs: Option<f64>,
    /// Total number of steps, instead of epochs
    #[arg(long, conflicts_with = "epochs")]
    pub steps: Option<usize>,
    /// Peak learning rate per 256 examples of the batch
    #[arg(long)]
    base_rate: Option<f64>,
    /// Epochs of linear warm-up of the learning rate
    #[arg(long)]
    warmup_epochs: Option<f64>,
    /// Learning rate after the warm-up
    #[arg(long, value_enum)]
    schedule: Option<RateSchedule>,
    /// EMA decay
    #[arg(long)]
    ema: Option<f32>,
    /// Mirror each image with probability 1/2
    #[arg(long)]
    flip: Option<bool>,
    /// Gradient accumulation: split a device's share of the batch into this many passes
    #[arg(long)]
    accumulate: Option<usize>,
    /// Recompute activations in the backward pass instead of keeping them
    #[arg(long)]
    checkpoint_activations: Option<bool>,
    /// Random seed
    #[arg(long)]
    seed: Option<u64>,
}

/// Changes to the parts of the recipe that only a transformer has.
#[derive(clap::Args)]
#[command(next_help_heading = "Recipe of the transformer [default: the preset's]")]
struct TransformerArgs {
    /// Dropout of attention weights
    #[arg(long)]
    attention_dropout: Option<f64>,
    /// Dropout after the attention and in the MLP
    #[arg(long)]
    projection_dropout: Option<f64>,
    /// Precision of the backbone; the head and all weights are f32
    #[arg(long, value_enum)]
    compute: Option<Compute>,
}

impl TransformerArgs {
    /// `recipe` with the given options in their place.
    fn over(&self, mut recipe: Recipe) -> Recipe {
        set(&mut recipe.attention_dropout, self.attention_dropout);
        set(&mut recipe.projection_dropout, self.projection_dropout);
        set(&mut recipe.compute, self.compute);
        recipe
    }
}

/// Replaces `value` if an option was given.
fn set<T: Copy>(value: &mut T, given: Option<T>) {
    *value = given.unwrap_or(*value);
}

impl RecipeArgs {
    /// `recipe` with the given options in their place.
    pub fn over(&self, mut recipe: Recipe) -> Recipe {
        set(&mut recipe.batch, self.batch);
        set(&mut recipe.epochs, self.epochs);
        set(&mut recipe.base_rate, self.base_rate);
        set(&mut recipe.warmup_epochs, self.warmup_epochs);
        set(&mut recipe.schedule, self.schedule);
        set(&mut recipe.ema, self.ema);
        set(&mut recipe.flip, self.flip);
        set(&mut recipe.accumulate, self.accumulate);
        set(&mut recipe.checkpoint_activations, self.checkpoint_activations);
        set(&mut recipe.seed, self.seed);
        recipe
    }

    /// Whether an option was given that changes the number of steps.
    pub fn sets_length(&self) -> bool {
        self.epochs.is_some() || self.batch.is_some() || self.warmup_epochs.is_some()
    }
}

/// What is written to disk, and when.
#[derive(clap::Args)]
#[command(next_help_heading = "On disk")]
pub struct DiskArgs {
    /// Seconds between checkpoints
    #[arg(long, default_value_t = 120)]
    save_every: u64,
    /// Steps between checkpoints to keep [default: keep only the last one]
    #[arg(long)]
    keep_every: Option<usize>,
    /// Steps between log entries
    #[arg(long, default_value_t = 20)]
    log_every: usize,
    /// Steps between sample images of the EMA and the raw weights, with fixed classes and seeds [default: no samples]
    #[arg(long)]
    sample_every: Option<usize>,
    /// Print plain lines instead of the dashboard
    #[arg(long)]
    plain: bool,
    /// Write event files for TensorBoard to OUT/tensorboard
    #[arg(long)]
    tensorboard: bool,
    /// Skip the measurement of the device's peak speed at the start, which takes a second or two
    #[arg(long)]
    no_roof: bool,
}

impl DiskArgs {
    /// A new run in the folder `out`, on this machine.
    pub fn options(&self, out: PathBuf) -> TrainOptions {
        TrainOptions {
            save_every: self.save_every,
            keep_every: self.keep_every,
            log_every: self.log_every,
            sample_every: self.sample_every,
            dashboard: !self.plain,
            tensorboard: self.tensorboard,
            roof: !self.no_roof,
            ..TrainOptions::new(out)
        }
    }
}

/// Several machines.
#[derive(clap::Args)]
#[command(next_help_heading = "Several machines, each with --devices devices")]
pub struct MachineArgs {
    /// Number of this machine, from 0
    #[arg(long, default_value_t = 0)]
    machine: usize,
    /// Total number of machines
    #[arg(long, default_value_t = 1, requires = "meet")]
    machines: usize,
    /// Address where machine 0 listens for the others, host:port
    #[arg(long)]
    meet: Option<String>,
}

impl MachineArgs {
    /// The other machines, if there are any.
    pub fn machines(self) -> Option<Machines> {
        let Self { machine, machines, meet } = self;
        meet.map(|meet| Machines { machine, machines, meet })
    }
}

pub fn run(args: Args) -> Result<(), Failure> {
    let stop = stop_on_ctrl_c()?;
    let devices = args.device.open_all(args.devices)?;
    let (plan, opened) = plan(&args)?;
    let files = args.kl.files()?;
    let options = TrainOptions {
        resume: args.resume,
        from: args.from,
        // The CPU engine is faster than Burn on the CPU. A GPU that trains also draws the samples.
        sample_engine: (args.device == TrainDevice::Cpu).then(cpu_engine),
        autoencoder: files.as_ref().map(|files| shared(files, args.device, &devices[0])).transpose()?,
        workers: args.workers,
        max_bad: args.max_bad,
        machines: args.machines.machines(),
        ..args.disk.options(args.out)
    };
    let outcome = train(&plan, &opened.dataset, &options, &devices, &stop)?;
    let beside = files.map(|files| put_beside(&files, &options.out)).transpose()?;
    let (step, loss, out) = (outcome.step, outcome.loss, options.out.display());
    if outcome.stopped {
        println!("stopped and saved after step {step} (loss {loss:.4}): continue with --resume");
    } else {
        let kl = if beside == Some(false) { " --kl AUTOENCODER" } else { "" };
        println!(
            "done: {step} steps, loss {loss:.4}. Sample from it: marscope sample --model {out}{kl} --out grid.png"
        );
    }
    Ok(())
}

fn cpu_engine() -> OpenNetwork {
    Arc::new(|config, weights| Ok(Arc::new(Cpu::load(config, weights)?)))
}

/// The autoencoder for the samples, where they are drawn.
fn shared(files: &KlFiles, kind: TrainDevice, device: &burn::tensor::Device) -> Result<SharedAutoencoder, Failure> {
    Ok(if kind == TrainDevice::Cpu {
        Arc::new(files.named(cpu::Kl::load(&files.config, &*files.open()?))?)
    } else {
        Arc::new(files.burn(device)?)
    })
}

/// Puts the autoencoder into the folder of the weights, where it is found without `--kl`. Whether it lies there then: a `.pth`
/// file is not copied.
fn put_beside(files: &KlFiles, folder: &Path) -> Result<bool, Failure> {
    if files.weights.extension().is_none_or(|extension| extension != "safetensors") {
        return Ok(false);
    }
    // The file beside it also says what was measured.
    let beside = files.weights.with_file_name(AUTOENCODER_CONFIG);
    let shape = match read(&beside) {
        Ok(bytes) if KlConfig::parse(&String::from_utf8_lossy(&bytes)).is_ok_and(|shape| shape == files.config) => {
            bytes
        }
        _ => serde_json::to_vec_pretty(&files.config)?,
    };
    for (name, bytes) in [(AUTOENCODER_WEIGHTS, read(&files.weights)?), (AUTOENCODER_CONFIG, shape)] {
        let path = folder.join(name);
        replace(&path, &bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(true)
}

/// The network and recipe to train, and the data.
fn plan(args: &Args) -> Result<(Plan, Opened), Failure> {
    let kept = if args.resume { Some(resumed_plan(&args.out)?) } else { None };
    // The preset decides how the data is opened, and the data names the preset's classes.
    let (shape, recipe) = match (&kept, args.preset) {
        (Some(plan), _) => (plan.weights.clone(), plan.recipe.clone()),
        (None, Some(preset)) => (preset.weights(&[]), Recipe::of(preset)),
        (None, None) => return Err("give --preset or --resume".into()),
    };
    let recipe = args.transformer.over(args.recipe.over(recipe));
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
        let hint = if of_pixels { "" } else { ": encode them with marscope cache first" };
        return Err(format!("{}: the preset trains on {wants}, but these are {has}{hint}", args.data.display()).into());
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
