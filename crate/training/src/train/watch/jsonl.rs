//! `log.jsonl`: one JSON object per logged step, with every number.
//! A run that resumes from a checkpoint first drops the later lines, so that no step is logged twice.

use std::path::Path;

use serde::Deserialize;

use super::append::Append;
use super::{Logged, WatchError};
use crate::replace::replace;

/// The log of a run.
#[derive(Debug)]
pub struct Log {
    file: Append,
}

impl Log {
    /// Opens the log in `out` and keeps the lines up to step `resumed_at`.
    ///
    /// # Errors
    /// [`WatchError::Io`] when it cannot be read or written.
    pub fn open(out: &Path, resumed_at: usize) -> Result<Self, WatchError> {
        let path = out.join("log.jsonl");
        if path.exists() {
            let old = std::fs::read(&path).map_err(WatchError::at(&path))?;
            let kept = up_to(&old, resumed_at);
            if kept != old {
                replace(&path, &kept).map_err(WatchError::at(&path))?;
            }
        }
        Ok(Self { file: Append::open(&path)? })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// As [`Append::push`].
    pub fn push(&self, logged: &Logged) -> Result<(), WatchError> {
        let line = serde_json::to_string(logged).expect("plain data serialises");
        self.file.push(format!("{line}\n").as_bytes())
    }
}

/// The complete lines of `log` for steps up to `step`.
fn up_to(log: &[u8], step: usize) -> Vec<u8> {
    #[derive(Deserialize)]
    struct Line {
        step: usize,
    }
    let whole = |line: &&[u8]| serde_json::from_slice::<Line>(line).is_ok_and(|line| line.step <= step);
    log.split(|&byte| byte == b'\n').filter(whole).flat_map(|line| [line, b"\n"]).flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::logged::tests::example;
    use super::*;

    fn steps(out: &Path) -> Vec<u64> {
        let text = std::fs::read_to_string(out.join("log.jsonl")).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        let step = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["step"].as_u64().unwrap();
        text.lines().map(step).collect()
    }

    #[test]
    fn resuming_leaves_no_step_twice_and_no_half_line() {
        let out = tempfile::tempdir().unwrap();
        let log = Log::open(out.path(), 0).unwrap();
        (20..=100).step_by(20).for_each(|step| log.push(&example(step)).unwrap());
        log.file.push(br#"{"step":120,"lo"#).unwrap();

        // Killed at 120, with the last checkpoint at 60.
        let log = Log::open(out.path(), 60).unwrap();
        assert_eq!(steps(out.path()), [20, 40, 60]);
        log.push(&example(80)).unwrap();
        assert_eq!(steps(out.path()), [20, 40, 60, 80]);
        // Nothing remains of an older run in the same folder.
        Log::open(out.path(), 0).unwrap();
        assert_eq!(steps(out.path()), [] as [u64; 0]);
    }

    #[test]
    fn a_line_holds_every_number() {
        let out = tempfile::tempdir().unwrap();
        Log::open(out.path(), 0).unwrap().push(&example(20)).unwrap();
        let line = std::fs::read(out.path().join("log.jsonl")).unwrap();
        let expected = serde_json::json!({
            "step": 20, "examples": 1280, "loss": 0.375, "mse": 0.25, "vb": 0.125, "mask_ratio": 0.875, "rate": 0.001,
            "gradient_norm": 1.5, "gradient_norm_max": 2.5, "images_per_second": 128.0, "flops_per_second": 256e9,
            "share_of_roof": 0.256, "waited": 0.0625, "seconds_left": 45.0, "resident_bytes": 1_073_741_824,
            "loss_by_timestep": {"000-099": 0.75, "900-999": 0.03125}, "loss_by_mask_ratio": {"0.85-0.90": 0.375},
        });
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&line).unwrap(), expected);
    }

    proptest! {
        /// A log cut at any byte keeps exactly its complete lines.
        #[test]
        fn whatever_is_cut_off_the_whole_lines_stay(cut in 0usize..=76) {
            let log: Vec<u8> = (1..=4).flat_map(|step| format!("{{\"step\":{step},\"x\":1.5}}\n").into_bytes()).collect();
            prop_assert_eq!(log.len(), 76);
            // A line cut after its closing brace lacks only the line feed: it is complete.
            let whole = (cut + 1) / 19;
            prop_assert_eq!(up_to(&log[..cut], 9), &log[..19 * whole]);
        }

        /// Whatever else the file holds, the log's lines up to the step stay, in order.
        #[test]
        fn only_lines_of_the_log_stay(lines in prop::collection::vec((0usize..10, "[^\n{}]*", any::<bool>()), 0..20)) {
            let line = |(step, text, ours): &(usize, String, bool)| match ours {
                true => format!("{{\"loss\":0.5,\"step\":{step}}}\n"),
                false => format!("{text}\n"),
            };
            let whole: String = lines.iter().map(line).collect();
            let kept: String = lines.iter().filter(|(step, _, ours)| *ours && *step <= 5).map(line).collect();
            prop_assert_eq!(String::from_utf8(up_to(whole.as_bytes(), 5)).unwrap(), kept);
        }
    }
}
