//! Quality of an autoencoder on validation pictures: PSNR and SSIM of the reconstructions, statistics of the latents.
//! Table 8 of Rombach et al., arXiv 2112.10752, has these figures for the published ones.

use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::autoencoder::Kl;
use crate::data::ImageSet;
use crate::eval::{Similarity, similarity};
use crate::grid::Grid;
use marscope_core::tokenizer::{from_byte, to_byte};

/// Pictures that are measured during training.
pub const SHOWN: usize = 192;
/// Pictures of a sheet, each beside its reconstruction.
const SHEET: usize = 32;
/// Pictures per batch.
const BATCH: usize = 16;

/// The quality of an autoencoder.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Number of pictures.
    pub pictures: usize,
    /// Peak signal-to-noise ratio in decibels, the mean over pictures.
    pub psnr: f64,
    /// Peak signal-to-noise ratio of all pixels together.
    pub psnr_of_all: f64,
    /// Structural similarity, the mean over pictures.
    pub ssim: f64,
    /// Mean of the sampled latent numbers.
    pub latent_mean: f64,
    /// Their standard deviation.
    pub latent_std: f64,
    /// Factor from latents to tokens: `1 / latent_std`.
    pub latent_scale: f64,
    /// Root mean square of the standard deviations that the encoder predicts.
    pub posterior_std: f64,
}

impl Quality {
    /// `PSNR 30.12 dB, SSIM 0.9512; latents 0.02 +- 1.10 (own 0.05)`.
    pub fn line(&self) -> String {
        let Self { psnr, ssim, latent_mean, latent_std, posterior_std, .. } = self;
        format!(
            "PSNR {psnr:.2} dB, SSIM {ssim:.4}; latents {latent_mean:.2} +- {latent_std:.2} (own {posterior_std:.3})"
        )
    }
}

/// `count` pictures of `all`, evenly spaced.
pub fn some_of(all: &ImageSet, count: usize) -> ImageSet {
    let count = count.min(all.len());
    let chosen = (0..count).map(|i| i * all.len() / count);
    let (pixels, labels) = chosen.map(|i| (all.image(i), all.labels[i])).unzip::<_, _, Vec<_>, Vec<_>>();
    ImageSet { pixels: pixels.concat(), labels, channels: all.channels, side: all.side }
}

/// Reconstructs `pictures` from the means of their latents and measures the quality. Also returns a sheet of some pictures
/// beside their reconstructions. Returns `None` if `stop` is set meanwhile.
///
/// # Panics
/// When there are no pictures, or they do not fit the autoencoder.
pub fn measure(kl: &Kl, device: &Device, pictures: &ImageSet, stop: &AtomicBool) -> Option<(Quality, Grid)> {
    let side = pictures.side;
    let all: Vec<&[u8]> = (0..pictures.len()).map(|i| pictures.image(i)).collect();
    let mut found: Vec<Vec<u8>> = Vec::with_capacity(all.len());
    // Of the latent numbers: the count, and the sums of means, squared means and variances.
    let [mut count, mut sum, mut squares, mut own] = [0.0; 4];
    for some in all.chunks(BATCH) {
        if stop.load(Ordering::Relaxed) {
            return None;
        }
        let pixels: Vec<f32> = some.iter().flat_map(|picture| picture.iter().map(|&byte| from_byte(byte))).collect();
        let image = Tensor::from_data(TensorData::new(pixels, [some.len(), 3, side, side]), device);
        let posterior = kl.encode(image);
        let [mean, variance] = [posterior.mean.clone(), posterior.logvar.exp()].map(numbers);
        count += mean.len() as f64;
        sum += mean.iter().map(|&x| f64::from(x)).sum::<f64>();
        squares += mean.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>();
        own += variance.iter().map(|&x| f64::from(x)).sum::<f64>();
        let back = numbers(kl.decode(posterior.mean));
        found.extend(back.chunks_exact(3 * side * side).map(|one| one.iter().map(|&x| to_byte(x)).collect()));
    }
    let back: Vec<&[u8]> = found.iter().map(Vec::as_slice).collect();
    let Similarity { psnr, psnr_of_all, ssim } = similarity(&all, &back, side);
    let latent_mean = sum / count;
    let latent_std = ((squares + own) / count - latent_mean * latent_mean).sqrt();
    let quality = Quality {
        pictures: all.len(),
        psnr,
        psnr_of_all,
        ssim,
        latent_mean,
        latent_std,
        latent_scale: 1.0 / latent_std,
        posterior_std: (own / count).sqrt(),
    };
    let shown = SHEET.min(all.len());
    let pairs = (0..shown).map(|i| i * all.len() / shown).flat_map(|i| [all[i], back[i]]);
    let pairs: Vec<Vec<f32>> = pairs.map(|picture| picture.iter().map(|&byte| from_byte(byte)).collect()).collect();
    Some((quality, Grid::new(&pairs, 3, side).expect("pictures in colour")))
}

fn numbers(tensor: Tensor<4>) -> Vec<f32> {
    tensor.into_data().convert::<f32>().try_into_vec().expect("it was converted")
}
