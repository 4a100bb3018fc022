//! The examples of the next steps, made ahead by worker threads, in an order that only the seed decides.
//! A new shuffle of the whole set every epoch; unreadable examples are replaced, and reported.

use std::collections::BTreeMap;
use std::mem;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{DataError, Dataset, Example};
use crate::random::{Philox, Stream};

/// Batches that are made ahead.
const AHEAD: usize = 3;

/// What a draw is for, as part of its address. Training draws everything else about a step from the same seed, and has
/// the numbers below these.
#[derive(Clone, Copy)]
enum Draw {
    Epoch = 6,
    Example,
}

/// Which examples, and who makes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoaderOptions {
    /// What the order and the choices within examples are drawn from.
    pub seed: u64,
    /// Examples of a step, over all ranks.
    pub batch: usize,
    /// The slots of the batch that are wanted here: `0..batch` where there is but one rank.
    pub share: Range<usize>,
    /// The step that the first call of [`Loader::next`] is for.
    pub first_step: usize,
    /// Threads that make examples; at least one is started.
    pub workers: usize,
    /// Unreadable files that are borne.
    pub max_bad: usize,
}

/// Makes the examples of one step after another. The example in a slot of a step, and every random choice in it, is a
/// function of seed, step and slot, whatever the workers and the shares.
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

/// What the workers and the taker have in common.
struct Shared {
    dataset: Arc<dyn Dataset>,
    options: LoaderOptions,
    philox: Philox,
    /// Examples that may be under way or finished before they are taken.
    ahead: usize,
    state: Mutex<State>,
    /// A batch is whole, or never will be.
    ready: Condvar,
    /// An example may be begun, or none any more.
    room: Condvar,
}

/// Examples are counted over the steps from `first_step` on and the slots of the share.
struct State {
    /// Examples that were begun.
    begun: usize,
    /// Examples that were taken.
    taken: usize,
    /// Examples of the next batch that are not there yet.
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
    /// [`DataError::Empty`] when there are no examples, [`DataError::Threads`] when the system gives no threads.
    ///
    /// # Panics
    /// When `share` is empty or goes beyond `batch`.
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
    /// [`DataError::TooManyBad`], or what made the whole set unreadable; [`DataError::Stopped`] after that.
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

    /// How long [`Self::next`] has been waiting, over all calls.
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
            // One that panicked has said so on stderr.
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

    /// Makes examples until told to stop.
    fn work(&self) {
        let _guard = Guard(self);
        while let Some((count, at, index)) = self.begin() {
            match self.example(at, index) {
                Ok(example) => self.finish(count, example),
                Err(error) => return self.stop(Some(error)),
            }
        }
    }

    /// The next example to make, once there is room for it: its count here, its number since training began, its index.
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

    /// Example `index`, or the next one that reads.
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
        // Not one reads.
        Err(last)
    }

    /// What the random choices in the `at`-th example since training began are drawn from.
    fn stream(&self, at: usize) -> Stream {
        let high = ((at as u64) >> 32) as u32;
        self.philox.stream(Draw::Example as u32 | high << 8, at as u32)
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

/// Stops the loader when a worker panics, which would otherwise leave the taker waiting for ever.
struct Guard<'a>(&'a Shared);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop(None);
        }
    }
}

/// The data set in a new order every epoch.
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
            philox.stream(Draw::Epoch as u32, epoch as u32).shuffle(&mut self.order);
        }
        self.order[at % self.len] as usize
    }
}

#[cfg(test)]
mod tests;
