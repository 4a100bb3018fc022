//! `marscope patches`: the two principal axes of a data set's patches, on which the page shows tokens as points.
//! These are the two of C directions in which real patches vary most.

use std::path::PathBuf;

use super::{Failure, write};
use marscope_core::tokenizer::{Patches, from_byte};
use marscope_training::data::{ImageSet, Split};
use marscope_training::eval::axes::{PrincipalAxes, principal_axes};

/// Patches to store as points of the map.
const SAMPLE: usize = 400;

#[derive(clap::Args)]
pub struct Args {
    /// Folder of the real images (idx or CIFAR files); the training set is used
    #[arg(long)]
    data: PathBuf,
    /// Side of a patch in pixels
    #[arg(long, default_value_t = 4)]
    patch: usize,
    /// JSON file to write
    #[arg(long)]
    out: PathBuf,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let images = ImageSet::read(&args.data, Split::Train)?;
    let (side, patch) = (images.side, args.patch);
    if images.is_empty() || patch < 2 || !side.is_multiple_of(patch) {
        let found = images.len();
        return Err(
            format!("{found} images of side {side} give no patches of side {patch}: use another --patch").into()
        );
    }
    let patches = Patches::new(images.channels, side, patch);
    let dim = images.channels * patch * patch;
    let tokens: Vec<f32> = (0..images.len())
        .flat_map(|index| patches.patchify(&images.image(index).iter().map(|&b| from_byte(b)).collect::<Vec<_>>()))
        .collect();
    let axes = principal_axes(&tokens, dim);
    // Spread over the images, with the position changing each time: a fixed stride would visit few positions.
    let (each, kept) = ((side / patch).pow(2), SAMPLE.min(images.len()));
    let patch_of = |i: usize| &tokens[(i * images.len() / kept * each + i % each) * dim..][..dim];
    let sample: Vec<[f64; 2]> = (0..kept).map(|i| axes.project(patch_of(i)).map(rounded)).collect();

    let PrincipalAxes { count, mean, axes, variance, total } = axes;
    let round = |values: Vec<f64>| values.into_iter().map(rounded).collect::<Vec<_>>();
    let json = serde_json::json!({
        "count": count,
        "mean": round(mean),
        "axes": axes.map(round),
        "variance": variance.map(rounded),
        "total": rounded(total),
        "sample": sample,
    });
    write(&args.out, format!("{json}\n"))
}

/// `value` to 5 significant digits.
fn rounded(value: f64) -> f64 {
    format!("{value:.4e}").parse().expect("a number as it was printed")
}

#[cfg(test)]
mod tests {
    use super::rounded;

    #[test]
    fn five_digits_stay() {
        let rounded: Vec<String> = [123_456.0, -0.001_234_56, 0.5, 0.0].map(|v| rounded(v).to_string()).to_vec();
        assert_eq!(rounded, ["123460", "-0.0012346", "0.5", "0"]);
    }
}
