//! What a measurement found, for people (a table) and for programs (JSON).
//! Generated images stand beside real ones throughout: a number says little without the one that real images reach.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::EvalOptions;
use super::neighbours::Neighbours;

/// How well generated images are, and what real ones reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Name of the weights.
    pub weights: String,
    /// What was generated, and how.
    pub options: EvalOptions,
    /// Share of the generated images that the classifier takes for the class asked for.
    pub classified: f64,
    /// Share of the real test images that it takes for their class.
    pub classifier_accuracy: f64,
    /// Both shares for each class.
    pub classes: Vec<ClassShares>,
    /// Frechet distance of the generated images to the real test set, in the classifier's features.
    pub frechet: f64,
    /// The same for as many real training images: what a perfect model would reach.
    pub frechet_floor: f64,
    /// How near the generated images lie to the training images.
    pub neighbours: Neighbours,
    /// Seconds that generating took, reading weights and data not included.
    pub seconds: f64,
    /// Images generated in a second.
    pub images_per_second: f64,
}

/// How many of one class are recognised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassShares {
    /// Name of the class.
    pub name: String,
    /// Share of the images generated for it.
    pub generated: f64,
    /// Share of the real test images of it.
    pub real: f64,
}

/// The label of a row.
const LABEL: usize = 44;
/// A column of numbers.
const COLUMN: usize = 11;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let EvalOptions { settings, count, seed } = &self.options;
        writeln!(
            f,
            "{}: {count} images from seed {seed}; cfg {} ({}), {} iterations, {} diffusion steps, temperature {}\n",
            self.weights,
            settings.cfg,
            format!("{:?}", settings.cfg_schedule).to_lowercase(),
            settings.iterations,
            settings.steps,
            settings.temperature,
        )?;
        writeln!(f, "{:LABEL$}{:>COLUMN$}{:>COLUMN$}", "", "generated", "real")?;
        let near = &self.neighbours;
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let plain = |value: f64| format!("{value:.3}");
        let rows = [
            ("classified as the class asked for", percent(self.classified), percent(self.classifier_accuracy)),
            ("Frechet distance to the test set", plain(self.frechet), plain(self.frechet_floor)),
            ("nearest training image, median distance", plain(near.generated_median), plain(near.test_median)),
            ("nearer than the nearest 1 % of test images", percent(near.nearer_share), percent(0.01)),
        ];
        for (label, generated, real) in rows {
            writeln!(f, "{label:LABEL$}{generated:>COLUMN$}{real:>COLUMN$}")?;
        }
        writeln!(f, "\nclassified as the class asked for, by class")?;
        for class in &self.classes {
            let (generated, real) = (percent(class.generated), percent(class.real));
            writeln!(f, "  {:width$}{generated:>COLUMN$}{real:>COLUMN$}", class.name, width = LABEL - 2)?;
        }
        write!(f, "\n{:.1} s, {:.2} images/s", self.seconds, self.images_per_second)
    }
}
