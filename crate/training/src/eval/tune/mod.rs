//! Searches the sampling settings of weights: a frontier of quality against time per image, and defaults from it.
//! Not from the paper, which gives its settings (appendix B): successive halving over random settings and steps from the best.

mod frontier;
mod plot;
mod space;
mod stopwatch;
mod table;

use serde::{Deserialize, Serialize};

pub use self::plot::plot;
use self::space::{Space, at_least_as_slow, canonical};
pub use self::stopwatch::{Stopwatch, milliseconds_by_clock};
use super::Report;
use marscope_core::config::Defaults;
use marscope_core::random::Philox;
use marscope_core::sampler::{SampleError, Settings};

/// Rounds: many settings on few images, then the best ones on more.
pub const ROUNDS: usize = 3;

/// Of the images of the last round, how many an earlier one has: a fifth and a half.
const SHARES: [usize; ROUNDS] = [5, 2, 1];

/// Of the candidates, how many reach a round: all, a third, a sixth.
const SURVIVORS: [usize; ROUNDS] = [1, 3, 6];

/// Attempts to find settings that were not tried.
const ATTEMPTS: u32 = 1_000;

/// Of the candidates, a third is drawn from the whole grid.
const DRAWN: usize = 3;

/// What is searched, and how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    /// Tokens of an image.
    pub tokens: usize,
    /// Classes of the weights.
    pub classes: usize,
    /// The most milliseconds that one image may take.
    pub budget: f64,
    /// Settings of the first round.
    pub candidates: usize,
    /// Images of the last round.
    pub count: usize,
    /// Seed of the search, and of the first image; all settings draw the same seeds, so that their noise cancels.
    pub seed: u64,
}

impl Plan {
    /// Images of `round`.
    pub fn images(&self, round: usize) -> usize {
        self.count.div_ceil(SHARES[round])
    }

    /// Settings that reach `round`.
    fn survivors(&self, round: usize) -> usize {
        self.candidates.div_ceil(SURVIVORS[round])
    }

    /// Checks that every round has an image of each class, and that there is something to search.
    ///
    /// # Errors
    /// Says what to give instead.
    pub fn check(&self) -> Result<(), PlanError> {
        let least = self.classes * SHARES[0];
        if self.count < least {
            return Err(PlanError::Count { count: self.count, least });
        }
        if self.candidates < SURVIVORS[ROUNDS - 1] {
            return Err(PlanError::Candidates(self.candidates));
        }
        if !(self.budget.is_finite() && self.budget > 0.0) {
            return Err(PlanError::Budget(self.budget));
        }
        Ok(())
    }
}

/// Why there is nothing to search.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// Too few images.
    #[error(
        "{count} images are too few: the first round has a fifth of them, and at least one per class. Give --count {least}"
    )]
    Count {
        /// Asked for.
        count: usize,
        /// The fewest.
        least: usize,
    },
    /// Too few candidates.
    #[error("{0} candidates are too few: a sixth of them reaches the last round. Give --candidates 6 or more")]
    Candidates(usize),
    /// No time.
    #[error("a budget of {0} ms leaves no time: give --budget a number over 0")]
    Budget(f64),
}

/// Why a file of a search cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TuningError {
    /// Not its JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Its plan cannot be.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Settings that cannot be.
    #[error(transparent)]
    Settings(#[from] SampleError),
    /// A round that there is not.
    #[error("trial {number} (from 0) is of round {round}, and rounds are 0 to 2")]
    Round {
        /// The trial.
        number: usize,
        /// Its round.
        round: usize,
    },
}

/// What was measured of some settings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Frechet distance to the test set.
    pub frechet: f64,
    /// The same over that of as many real training images.
    pub frechet_ratio: f64,
    /// Share classified as asked.
    pub classified: f64,
    /// Share of the real test images classified as their class.
    pub real_classified: f64,
    /// Coverage of the parts' values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<f64>,
    /// Coverage of as many real training images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub real_coverage: Option<f64>,
    /// Certainty about the parts over that of real images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certainty_ratio: Option<f64>,
    /// Step across token borders over step inside tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seam_ratio: Option<f64>,
}

impl Figures {
    /// Of a report; `None` if it lacks what a search needs: a classifier, and real training images to compare with.
    pub fn of(report: &Report) -> Option<Self> {
        Some(Self {
            frechet: report.frechet,
            frechet_ratio: report.frechet_ratio?,
            classified: report.classified?,
            real_classified: report.classifier_accuracy?,
            coverage: report.parts.map(|parts| parts.coverage),
            real_coverage: report.parts.map(|parts| parts.real_coverage),
            certainty_ratio: report.parts.map(|parts| parts.certainty_ratio()),
            seam_ratio: report.seam_ratio,
        })
    }
}

/// Settings that were tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trial {
    /// The settings.
    pub settings: Settings,
    /// The round, from 0.
    pub round: usize,
    /// Milliseconds of one image by itself, the least of several; on a processor, on one core.
    pub milliseconds: f64,
    /// What was measured; `None` if they take longer than the budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figures: Option<Figures>,
    /// Seconds that the trial took.
    pub seconds: f64,
}

impl Trial {
    /// Its numbers in millionths: JSON gives these back exactly.
    fn rounded(mut self) -> Self {
        let round = |value: &mut f64| *value = (*value * 1e6).round() / 1e6;
        round(&mut self.milliseconds);
        round(&mut self.seconds);
        if let Some(figures) = &mut self.figures {
            for value in [
                &mut figures.frechet,
                &mut figures.frechet_ratio,
                &mut figures.classified,
                &mut figures.real_classified,
            ] {
                round(value);
            }
            let may_lack = [
                &mut figures.coverage,
                &mut figures.real_coverage,
                &mut figures.certainty_ratio,
                &mut figures.seam_ratio,
            ];
            may_lack.into_iter().flatten().for_each(round);
        }
        self
    }
}

/// Settings to try next, and in which round.
#[derive(Clone, Debug, PartialEq)]
pub struct Next {
    /// The settings.
    pub settings: Settings,
    /// The round, from 0.
    pub round: usize,
}

/// A search: its plan and every trial so far. What comes next follows from them alone, so that a search goes on from its file
/// as if it had never stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tuning {
    /// Name of the weights.
    pub weights: String,
    /// What the times are of: a device, or one core of the processor.
    pub device: String,
    /// The plan.
    pub plan: Plan,
    /// The defaults before the search; they take part in every round.
    pub start: Settings,
    /// Every trial.
    pub trials: Vec<Trial>,
    /// The trials on the frontier, by number; the fastest first. Of the last round that is complete.
    pub frontier: Vec<usize>,
    /// The trial whose settings are the new defaults, by number.
    pub chosen: Option<usize>,
    /// Whether nothing is left to try.
    pub finished: bool,
}

impl Tuning {
    /// A search that has not begun, from the settings `start`.
    pub fn new(weights: String, device: String, plan: Plan, start: Settings) -> Self {
        let finished = false;
        Self { weights, device, plan, start, trials: Vec::new(), frontier: Vec::new(), chosen: None, finished }
    }

    /// What to try next; `None` when the search is complete.
    pub fn next(&self) -> Option<Next> {
        self.candidate()
            .map(|settings| Next { settings, round: 0 })
            .or_else(|| (1..ROUNDS).find_map(|round| Some(Next { settings: self.survivor(round)?, round })))
    }

    /// Settings of the first round that were not tried.
    fn candidate(&self) -> Option<Settings> {
        let (tried, plan) = (self.of_round(0), &self.plan);
        if tried.is_empty() {
            return Some(self.start.clone());
        }
        let measured = tried.iter().filter(|&&place| self.trials[place].figures.is_some()).count();
        if measured >= plan.candidates {
            return None;
        }
        let space = Space::new(plan.tokens);
        // First settings from the whole grid, then steps from the best ones so far.
        let from = if measured < plan.candidates.div_ceil(DRAWN) { Vec::new() } else { self.frontier_by_quality() };
        let fresh = |attempt: u32| {
            let stream = &mut Philox::new(plan.seed).stream(self.trials.len() as u32, attempt);
            let settings = if from.is_empty() {
                space.draw(stream)
            } else {
                // The best one in half of the attempts, the next one in a quarter, and so on.
                let place = (0..from.len() - 1).find(|_| stream.below(2) == 0).unwrap_or(from.len() - 1);
                space.step(&self.trials[from[place]].settings, stream)
            };
            let known = tried.iter().map(|&place| &self.trials[place]).any(|trial| {
                let slow = trial.figures.is_none() && at_least_as_slow(&settings, &trial.settings);
                slow || canonical(trial.settings.clone()) == settings
            });
            (!known).then_some(settings)
        };
        (0..ATTEMPTS).find_map(fresh)
    }

    /// The trials of the first round's frontier, the best ones first.
    fn frontier_by_quality(&self) -> Vec<usize> {
        let mut frontier = frontier::frontier(&self.trials, self.of_round(0).into_iter());
        // On a frontier, slower is better.
        frontier.reverse();
        frontier
    }

    /// Settings that reach `round` and were not tried in it: the defaults before the search, then the best of the round before.
    fn survivor(&self, round: usize) -> Option<Settings> {
        let before = self.of_round(round - 1);
        let tried = self.of_round(round);
        let best = frontier::best(&self.trials, before.iter().copied(), self.plan.survivors(round));
        // The first trial of every round is the start.
        let start = before.first().copied();
        let reach = start.into_iter().chain(best.into_iter().filter(|&place| Some(place) != start));
        let mut reach = reach.map(|place| &self.trials[place].settings);
        reach.find(|settings| !tried.iter().any(|&place| self.trials[place].settings == **settings)).cloned()
    }

    /// The numbers of the trials of `round`.
    fn of_round(&self, round: usize) -> Vec<usize> {
        (0..self.trials.len()).filter(|&place| self.trials[place].round == round).collect()
    }

    /// The least milliseconds measured of `settings` so far; infinite without any.
    pub fn fastest(&self, settings: &Settings) -> f64 {
        let of = self.trials.iter().filter(|trial| trial.settings == *settings);
        of.map(|trial| trial.milliseconds).fold(f64::INFINITY, f64::min)
    }

    /// Whether `settings`, which took `milliseconds`, are left unmeasured: they are over the budget, and not the start.
    pub fn is_too_slow(&self, settings: &Settings, milliseconds: f64) -> bool {
        milliseconds > self.plan.budget && *settings != self.start
    }

    /// Reads a search from JSON, to go on with it.
    ///
    /// # Errors
    /// When it is not the JSON of a search, or when its plan or its settings cannot be.
    pub fn parse(json: &str) -> Result<Self, TuningError> {
        let mut read: Self = serde_json::from_str(json)?;
        read.plan.check()?;
        read.start.check(read.plan.tokens)?;
        for (number, trial) in read.trials.iter().enumerate() {
            trial.settings.check(read.plan.tokens)?;
            if trial.round >= ROUNDS {
                return Err(TuningError::Round { number, round: trial.round });
            }
        }
        read.settle();
        Ok(read)
    }

    /// Adds a trial, its numbers as the file will hold them, and finds the frontier anew.
    pub fn push(&mut self, trial: Trial) {
        self.trials.push(trial.rounded());
        self.settle();
    }

    /// Finds what follows from the trials.
    fn settle(&mut self) {
        self.finished = self.next().is_none();
        let round = self.round();
        let places = self.of_round(round);
        self.frontier = frontier::frontier(&self.trials, places.iter().copied());
        self.chosen = frontier::choose(&self.trials, &places, self.plan.budget);
    }

    /// The last round that is complete; the first one while none is.
    pub fn round(&self) -> usize {
        match self.next() {
            None => ROUNDS - 1,
            Some(next) => next.round.saturating_sub(1),
        }
    }

    /// Number of trials to come, and of their images; more if some turn out too slow.
    pub fn left(&self) -> (usize, usize) {
        let Some(next) = self.next() else { return (0, 0) };
        let of_round = |round: usize| {
            let all = self.plan.survivors(round) + usize::from(round > 0);
            let done = self.of_round(round).iter().filter(|&&place| self.trials[place].figures.is_some()).count();
            all.saturating_sub(done).max(usize::from(round == next.round))
        };
        let rounds = (next.round..ROUNDS).map(|round| (of_round(round), of_round(round) * self.plan.images(round)));
        rounds.fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1))
    }

    /// Seconds that what is left will take, by what the trials so far took; `None` before there are any.
    pub fn seconds_left(&self) -> Option<f64> {
        let measured = self.trials.iter().filter(|trial| trial.figures.is_some());
        let (images, seconds) = measured.fold((0, 0.0), |(images, seconds), trial| {
            (images + self.plan.images(trial.round), seconds + trial.seconds)
        });
        (images > 0).then(|| seconds / images as f64 * self.left().1 as f64)
    }

    /// The settings of the chosen trial as defaults of a `config.json`.
    pub fn defaults(&self) -> Option<Defaults> {
        let Settings { cfg, cfg_schedule, iterations, steps, solver, temperature, .. } =
            &self.trials[self.chosen?].settings;
        Some(Defaults {
            cfg: *cfg,
            cfg_schedule: *cfg_schedule,
            iterations: *iterations,
            steps: steps.count()?,
            solver: *solver,
            temperature: *temperature,
        })
    }
}

#[cfg(test)]
mod tests;
