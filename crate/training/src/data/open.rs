//! Detects the layout of a data folder and opens it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::cifar::Cifar;
use super::folder::ImageFolder;
use super::images::Scaled;
use super::latents::Latents;
use super::{DataError, Dataset, ImageSet, ImageTokens, Images, Split, idx};

/// The layout of a data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// MNIST's files.
    Idx,
    /// CIFAR-10 or CIFAR-100, binary.
    Cifar(Cifar),
    /// One folder of image files per class.
    ImageFolder,
    /// Latents written by `marscope cache`.
    Latents,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idx => "idx files",
            Self::Cifar(Cifar::Ten) => "CIFAR-10",
            Self::Cifar(Cifar::Hundred) => "CIFAR-100",
            Self::ImageFolder => "one folder of images per class",
            Self::Latents => "cached latents",
        })
    }
}

/// How to read a folder's examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// Training or test set; cached latents hold only one of them.
    pub split: Split,
    /// Scale and crop images to this side, in pixels; `None` keeps their size. Does not apply to latents.
    pub side: Option<usize>,
    /// Pixels or latent positions per token, per side.
    pub patch: usize,
    /// Mirror half of the images. Latents that were cached with mirror images are always mirrored half of the time.
    pub flip: bool,
}

/// A folder's examples.
pub struct Opened {
    /// The examples.
    pub dataset: Arc<dyn Dataset>,
    /// The names of the classes.
    pub classes: Vec<String>,
    /// How the folder keeps them.
    pub layout: Layout,
    /// Factor that latents are multiplied by; `None` for pixels.
    pub latent_scale: Option<f32>,
}

/// A folder's images.
pub struct OpenedImages {
    /// The images.
    pub images: Box<dyn Images>,
    /// The names of the classes.
    pub classes: Vec<String>,
    /// How the folder keeps them.
    pub layout: Layout,
}

/// Opens a folder of any [`Layout`] for training.
///
/// # Errors
/// [`DataError::NoLayout`] lists the known layouts when none fits; other errors name the file.
pub fn open(folder: &Path, options: &OpenOptions) -> Result<Opened, DataError> {
    if Latents::is_at(folder) {
        let latents = Latents::open(folder, options.patch)?;
        let (classes, scale) = (latents.index().classes.clone(), latents.index().scale);
        return Ok(Opened {
            dataset: Arc::new(latents),
            classes,
            layout: Layout::Latents,
            latent_scale: Some(scale as f32),
        });
    }
    let OpenedImages { images, classes, layout } = open_images(folder, options.split, options.side)?;
    let tokens = ImageTokens::new(images, classes.len(), options.patch, options.flip)?;
    Ok(Opened { dataset: Arc::new(tokens), classes, layout, latent_scale: None })
}

/// Opens a folder of images, scaled and cropped to `side` where one is given.
///
/// # Errors
/// As [`open`]. Also when a folder of image files comes without a side, or when the folder holds latents.
pub fn open_images(folder: &Path, split: Split, side: Option<usize>) -> Result<OpenedImages, DataError> {
    let in_memory = |images: ImageSet, classes, layout| {
        let images: Box<dyn Images> = match side {
            Some(side) if side != images.side => Box::new(Scaled { images, side }),
            _ => Box::new(images),
        };
        OpenedImages { images, classes, layout }
    };
    if side == Some(0) {
        return Err(DataError::NeedsSide(folder.to_owned()));
    }
    let opened = if Latents::is_at(folder) {
        return Err(DataError::NoImages(folder.to_owned()));
    } else if idx::is_at(folder) {
        let images = idx::read(folder, split)?;
        // The format holds no class names.
        let classes = images.labels.iter().max().map_or(0, |&label| usize::from(label) + 1);
        in_memory(images, (0..classes).map(|class| class.to_string()).collect(), Layout::Idx)
    } else if let Some((kind, found)) = Cifar::find(folder) {
        in_memory(kind.read(&found, split)?, kind.classes(&found)?, Layout::Cifar(kind))
    } else if let Some(root) = ImageFolder::find(folder, split) {
        let side = side.ok_or_else(|| DataError::NeedsSide(folder.to_owned()))?;
        let images = ImageFolder::list(&root, side)?;
        let classes = images.classes();
        OpenedImages { images: Box::new(images), classes, layout: Layout::ImageFolder }
    } else {
        return Err(DataError::NoLayout(folder.to_owned()));
    };
    if opened.images.is_empty() {
        return Err(DataError::Empty(folder.display().to_string()));
    }
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn options(side: Option<usize>, patch: usize) -> OpenOptions {
        OpenOptions { split: Split::Train, side, patch, flip: false }
    }

    fn fashion() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/fashion-mnist")
    }

    /// An idx file: two images of 2 x 2, or their labels.
    fn idx_file(folder: &Path, name: &str, header: &[u8], data: &[u8]) {
        fs::write(folder.join(name), [&[0, 0, 8], header, data].concat()).unwrap();
    }

    #[test]
    fn every_layout_is_recognised() {
        let opened = open(&fashion(), &options(None, 4)).unwrap();
        assert_eq!((opened.layout, opened.classes.len(), opened.latent_scale), (Layout::Idx, 10, None));
        assert_eq!((opened.dataset.len(), opened.dataset.shape().tokens, opened.dataset.shape().dim), (500, 49, 16));

        let cifar = tempfile::tempdir().unwrap();
        fs::write(cifar.path().join("train.bin"), vec![7; 3074]).unwrap();
        let opened = open(cifar.path(), &options(None, 8)).unwrap();
        assert_eq!((opened.layout, opened.classes.len()), (Layout::Cifar(Cifar::Hundred), 100));
        assert_eq!((opened.dataset.shape().tokens, opened.dataset.shape().dim), (16, 192));

        let files = tempfile::tempdir().unwrap();
        let class = files.path().join("train/n01443537/images");
        fs::create_dir_all(&class).unwrap();
        image::RgbImage::new(20, 30).save(class.join("0.png")).unwrap();
        let opened = open(files.path(), &options(Some(16), 16)).unwrap();
        assert_eq!((opened.layout, &opened.classes[..]), (Layout::ImageFolder, &["n01443537".to_owned()][..]));
        let error = open(files.path(), &options(None, 16)).err().unwrap();
        assert!(matches!(error, DataError::NeedsSide(_)), "{error}");
        let set = ImageSet::read_scaled(files.path(), Split::Train, Some(8)).unwrap();
        assert_eq!((set.len(), set.channels, set.side), (1, 3, 8));
    }

    #[test]
    fn a_folder_of_nothing_known_says_what_was_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("notes.txt"), "").unwrap();
        let error = open(folder.path(), &options(Some(8), 4)).err().unwrap().to_string();
        for name in ["train-images-idx3-ubyte", "data_batch_1.bin", "train.bin", "CLASS/*.jpg", "index.json"] {
            assert!(error.contains(name), "{error}");
        }
        fs::write(folder.path().join("latents-00000.safetensors"), "").unwrap();
        assert!(matches!(open(folder.path(), &options(None, 1)).err().unwrap(), DataError::Unfinished(_)));
        assert!(matches!(ImageSet::read(folder.path(), Split::Test), Err(DataError::NoImages(_))));
    }

    #[test]
    fn a_side_scales_what_has_a_size_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        idx_file(
            folder.path(),
            "train-images-idx3-ubyte",
            &[3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2],
            &[9, 9, 9, 9, 1, 2, 3, 4],
        );
        idx_file(folder.path(), "train-labels-idx1-ubyte", &[1, 0, 0, 0, 2], &[1, 0]);
        let plain = ImageSet::read(folder.path(), Split::Train).unwrap();
        assert_eq!((plain.image(1), &plain.labels[..]), (&[1, 2, 3, 4][..], &[1, 0][..]));
        let large = ImageSet::read_scaled(folder.path(), Split::Train, Some(4)).unwrap();
        assert_eq!((large.image(0), large.side), (&[9; 16][..], 4));
        let small = ImageSet::read_scaled(folder.path(), Split::Train, Some(1)).unwrap();
        // The mean of 1 to 4, rounded.
        assert_eq!(small.image(1), [3]);
        assert!(matches!(ImageSet::read_scaled(folder.path(), Split::Train, Some(0)), Err(DataError::NeedsSide(_))));
    }
}
