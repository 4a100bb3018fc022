//! A search as a table for people: its frontier, the fastest settings first, and what was chosen.

use std::fmt;

use super::{Figures, Trial, Tuning};
use marscope_core::sampler::Settings;

/// `cfg 4 (linear), 5 iterations, 20 steps (dpm), temperature 0.9`.
pub(super) fn in_words(settings: &Settings) -> String {
    let lower = |value: &dyn fmt::Debug| format!("{value:?}").to_lowercase();
    let Settings { cfg, cfg_schedule, iterations, steps, solver, temperature, .. } = settings;
    let guided =
        if settings.is_guided() { format!("cfg {cfg} ({})", lower(cfg_schedule)) } else { "no guidance".into() };
    let solver = if solver.is_ddpm() { format!("temperature {temperature}") } else { lower(solver) };
    format!("{guided}, {iterations} iterations, {steps} steps, {solver}")
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

impl Tuning {
    /// A row of the table: the trial's place in it, its figures and its settings.
    fn row(&self, f: &mut fmt::Formatter, name: &str, trial: &Trial) -> fmt::Result {
        let Trial { settings, milliseconds, figures, .. } = trial;
        let ratio = figures.map_or_else(|| "too slow".to_owned(), |figures| format!("{:.2}", figures.frechet_ratio));
        let share = |of: fn(Figures) -> Option<f64>| figures.and_then(of).map_or_else(|| "-".to_owned(), percent);
        write!(f, "{name:>8}{milliseconds:>10.1}{ratio:>15}{:>10}", share(|figures| Some(figures.classified)))?;
        if self.has_parts() {
            write!(f, "{:>10}{:>11}", share(|figures| figures.coverage), share(|figures| figures.certainty_ratio))?;
        }
        writeln!(f, "   {}", in_words(settings))
    }

    /// Whether the data says what its pictures are made of.
    fn has_parts(&self) -> bool {
        self.trials.iter().any(|trial| trial.figures.is_some_and(|figures| figures.coverage.is_some()))
    }

    /// The last trial and what is left, in a line.
    pub fn progress(&self) -> String {
        let (left, _) = self.left();
        let minutes =
            self.seconds_left().map_or_else(String::new, |seconds| format!(" (about {:.0} min)", seconds / 60.0));
        let Some(trial) = self.trials.last() else { return format!("{left} trials left{minutes}") };
        let found = trial.figures.map_or_else(
            || "too slow".to_owned(),
            |figures| format!("Frechet ratio {:.2}, {} as asked", figures.frechet_ratio, percent(figures.classified)),
        );
        let (ms, settings, images) = (trial.milliseconds, in_words(&trial.settings), self.plan.images(trial.round));
        format!("{left} trials left{minutes}; {settings}: {ms:.1} ms, {found} ({images} images)")
    }

    /// The trial of the settings before the search, in the round that the frontier is of.
    pub(super) fn before(&self) -> Option<&Trial> {
        let round = self.round();
        self.trials.iter().find(|trial| trial.round == round && trial.settings == self.start)
    }
}

impl fmt::Display for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (round, tried) = (self.round(), self.trials.iter().filter(|trial| trial.round == 0).count());
        writeln!(
            f,
            "{} on {}: {tried} settings tried, the best of them on {} images, at most {:.1} ms an image\n",
            self.weights,
            self.device,
            self.plan.images(round),
            self.plan.budget
        )?;
        write!(f, "{:>8}{:>10}{:>15}{:>10}", "", "ms/image", "Frechet ratio", "as asked")?;
        if self.has_parts() {
            write!(f, "{:>10}{:>11}", "coverage", "certainty")?;
        }
        writeln!(f, "   settings")?;
        for (i, &place) in self.frontier.iter().enumerate() {
            let chosen = if self.chosen == Some(place) { "chosen " } else { "" };
            self.row(f, &format!("{chosen}{}", i + 1), &self.trials[place])?;
        }
        if let Some(&place) = self.chosen.as_ref().filter(|place| !self.frontier.contains(place)) {
            self.row(f, "chosen", &self.trials[place])?;
        }
        if let Some(trial) = self.before() {
            self.row(f, "before", trial)?;
        }
        write!(
            f,
            "\nThe Frechet ratio is the Frechet distance over that of as many real training images. No settings that were \
             tried are faster and better than those with a number"
        )
    }
}
