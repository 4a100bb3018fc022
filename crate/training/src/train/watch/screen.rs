//! Shows a run to the user: the dashboard, a progress line or plain lines, as the terminal allows.
//! The log files are the same in all cases.

use std::io::IsTerminal;

use super::bar::Bar;
use super::dashboard::Dashboard;
use super::plain::Plain;
use super::{Logged, WatchOptions};

/// Shows a run to the user.
pub trait Screen {
    /// `step` steps are done.
    fn step(&mut self, step: usize);

    /// A log entry is complete.
    fn logged(&mut self, logged: &Logged);

    /// A message for the user.
    fn note(&mut self, text: &str);

    /// Whether the user asked, on the screen, to stop training.
    fn asked_to_stop(&self) -> bool {
        false
    }
}

/// The best screen that `options` and the terminal allow. Dropping it restores the terminal.
pub fn open(options: &WatchOptions, resumed_at: usize) -> Box<dyn Screen> {
    let (input, output, errors) =
        (std::io::stdin().is_terminal(), std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
    if options.dashboard && input && output {
        return Box::new(Dashboard::open(options.steps, resumed_at));
    }
    let mut screen: Box<dyn Screen> =
        if errors { Box::new(Bar::open(options.steps, resumed_at)) } else { Box::new(Plain::new(options.steps)) };
    if options.dashboard {
        screen.note("no dashboard: it needs an interactive terminal");
    }
    screen
}
