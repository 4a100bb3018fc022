//! What a person sees of a run: the dashboard, one line that moves, or plain lines, as the terminal allows.
//! Files are written whichever it is.

use std::io::IsTerminal;

use super::bar::Bar;
use super::dashboard::Dashboard;
use super::plain::Plain;
use super::{Logged, WatchOptions};

/// Shows a run to a person.
pub trait Screen {
    /// `step` steps are done.
    fn step(&mut self, step: usize);

    /// `logged` is known.
    fn logged(&mut self, logged: &Logged);

    /// Something a person should read.
    fn note(&mut self, text: &str);

    /// Whether the person asked, on the screen, that training stop.
    fn asked_to_stop(&self) -> bool {
        false
    }
}

/// The best screen there is for `options`. Dropping it gives the terminal back.
pub fn open(options: &WatchOptions, resumed_at: usize) -> Box<dyn Screen> {
    let (input, output, errors) =
        (std::io::stdin().is_terminal(), std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
    if options.dashboard && input && output {
        return Box::new(Dashboard::open(options.steps, resumed_at));
    }
    let mut screen: Box<dyn Screen> =
        if errors { Box::new(Bar::open(options.steps, resumed_at)) } else { Box::new(Plain::new(options.steps)) };
    if options.dashboard {
        screen.note("no dashboard: it needs a terminal to draw on and to read keys from");
    }
    screen
}
