//! What a run's folder holds after some steps, after a kill, and after resuming.

use super::*;

fn options() -> WatchOptions {
    WatchOptions {
        log_every: 20,
        dashboard: false,
        tensorboard: true,
        roof: Some(1e12),
        flops_per_example: 1e6,
        mask_ratio_min: Some(0.7),
        steps: 90,
        batch: 64,
    }
}

/// The loss of a step: its number over 100, all in `mse`.
fn parts(step: usize) -> [(&'static str, f32); 2] {
    [("mse", step as f32 / 100.0), ("vb", 0.0)]
}

fn report<'a>(step: usize, rows: Option<&'a [RowLoss]>, parts: &'a [(&'static str, f32)]) -> StepReport<'a> {
    StepReport {
        step,
        examples: 64,
        loss: parts[0].1,
        parts,
        mask_ratio: Some(if step.is_multiple_of(2) { 0.72 } else { 0.99 }),
        rate: 1e-3 * step as f64,
        gradient_norm: if step == 7 { 50.0 } else { 1.0 },
        rows,
        waited: Duration::ZERO,
    }
}

fn run(out: &Path, steps: std::ops::RangeInclusive<usize>) -> f32 {
    let mut watch = Watch::open(out, options(), steps.start() - 1, Arc::default()).unwrap();
    let rows = [(5, 2.0), (50, 4.0), (950, 0.5)].map(|(t, loss)| RowLoss { t, loss });
    for step in steps {
        let rows = watch.logs(step).then_some(&rows[..]);
        watch.step(&report(step, rows, &parts(step))).unwrap();
    }
    watch.finish()
}

fn lines(out: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(out.join("log.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn column(lines: &[serde_json::Value], name: &str) -> Vec<f64> {
    lines.iter().map(|line| line[name].as_f64().unwrap()).collect()
}

/// Compares element by element to 7 digits, the precision of `f32`.
fn assert_near(found: &[f64], expected: &[f64]) {
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-6 * b.abs();
    assert!(found.len() == expected.len() && found.iter().zip(expected).all(near), "{found:?} for {expected:?}");
}

#[test]
fn lines_hold_the_means_since_the_line_before() {
    let out = tempfile::tempdir().unwrap();
    // The mean of 81 to 90.
    assert!((run(out.path(), 1..=90) - 0.855).abs() < 1e-6);

    let lines = lines(out.path());
    assert_near(&column(&lines, "step"), &[20.0, 40.0, 60.0, 80.0, 90.0]);
    assert_near(&column(&lines, "examples"), &[1280.0, 2560.0, 3840.0, 5120.0, 5760.0]);
    assert_near(&column(&lines, "loss"), &[0.105, 0.305, 0.505, 0.705, 0.855]);
    assert_near(&column(&lines, "mse"), &column(&lines, "loss"));
    assert_near(&column(&lines, "rate"), &[0.02, 0.04, 0.06, 0.08, 0.09]);
    assert_near(&column(&lines, "gradient_norm"), &[69.0 / 20.0, 1.0, 1.0, 1.0, 1.0]);
    assert_near(&column(&lines, "gradient_norm_max"), &[50.0, 1.0, 1.0, 1.0, 1.0]);
    for line in &lines {
        assert_eq!(line["loss_by_timestep"], serde_json::json!({"000-099": 3.0, "900-999": 0.5}));
        let flops = line["flops_per_second"].as_f64().unwrap();
        assert_near(&[line["images_per_second"].as_f64().unwrap() * 1e6], &[flops]);
        assert_near(&[line["share_of_roof"].as_f64().unwrap() * 1e12], &[flops]);
        assert!(line["resident_bytes"].as_u64().unwrap() > 1 << 20);
    }
    // Even steps in one bucket, odd ones in another: 2, 4, .. 20 and 1, 3, .. 19.
    let by_ratio = &lines[0]["loss_by_mask_ratio"];
    assert_near(&[&by_ratio["0.70-0.75"], &by_ratio["0.95-1.00"]].map(|mean| mean.as_f64().unwrap()), &[0.11, 0.1]);
    assert_eq!(lines[4]["seconds_left"].as_f64(), Some(0.0));
}

#[test]
fn a_killed_run_that_goes_on_has_every_step_once() {
    let out = tempfile::tempdir().unwrap();
    run(out.path(), 1..=70);
    // From the checkpoint at step 40.
    run(out.path(), 41..=90);
    assert_near(&column(&lines(out.path()), "step"), &[20.0, 40.0, 60.0, 80.0, 90.0]);
    assert_eq!(std::fs::read_dir(out.path().join("tensorboard")).unwrap().count(), 2);
    assert!(!out.path().join("log.jsonl.partial").exists());
}

/// A screen whose user asks to stop, and that keeps its notes.
#[derive(Clone, Default)]
struct Impatient(Arc<std::sync::Mutex<Vec<String>>>);

impl Screen for Impatient {
    fn step(&mut self, _: usize) {}

    fn logged(&mut self, _: &Logged) {}

    fn note(&mut self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }

    fn asked_to_stop(&self) -> bool {
        true
    }
}

#[test]
fn the_screen_can_stop_training_and_hears_of_slow_data_once() {
    let (out, stop, screen) = (tempfile::tempdir().unwrap(), Arc::<AtomicBool>::default(), Impatient::default());
    let mut watch = Watch::open(out.path(), options(), 0, stop.clone()).unwrap();
    watch.screen = Box::new(screen.clone());
    assert!(!stop.load(Ordering::Relaxed));
    for step in 1..=80 {
        // Far more than any step here takes; of the lines at 20, 40, 60 and 80, all but the third.
        let waited = if (41..=60).contains(&step) { Duration::ZERO } else { Duration::from_secs(1000) };
        watch.step(&StepReport { waited, ..report(step, None, &parts(step)) }).unwrap();
        assert!(stop.load(Ordering::Relaxed));
    }
    let notes = screen.0.lock().unwrap();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes.iter().all(|note| note.contains("--workers")));
}

#[test]
fn a_folder_that_was_removed_is_an_error_that_names_the_file() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().join("run");
    let missing = Watch::open(&folder, options(), 0, Arc::default()).err().unwrap().to_string();
    assert!(missing.contains("log.jsonl"), "{missing}");

    std::fs::create_dir(&folder).unwrap();
    let mut watch = Watch::open(&folder, options(), 0, Arc::default()).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let gone = watch.step(&report(20, None, &parts(20))).unwrap_err().to_string();
    assert!(gone.contains("log.jsonl"), "{gone}");
    let gone = watch.images(20, "ema", &Grid::new(&[vec![0.0; 4]], 1, 2).unwrap()).unwrap_err().to_string();
    assert!(gone.contains("tfevents"), "{gone}");
}
