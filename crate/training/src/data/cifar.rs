//! CIFAR-10 and CIFAR-100 in their binary layout: records of one or two label bytes and 3 x 32 x 32 pixels.

use std::path::{Path, PathBuf};

use super::{DataError, ImageSet, Split};

const SIDE: usize = 32;
const PIXELS: usize = 3 * SIDE * SIDE;

/// The two data sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cifar {
    /// 10 classes.
    Ten,
    /// 100 classes; the 20 coarse classes are ignored.
    Hundred,
}

impl Cifar {
    /// The data set in `folder` and the folder of its files: `folder` itself, or the one that the archive unpacks to.
    pub fn find(folder: &Path) -> Option<(Self, PathBuf)> {
        [Self::Ten, Self::Hundred].into_iter().find_map(|kind| {
            let folders = [folder.to_owned(), folder.join(kind.unpacked())];
            let holds = |folder: &PathBuf| {
                [Split::Train, Split::Test].iter().any(|&split| folder.join(kind.files(split)[0]).is_file())
            };
            folders.into_iter().find(holds).map(|folder| (kind, folder))
        })
    }

    /// Reads one split.
    ///
    /// # Errors
    /// Names the file that is missing or damaged.
    pub fn read(self, folder: &Path, split: Split) -> Result<ImageSet, DataError> {
        let mut images = ImageSet { pixels: Vec::new(), labels: Vec::new(), channels: 3, side: SIDE };
        for name in self.files(split) {
            let path = folder.join(name);
            if !path.is_file() {
                return Err(DataError::Missing { folder: folder.to_owned(), name: (*name).to_owned() });
            }
            let bytes = std::fs::read(&path).map_err(|source| DataError::Io { path: path.clone(), source })?;
            self.parse(&bytes, &mut images).map_err(|what| DataError::Damaged { path, what })?;
        }
        Ok(images)
    }

    /// The names of the classes, from the file beside the images; without that file, their numbers.
    ///
    /// # Errors
    /// Names the file when it cannot be read or has another number of lines.
    pub fn classes(self, folder: &Path) -> Result<Vec<String>, DataError> {
        let path = folder.join(match self {
            Self::Ten => "batches.meta.txt",
            Self::Hundred => "fine_label_names.txt",
        });
        if !path.is_file() {
            return Ok((0..self.count()).map(|class| class.to_string()).collect());
        }
        let bytes = std::fs::read(&path).map_err(|source| DataError::Io { path: path.clone(), source })?;
        let text = String::from_utf8_lossy(&bytes);
        let names: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(Into::into).collect();
        if names.len() != self.count() {
            let what = format!("{} class names, not {}", names.len(), self.count());
            return Err(DataError::Damaged { path, what });
        }
        Ok(names)
    }

    /// Number of classes.
    pub fn count(self) -> usize {
        match self {
            Self::Ten => 10,
            Self::Hundred => 100,
        }
    }

    fn unpacked(self) -> &'static str {
        match self {
            Self::Ten => "cifar-10-batches-bin",
            Self::Hundred => "cifar-100-binary",
        }
    }

    fn files(self, split: Split) -> &'static [&'static str] {
        match (self, split) {
            (Self::Ten, Split::Train) => {
                &["data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"]
            }
            (Self::Ten, Split::Test) => &["test_batch.bin"],
            (Self::Hundred, Split::Train) => &["train.bin"],
            (Self::Hundred, Split::Test) => &["test.bin"],
        }
    }

    /// Appends the records of a file.
    fn parse(self, bytes: &[u8], images: &mut ImageSet) -> Result<(), String> {
        let labels = match self {
            Self::Ten => 1,
            Self::Hundred => 2,
        };
        let record = labels + PIXELS;
        if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
            return Err(format!("{} bytes are no whole number of records of {record}", bytes.len()));
        }
        for (i, record) in bytes.chunks_exact(record).enumerate() {
            let label = record[labels - 1];
            if usize::from(label) >= self.count() {
                return Err(format!("record {i} has label {label}, and there are {} classes", self.count()));
            }
            images.labels.push(label.into());
            images.pixels.extend(&record[labels..]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Records as the format's page describes them: labels, then 1,024 red, 1,024 green, 1,024 blue.
    fn records(labels: &[&[u8]]) -> Vec<u8> {
        let record = |(i, labels): (usize, &&[u8])| {
            let plane = |colour: u8| vec![10 * i as u8 + colour; 1024];
            [labels.to_vec(), plane(1), plane(2), plane(3)].concat()
        };
        labels.iter().enumerate().flat_map(record).collect()
    }

    #[test]
    fn reads_both_layouts_with_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let unpacked = folder.path().join("cifar-10-batches-bin");
        std::fs::create_dir(&unpacked).unwrap();
        for batch in 1..=5u8 {
            std::fs::write(unpacked.join(format!("data_batch_{batch}.bin")), records(&[&[batch], &[9]])).unwrap();
        }
        let (kind, found) = Cifar::find(folder.path()).unwrap();
        assert_eq!((kind, &found), (Cifar::Ten, &unpacked));
        let images = kind.read(&found, Split::Train).unwrap();
        assert_eq!(images.labels, [1, 9, 2, 9, 3, 9, 4, 9, 5, 9]);
        assert_eq!(images.image(1)[1023..1025], [11, 12]);
        let error = kind.read(&found, Split::Test).unwrap_err().to_string();
        assert!(error.contains("no file test_batch.bin"), "{error}");

        assert_eq!(kind.classes(&found).unwrap()[9], "9");
        let names: Vec<String> = (0..10).map(|class| format!("class {class}")).collect();
        std::fs::write(found.join("batches.meta.txt"), names.join("\n") + "\n\n").unwrap();
        assert_eq!(kind.classes(&found).unwrap(), names);
        std::fs::write(found.join("batches.meta.txt"), "airplane\n").unwrap();
        assert!(kind.classes(&found).unwrap_err().to_string().contains("1 class names, not 10"));

        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("test.bin"), records(&[&[3, 99], &[19, 0]])).unwrap();
        let (kind, found) = Cifar::find(folder.path()).unwrap();
        assert_eq!(kind, Cifar::Hundred);
        let images = kind.read(&found, Split::Test).unwrap();
        assert_eq!((images.labels, images.pixels.len()), (vec![99, 0], 2 * 3072));
    }

    #[test]
    fn what_is_damaged_is_named() {
        let mut images = ImageSet { pixels: Vec::new(), labels: Vec::new(), channels: 3, side: SIDE };
        let bytes = records(&[&[1], &[10]]);
        assert!(Cifar::Ten.parse(&bytes[..3072], &mut images).unwrap_err().contains("3072 bytes are no whole number"));
        assert!(Cifar::Ten.parse(&bytes, &mut images).unwrap_err().contains("record 1 has label 10"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(start in proptest::collection::vec(any::<u8>(), 0..4), length in 0usize..9300, hundred: bool) {
            let mut bytes = vec![7; length];
            bytes.iter_mut().zip(start).for_each(|(byte, start)| *byte = start);
            let mut images = ImageSet { pixels: Vec::new(), labels: Vec::new(), channels: 3, side: SIDE };
            let kind = if hundred { Cifar::Hundred } else { Cifar::Ten };
            let _ = kind.parse(&bytes, &mut images);
            prop_assert_eq!(images.pixels.len(), images.labels.len() * PIXELS);
        }
    }
}
