//! `marscope-roof THREADS` prints the machine's peak as one line of JSON.
//! It measures multiply-adds in registers and bytes copied through memory; no layer reaches this. The browser's part
//! measures the same (`bench/browser/page/roof.js`).
// pulp's functions take the processor's instructions only where they are inlined.
#![allow(clippy::inline_always)]

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use pulp::{Arch, Simd, WithSimd};

/// Sums that do not wait for each other: enough to hide the latency of a multiplication, few enough for the registers.
const CHAINS: usize = 12;
/// Factor and addend of each sum: it stays near `ADDED / (1 - FACTOR)`, far from slow denormal numbers.
const FACTOR: f32 = 0.999;
const ADDED: f32 = 0.001;
/// Number of trials; the best counts.
const TRIALS: usize = 5;
/// Least time of a trial.
const TRIAL: Duration = Duration::from_millis(80);
/// Bytes that are copied: far more than any cache holds.
const COPIED: usize = 1 << 28;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let threads = match &arguments[..] {
        [threads] => threads.parse().ok().filter(|&threads: &usize| threads > 0),
        _ => None,
    };
    let Some(threads) = threads else {
        eprintln!("usage: marscope-roof THREADS, a number from 1 on");
        return ExitCode::FAILURE;
    };
    println!("{{\"gigaflops\": {:.3}, \"gigabytes\": {:.3}}}", products(threads) / 1e9, copies(threads) / 1e9);
    ExitCode::SUCCESS
}

/// Products and sums a second, of `threads` threads in the widest vectors that the processor has.
fn products(threads: usize) -> f64 {
    let run = |turns| {
        black_box(Arch::new().dispatch(Chains { turns }));
    };
    let time = |turns| together((0..threads).map(|_| move || run(turns)));
    let mut turns = 1 << 16;
    while time(turns) < TRIAL {
        turns *= 2;
    }
    let lanes = Arch::new().dispatch(Lanes);
    let fastest = (0..TRIALS).map(|_| time(turns)).min().unwrap_or_default();
    (2 * lanes * CHAINS * threads) as f64 * turns as f64 / fastest.as_secs_f64()
}

/// Bytes read and written a second by `threads` threads that copy.
fn copies(threads: usize) -> f64 {
    let source = vec![1_u8; COPIED];
    let mut target = vec![0_u8; COPIED];
    let share = COPIED.div_ceil(threads);
    let mut copy = || {
        let shares = target.chunks_mut(share).zip(source.chunks(share));
        together(shares.map(|(target, source)| move || target.copy_from_slice(black_box(source))))
    };
    let fastest = (0..TRIALS).map(|_| copy()).min().unwrap_or_default();
    black_box(&target);
    (2 * COPIED) as f64 / fastest.as_secs_f64()
}

/// How long all of `works` take, a thread each, that begin at the same moment.
fn together<W: FnOnce() + Send>(works: impl Iterator<Item = W>) -> Duration {
    let works: Vec<W> = works.collect();
    let start = &Barrier::new(works.len());
    thread::scope(|scope| {
        let timed = |work: W| {
            move || {
                start.wait();
                let begin = Instant::now();
                work();
                (begin, Instant::now())
            }
        };
        let threads: Vec<_> = works.into_iter().map(|work| scope.spawn(timed(work))).collect();
        let times: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("no work panics")).collect();
        let begin = times.iter().map(|(begin, _)| *begin).min();
        let end = times.iter().map(|(_, end)| *end).max();
        begin.zip(end).map_or(Duration::ZERO, |(begin, end)| end - begin)
    })
}

/// Multiplies and adds in every chain, `turns` times over; the answer is the sum of all.
struct Chains {
    turns: u64,
}

impl WithSimd for Chains {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let factor = simd.splat_f32s(black_box(FACTOR));
        let added = simd.splat_f32s(black_box(ADDED));
        let mut sums: [S::f32s; CHAINS] = std::array::from_fn(|chain| simd.splat_f32s(first(chain)));
        for _ in 0..self.turns {
            for sum in &mut sums {
                *sum = simd.mul_add_e_f32s(*sum, factor, added);
            }
        }
        let sum = sums.into_iter().reduce(|a, b| simd.add_f32s(a, b));
        sum.map_or(0.0, |sum| simd.reduce_sum_f32s(sum))
    }
}

/// Where a chain begins.
fn first(chain: usize) -> f32 {
    black_box(chain as f32)
}

/// Numbers per vector.
struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rate counts operations: they must all have been done.
    #[test]
    fn every_chain_and_lane_does_every_turn() {
        let turns = 1000;
        let chain = |chain| (0..turns).fold(first(chain), |sum, _| sum.mul_add(FACTOR, ADDED));
        let lanes = Arch::new().dispatch(Lanes) as f32;
        let expected = lanes * (0..CHAINS).map(chain).sum::<f32>();
        let found = Arch::new().dispatch(Chains { turns });
        assert!((found / expected - 1.0).abs() < 1e-4, "{found} for {expected}");
    }

    #[test]
    fn all_works_are_done() {
        let mut done = [false; 3];
        together(done.iter_mut().map(|done| move || *done = true));
        assert_eq!(done, [true; 3]);
    }
}
