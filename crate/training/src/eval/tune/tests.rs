//! The search with an evaluation that is a formula: what is tried, what survives, what is chosen.

use super::*;
use marscope_core::diffusion::Solver;
use marscope_core::sampler::CfgSchedule;

/// A trial of round `round`; a ratio of 0 is one that was too slow. Real pictures are recognised in 0.92 of the cases.
pub(super) fn trial(round: usize, milliseconds: f64, ratio: f64, classified: f64) -> Trial {
    let figures = Figures {
        frechet: 0.5 * ratio,
        frechet_ratio: ratio,
        classified,
        real_classified: 0.92,
        coverage: None,
        real_coverage: None,
        certainty_ratio: None,
        seam_ratio: None,
    };
    let figures = (ratio > 0.0).then_some(figures);
    Trial { settings: start(), round, milliseconds, figures, seconds: 2.0 }
}

fn start() -> Settings {
    Settings {
        cfg: 3.0,
        cfg_schedule: CfgSchedule::Linear,
        iterations: 16,
        steps: 50.into(),
        late_steps: None,
        solver: Solver::Ddpm,
        cfg_every: 1,
        temperature: 1.0,
    }
}

fn plan() -> Plan {
    Plan { tokens: 49, classes: 10, budget: 60.0, candidates: 36, count: 1_000, seed: 1 }
}

fn tuning() -> Tuning {
    Tuning::new("test".into(), "cpu".into(), plan(), start())
}

/// Milliseconds by the work that settings do.
fn milliseconds(settings: &Settings) -> f64 {
    let steps = settings.steps.count().unwrap() as f64;
    2.0 + settings.iterations as f64 * 1.5 + 0.4 * steps
}

/// A ratio that is lowest, 2, at cfg 4, 5 iterations, temperature 0.9 and many steps of DDPM.
fn ratio(settings: &Settings) -> f64 {
    let far = |value: f64, from: f64| (value / from).ln().abs();
    let solver = if settings.solver == Solver::Ddpm { 0.0 } else { 0.7 };
    2.0 + 3.0 * far(f64::from(settings.cfg), 4.0)
        + 4.0 * far(settings.iterations as f64, 5.0)
        + 20.0 * (f64::from(settings.temperature) - 0.9).abs()
        + 20.0 / settings.steps.count().unwrap() as f64
        + solver
}

/// Tries what comes next, as a command would.
fn advance(tuning: &mut Tuning) -> bool {
    let Some(Next { settings, round }) = tuning.next() else { return false };
    let milliseconds = milliseconds(&settings).min(tuning.fastest(&settings));
    let slow = round == 0 && tuning.is_too_slow(&settings, milliseconds);
    let found = if slow { 0.0 } else { ratio(&settings) };
    tuning.push(Trial { settings, ..trial(round, milliseconds, found, 0.95) });
    true
}

fn searched() -> Tuning {
    let mut tuning = tuning();
    while advance(&mut tuning) {}
    tuning
}

#[test]
fn a_search_tries_many_and_measures_the_best_again() {
    let tuning = searched();
    assert!(tuning.finished);
    let of_round = |round: usize| tuning.trials.iter().filter(move |trial| trial.round == round);
    let measured = |round| of_round(round).filter(|trial| trial.figures.is_some()).count();
    assert_eq!(measured(0), 36);
    assert!((12..=13).contains(&measured(1)) && (6..=7).contains(&measured(2)), "{} {}", measured(1), measured(2));
    assert_eq!([0, 1, 2].map(|round| tuning.plan.images(round)), [200, 500, 1_000]);
    for round in 0..ROUNDS {
        // No settings twice, and the start in every round.
        let tried: Vec<_> = of_round(round).map(|trial| &trial.settings).collect();
        assert!(tried.iter().enumerate().all(|(i, settings)| !tried[..i].contains(settings)));
        assert_eq!(tried[0], &start());
    }
    // Too slow is what is over the budget, and nothing that does no less was tried after it.
    for (i, trial) in tuning.trials.iter().enumerate().filter(|(_, trial)| trial.figures.is_none()) {
        assert!(trial.milliseconds > 60.0 && trial.round == 0);
        let after = tuning.trials[i + 1..].iter().filter(|later| later.settings != start());
        assert!(after.clone().all(|later| !at_least_as_slow(&later.settings, &trial.settings)));
    }
}

#[test]
fn a_search_finds_better_settings_than_it_starts_from() {
    let tuning = searched();
    let chosen = &tuning.trials[tuning.chosen.unwrap()];
    let before = ratio(&start());
    assert!(ratio(&chosen.settings) < 0.5 * before, "{chosen:?} against {before}");
    assert!(chosen.milliseconds <= 60.0 && chosen.round == 2);
    let on: Vec<_> = tuning.frontier.iter().map(|&place| &tuning.trials[place]).collect();
    assert!(on.len() > 1 && on.is_sorted_by(|a, b| a.milliseconds < b.milliseconds));
    assert!(on.is_sorted_by(|a, b| ratio(&a.settings) > ratio(&b.settings)));
    let defaults = tuning.defaults().unwrap();
    assert_eq!(defaults.settings(), chosen.settings);
}

/// At every point the file is enough to go on from.
#[test]
fn a_search_that_is_stopped_goes_on_as_if_it_had_not_been() {
    let whole = searched();
    for at in [0, 1, 7, 40, whole.trials.len() - 1] {
        let mut part = tuning();
        (0..at).for_each(|_| assert!(advance(&mut part)));
        assert!(!part.finished);
        let mut again = Tuning::parse(&serde_json::to_string(&part).unwrap()).unwrap();
        assert_eq!(again, part);
        while advance(&mut again) {}
        assert_eq!(again, whole);
    }
}

#[test]
fn a_file_that_cannot_be_gone_on_with_is_refused() {
    let mut good = tuning();
    (0..3).for_each(|_| assert!(advance(&mut good)));
    let refused = |change: fn(&mut Tuning)| {
        let mut bad = good.clone();
        change(&mut bad);
        Tuning::parse(&serde_json::to_string(&bad).unwrap()).unwrap_err().to_string()
    };
    assert!(refused(|tuning| tuning.trials[1].round = 3).contains("trial 1 (from 0) is of round 3"));
    assert!(refused(|tuning| tuning.trials[2].settings.iterations = 50).contains("50 iterations over 49 tokens"));
    assert!(refused(|tuning| tuning.start.cfg = -1.0).contains("cfg is -1"));
    assert!(refused(|tuning| tuning.plan.count = 0).contains("--count"));
    assert!(refused(|tuning| tuning.trials[0].milliseconds = f64::NAN).contains("null"));
    assert!(Tuning::parse("[]").is_err());
    // What follows from the trials is found anew, whatever the file says.
    let mut bad = good.clone();
    (bad.frontier, bad.chosen) = (vec![999], Some(999));
    assert_eq!(Tuning::parse(&serde_json::to_string(&bad).unwrap()).unwrap(), good);
}

#[test]
fn what_is_left_falls_to_nothing() {
    let mut tuning = tuning();
    assert_eq!((tuning.left(), tuning.seconds_left()), ((36 + 13 + 7, 36 * 200 + 13 * 500 + 7 * 1_000), None));
    advance(&mut tuning);
    // Two seconds for 200 images.
    let (trials, images) = tuning.left();
    assert_eq!(trials, 35 + 13 + 7);
    assert!((tuning.seconds_left().unwrap() - images as f64 / 100.0).abs() < 1e-9);
    let mut last = usize::MAX;
    while advance(&mut tuning) {
        let (_, images) = tuning.left();
        assert!(images <= last);
        last = images;
    }
    assert_eq!((tuning.left(), tuning.seconds_left()), ((0, 0), Some(0.0)));
}

#[test]
fn a_budget_that_nothing_meets_ends_the_search() {
    let mut tuning = tuning();
    tuning.plan.budget = 1.0;
    while advance(&mut tuning) {}
    assert!(tuning.finished && tuning.chosen.is_none() && tuning.defaults().is_none());
    // The start is measured all the same.
    assert_eq!(tuning.trials.iter().filter(|trial| trial.figures.is_some()).count(), ROUNDS);
}

#[test]
fn plans_that_cannot_be_are_refused() {
    let refused = |change: fn(&mut Plan)| {
        let mut plan = plan();
        change(&mut plan);
        plan.check().unwrap_err().to_string()
    };
    plan().check().unwrap();
    assert!(refused(|plan| plan.count = 49).contains("--count 50"));
    assert!(refused(|plan| plan.candidates = 5).contains("--candidates 6"));
    for budget in ["0", "-1", "NaN", "inf"] {
        let plan = Plan { budget: budget.parse().unwrap(), ..plan() };
        assert!(plan.check().unwrap_err().to_string().contains("--budget"), "{budget}");
    }
}

#[test]
fn a_search_reads_as_a_table_and_as_a_picture() {
    let mut tuning = tuning();
    (tuning.plan.candidates, tuning.plan.budget) = (6, 100.0);
    let settings = |iterations| Settings { iterations, ..start() };
    tuning.push(trial(0, 80.5, 14.0, 0.917));
    tuning.push(Trial { settings: settings(5), ..trial(0, 25.25, 7.5, 0.964) });
    tuning.push(Trial { settings: Settings { solver: Solver::Dpm, ..settings(2) }, ..trial(0, 9.0, 30.0, 0.7) });
    let expected = "\
test on cpu: 3 settings tried, the best of them on 200 images, at most 100.0 ms an image

          ms/image  Frechet ratio  as asked   settings
       1       9.0          30.00    70.0 %   cfg 3 (linear), 2 iterations, 50 steps, dpm
chosen 2      25.2           7.50    96.4 %   cfg 3 (linear), 5 iterations, 50 steps, temperature 1
  before      80.5          14.00    91.7 %   cfg 3 (linear), 16 iterations, 50 steps, temperature 1

The Frechet ratio";
    assert!(tuning.to_string().starts_with(expected), "{tuning}");
    let svg = plot(&tuning);
    assert_eq!(svg.matches("<circle class=\"on\"").count(), 2);
    assert_eq!(svg.matches("<circle class=\"chosen\"").count(), 2);
    assert_eq!(svg.matches(">before</text>").count(), 2);
    assert!(!svg.contains("NaN") && !svg.contains("inf") && svg.contains("prefers-color-scheme: dark"), "{svg}");
    // Parts get a panel and columns.
    let with = |trial: &mut Trial| {
        let figures = trial.figures.as_mut().unwrap();
        (figures.coverage, figures.real_coverage, figures.certainty_ratio) = (Some(0.9), Some(0.98), Some(0.95));
    };
    tuning.trials.iter_mut().for_each(with);
    assert_eq!(plot(&tuning).matches("class=\"title\"").count(), 3);
    assert!(tuning.to_string().contains("91.7 %    90.0 %     95.0 %   cfg 3"), "{tuning}");
    // A single point, and none.
    let one = plot(&{
        let mut tuning = tuning.clone();
        tuning.trials.truncate(1);
        (tuning.frontier, tuning.chosen) = (vec![0], None);
        tuning
    });
    assert!(!one.contains("NaN") && !one.contains("inf"), "{one}");
    let none = plot(&self::tuning());
    assert!(none.ends_with("</svg>\n") && !none.contains("inf"), "{none}");
}
