//! One line on stderr per logged step, for files and pipes.
//! `step 20/200  loss 0.1234  123 images/s  45 s left`.

use super::Logged;
use super::screen::Screen;
use super::speed::duration;

/// Plain lines.
#[derive(Debug)]
pub struct Plain {
    steps: usize,
}

impl Plain {
    /// Plain lines for a run of `steps` steps.
    pub fn new(steps: usize) -> Self {
        Self { steps }
    }

    fn line(&self, logged: &Logged) -> String {
        let (step, left) = (logged.step, duration(logged.speed.seconds_left));
        format!("step {step}/{}  {}  {left} left", self.steps, logged.headline())
    }
}

impl Screen for Plain {
    fn step(&mut self, _: usize) {}

    fn logged(&mut self, logged: &Logged) {
        eprintln!("{}", self.line(logged));
    }

    fn note(&mut self, text: &str) {
        eprintln!("{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::super::logged::tests::example;
    use super::*;

    #[test]
    fn a_line_says_where_how_well_how_fast_and_how_long() {
        assert_eq!(Plain::new(200).line(&example(20)), "step 20/200  loss 0.3750  128 images/s  45 s left");
    }
}
