//! The table at the end of `cargo xtask test`: the outcome and the time of each step.
//! Its last line, `N passed, N failed`, is the one to look for in a log.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::steps::Step;

/// The outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// It could not run here, for the reason given.
    Skipped(&'static str),
    /// A step before it failed.
    NotRun,
}

/// The steps of a run.
#[derive(Default)]
pub struct Report {
    rows: Vec<(Step, Outcome, Duration)>,
}

impl Report {
    /// Adds the outcome of `step`.
    pub fn add(&mut self, step: Step, outcome: Outcome, time: Duration) {
        self.rows.push((step, outcome, time));
    }

    /// Whether a step failed.
    pub fn failed(&self) -> bool {
        self.count(|outcome| outcome == Outcome::Failed) > 0
    }

    fn count(&self, of: impl Fn(Outcome) -> bool) -> usize {
        self.rows.iter().filter(|(_, outcome, _)| of(*outcome)).count()
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        for (step, outcome, time) in &self.rows {
            let name = step.name();
            match outcome {
                Outcome::Passed => writeln!(f, "{name:<12} passed   {:>8}", clock(*time))?,
                Outcome::Failed => writeln!(f, "{name:<12} FAILED   {:>8}", clock(*time))?,
                Outcome::Skipped(reason) => writeln!(f, "{name:<12} skipped  {reason}")?,
                Outcome::NotRun => writeln!(f, "{name:<12} not run")?,
            }
        }
        let total = self.rows.iter().map(|(_, _, time)| *time).sum();
        writeln!(f, "{:<12}          {:>8}\n", "total", clock(total))?;
        let passed = self.count(|outcome| outcome == Outcome::Passed);
        let failed = self.count(|outcome| outcome == Outcome::Failed);
        write!(f, "{passed} passed, {failed} failed")?;
        match self.count(|outcome| matches!(outcome, Outcome::Skipped(_))) {
            0 => Ok(()),
            skipped => write!(f, ", {skipped} skipped"),
        }
    }
}

/// Minutes and seconds.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{}:{:02} min", time.as_secs() / 60, time.as_secs() % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_the_steps() {
        let mut report = Report::default();
        report.add(Step::Fmt, Outcome::Passed, Duration::from_millis(1_500));
        report.add(Step::Clippy, Outcome::Passed, Duration::from_secs(125));
        assert!(!report.failed());
        assert_eq!(report.to_string().lines().last(), Some("2 passed, 0 failed"));
        report.add(Step::Deny, Outcome::Skipped("no cargo-deny"), Duration::ZERO);
        report.add(Step::Test, Outcome::Failed, Duration::from_secs(1));
        report.add(Step::Wasm, Outcome::NotRun, Duration::ZERO);
        assert!(report.failed());
        let text = report.to_string();
        assert_eq!(text.lines().last(), Some("2 passed, 1 failed, 1 skipped"));
        assert!(text.contains("clippy       passed   2:05 min"), "{text}");
        assert!(text.contains("fmt          passed      1.5 s"), "{text}");
        assert!(text.contains("skipped  no cargo-deny") && text.contains("wasm         not run"), "{text}");
    }
}
