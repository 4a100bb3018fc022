//! A progress line on a terminal, updated with every step; notes scroll by above it.
//! Used on a terminal without the dashboard.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Logged;
use super::screen::Screen;
use super::speed::duration;

/// The progress line.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
}

impl Bar {
    /// The progress line, on stderr, of a run of `steps` steps.
    pub fn open(steps: usize, resumed_at: usize) -> Self {
        Self::on(ProgressDrawTarget::stderr(), steps, resumed_at)
    }

    fn on(target: ProgressDrawTarget, steps: usize, resumed_at: usize) -> Self {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} steps  {msg}");
        let bar = ProgressBar::with_draw_target(Some(steps as u64), target);
        bar.set_style(style.expect("the template is well-formed"));
        bar.set_position(resumed_at as u64);
        Self { bar }
    }
}

impl Screen for Bar {
    fn step(&mut self, step: usize) {
        self.bar.set_position(step as u64);
    }

    fn logged(&mut self, logged: &Logged) {
        let left = duration(logged.speed.seconds_left);
        self.bar.set_message(format!("{}  {}  {left} left", logged.headline(), logged.effort()));
    }

    fn note(&mut self, text: &str) {
        self.bar.println(text);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::logged::tests::example;
    use super::*;

    #[test]
    fn the_line_says_where_how_well_how_fast_and_how_long() {
        let mut bar = Bar::on(ProgressDrawTarget::hidden(), 200, 20);
        assert_eq!(bar.bar.position(), 20);
        bar.step(40);
        bar.logged(&example(40));
        assert_eq!((bar.bar.position(), bar.bar.length()), (40, Some(200)));
        let says = "loss 0.3750  128 images/s  256.0 GFLOP/s (26% of the device's)  45 s left";
        assert_eq!(bar.bar.message(), says);
    }
}
