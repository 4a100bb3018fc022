//! The speed of a run, its share of the device's peak, and the time left.
//! All times are wall-clock times: checkpoints and samples between two steps count.

use std::time::Duration;

use serde::Serialize;

/// Share of time spent waiting for data above which the user is told.
const SLOW_DATA: f64 = 0.1;

/// What happened between two log entries.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stretch {
    /// Steps done.
    pub steps: usize,
    /// Examples trained on.
    pub examples: usize,
    /// Time passed.
    pub elapsed: Duration,
    /// Time spent waiting for data.
    pub waited: Duration,
}

/// Speed of training over an interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Speed {
    /// Images per second.
    pub images_per_second: f64,
    /// Floating-point operations per second that the network needs.
    pub flops_per_second: f64,
    /// Share of the device's measured peak, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_of_roof: Option<f64>,
    /// Share of the time spent waiting for data.
    pub waited: f64,
    /// Seconds until the last step, at the average pace since training began or was resumed.
    pub seconds_left: f64,
}

impl Speed {
    /// The speed over `last`, the latest interval; the time for `steps_left` comes from `all`, everything since the
    /// start.
    pub fn of(last: &Stretch, all: &Stretch, steps_left: usize, flops_per_example: f64, roof: Option<f64>) -> Self {
        // Avoids a division by zero.
        let seconds = last.elapsed.as_secs_f64().max(1e-9);
        let images_per_second = last.examples as f64 / seconds;
        let flops_per_second = images_per_second * flops_per_example;
        Self {
            images_per_second,
            flops_per_second,
            share_of_roof: roof.map(|roof| flops_per_second / roof),
            waited: last.waited.as_secs_f64() / seconds,
            seconds_left: all.elapsed.as_secs_f64() / all.steps.max(1) as f64 * steps_left as f64,
        }
    }

    /// A message for the user if data loading slows training down.
    pub fn data_note(&self) -> Option<String> {
        let percent = 100.0 * self.waited;
        (self.waited > SLOW_DATA)
            .then(|| format!("the device waits for data {percent:.0}% of the time: raise --workers"))
    }
}

/// `seconds` as text: `45 s`, `12 min`, `3 h 20 min`, `2 d 5 h`.
pub fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match minutes {
        _ if seconds < 99.5 => format!("{seconds:.0} s"),
        0..100 => format!("{minutes} min"),
        100..2880 => format!("{} h {} min", minutes / 60, minutes % 60),
        _ => format!("{} d {} h", minutes / 1440, minutes / 60 % 24),
    }
}

/// `flops` per second as text: `4.2 TFLOP/s`.
pub fn flops(flops: f64) -> String {
    match flops {
        _ if flops >= 1e15 => format!("{:.2} PFLOP/s", flops / 1e15),
        _ if flops >= 1e12 => format!("{:.1} TFLOP/s", flops / 1e12),
        _ => format!("{:.1} GFLOP/s", flops / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(steps: usize, seconds: u64, waited: u64) -> Stretch {
        let [elapsed, waited] = [seconds, waited].map(Duration::from_secs);
        Stretch { steps, examples: 64 * steps, elapsed, waited }
    }

    #[test]
    fn speed_is_work_over_time() {
        let speed = Speed::of(&stretch(20, 10, 1), &stretch(100, 40, 9), 300, 2e9, Some(1e12));
        // 20 * 64 images in 10 s, 2 GFLOP each, of 1 TFLOP/s; 300 steps at 0.4 s.
        assert!((speed.images_per_second - 128.0).abs() < 1e-9);
        assert!((speed.flops_per_second - 256e9).abs() < 1.0);
        assert!((speed.share_of_roof.unwrap() - 0.256).abs() < 1e-12);
        assert!((speed.seconds_left - 120.0).abs() < 1e-9);
        assert_eq!(speed.data_note(), None);
    }

    #[test]
    fn slow_data_is_said() {
        let speed = Speed::of(&stretch(20, 100, 23), &stretch(20, 100, 23), 0, 1.0, None);
        let said = "the device waits for data 23% of the time: raise --workers";
        assert_eq!(speed.data_note().as_deref(), Some(said));
        assert_eq!(speed.share_of_roof, None);
    }

    #[test]
    fn people_read_durations() {
        let shown = [0.4, 45.0, 99.4, 720.0, 12_000.0, 190_000.0].map(duration);
        assert_eq!(shown, ["0 s", "45 s", "99 s", "12 min", "3 h 20 min", "2 d 4 h"]);
    }
}
