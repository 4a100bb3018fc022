//! Tests the dashboard with a renderer that records its calls.

use std::sync::{Mutex, PoisonError};

use burn_train::LearnerSummary;
use burn_train::logger::{EvaluationProgressLogger, TrainingProgressLogger};
use burn_train::renderer::{EvaluationName, MetricsRendererEvaluation, MetricsRendererTraining};

use super::super::logged::tests::example;
use super::*;

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    fn add(&self, what: String) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        assert_ne!(what, "note = kill", "as the real one does when it was killed");
        told.push(what);
    }

    fn told(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl MetricsRenderer for Recorder {
    fn manual_close(&mut self) {}

    fn register_metric(&mut self, definition: MetricDefinition) {
        self.add(format!("new {}", definition.name));
    }
}

impl MetricsRendererTraining for Recorder {
    fn update_train(&mut self, state: MetricState) {
        let (entry, point) = match state {
            MetricState::Generic(entry) => (entry, String::new()),
            MetricState::Numeric(entry, point) => (entry, format!(" at {:?}", point.map(|point| point.current()))),
        };
        // An id can be read only through its debug form.
        let id = format!("{:?}", entry.metric_id);
        let name = id.split('"').nth(1).unwrap();
        self.add(format!("{name} = {}{point}", entry.serialized_entry.formatted));
    }

    fn update_valid(&mut self, _: MetricState) {}
}

impl MetricsRendererEvaluation for Recorder {
    fn update_test(&mut self, _: EvaluationName, _: MetricState) {}

    fn on_test_end(&mut self, _: Option<LearnerSummary>) -> Result<(), Box<dyn std::error::Error>> {
        Ok(())
    }
}

impl TrainingProgressLogger for Recorder {
    fn start(&mut self, epochs: usize, epoch: usize, _: Option<usize>, label: Option<&str>) {
        self.add(format!("epoch {epoch} of {epochs}: {}", label.unwrap_or_default()));
    }

    fn update_epoch(&mut self, _: usize) {}

    fn start_split(&mut self, split: &str, items: usize) {
        self.add(format!("{split} {items}"));
    }

    fn update_split(&mut self, items: usize) {
        self.add(format!("done {items}"));
    }

    fn end_split(&mut self) {}

    fn end(&mut self) {}

    fn log_event_training(&mut self, _: String) {}
}

impl EvaluationProgressLogger for Recorder {
    fn start_global_progress(&mut self, _: usize) {}

    fn start_test(&mut self, _: &str, _: usize) {}

    fn update_test_progress(&mut self, _: usize) {}

    fn end_test(&mut self) {}

    fn end_global_progress(&mut self) {}

    fn log_event_evaluation(&mut self, _: String) {}
}

fn dashboard() -> (Dashboard, Recorder, Interrupter) {
    let (recorder, interrupter) = (Recorder::default(), Interrupter::new());
    (Dashboard::on(Box::new(recorder.clone()), interrupter.clone(), 200, 50), recorder, interrupter)
}

#[test]
fn numbers_are_announced_once_and_shown_each_time() {
    let (mut dashboard, recorder, _) = dashboard();
    dashboard.step(60);
    dashboard.logged(&example(60));
    dashboard.logged(&super::super::Logged { loss: f64::NAN, ..example(80) });

    let told = recorder.told();
    assert_eq!(
        told[..4],
        ["epoch 1 of 1: steps 50 to 200", "train 150", "new note", "note = q, then s: save and stop"]
    );
    assert_eq!(told[4], "done 10");
    let count = |what: &str| told.iter().filter(|told| *told == what).count();
    assert_eq!(count("step = 60, 45 s left"), 1);
    assert_eq!((count("new loss/total"), count("new loss_by_timestep/900-999")), (1, 1));
    assert_eq!((count("loss/total = 0.3750 at Some(0.375)"), count("loss/total = NaN at None")), (1, 1));
    assert_eq!(count("loss_by_timestep/900-999 = 0.0312 at Some(0.03125)"), 2);
    assert_eq!(count("optimizer/rate = 0.0010 at Some(0.001)"), 2);
    assert_eq!(count("speed/flops_per_second = 2.560e11 at Some(256000000000.0)"), 2);
}

#[test]
fn stopping_from_its_menu_is_a_wish_to_stop() {
    let (dashboard, _, interrupter) = dashboard();
    assert!(!dashboard.asked_to_stop());
    interrupter.stop(None);
    assert!(dashboard.asked_to_stop());
}

#[test]
fn killing_from_its_menu_is_one_too() {
    let (mut dashboard, recorder, _) = dashboard();
    dashboard.note("kill");
    assert!(dashboard.asked_to_stop());
    // The renderer is gone; nothing breaks.
    let told = recorder.told().len();
    dashboard.note("saved");
    dashboard.step(70);
    assert_eq!(recorder.told().len(), told);
}
