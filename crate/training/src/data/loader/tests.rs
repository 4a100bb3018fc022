use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::data::TokenShape;

/// Example i is `[i, a random number]`.
#[derive(Default)]
struct Numbers {
    len: usize,
    unreadable: BTreeSet<usize>,
    gone: Option<usize>,
    panics: Option<usize>,
    made: AtomicUsize,
}

impl Dataset for Numbers {
    fn len(&self) -> usize {
        self.len
    }

    fn shape(&self) -> TokenShape {
        TokenShape { tokens: 1, dim: 2, classes: 3 }
    }

    fn example(&self, index: usize, random: &mut Stream) -> Result<Example, DataError> {
        self.made.fetch_add(1, Ordering::Relaxed);
        assert_ne!(self.panics, Some(index), "a panic that the test asked for");
        if self.unreadable.contains(&index) {
            return Err(DataError::Unreadable { path: format!("{index}.jpg").into(), what: "cut short".into() });
        }
        if self.gone == Some(index) {
            return Err(DataError::Damaged { path: "shard".into(), what: "gone".into() });
        }
        Ok(Example { tokens: vec![index as f32, random.uniform() as f32], label: index % 3 })
    }
}

fn options(batch: usize) -> LoaderOptions {
    LoaderOptions { seed: 5, batch, share: 0..batch, first_step: 0, workers: 3, max_bad: 0 }
}

fn load(dataset: Numbers, options: LoaderOptions, steps: usize) -> Vec<Vec<Example>> {
    let mut loader = Loader::start(Arc::new(dataset), options).unwrap();
    (0..steps).map(|_| loader.next().unwrap()).collect()
}

fn numbers(len: usize) -> Numbers {
    Numbers { len, ..Numbers::default() }
}

fn indices(steps: &[Vec<Example>]) -> Vec<usize> {
    steps.iter().flatten().map(|example| example.tokens[0] as usize).collect()
}

#[test]
fn every_epoch_is_a_shuffle_of_its_own_addressed_by_seed_and_epoch() {
    let found = load(numbers(10), options(4), 10);
    let expected: Vec<usize> = (0..4)
        .flat_map(|epoch| {
            let mut order: Vec<usize> = (0..10).collect();
            Philox::new(5).stream(6, epoch).shuffle(&mut order);
            order
        })
        .collect();
    assert_eq!(indices(&found), expected);
    for (at, example) in found.iter().flatten().enumerate() {
        let drawn = Philox::new(5).stream(7, at as u32).uniform() as f32;
        assert_eq!(example.tokens[1].to_bits(), drawn.to_bits());
        assert_eq!(example.label, example.tokens[0] as usize % 3);
    }
}

#[test]
fn workers_shares_and_the_first_step_change_nothing() {
    let whole = load(numbers(10), options(6), 9);
    for workers in [0, 1, 2, 8] {
        assert_eq!(load(numbers(10), LoaderOptions { workers, ..options(6) }, 9), whole);
    }
    let share = |share| load(numbers(10), LoaderOptions { share, ..options(6) }, 9);
    let joined: Vec<_> = share(0..2).into_iter().zip(share(2..6)).map(|(a, b)| [a, b].concat()).collect();
    assert_eq!(joined, whole);
    assert_eq!(load(numbers(10), LoaderOptions { first_step: 4, ..options(6) }, 5), whole[4..]);
    assert_ne!(load(numbers(10), LoaderOptions { seed: 6, ..options(6) }, 9), whole);
}

#[test]
fn the_unreadable_is_replaced_by_the_next_that_reads_and_named_once() {
    let whole = load(numbers(10), options(5), 6);
    for workers in [1, 4] {
        let dataset = Numbers { unreadable: [3, 4, 9].into(), ..numbers(10) };
        let options = LoaderOptions { workers, max_bad: 3, ..options(5) };
        let mut loader = Loader::start(Arc::new(dataset), options).unwrap();
        let found: Vec<_> = (0..6).map(|_| loader.next().unwrap()).collect();
        let replaced = |index| match index {
            3 | 4 => 5,
            9 => 0,
            other => other,
        };
        assert_eq!(indices(&found), indices(&whole).into_iter().map(replaced).collect::<Vec<_>>());
        // The random choices in an example belong to its slot, not to the image.
        let drawn = |steps: &[Vec<Example>]| steps.iter().flatten().map(|e| e.tokens[1].to_bits()).collect::<Vec<_>>();
        assert_eq!(drawn(&found), drawn(&whole));
        let bad: Vec<_> = loader.bad().into_iter().map(|bad| (bad.path, bad.what)).collect();
        let expected = [3, 4, 9].map(|i| (Path::new(&format!("{i}.jpg")).to_owned(), "cut short".to_owned()));
        assert_eq!(bad, expected);
    }
}

#[test]
fn one_unreadable_too_many_ends_it_with_all_that_helps() {
    let dataset = Numbers { unreadable: [3, 4, 9].into(), ..numbers(10) };
    let options = LoaderOptions { workers: 1, max_bad: 2, ..options(10) };
    let mut loader = Loader::start(Arc::new(dataset), options).unwrap();
    let error = loader.next().unwrap_err().to_string();
    assert!(error.contains("3 images cannot be read, and --max-bad allows 2"), "{error}");
    assert!(error.contains(".jpg: cut short"), "{error}");
    assert!(matches!(loader.next(), Err(DataError::Stopped)));
}

#[test]
fn a_set_in_which_nothing_reads_ends_it_too() {
    let dataset = Numbers { unreadable: (0..4).collect(), ..numbers(4) };
    let mut loader = Loader::start(Arc::new(dataset), LoaderOptions { max_bad: 100, ..options(2) }).unwrap();
    assert!(matches!(loader.next(), Err(DataError::Unreadable { .. })));
    assert!(matches!(Loader::start(Arc::new(numbers(0)), options(2)), Err(DataError::Empty(_))));
}

#[test]
fn whole_batches_come_before_the_error() {
    // The position of index 7, with one worker: the earlier batches are complete.
    let place = indices(&load(numbers(10), options(1), 10)).iter().position(|&index| index == 7).unwrap();
    let dataset = Numbers { gone: Some(7), ..numbers(10) };
    let mut loader = Loader::start(Arc::new(dataset), LoaderOptions { workers: 1, ..options(1) }).unwrap();
    for _ in 0..place {
        loader.next().unwrap();
    }
    assert!(matches!(loader.next(), Err(DataError::Damaged { .. })));
}

#[test]
fn a_panic_in_a_worker_ends_it_instead_of_waiting_for_ever() {
    let dataset = Numbers { panics: Some(2), ..numbers(4) };
    let mut loader = Loader::start(Arc::new(dataset), options(4)).unwrap();
    assert!(matches!(loader.next(), Err(DataError::Stopped)));
}

#[test]
fn works_ahead_by_a_few_batches_and_stops_when_dropped() {
    let dataset = Arc::new(numbers(1000));
    let mut loader = Loader::start(dataset.clone(), options(4)).unwrap();
    for _ in 0..5 {
        loader.next().unwrap();
    }
    drop(loader);
    assert!(dataset.made.load(Ordering::Relaxed) <= (5 + AHEAD) * 4);
    assert_eq!(Arc::strong_count(&dataset), 1);
}
