//! The idx format: two zero bytes, a type, the number of dimensions, each dimension as big-endian u32, then the data.
//! MNIST and its successors use it, gzipped or plain.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::{DataError, ImageSet, Split};

/// idx's code for unsigned bytes.
const UNSIGNED_BYTE: u8 = 8;

const IMAGES: &str = "images-idx3-ubyte";
const LABELS: &str = "labels-idx1-ubyte";

/// Whether `folder` holds images of either split.
pub fn is_at(folder: &Path) -> bool {
    [Split::Train, Split::Test].into_iter().any(|split| find(folder, split, IMAGES).is_ok())
}

/// Reads one split from a folder of idx files: `train-*` or `t10k-*`; a single pair such as `tiny500-*` serves as both.
///
/// # Errors
/// Names the file that is missing, damaged or does not match its labels.
pub fn read(folder: &Path, split: Split) -> Result<ImageSet, DataError> {
    let images = find(folder, split, IMAGES)?;
    let labels = find(folder, split, LABELS)?;
    let (shape, pixels) = read_idx(&images)?;
    let (label_shape, labels_read) = read_idx(&labels)?;
    let [count, height, width] = shape[..] else {
        return Err(DataError::Damaged { path: images, what: format!("{} dimensions, not 3", shape.len()) });
    };
    if height != width || height == 0 {
        return Err(DataError::Damaged { path: images, what: format!("images are {height}x{width}, not square") });
    }
    if label_shape != [count] {
        return Err(DataError::Damaged { path: labels, what: format!("{label_shape:?} labels for {count} images") });
    }
    Ok(ImageSet { pixels, labels: labels_read.into_iter().map(u16::from).collect(), channels: 1, side: height })
}

/// The shape and the bytes of an idx file of unsigned bytes.
///
/// # Errors
/// [`DataError::Io`] when it cannot be read, [`DataError::Damaged`] when it is cut short or of another kind.
fn read_idx(path: &Path) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let io = |source| DataError::Io { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(io)?;
    if path.extension().is_some_and(|extension| extension == "gz") {
        GzDecoder::new(file).read_to_end(&mut bytes).map_err(io)?;
    } else {
        file.read_to_end(&mut bytes).map_err(io)?;
    }
    parse(&bytes).map_err(|what| DataError::Damaged { path: path.to_owned(), what })
}

fn parse(bytes: &[u8]) -> Result<(Vec<usize>, Vec<u8>), String> {
    let [0, 0, kind, dimensions, rest @ ..] = bytes else {
        return Err("it does not start like an idx file".into());
    };
    if *kind != UNSIGNED_BYTE {
        return Err(format!("elements of type {kind:#04x}, not unsigned bytes"));
    }
    let dimensions = usize::from(*dimensions);
    let Some((header, data)) = rest.split_at_checked(4 * dimensions) else {
        return Err("the header is cut short".into());
    };
    let shape: Vec<usize> =
        header.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize).collect();
    let expected = shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent));
    if expected != Some(data.len()) {
        return Err(format!("{} bytes for shape {shape:?}", data.len()));
    }
    Ok((shape, data.to_vec()))
}

/// The file of `folder` that holds `kind` of `split`, `.gz` or plain.
fn find(folder: &Path, split: Split, kind: &str) -> Result<PathBuf, DataError> {
    let prefix = match split {
        Split::Train => "train",
        Split::Test => "t10k",
    };
    [prefix, "tiny500"]
        .iter()
        .flat_map(|prefix| [format!("{prefix}-{kind}.gz"), format!("{prefix}-{kind}")])
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| DataError::Missing { folder: folder.to_owned(), name: format!("{prefix}-{kind}[.gz]") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_the_format_says() {
        let bytes = [0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6];
        assert_eq!(parse(&bytes).unwrap(), (vec![2, 3], vec![1, 2, 3, 4, 5, 6]));
        assert!(parse(&bytes[..17]).unwrap_err().contains("5 bytes for shape [2, 3]"));
        assert!(parse(&bytes[..9]).unwrap_err().contains("header is cut short"));
        assert!(parse(&[0, 0, 13, 1, 0, 0, 0, 0]).unwrap_err().contains("type 0x0d"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..64), idx: bool) {
            if idx && bytes.len() > 3 {
                bytes[..3].copy_from_slice(&[0, 0, 8]);
            }
            let _ = parse(&bytes);
        }
    }
}
