//! `.npz` files written by this crate and by numpy, complete and damaged.

use std::io::Cursor;

use proptest::prelude::*;

use super::*;

fn gaussian(width: usize) -> Gaussian {
    let mean = (0..width).map(|i| i as f64 - 0.25).collect();
    let covariance = (0..width * width).map(|i| 1.0 / (1.0 + (i / width + i % width) as f64)).collect();
    Gaussian::new(mean, covariance).unwrap()
}

fn statistics() -> Statistics {
    Statistics { features: gaussian(4), spatial: Some(gaussian(3)) }
}

fn bytes_of(write: impl Fn(&Path) -> Result<(), NpzError>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npz");
    write(&path).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    std::fs::read(path).unwrap()
}

fn read(bytes: &[u8]) -> Result<ReferenceBatch, String> {
    parse(Cursor::new(bytes), 4, 3, false).map_err(|problem| problem.to_string())
}

/// An archive of arrays as numpy lays them out, stored.
fn archive(arrays: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (key, header, data) in arrays {
        zip.start_file(format!("{key}.npy"), stored).unwrap();
        let header = format!("{header:<117}\n");
        zip.write_all(b"\x93NUMPY\x01\x00").unwrap();
        zip.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
        zip.write_all(header.as_bytes()).unwrap();
        zip.write_all(data).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn statistics_come_back() {
    let bytes = bytes_of(|path| write_statistics(path, &statistics()));
    assert_eq!(read(&bytes).unwrap(), ReferenceBatch { statistics: Some(statistics()), images: None });
    let error = parse(Cursor::new(&bytes), 5, 3, false).unwrap_err().to_string();
    assert!(error.contains("array 'mu': shape [4]") && error.contains("[5]"), "{error}");
}

#[test]
fn samples_come_back_with_their_labels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("samples.npz");
    for channels in [1, 3] {
        let pixels = (0..2 * channels as u8 * 9).collect();
        let images = ImageSet { pixels, labels: vec![7, 0], channels, side: 3 };
        write_images(&path, &images).unwrap();
        assert_eq!(read_samples(&path, channels).unwrap(), images);
    }
    let refused = |arrays: &[(&str, &str, &[u8])]| {
        std::fs::write(&path, archive(arrays)).unwrap();
        read_samples(&path, 3).unwrap_err().to_string()
    };
    let images = ("arr_0", "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 1, 1, 3), }", &[1u8, 2, 3][..]);
    let labels = "{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }";
    assert!(refused(&[images]).contains("it has key 'arr_0' but no key 'arr_1'"));
    assert!(refused(&[images, ("arr_1", labels, &(-1i64).to_le_bytes())]).contains("label -1"));
    let two = [1i64.to_le_bytes(), 2i64.to_le_bytes()].concat();
    let shape = labels.replace("(1,)", "(2,)");
    assert!(refused(&[images, ("arr_1", &shape, &two)]).contains("2 labels for 1 images"));
}

#[test]
fn images_come_back_in_colour() {
    let images = ImageSet { pixels: (0..2 * 3 * 4).collect(), labels: vec![0, 0], channels: 3, side: 2 };
    let bytes = bytes_of(|path| write_images(path, &images));
    assert_eq!(read(&bytes).unwrap().images.unwrap(), images);
    let grey = ImageSet { pixels: (0..9).collect(), labels: vec![0], channels: 1, side: 3 };
    let found = read(&bytes_of(|path| write_images(path, &grey))).unwrap().images.unwrap();
    assert_eq!((found.channels, found.pixels), (3, grey.pixels.repeat(3)));
}

/// numpy 2.4's `savez_compressed` of mu = 1 to 4 in f4, sigma = twice the unit matrix, `arr_0` = 0 to 23 in u1 as two
/// images.
#[test]
fn as_numpy_writes_it() {
    let bytes = include_bytes!("../../../../../tests/fixtures/npz/numpy.npz");
    let found = parse(Cursor::new(&bytes[..]), 4, 3, true).unwrap();
    let Statistics { features, spatial } = found.statistics.unwrap();
    assert_eq!(features.mean(), [1.0, 2.0, 3.0, 4.0]);
    let twice: Vec<f64> = (0..16).map(|i| if i % 5 == 0 { 2.0 } else { 0.0 }).collect();
    assert_eq!((features.covariance(), spatial), (&twice[..], None));
    let images = found.images.unwrap();
    assert_eq!((images.channels, images.side, images.labels.len()), (3, 2, 2));
    assert_eq!(images.image(1), [12, 15, 18, 21, 13, 16, 19, 22, 14, 17, 20, 23]);
    // A file with statistics: images are read only on request.
    assert_eq!(parse(Cursor::new(&bytes[..]), 4, 3, false).unwrap().images, None);
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let refused = |arrays: &[(&str, &str, &[u8])], what: &str| {
        let error = read(&archive(arrays)).unwrap_err();
        assert!(error.contains(what), "{error}");
    };
    let mu = ("mu", "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }", &[0; 16][..]);
    refused(&[], "no keys at all");
    refused(&[("x", mu.1, mu.2)], "it has 'x'");
    refused(&[mu], "'mu' but no key 'sigma'");
    refused(&[("mu", "{'descr': '<i4', 'fortran_order': False, 'shape': (4,), }", mu.2)], "type '<i4'");
    refused(&[("mu", mu.1, &[0; 15])], "array 'mu'");
    refused(&[("mu", mu.1, &[0; 17])], "longer than its shape");
    refused(&[("mu", "nonsense", mu.2)], "array 'mu'");
    let huge = "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4), }";
    refused(&[("mu", huge, mu.2)], "no file holds");
    let images = |shape: &str| format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}");
    refused(&[("arr_0", &images("(2, 2, 3, 3)"), &[0; 36])], "not that of square images");
    refused(&[("arr_0", &images("(3, 2, 2, 3)"), &[0; 24])], "after 2 of 3 images");
    refused(&[("arr_0", &images("(99999999, 9999, 9999, 3)"), &[0; 24])], "after 0 of");
    let mut broken = archive(&[("arr_0", &images("(1, 2, 2, 3)"), &[77; 12])]);
    let at = broken.windows(12).position(|bytes| bytes == [77; 12]).unwrap();
    broken[at] = 78;
    assert!(read(&broken).unwrap_err().contains("checksum"));
    let path = Path::new("no/such/place.npz");
    assert!(write_statistics(path, &statistics()).unwrap_err().to_string().contains("place.npz"));
    assert!(read_npz(path, 4, 3, false).unwrap_err().to_string().contains("place.npz"));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }

    #[test]
    fn no_damage_panics(at in 0usize..1_000, value: u8, cut in 0usize..1_000, images: bool) {
        let set = ImageSet { pixels: (0..24).collect(), labels: vec![0, 0], channels: 3, side: 2 };
        let mut bytes = if images {
            bytes_of(|path| write_images(path, &set))
        } else {
            bytes_of(|path| write_statistics(path, &statistics()))
        };
        let end = bytes.len() - cut % bytes.len();
        let at = at % bytes.len();
        bytes[at] = value;
        let _ = read(&bytes);
        let _ = read(&bytes[..end]);
    }

    #[test]
    fn no_header_panics(
        header in "[\\{\\}\\(\\)\\[\\]',: a-z<>|0-9-]{0,110}",
        shape in "[0-9]{1,18}(, [0-9]{1,18}){0,3}",
    ) {
        let _ = read(&archive(&[("mu", &header, &[0; 16])]));
        let shaped = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({shape},), }}");
        let _ = read(&archive(&[("arr_0", &shaped, &[0; 16])]));
    }
}
