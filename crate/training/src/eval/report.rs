//! The results of an evaluation, as a table for people and as JSON for programs.
//! Every number stands beside the one that real images reach.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::EvalOptions;
use super::inception_score::InceptionScore;
use super::neighbours::Neighbours;
use super::precision_recall::PrecisionRecall;

/// The results of generated and real images. Values that were not measured are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Name of the weights.
    pub weights: String,
    /// The options of the generation.
    pub options: EvalOptions,
    /// Name of the network that the images were compared with.
    pub features: String,
    /// Name of the reference of the distances.
    pub reference: String,
    /// Share of the generated images classified as the class asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classified: Option<f64>,
    /// Share of the real test images classified as their class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classifier_accuracy: Option<f64>,
    /// Both shares for each class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<ClassShares>,
    /// Frechet distance of the generated images to the reference; FID, when the network is Inception.
    pub frechet: f64,
    /// The same for as many real training images: what a perfect model would reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frechet_floor: Option<f64>,
    /// Frechet distance in Inception's spatial features: sFID (Nash et al., arXiv 2103.03841).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spatial_frechet: Option<f64>,
    /// The same for as many real training images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spatial_frechet_floor: Option<f64>,
    /// Inception Score of the generated images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inception_score: Option<InceptionScore>,
    /// Inception Score of the reference's images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub real_inception_score: Option<InceptionScore>,
    /// Precision and recall.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision_recall: Option<PrecisionRecall>,
    /// Distances of the generated images to the training images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub neighbours: Option<Neighbours>,
    /// Seconds of generation, without reading weights and data.
    pub seconds: f64,
    /// Generated images per second.
    pub images_per_second: f64,
}

/// The shares of one class that are recognised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClassShares {
    /// Name of the class.
    pub name: String,
    /// Share among the images generated for it.
    pub generated: f64,
    /// Share among its real test images.
    pub real: f64,
}

/// The width of a row's label.
const LABEL: usize = 44;
/// The width of a column of numbers.
const COLUMN: usize = 11;

/// A row: its label, the number of the generated images, the number of the real ones.
type Row = (String, Option<String>, Option<String>);

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn plain(value: f64) -> String {
    format!("{value:.3}")
}

impl Report {
    fn rows(&self) -> Vec<Row> {
        let near = self.neighbours.as_ref();
        let score = |score: Option<InceptionScore>| score.map(|score| plain(score.mean));
        let deviation = |score: Option<InceptionScore>| score.map(|score| plain(score.deviation));
        let frechet = if self.features == "inception" { "FID" } else { "Frechet distance" };
        let rows = [
            (
                "classified as the class asked for".to_owned(),
                self.classified.map(percent),
                self.classifier_accuracy.map(percent),
            ),
            (format!("{frechet} to the {}", self.reference), Some(plain(self.frechet)), self.frechet_floor.map(plain)),
            (
                format!("sFID to the {}", self.reference),
                self.spatial_frechet.map(plain),
                self.spatial_frechet_floor.map(plain),
            ),
            ("Inception Score".to_owned(), score(self.inception_score), score(self.real_inception_score)),
            (
                "  its deviation over splits of 5,000".to_owned(),
                deviation(self.inception_score),
                deviation(self.real_inception_score),
            ),
            ("precision".to_owned(), self.precision_recall.map(|both| plain(both.precision)), None),
            ("recall".to_owned(), self.precision_recall.map(|both| plain(both.recall)), None),
            (
                "nearest training image, median distance".to_owned(),
                near.map(|near| plain(near.generated_median)),
                near.map(|near| plain(near.test_median)),
            ),
            (
                "nearer than the nearest 1 % of test images".to_owned(),
                near.map(|near| percent(near.nearer_share)),
                near.map(|_| percent(0.01)),
            ),
        ];
        rows.into_iter().filter(|(_, generated, _)| generated.is_some()).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let EvalOptions { settings, count, seed, .. } = &self.options;
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
        for (label, generated, real) in self.rows() {
            let (generated, real) = (generated.unwrap_or_default(), real.unwrap_or_else(|| "-".to_owned()));
            writeln!(f, "{label:LABEL$}{generated:>COLUMN$}{real:>COLUMN$}")?;
        }
        if !self.classes.is_empty() {
            writeln!(f, "\nclassified as the class asked for, by class")?;
        }
        for class in &self.classes {
            let (generated, real) = (percent(class.generated), percent(class.real));
            writeln!(f, "  {:width$}{generated:>COLUMN$}{real:>COLUMN$}", class.name, width = LABEL - 2)?;
        }
        write!(f, "\n{:.1} s, {:.2} images/s", self.seconds, self.images_per_second)
    }
}
