//! Loads the examples of the next steps ahead, with worker threads, in an order that depends only on the seed.
//! Every epoch shuffles the whole set; unreadable examples are replaced and reported.

use std::collections::BTreeMap;
use std::mem;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{DataError, Dataset, Example};
use marscope_core::random::{Philox, Stream};

/// Batches to load ahead.
const AHEAD: usize = 3;

/// The purpose of a random draw, which is part of its address. The trainer uses the same seed and smaller numbers.
#[derive(Clone, Copy)]
enum Address {
    Epoch = 6,
    Example,
}

/// Which examples to load, and with how many threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Seed of the order and of the random choices in examples.
    pub seed: u64,
    /// Examples per step, over all ranks.
    pub batch: usize,
    /// This rank's slots of the batch: `0..batch` with a single rank.
    pub share: Range<usize>,
    /// The step of the first call of [`Loader::next`].
    pub first_step: usize,
    /// Threads that load examples; at least one is started.
    pub workers: usize,
    /// Number of unreadable files to skip.
    pub max_bad: usize,
}

/// Loads the examples of one step after another. The example in a slot, and every random choice in it, is a function of
/// seed, step and slot, independent of the number of workers and ranks.
pub struct Loader {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    waited: Duration,
}

/// A file that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bad {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

/// State shared by the workers and the caller.
struct Shared {
    dataset: Arc<dyn Dataset>,
    options: LoaderOptions,
    philox: Philox,
    /// Most examples in progress or waiting to be taken.
    ahead: usize,
    state: Mutex<State>,
    /// Signals that a batch is complete, or that loading failed.
    ready: Condvar,
    /// Signals that a worker may begin an example, or must end.
    room: Condvar,
}

/// Examples are counted from `first_step`, over the slots of this rank.
struct State {
    /// Examples begun.
    begun: usize,
    /// Examples taken.
    taken: usize,
    /// Missing examples of the next batch.
    missing: usize,
    finished: BTreeMap<usize, Example>,
    shuffle: Shuffle,
    bad: BTreeMap<PathBuf, String>,
    failed: Option<DataError>,
    stopped: bool,
}

impl Loader {
    /// Starts the workers.
    ///
    /// # Errors
    /// [`DataError::Empty`] when there are no examples, [`DataError::Threads`] when no thread can be started.
    ///
    /// # Panics
    /// When `share` is empty or reaches beyond `batch`.
    pub fn start(dataset: Arc<dyn Dataset>, options: LoaderOptions) -> Result<Self, DataError> {
        let LoaderOptions { batch, ref share, .. } = options;
        assert!(!share.is_empty() && share.end <= batch, "slots {share:?} of a batch of {batch}");
        if dataset.is_empty() {
            return Err(DataError::Empty("the data set".into()));
        }
        let workers = options.workers.max(1);
        let philox = Philox::new(options.seed);
        let state = State {
            begun: 0,
            taken: 0,
            missing: share.len(),
            finished: BTreeMap::new(),
            shuffle: Shuffle { len: dataset.len(), epoch: usize::MAX, order: Vec::new() },
            bad: BTreeMap::new(),
            failed: None,
            stopped: false,
        };
        let shared = Arc::new(Shared {
            ahead: (AHEAD * share.len()).max(2 * workers),
            dataset,
            options,
            philox,
            state: Mutex::new(state),
            ready: Condvar::new(),
            room: Condvar::new(),
        });
        let mut loader = Self { shared, workers: Vec::new(), waited: Duration::ZERO };
        for worker in 0..workers {
            let shared = loader.shared.clone();
            let named = thread::Builder::new().name(format!("data {worker}"));
            loader.workers.push(named.spawn(move || shared.work()).map_err(DataError::Threads)?);
        }
        Ok(loader)
    }

    /// The examples of the next step, in the order of their slots.
    ///
    /// # Errors
    /// [`DataError::TooManyBad`], or the error that makes the whole set unreadable; [`DataError::Stopped`] in later
    /// calls.
    #[allow(clippy::should_implement_trait)] // an iterator's end would be a case that never comes
    pub fn next(&mut self) -> Result<Vec<Example>, DataError> {
        let batch = self.shared.options.share.len();
        let began = Instant::now();
        let mut state = self.shared.lock();
        while state.missing > 0 && !state.stopped {
            state = self.shared.ready.wait(state).expect("no thread panics while it holds the lock");
        }
        self.waited += began.elapsed();
        if state.missing > 0 {
            return Err(state.failed.take().unwrap_or(DataError::Stopped));
        }
        state.taken += batch;
        let until = state.taken;
        let later = state.finished.split_off(&until);
        state.missing = batch - later.range(..until + batch).count();
        let examples = mem::replace(&mut state.finished, later);
        drop(state);
        self.shared.room.notify_all();
        Ok(examples.into_values().collect())
    }

    /// Total time that [`Self::next`] has waited.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The files that could not be read so far, by path.
    pub fn bad(&self) -> Vec<Bad> {
        let state = self.shared.lock();
        state.bad.iter().map(|(path, what)| Bad { path: path.clone(), what: what.clone() }).collect()
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.shared.stop(None);
        for worker in self.workers.drain(..) {
            // A worker that panicked has already written to stderr.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the lock")
    }

    fn stop(&self, failed: Option<DataError>) {
        let mut state = self.lock();
        state.stopped = true;
        state.failed = state.failed.take().or(failed);
        drop(state);
        self.ready.notify_all();
        self.room.notify_all();
    }

    /// Loads examples until told to stop.
    fn work(&self) {
        let _guard = Guard(self);
        while let Some((count, at, index)) = self.begin() {
            match self.example(at, index) {
                Ok(example) => self.finish(count, example),
                Err(error) => return self.stop(Some(error)),
            }
        }
    }

    /// Waits for room, then returns the next example to load: its count here, its number since training began, its
    /// index.
    fn begin(&self) -> Option<(usize, usize, usize)> {
        let LoaderOptions { batch, share, first_step, .. } = &self.options;
        let mut state = self.lock();
        while !state.stopped && state.begun >= state.taken + self.ahead {
            state = self.room.wait(state).expect("no thread panics while it holds the lock");
        }
        if state.stopped {
            return None;
        }
        let count = state.begun;
        state.begun += 1;
        let at = (first_step + count / share.len()) * batch + share.start + count % share.len();
        Some((count, at, state.shuffle.at(at, self.philox)))
    }

    fn finish(&self, count: usize, example: Example) {
        let mut state = self.lock();
        state.finished.insert(count, example);
        if count < state.taken + self.options.share.len() {
            state.missing -= 1;
            if state.missing == 0 {
                self.ready.notify_all();
            }
        }
    }

    /// Example `index`, or the next readable one.
    fn example(&self, at: usize, index: usize) -> Result<Example, DataError> {
        let len = self.dataset.len();
        let mut last = DataError::Stopped;
        for index in (index..len).chain(0..index) {
            match self.dataset.example(index, &mut self.stream(at)) {
                Err(DataError::Unreadable { path, what }) => {
                    self.note(&path, &what)?;
                    last = DataError::Unreadable { path, what };
                }
                other => return other,
            }
        }
        // No example is readable.
        Err(last)
    }

    /// Random numbers for the choices in the `at`-th example since training began.
    fn stream(&self, at: usize) -> Stream {
        let high = ((at as u64) >> 32) as u32;
        self.philox.stream(Address::Example as u32 | high << 8, at as u32)
    }

    fn note(&self, path: &Path, what: &str) -> Result<(), DataError> {
        let limit = self.options.max_bad;
        let mut state = self.lock();
        state.bad.entry(path.to_owned()).or_insert_with(|| what.to_owned());
        let count = state.bad.len();
        if state.stopped {
            return Err(DataError::Stopped);
        }
        if count > limit {
            return Err(DataError::TooManyBad { count, limit, last: path.to_owned(), what: what.to_owned() });
        }
        Ok(())
    }
}

/// Stops the loader when a worker panics; otherwise the caller would wait for ever.
struct Guard<'a>(&'a Shared);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop(None);
        }
    }
}

/// A new random order of the data set for every epoch.
struct Shuffle {
    len: usize,
    epoch: usize,
    order: Vec<u32>,
}

impl Shuffle {
    /// Index of the `at`-th example since training began.
    fn at(&mut self, at: usize, philox: Philox) -> usize {
        let epoch = at / self.len;
        if epoch != self.epoch {
            self.epoch = epoch;
            self.order = (0..self.len as u32).collect();
            philox.stream(Address::Epoch as u32, epoch as u32).shuffle(&mut self.order);
        }
        self.order[at % self.len] as usize
    }
}

#[cfg(test)]
mod tests;
