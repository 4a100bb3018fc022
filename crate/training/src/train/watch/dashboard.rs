//! Burn's terminal dashboard, driven by this trainer: a curve per number, the notes, and `q` to stop.
//! It owns the terminal while it lives; notes are printed again when it closes.

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use burn_train::Interrupter;
use burn_train::metric::{
    MetricAttributes, MetricDefinition, MetricEntry, MetricId, NumericAttributes, NumericEntry, SerializedEntry,
};
use burn_train::renderer::tui::TuiMetricsRendererWrapper;
use burn_train::renderer::{MetricState, MetricsRenderer};

use super::Logged;
use super::screen::Screen;
use super::speed::duration;

/// Number of notes to print when the dashboard closes.
const NOTES: usize = 20;

/// The dashboard.
pub struct Dashboard {
    /// `None` after the user closed it from its own menu.
    renderer: Option<Box<dyn MetricsRenderer>>,
    interrupter: Interrupter,
    known: HashSet<String>,
    notes: VecDeque<String>,
    resumed_at: usize,
}

impl Dashboard {
    /// Opens the dashboard for a run of `steps` steps.
    pub fn open(steps: usize, resumed_at: usize) -> Self {
        let interrupter = Interrupter::new();
        Self::on(Box::new(TuiMetricsRendererWrapper::new(interrupter.clone(), None)), interrupter, steps, resumed_at)
    }

    fn on(renderer: Box<dyn MetricsRenderer>, interrupter: Interrupter, steps: usize, resumed_at: usize) -> Self {
        let renderer = Some(renderer);
        let mut dashboard = Self { renderer, interrupter, known: HashSet::new(), notes: VecDeque::new(), resumed_at };
        let label = match resumed_at {
            0 => format!("{steps} steps"),
            _ => format!("steps {resumed_at} to {steps}"),
        };
        // One epoch of the remaining steps: the dashboard estimates the time from the steps of this epoch.
        dashboard.tell(|renderer| {
            renderer.start(1, 1, None, Some(&label));
            renderer.start_split("train", steps.saturating_sub(resumed_at));
        });
        // The first text appears on top.
        dashboard.text("note", "q, then s: save and stop");
        dashboard
    }

    /// The dashboard's menu can kill the program: the next call to it then panics. This catches the panic and stops the
    /// run, so that it is still saved.
    fn tell(&mut self, what: impl FnOnce(&mut dyn MetricsRenderer)) {
        let Some(renderer) = &mut self.renderer else { return };
        if catch_unwind(AssertUnwindSafe(|| what(&mut **renderer))).is_err() {
            // It has restored the terminal, and would panic again when dropped.
            std::mem::forget(self.renderer.take());
            // Its panic hook would hide every later panic.
            drop(std::panic::take_hook());
        }
    }

    fn text(&mut self, name: &str, text: &str) {
        self.show(name, MetricAttributes::None, |id| {
            MetricState::Generic(MetricEntry::new(id, SerializedEntry::new(text.to_owned(), text.to_owned())))
        });
    }

    fn number(&mut self, name: &str, value: f64) {
        let attributes = NumericAttributes { unit: None, higher_is_better: false };
        self.show(name, attributes.into(), |id| {
            let entry = MetricEntry::new(id, SerializedEntry::new(rounded(value), value.to_string()));
            // A curve cannot show a number that is not finite; the text does.
            MetricState::Numeric(entry, value.is_finite().then_some(NumericEntry::Value(value)))
        });
    }

    fn show(&mut self, name: &str, attributes: MetricAttributes, state: impl FnOnce(MetricId) -> MetricState) {
        let name = Arc::new(name.to_owned());
        let id = MetricId::new(name.clone());
        let new = self.known.insert(name.to_string());
        self.tell(|renderer| {
            if new {
                let metric_id = id.clone();
                renderer.register_metric(MetricDefinition { metric_id, name, description: None, attributes });
            }
            renderer.update_train(state(id));
        });
    }
}

impl Screen for Dashboard {
    fn step(&mut self, step: usize) {
        let done = step.saturating_sub(self.resumed_at);
        self.tell(|renderer| renderer.update_split(done));
    }

    fn logged(&mut self, logged: &Logged) {
        self.text("step", &format!("{}, {} left", logged.step, duration(logged.speed.seconds_left)));
        self.text("speed", &format!("{:.0} images/s, {}", logged.speed.images_per_second, logged.effort()));
        for (name, value) in logged.curves() {
            self.number(&name, value);
        }
    }

    fn note(&mut self, text: &str) {
        self.text("note", text);
        if self.notes.len() == NOTES {
            self.notes.pop_front();
        }
        self.notes.push_back(text.to_owned());
    }

    fn asked_to_stop(&self) -> bool {
        self.renderer.is_none() || self.interrupter.should_stop()
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        drop(self.renderer.take());
        for note in &self.notes {
            eprintln!("{note}");
        }
    }
}

/// `value` with few digits.
fn rounded(value: f64) -> String {
    match value.abs() {
        size if size != 0.0 && !(1e-3..1e6).contains(&size) => format!("{value:.3e}"),
        size if size >= 100.0 => format!("{value:.0}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests;
