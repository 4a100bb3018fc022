//! One folder of image files per class: ImageNet's layout, read as torchvision's `ImageFolder` does.
//! Files are listed at the start and decoded on demand; cropped as in appendix B of the paper.

use std::ffi::OsStr;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{ImageFormat, ImageReader};

use super::crop::{Picture, centre_crop};
use super::{DataError, Images, Split};

const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];

/// Image files by class, cropped to squares as they are read.
#[derive(Debug)]
pub struct ImageFolder {
    root: PathBuf,
    classes: Vec<PathBuf>,
    files: Vec<Entry>,
    side: usize,
}

/// An image file. There can be millions, so it is kept small.
#[derive(Debug)]
struct Entry {
    class: u16,
    /// Within the class's folder.
    path: Box<Path>,
}

impl ImageFolder {
    /// The folder of `split` under `root`: `train`, or `val` or `test`; `root` itself if it has none of these. `None`
    /// if it contains no folders with images.
    pub fn find(root: &Path, split: Split) -> Option<PathBuf> {
        let names: &[&str] = match split {
            Split::Train => &["train"],
            Split::Test => &["val", "test"],
        };
        let split = names.iter().map(|name| root.join(name)).find(|path| path.is_dir());
        let whole = || ["train", "val", "test"].iter().all(|name| !root.join(name).is_dir()).then(|| root.to_owned());
        let folder = split.or_else(whole)?;
        fs::read_dir(&folder).ok()?.flatten().any(|class| holds_images(&class.path(), 2)).then_some(folder)
    }

    /// Lists the images under `root/CLASS`, at any depth; the classes are numbered by name.
    ///
    /// # Errors
    /// Names a folder that cannot be listed, or a class without images.
    pub fn list(root: &Path, side: usize) -> Result<Self, DataError> {
        let mut classes: Vec<PathBuf> = entries(root)?.into_iter().filter(|path| path.is_dir()).collect();
        classes.sort();
        if classes.len() > usize::from(u16::MAX) {
            let what = format!("{} folders are more classes than labels allow", classes.len());
            return Err(DataError::Damaged { path: root.to_owned(), what });
        }
        let mut files = Vec::new();
        for (class, folder) in classes.iter().enumerate() {
            let before = files.len();
            let mut found = Vec::new();
            collect(folder, &mut found)?;
            files.extend(found.into_iter().map(|path| {
                let path = path.strip_prefix(folder).unwrap_or(&path).into();
                Entry { class: class as u16, path }
            }));
            if files.len() == before {
                return Err(DataError::EmptyClass(folder.clone()));
            }
        }
        Ok(Self { root: root.to_owned(), classes, files, side })
    }

    /// The names of the classes.
    pub fn classes(&self) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().unwrap_or(OsStr::new("")).to_string_lossy().into_owned();
        self.classes.iter().map(name).collect()
    }

    /// The folder whose folders are the classes.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file of image `index`.
    pub fn file(&self, index: usize) -> PathBuf {
        let Entry { class, path } = &self.files[index];
        self.classes[usize::from(*class)].join(path)
    }

    /// The class of image `index`.
    pub fn class(&self, index: usize) -> usize {
        usize::from(self.files[index].class)
    }
}

impl Images for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn channels(&self) -> usize {
        3
    }

    fn side(&self) -> usize {
        self.side
    }

    fn image(&self, index: usize) -> Result<(Vec<u8>, usize), DataError> {
        let path = self.file(index);
        let picture = decode(&path).map_err(|what| DataError::Unreadable { path, what })?;
        Ok((centre_crop(picture, self.side).planes(), self.class(index)))
    }
}

/// Decodes the picture in a file by its content, not its name: one of ImageNet's `.JPEG` files is a PNG.
fn decode(path: &Path) -> Result<Picture, String> {
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    let reader = ImageReader::new(Cursor::new(&bytes)).with_guessed_format().map_err(|error| error.to_string())?;
    // The decoder would fill the missing part of a JPEG with grey.
    if reader.format() == Some(ImageFormat::Jpeg) && !jpeg_ends(&bytes) {
        return Err("the JPEG is cut short".into());
    }
    let image = reader.decode().map_err(|error| error.to_string())?.into_rgb8();
    let (width, height) = (image.width() as usize, image.height() as usize);
    if width == 0 || height == 0 {
        return Err("the picture has no pixels".into());
    }
    Ok(Picture { width, height, channels: 3, bytes: image.into_raw() })
}

/// Whether an end marker follows the last scan. Markers cannot occur inside a scan's data, where 0xFF is escaped.
fn jpeg_ends(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xFF, marker]);
    last(0xD9) > last(0xDA)
}

/// Whether a folder contains an image, itself or in folders up to `depth - 1` levels down.
fn holds_images(folder: &Path, depth: usize) -> bool {
    depth > 0
        && folder.is_dir()
        && fs::read_dir(folder).is_ok_and(|mut found| {
            found.any(|entry| entry.is_ok_and(|e| is_image(&e.path()) || holds_images(&e.path(), depth - 1)))
        })
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str);
    extension.is_some_and(|found| EXTENSIONS.iter().any(|known| found.eq_ignore_ascii_case(known)))
}

/// The image files of `folder`, sorted by name, then those of the folders in it.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), DataError> {
    let mut found = entries(folder)?;
    found.sort();
    let (folders, plain): (Vec<_>, Vec<_>) = found.into_iter().partition(|path| path.is_dir());
    files.extend(plain.into_iter().filter(|path| is_image(path)));
    folders.iter().try_for_each(|folder| collect(folder, files))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let io = |source| DataError::Io { path: folder.to_owned(), source };
    fs::read_dir(folder).map_err(io)?.map(|entry| entry.map(|entry| entry.path()).map_err(io)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;
    use proptest::prelude::*;

    /// Writes an image of one colour in the format of the name's extension.
    fn write(path: &Path, colour: [u8; 3], width: u32, height: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_pixel(width, height, image::Rgb(colour)).save(path).unwrap();
    }

    #[test]
    fn classes_and_files_come_in_the_order_of_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let train = folder.path().join("train");
        write(&train.join("b/2.PNG"), [2, 2, 2], 9, 12);
        write(&train.join("b/10.png"), [1, 1, 1], 20, 9);
        write(&train.join("b/deep/0.png"), [3, 3, 3], 16, 16);
        write(&train.join("B/x.png"), [0, 0, 0], 8, 8);
        write(&train.join("c/x.jpeg"), [40, 90, 200], 8, 8);
        fs::write(train.join("c/notes.txt"), "no image").unwrap();
        fs::write(train.join("stray.png"), "no class").unwrap();

        assert_eq!(ImageFolder::find(folder.path(), Split::Test), None);
        let root = ImageFolder::find(folder.path(), Split::Train).unwrap();
        let images = ImageFolder::list(&root, 8).unwrap();
        assert_eq!(images.classes(), ["B", "b", "c"]);
        let read: Vec<_> = (0..images.len()).map(|index| images.image(index).unwrap()).collect();
        let found: Vec<_> = read.iter().map(|(pixels, label)| (pixels[0], *label)).collect();
        assert_eq!(found[..4], [(0, 0), (1, 1), (2, 1), (3, 1)]);
        assert!(read.iter().all(|(pixels, _)| pixels.len() == 3 * 8 * 8));
        // A JPEG is close to the original, in each channel.
        let near = |plane: usize, value: u8| read[4].0[plane * 64..][..64].iter().all(|p| p.abs_diff(value) < 4);
        assert!(near(0, 40) && near(1, 90) && near(2, 200));
        assert_eq!(ImageFolder::find(&train, Split::Test), Some(train));
    }

    #[test]
    fn a_class_without_images_is_named() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("a/0.png"), [0; 3], 4, 4);
        fs::create_dir(folder.path().join("empty")).unwrap();
        let error = ImageFolder::list(folder.path(), 4).unwrap_err().to_string();
        assert!(error.contains("empty: a class without .jpg, .jpeg or .png files"), "{error}");
    }

    #[test]
    fn a_file_cut_short_is_an_error_that_names_it() {
        for name in ["cut.jpg", "cut.png"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("a").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let noise = RgbImage::from_fn(64, 64, |x, y| image::Rgb([(x * 37 + y * 91) as u8, (x * y) as u8, y as u8]));
            noise.save(&path).unwrap();
            let whole = fs::read(&path).unwrap();
            let images = ImageFolder::list(folder.path(), 16).unwrap();
            images.image(0).unwrap();
            for length in [0, 3, 100, whole.len() / 2, whole.len() - 40, whole.len() - 1] {
                // Then only the checksum of the PNG's end chunk is missing, nothing of the picture.
                if name == "cut.png" && length + 1 == whole.len() {
                    continue;
                }
                fs::write(&path, &whole[..length]).unwrap();
                let error = images.image(0).unwrap_err();
                assert!(matches!(error, DataError::Unreadable { .. }), "{length} of {}: {error:?}", whole.len());
                assert!(error.to_string().contains(name), "{error}");
            }
        }
    }

    #[test]
    fn a_png_under_a_jpegs_name_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/x.JPEG");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_pixel(8, 8, image::Rgb([9, 8, 7])).save_with_format(&path, ImageFormat::Png).unwrap();
        let (pixels, _) = ImageFolder::list(folder.path(), 8).unwrap().image(0).unwrap();
        assert_eq!((pixels[0], pixels[64], pixels[128]), (9, 8, 7));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..700, byte: u8, png: bool) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(if png { "x.png" } else { "x.jpg" });
            fs::write(&path, &bytes).unwrap();
            let _ = decode(&path);
            // A complete file with one changed byte gets further.
            RgbImage::from_pixel(8, 8, image::Rgb([9, 80, 7])).save(&path).unwrap();
            let mut whole = fs::read(&path).unwrap();
            let length = whole.len();
            whole[at % length] = byte;
            fs::write(&path, &whole).unwrap();
            let _ = decode(&path);
        }
    }
}
