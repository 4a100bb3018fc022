//! `marscope cache`: encodes a data set into latents of the KL autoencoder once, so that training does not have to.
//! Ctrl-C stops between two batches; the same command continues after the last complete file.

use std::io::IsTerminal;
use std::path::PathBuf;

use flate2::Crc;
use indicatif::{ProgressBar, ProgressStyle};

use super::autoencoder::KlFiles;
use super::device::TrainDevice;
use super::{Failure, read};
use marscope_core::checkpoint::Precision;
use marscope_core::config::PAPER_LATENT_SCALE;
use marscope_training::data::{EncodeOptions, Split, encode, open_images};

#[derive(clap::Args)]
pub struct Args {
    /// Folder of the images: idx files, CIFAR files, or one folder of .jpg and .png files per class
    #[arg(long)]
    data: PathBuf,
    /// Which part of the data
    #[arg(long, value_enum, default_value = "train")]
    split: Split,
    /// The autoencoder: a folder with autoencoder.json and autoencoder.safetensors, kl16.ckpt, or a safetensors file
    #[arg(long)]
    kl: PathBuf,
    /// JSON file with the autoencoder's shape [default: autoencoder.json beside --kl, else KL-16]
    #[arg(long)]
    kl_config: Option<PathBuf>,
    /// Folder to write the latents to
    #[arg(long)]
    out: PathBuf,
    /// Scale and crop images to this side, in pixels [default: the autoencoder's resolution]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4096))]
    side: Option<u32>,
    /// Do not encode mirrored images too: for data where left and right differ in meaning
    #[arg(long)]
    no_flip: bool,
    /// Store numbers as f32 instead of f16
    #[arg(long)]
    f32: bool,
    /// Factor that training multiplies latents by [default: 1 / their measured standard deviation]
    #[arg(long, value_parser = positive)]
    scale: Option<f64>,
    /// Images per forward pass of the autoencoder
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: u32,
    /// Images per file; stopping loses the file being written
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    per_shard: u32,
    /// Number of unreadable images to leave out; one more is an error
    #[arg(long, default_value_t = 100)]
    max_bad: usize,
    /// Device to compute on
    #[arg(long, value_enum, default_value_t)]
    device: TrainDevice,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let files = KlFiles::new(&args.kl, args.kl_config.as_deref())?;
    let side = args.side.map_or(files.config.resolution, |side| side as usize);
    // Before the weights, which take long to read: a missing data set is reported at once.
    let data = open_images(&args.data, args.split, Some(side))?;

    let device = args.device.open()?;
    let kl = files.burn(&device)?;
    let mut crc = Crc::new();
    crc.update(&read(&files.weights)?);

    let options = EncodeOptions {
        source: args.data.display().to_string(),
        split: args.split,
        kl: format!("{:08x}", crc.sum()),
        flips: !args.no_flip,
        precision: if args.f32 { Precision::F32 } else { Precision::F16 },
        per_shard: args.per_shard as usize,
        batch: args.batch as usize,
        max_bad: args.max_bad,
        scale: args.scale,
    };
    let stop = super::stop_on_ctrl_c()?;
    let of = data.images.len();
    eprintln!("{}: {}, {of} images of {} classes", args.data.display(), data.layout, data.classes.len());

    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} images  {per_sec}  {eta} left {msg}");
    let bar = ProgressBar::new(of as u64).with_style(style.expect("the template is well-formed"));
    let mut found = 0;
    let index = encode(&kl, &device, &data, &args.out, &options, &stop, |progress| {
        if progress.resumed != found {
            found = progress.resumed;
            bar.set_message(format!("({found} already done)"));
            bar.set_position(progress.images as u64);
            // Images that were already done say nothing about the speed.
            bar.reset_eta();
        }
        bar.set_position(progress.images as u64);
        if !std::io::stderr().is_terminal() && progress.images.is_multiple_of(options.per_shard) {
            eprintln!("{} of {} images", progress.images, progress.of);
        }
    });
    bar.finish_and_clear();
    let Some(index) = index? else {
        println!("stopped; the same command continues after the last complete file in {}", args.out.display());
        return Ok(());
    };

    println!("{} latents in {} files in {}", index.count, index.shards.len(), args.out.display());
    for bad in &index.unreadable {
        println!("left out: {}: {}", bad.path.display(), bad.what);
    }
    println!(
        "measured scale {:.4} (1 / standard deviation); the paper's KL-16: {PAPER_LATENT_SCALE}",
        index.measured_scale
    );
    if args.scale.is_some() {
        println!("the index holds the scale given with --scale: {}", index.scale);
    }
    Ok(())
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale.is_finite() && scale > 0.0 => Ok(scale),
        _ => Err("give a number over 0".into()),
    }
}
