//! How long one image takes, decoded by itself on one core: what a visitor of the page waits for, and comparable between runs.
//! Where the system says it, the processor's time counts: other programs do not add to it.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use crate::eval::{EvalOptions, generate_until};
use marscope_core::pipeline::Pipeline;
use marscope_core::sampler::Settings;

/// Times that an image is decoded; the least counts, since other work only adds.
const TIMES: usize = 5;

/// A thread of its own with weights of its own, on which nothing runs in parallel.
pub struct Stopwatch {
    ask: Sender<(Settings, f64)>,
    answer: Receiver<Result<f64, String>>,
}

impl Stopwatch {
    /// Opens weights with `open`, on the thread that decodes with them.
    ///
    /// # Errors
    /// What `open` says.
    pub fn new(open: impl FnOnce() -> Result<Pipeline, String> + Send + 'static) -> Result<Self, String> {
        let (ask, asked) = channel::<(Settings, f64)>();
        let (reply, answer) = channel();
        std::thread::spawn(move || {
            // The thread is the only one of its pool, so that loops over all cores have one.
            let alone = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
            let opened = alone.map_err(|error| error.to_string()).and_then(|pool| Ok((pool, open()?)));
            let (_pool, pipeline) = match opened {
                Ok(opened) => opened,
                Err(error) => return drop(reply.send(Err(error))),
            };
            let mut open = reply.send(Ok(0.0)).is_ok();
            while let (true, Ok((settings, enough))) = (open, asked.recv()) {
                open = reply.send(least(&pipeline, &settings, enough, on_this_thread)).is_ok();
            }
        });
        let watch = Self { ask, answer };
        watch.answer()?;
        Ok(watch)
    }

    /// Milliseconds of one image under `settings`. If the first one takes far longer than `enough`, that is the answer.
    ///
    /// # Errors
    /// When the image cannot be decoded.
    pub fn milliseconds(&self, settings: &Settings, enough: f64) -> Result<f64, String> {
        let asked = self.ask.send((settings.clone(), enough));
        asked.map_err(|_| ENDED.to_owned()).and_then(|()| self.answer())
    }

    fn answer(&self) -> Result<f64, String> {
        self.answer.recv().unwrap_or_else(|_| Err(ENDED.to_owned()))
    }
}

const ENDED: &str = "the thread that measures time has ended";

/// As [`Stopwatch::milliseconds`], by the clock on the wall and on `pipeline`'s device: for devices that are no processor.
///
/// # Errors
/// When the image cannot be decoded.
pub fn milliseconds_by_clock(pipeline: &Pipeline, settings: &Settings, enough: f64) -> Result<f64, String> {
    let since = Instant::now();
    least(pipeline, settings, enough, move || since.elapsed().as_secs_f64())
}

/// The least milliseconds of several times, by the clock `seconds`.
fn least(pipeline: &Pipeline, settings: &Settings, enough: f64, seconds: impl Fn() -> f64) -> Result<f64, String> {
    let options = EvalOptions { settings: settings.clone(), count: 1, ..EvalOptions::of(pipeline) };
    let mut least = f64::INFINITY;
    for _ in 0..TIMES {
        let before = seconds();
        generate_until(pipeline, &options, &AtomicBool::new(false)).map_err(|error| error.to_string())?;
        least = least.min(1e3 * (seconds() - before));
        if least > 2.0 * enough {
            break;
        }
    }
    Ok(least)
}

/// Seconds that the processor worked for this thread, where the system says so; elsewhere seconds on the wall.
#[cfg(unix)]
fn on_this_thread() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Seconds that the processor worked for this thread, where the system says so; elsewhere seconds on the wall.
#[cfg(not(unix))]
fn on_this_thread() -> f64 {
    thread_local!(static SINCE: Instant = Instant::now());
    SINCE.with(Instant::elapsed).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::eval::tests::pipeline;

    /// The least of several decodings by a clock that says `times` one after the other.
    fn least_by(times: &[f64], enough: f64) -> (f64, usize) {
        let read = Cell::new(0);
        let clock = || times[read.replace(read.get() + 1)];
        let settings = Settings { iterations: 1, steps: 2.into(), ..pipeline().settings() };
        (least(&pipeline(), &settings, enough, clock).unwrap(), read.get() / 2)
    }

    #[test]
    fn the_least_of_several_times_counts_and_what_is_far_too_slow_is_not_decoded_again() {
        let times = [0.0, 0.5, 1.0, 1.25, 2.0, 2.75, 3.0, 4.0, 5.0, 5.5];
        assert_eq!(least_by(&times, 1e9), (250.0, TIMES));
        assert_eq!(least_by(&times, 200.0), (500.0, 1));
        assert_eq!(least_by(&times, 249.0), (500.0, 1));
        assert_eq!(least_by(&times, 251.0), (250.0, TIMES));
    }

    #[test]
    fn the_thread_says_what_cannot_be_and_goes_on() {
        let watch = Stopwatch::new(|| Ok(pipeline())).unwrap();
        let settings = pipeline().settings();
        let refused = watch.milliseconds(&Settings { iterations: 5, ..settings.clone() }, 1e9).unwrap_err();
        assert!(refused.contains("5 iterations over 4 tokens"), "{refused}");
        assert!(watch.milliseconds(&settings, 1e9).unwrap().is_finite());
        assert!(milliseconds_by_clock(&pipeline(), &settings, 1e9).unwrap().is_finite());
        let error = Stopwatch::new(|| Err("no weights".to_owned())).err().unwrap();
        assert_eq!(error, "no weights");
    }
}
