//! Writes TensorBoard's event files to OUT/tensorboard: a curve for every logged number, and the sample images.
//! Every start of a run begins a new file. A resumed run records its step, and TensorBoard drops later records.

mod event;
mod record;

use std::path::Path;
use std::time::{Duration, SystemTime};

use prost::Message;

use self::event::{Event, Image, SessionLog, SessionStatus, Shown, Summary, Value, What};
use self::record::record;
use super::append::Append;
use super::{Logged, WatchError};
use crate::grid::Grid;

/// The event file of a run.
#[derive(Debug)]
pub struct EventFile {
    file: Append,
}

impl EventFile {
    /// Begins a file for the steps after `resumed_at`.
    ///
    /// # Errors
    /// [`WatchError::Io`] when it cannot be written.
    pub fn open(out: &Path, resumed_at: usize) -> Result<Self, WatchError> {
        let folder = out.join("tensorboard");
        std::fs::create_dir_all(&folder).map_err(WatchError::at(&folder))?;
        // TensorBoard reads the files of a folder in alphabetical order.
        let earlier = std::fs::read_dir(&folder).map_err(WatchError::at(&folder))?.count();
        let name = format!("events.out.tfevents.{:010}.marscope.{earlier:04}", since_1970().as_secs());
        let file = Self { file: Append::open(&folder.join(name))? };
        file.push(0, What::FileVersion("brain.Event:2".into()))?;
        let session = SessionLog { status: SessionStatus::Start.into() };
        file.push(resumed_at + 1, What::SessionLog(session))?;
        Ok(file)
    }

    /// Adds a point to every curve.
    ///
    /// # Errors
    /// As [`Append::push`].
    pub fn numbers(&self, logged: &Logged) -> Result<(), WatchError> {
        let point = |(tag, value)| Value { tag, shown: Some(Shown::Number(value as f32)) };
        let values = logged.curves().into_iter().map(point).collect();
        self.push(logged.step, What::Summary(Summary { values }))
    }

    /// Adds a picture under `tag`.
    ///
    /// # Errors
    /// As [`Append::push`].
    pub fn image(&self, step: usize, tag: &str, grid: &Grid) -> Result<(), WatchError> {
        let image = Image {
            height: grid.height() as i32,
            width: grid.width() as i32,
            colorspace: grid.channels() as i32,
            encoded_image_string: grid.png(),
        };
        let values = vec![Value { tag: tag.to_owned(), shown: Some(Shown::Image(image)) }];
        self.push(step, What::Summary(Summary { values }))
    }

    fn push(&self, step: usize, what: What) -> Result<(), WatchError> {
        let event = Event { wall_time: since_1970().as_secs_f64(), step: step as i64, what: Some(what) };
        self.file.push(&record(&event.encode_to_vec()))
    }
}

/// A clock set before 1970 counts as 1970.
fn since_1970() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::logged::tests::example;
    use super::record::tests::records;
    use super::*;

    fn files(out: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(out.join("tensorboard")).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }

    fn events(path: &Path) -> Vec<Event> {
        let bytes = std::fs::read(path).unwrap();
        records(&bytes).into_iter().map(|data| Event::decode(data).unwrap()).collect()
    }

    /// The expected bytes come from the classes generated from TensorFlow's definitions (tensorboard.compat.proto).
    #[test]
    fn messages_have_the_published_layout() {
        let version = Event { wall_time: 1.0, step: 0, what: Some(What::FileVersion("brain.Event:2".into())) };
        assert_eq!(version.encode_to_vec(), b"\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x1a\x0dbrain.Event:2");
        let start = What::SessionLog(SessionLog { status: SessionStatus::Start.into() });
        let start = Event { wall_time: 1.0, step: 300, what: Some(start) };
        assert_eq!(start.encode_to_vec(), b"\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\xac\x02\x3a\x02\x08\x01");
        let values = vec![Value { tag: "a/b".into(), shown: Some(Shown::Number(1.0)) }];
        let summary = Event { wall_time: 1.0, step: 1, what: Some(What::Summary(Summary { values })) };
        let bytes = b"\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\x01\x2a\x0c\x0a\x0a\x0a\x03a/b\x15\x00\x00\x80\x3f";
        assert_eq!(summary.encode_to_vec(), bytes);
        let image = Image { height: 2, width: 3, colorspace: 1, encoded_image_string: b"PNG".into() };
        let values = vec![Value { tag: "a".into(), shown: Some(Shown::Image(image)) }];
        let summary = Event { wall_time: 1.0, step: 1, what: Some(What::Summary(Summary { values })) };
        let bytes =
            b"\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\x01*\x12\n\x10\n\x01a\"\x0b\x08\x02\x10\x03\x18\x01\"\x03PNG";
        assert_eq!(summary.encode_to_vec(), bytes);
    }

    #[test]
    fn a_resumed_run_begins_a_file_that_sorts_behind_and_says_where_it_starts() {
        let out = tempfile::tempdir().unwrap();
        let file = EventFile::open(out.path(), 0).unwrap();
        file.numbers(&example(20)).unwrap();
        let grid = Grid::new(&[vec![0.5; 16]], 1, 4).unwrap();
        file.image(20, "samples/ema", &grid).unwrap();
        EventFile::open(out.path(), 20).unwrap();

        let files = files(out.path());
        assert_eq!(files.len(), 2);
        let start = |event: &Event| matches!(&event.what, Some(What::SessionLog(log)) if log.status == 1);
        let [first, second] = [events(&files[0]), events(&files[1])];
        assert_eq!((first.len(), second.len()), (4, 2));
        assert_eq!(first[0].what, Some(What::FileVersion("brain.Event:2".into())));
        assert!(start(&first[1]) && first[1].step == 1);
        assert!(start(&second[1]) && second[1].step == 21);

        let Some(What::Summary(summary)) = &first[2].what else { panic!("{first:?}") };
        let numbers = example(20).curves().into_iter();
        let numbers = numbers.map(|(tag, value)| Value { tag, shown: Some(Shown::Number(value as f32)) });
        assert_eq!(summary.values, numbers.collect::<Vec<_>>());
        let Some(What::Summary(summary)) = &first[3].what else { panic!("{first:?}") };
        let Some(Shown::Image(image)) = &summary.values[0].shown else { panic!("{summary:?}") };
        assert_eq!((image.height, image.width, image.colorspace), (4, 4, 1));
        assert_eq!(image.encoded_image_string, grid.png());
    }
}
