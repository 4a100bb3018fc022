//! Cached latents for training: every read samples the image's posterior anew.
//! Appendix B of the paper: samples of the posterior, scaled to about unit variance.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::shard::{Origin, Shard, replace};
use super::{Bad, DataError, Dataset, Example, TokenShape};
use marscope_core::random::Stream;
use marscope_core::tokenizer::Patches;

const INDEX: &str = "index.json";

/// `index.json` of a folder of cached latents. It is written last: if it exists, all shards do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// The folder of the images.
    pub source: String,
    /// What was encoded, with which settings.
    pub origin: Origin,
    /// The names of the classes.
    pub classes: Vec<String>,
    /// Number of encoded images.
    pub count: usize,
    /// Factor that samples are multiplied by.
    pub scale: f64,
    /// 1 / the standard deviation of samples over all latents.
    pub measured_scale: f64,
    /// The files, in order, and the images in each.
    pub shards: Vec<ShardEntry>,
    /// Unreadable images, which are left out.
    pub unreadable: Vec<Bad>,
}

/// A file of an [`Index`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardEntry {
    /// Its name.
    pub file: String,
    /// Images in it.
    pub rows: usize,
}

impl Index {
    fn parse(json: &[u8]) -> Result<Self, String> {
        let index: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        if !(index.scale.is_finite() && index.scale > 0.0) {
            return Err(format!("scale is {}; it must be over 0", index.scale));
        }
        let rows = index.shards.iter().try_fold(0usize, |sum, shard| sum.checked_add(shard.rows));
        if rows != Some(index.count) {
            return Err(format!("count is {}, but the shards hold {rows:?}", index.count));
        }
        Ok(index)
    }

    /// Writes the index into `folder`, which makes the cache complete.
    ///
    /// # Errors
    /// [`DataError::Io`].
    pub(super) fn write(&self, folder: &Path) -> Result<(), DataError> {
        let json = serde_json::to_string_pretty(self).expect("plain data serialises") + "\n";
        replace(&folder.join(INDEX), json.as_bytes())
    }

    /// Reads the index of `folder`.
    ///
    /// # Errors
    /// [`DataError::Io`] or [`DataError::Damaged`].
    pub fn read(folder: &Path) -> Result<Self, DataError> {
        let path = folder.join(INDEX);
        let json = std::fs::read(&path).map_err(|source| DataError::Io { path: path.clone(), source })?;
        Self::parse(&json).map_err(|what| DataError::Damaged { path, what })
    }
}

/// Cached latents.
#[derive(Debug)]
pub struct Latents {
    index: Index,
    shards: Vec<Shard>,
    /// Index of each shard's first image.
    starts: Vec<usize>,
    patches: Patches,
    shape: TokenShape,
}

impl Latents {
    /// Whether `folder` holds latents, complete or not.
    pub fn is_at(folder: &Path) -> bool {
        folder.join(INDEX).is_file() || folder.join(Shard::name(0)).is_file()
    }

    /// Opens a cache; a token covers `patch` latent positions per side.
    ///
    /// # Errors
    /// [`DataError::Unfinished`], [`DataError::Patch`], or names the file that is missing or damaged.
    pub fn open(folder: &Path, patch: usize) -> Result<Self, DataError> {
        if !folder.join(INDEX).is_file() {
            return Err(DataError::Unfinished(folder.to_owned()));
        }
        let index = Index::read(folder)?;
        let origin = &index.origin;
        let (channels, side) = (origin.channels, origin.side);
        if patch == 0 || !side.is_multiple_of(patch) {
            return Err(DataError::Patch { patch, side });
        }
        let (mut shards, mut starts) = (Vec::new(), Vec::new());
        let mut start = 0;
        for ShardEntry { file, rows } in &index.shards {
            let path = folder.join(file);
            let shard = Shard::open(&path)?;
            check(&shard, &index, *rows).map_err(|what| DataError::Damaged { path, what })?;
            shards.push(shard);
            starts.push(start);
            start += rows;
        }
        if index.count == 0 {
            return Err(DataError::Empty(folder.display().to_string()));
        }
        let shape =
            TokenShape { tokens: (side / patch).pow(2), dim: channels * patch * patch, classes: index.classes.len() };
        Ok(Self { patches: Patches::new(channels, side, patch), index, shards, starts, shape })
    }

    /// The folder's index.
    pub fn index(&self) -> &Index {
        &self.index
    }
}

/// Checks that a shard matches the index.
fn check(shard: &Shard, index: &Index, rows: usize) -> Result<(), String> {
    if shard.contents.origin != index.origin {
        return Err("it belongs to another cache".into());
    }
    if shard.labels.len() != rows {
        return Err(format!("{} images, and {INDEX} says {rows}", shard.labels.len()));
    }
    match shard.labels.iter().find(|&&label| usize::from(label) >= index.classes.len()) {
        Some(label) => Err(format!("label {label}, and there are {} classes", index.classes.len())),
        None => Ok(()),
    }
}

impl Dataset for Latents {
    fn len(&self) -> usize {
        self.index.count
    }

    fn shape(&self) -> TokenShape {
        self.shape
    }

    fn example(&self, index: usize, random: &mut Stream) -> Result<Example, DataError> {
        let number = self.starts.partition_point(|&start| start <= index) - 1;
        let (shard, row) = (&self.shards[number], index - self.starts[number]);
        let view = random.below(self.index.origin.views() as u32) as usize;
        let moments = shard.moments(row, view)?;
        let (mean, logvar) = moments.split_at(moments.len() / 2);
        let scale = self.index.scale as f32;
        let latent: Vec<f32> = mean
            .iter()
            .zip(logvar)
            .map(|(mean, logvar)| (mean + libm::expf(0.5 * logvar) * random.normal() as f32) * scale)
            .collect();
        Ok(Example { tokens: self.patches.patchify(&latent), label: usize::from(shard.labels[row]) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::shard::tests::origin;
    use super::super::shard::{Contents, Sums};
    use super::*;
    use marscope_core::checkpoint::Precision;
    use marscope_core::random::Philox;
    use proptest::prelude::*;

    /// 5 images of 2 x 2 x 2 latents in two shards. Image i has means 8 i + number, its mirror image their negatives,
    /// and variance exp(-30) or exp(0).
    fn cache(folder: &Path, flips: bool, logvar: f32) -> Index {
        let moments = |image: usize| {
            let means = (0..8).map(move |number| (8 * image + number) as f32);
            let variances = || [logvar; 8].into_iter();
            let plain = means.clone().chain(variances());
            plain.chain(means.map(|mean| -mean).chain(variances()).filter(move |_| flips))
        };
        let origin = origin(Precision::F32, flips);
        for (number, images) in [0..3, 3..5].into_iter().enumerate() {
            let (first, unreadable, sums) = (images.start, Vec::new(), Sums::default());
            let contents = Contents { origin: origin.clone(), first, unreadable, sums };
            let labels: Vec<u16> = images.clone().map(|image| image as u16 % 3).collect();
            let rows: Vec<f32> = images.flat_map(moments).collect();
            Shard::write(&folder.join(Shard::name(number)), &contents, &rows, &labels).unwrap();
        }
        let shards = [3, 2].into_iter().enumerate();
        let index = Index {
            source: "images".into(),
            origin,
            classes: ["a", "b", "c"].map(String::from).to_vec(),
            count: 5,
            scale: 0.5,
            measured_scale: 0.25,
            shards: shards.map(|(number, rows)| ShardEntry { file: Shard::name(number), rows }).collect(),
            unreadable: Vec::new(),
        };
        index.write(folder).unwrap();
        index
    }

    fn stream(at: u32) -> Stream {
        Philox::new(3).stream(0, at)
    }

    #[test]
    fn an_example_is_the_scaled_mean_patchified_when_the_variance_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let index = cache(folder.path(), false, -30.0);
        let latents = Latents::open(folder.path(), 1).unwrap();
        assert_eq!((latents.len(), latents.index()), (5, &index));
        assert_eq!(latents.shape(), TokenShape { tokens: 4, dim: 2, classes: 3 });
        for image in 0..5 {
            let example = latents.example(image, &mut stream(0)).unwrap();
            assert_eq!(example.label, image % 3);
            // The channel is the fastest dimension, as in tokens of one position.
            let expected = [0, 4, 1, 5, 2, 6, 3, 7].map(|number| (8 * image + number) as f32 / 2.0);
            assert!(example.tokens.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{example:?}");
        }
        let whole = Latents::open(folder.path(), 2).unwrap();
        assert_eq!(whole.shape(), TokenShape { tokens: 1, dim: 8, classes: 3 });
    }

    #[test]
    fn samples_follow_the_posterior_of_the_image_or_its_mirror_image() {
        let folder = tempfile::tempdir().unwrap();
        cache(folder.path(), true, 2f32.ln());
        let latents = Latents::open(folder.path(), 2).unwrap();
        assert_eq!(latents.example(4, &mut stream(1)).unwrap(), latents.example(4, &mut stream(1)).unwrap());
        let (mut noise, mut mirrored) = (Vec::new(), 0);
        for at in 0..2000 {
            let tokens = latents.example(4, &mut stream(at)).unwrap().tokens;
            let sign = if tokens[0] < 0.0 { -1.0 } else { 1.0 };
            mirrored += usize::from(sign < 0.0);
            noise.extend(tokens.iter().enumerate().map(|(i, token)| f64::from(token / 0.5 - sign * (32 + i) as f32)));
        }
        // 5 standard deviations of 2,000 throws, and of 16,000 draws of variance 2.
        assert!((888..1112).contains(&mirrored), "{mirrored}");
        let mean = noise.iter().sum::<f64>() / noise.len() as f64;
        let variance = noise.iter().map(|n| n * n).sum::<f64>() / noise.len() as f64;
        assert!(mean.abs() < 0.056, "{mean}");
        assert!((variance - 2.0).abs() < 0.112, "{variance}");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let index = cache(folder.path(), false, 0.0);
        let refused = |change: &dyn Fn(&mut Index), patch| {
            let mut changed = index.clone();
            change(&mut changed);
            changed.write(folder.path()).unwrap();
            Latents::open(folder.path(), patch).unwrap_err().to_string()
        };
        assert!(refused(&|_| (), 3).contains("patches of 3 do not divide a side of 2"));
        assert!(refused(&|index| index.scale = 0.0, 1).contains("index.json: scale is 0"));
        assert!(refused(&|index| index.count = 6, 1).contains("count is 6"));
        assert!(refused(&|index| drop(index.classes.pop()), 1).contains("label 2, and there are 2 classes"));
        assert!(refused(&|index| index.origin.kl = "1".into(), 1).contains("another cache"));
        assert!(
            refused(&|index| (index.shards[0].rows, index.shards[1].rows) = (2, 3), 1)
                .contains("3 images, and index.json says 2")
        );
        std::fs::remove_file(folder.path().join(INDEX)).unwrap();
        let error = Latents::open(folder.path(), 1).unwrap_err();
        assert!(Latents::is_at(folder.path()) && matches!(error, DataError::Unfinished(_)), "{error:?}");
    }

    proptest! {
        #[test]
        fn no_index_panics(at in 0usize..2000, byte: u8, noise in proptest::collection::vec(any::<u8>(), 0..60)) {
            let folder = tempfile::tempdir().unwrap();
            let index = cache(folder.path(), false, 0.0);
            let mut json = serde_json::to_vec(&index).unwrap();
            let place = at % json.len();
            json[place] = byte;
            std::fs::write(folder.path().join(INDEX), &json).unwrap();
            if let Ok(latents) = Latents::open(folder.path(), 1) {
                (0..latents.len()).for_each(|index| drop(latents.example(index, &mut stream(0))));
            }
            let _ = Index::parse(&noise);
        }
    }
}
