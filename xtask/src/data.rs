//! `cargo xtask data`: data sets that are made rather than downloaded, as folders that `marscope train --data` reads.
//! What draws them lies in a folder each, with npm packages and a lock file of its own; nothing of it gets into the page.

use std::path::{Path, PathBuf, absolute};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Subcommand;

use crate::node;
use crate::process::{root, run as run_command};

/// Styles of portraits: the classes.
const STYLES: usize = 12;
/// Numbers of the seeds that training has; those of validation follow, and as many.
const SEEDS: usize = 1_000_000;

/// Arguments of `cargo xtask data`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    set: Set,
}

#[derive(Subcommand)]
enum Set {
    /// Draw DiceBear's cartoon portraits: twelve styles, a class each, in colour
    Portraits(Portraits),
}

#[derive(clap::Args)]
struct Portraits {
    /// Folder for train/STYLE/*.png and val/STYLE/*.png, what each portrait is made of, and the credits
    #[arg(long)]
    out: PathBuf,
    /// Portraits to learn from, over all styles
    #[arg(long, default_value_t = 60_000)]
    train: usize,
    /// Portraits for validation
    #[arg(long, default_value_t = 2_400)]
    val: usize,
    /// Side of a portrait, in pixels
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(8..=1024))]
    size: u32,
}

/// Makes the data set that is asked for.
///
/// # Errors
/// If a number is out of range, the packages cannot be installed, or something is in the folder already.
pub fn run(args: &Args) -> Result<()> {
    match &args.set {
        Set::Portraits(portraits) => portraits.draw(),
    }
}

impl Portraits {
    fn draw(&self) -> Result<()> {
        for (name, count) in [("--train", self.train), ("--val", self.val)] {
            ensure!(
                (STYLES..=STYLES * SEEDS).contains(&count),
                "{name} {count}: {STYLES} at least, one of each style, and {} at most, of which each has a seed of its own",
                STYLES * SEEDS
            );
        }
        node::check()?;
        let folder = root().join("xtask/portraits");
        if !node::installed_in(&folder) {
            node::install_in(&folder)?;
        }
        let out = absolute(&self.out).with_context(|| format!("no such place: {}", self.out.display()))?;
        let numbers = [self.train.to_string(), self.val.to_string(), self.size.to_string()];
        run_command(Command::new("node").arg("draw.mjs").arg(&out).args(numbers).current_dir(&folder))?;
        println!("{}", next(&out));
        Ok(())
    }
}

/// What to do with the folder.
fn next(out: &Path) -> String {
    format!("train on them: marscope train-tokenizer --preset portraits --data {} --out RUN", out.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused_before_anything_is_installed() {
        let draw = |train, val| {
            let portraits = Portraits { out: "/dev/null/portraits".into(), train, val, size: 64 };
            portraits.draw().unwrap_err().to_string()
        };
        assert!(draw(11, 12).contains("--train 11: 12 at least"));
        assert!(draw(12, 0).contains("--val 0: 12 at least"));
        assert!(draw(12_000_001, 12).contains("12000000 at most"));
    }
}
