//! The parts that pictures show: which hair, eyes and mouth, as a small network sees them.
//! Not from the paper; for data sets that say what each picture was made of.

mod network;
mod questions;
mod tally;
#[cfg(feature = "train")]
mod train;

use serde::{Deserialize, Serialize};

pub use self::network::PartsNetwork;
pub use self::questions::{ABSENT, Question, Questions, QuestionsError, Value};
pub use self::tally::Tally;
#[cfg(feature = "train")]
pub use self::train::{PARTS_TRAINING, train_parts};

/// What the parts of generated pictures say, beside what as many real training pictures reach; both are compared with as many
/// real test pictures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PartsFigures {
    /// Share of the values (class, part, value) that the test pictures show which generated pictures show too.
    pub coverage: f64,
    /// The same of the training pictures.
    pub real_coverage: f64,
    /// Total variation distance of the frequencies of a part's values to those of the test pictures, the mean over parts.
    pub distance: f64,
    /// The same of the training pictures.
    pub real_distance: f64,
    /// Mean of the largest probability over the parts of generated pictures.
    pub certainty: f64,
    /// The same of the test pictures.
    pub real_certainty: f64,
}

impl PartsFigures {
    /// Of what `generated`, training and test pictures show.
    pub fn of(generated: &Tally, train: &Tally, test: &Tally) -> Self {
        Self {
            coverage: generated.coverage(test),
            real_coverage: train.coverage(test),
            distance: generated.distance(test),
            real_distance: train.distance(test),
            certainty: generated.certainty(),
            real_certainty: test.certainty(),
        }
    }

    /// Certainty over that of real pictures: below 1 where parts are smeared.
    pub fn certainty_ratio(&self) -> f64 {
        self.certainty / self.real_certainty
    }
}
