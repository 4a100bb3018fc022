//! The results of an evaluation, as a table for people and as JSON for programs.
//! Every number stands beside the one that real images reach.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::EvalOptions;
use super::inception_score::InceptionScore;
use super::neighbours::Neighbours;
use super::parts::PartsFigures;
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
    /// The distance over that of as many real training images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frechet_ratio: Option<f64>,
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
    /// The same for as many real training images in place of generated ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub real_precision_recall: Option<PrecisionRecall>,
    /// Step across the borders of tokens over step inside tokens, of the generated images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seam_ratio: Option<f64>,
    /// The same of real test images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub real_seam_ratio: Option<f64>,
    /// What the images show of the parts that the data is made of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<PartsFigures>,
    /// Distances of the generated images to the training images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub neighbours: Option<Neighbours>,
    /// Seconds of generation, without reading weights and data; not for images from elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Generated images per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images_per_second: Option<f64>,
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

/// The name of a setting's value.
fn name(value: impl fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn plain(value: f64) -> String {
    format!("{value:.3}")
}

impl Report {
    fn rows(&self) -> Vec<Row> {
        let (near, parts) = (self.neighbours.as_ref(), self.parts.as_ref());
        let (both, real) = (self.precision_recall, self.real_precision_recall);
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
                "  over that of as many real images".to_owned(),
                self.frechet_ratio.map(plain),
                self.frechet_ratio.map(|_| plain(1.0)),
            ),
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
            ("precision".to_owned(), both.map(|both| plain(both.precision)), real.map(|both| plain(both.precision))),
            ("recall".to_owned(), both.map(|both| plain(both.recall)), real.map(|both| plain(both.recall))),
            (
                "coverage: values of parts that occur".to_owned(),
                parts.map(|parts| percent(parts.coverage)),
                parts.map(|parts| percent(parts.real_coverage)),
            ),
            (
                "distance of the parts' frequencies".to_owned(),
                parts.map(|parts| plain(parts.distance)),
                parts.map(|parts| plain(parts.real_distance)),
            ),
            (
                "certainty about the parts".to_owned(),
                parts.map(|parts| plain(parts.certainty)),
                parts.map(|parts| plain(parts.real_certainty)),
            ),
            (
                "  over that of real images".to_owned(),
                parts.map(|parts| plain(parts.certainty_ratio())),
                parts.map(|_| plain(1.0)),
            ),
            (
                "step across token borders over step inside".to_owned(),
                self.seam_ratio.map(plain),
                self.real_seam_ratio.map(plain),
            ),
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
        if self.seconds.is_some() {
            let solver = if settings.solver.is_ddpm() { String::new() } else { format!(", {}", name(settings.solver)) };
            writeln!(
                f,
                "{}: {count} images from seed {seed}; cfg {} ({}), {} iterations, {} diffusion steps{solver}, temperature {}\n",
                self.weights,
                settings.cfg,
                name(settings.cfg_schedule),
                settings.iterations,
                settings.steps,
                settings.temperature,
            )?;
        } else {
            writeln!(f, "{}: {count} images\n", self.weights)?;
        }
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
        if let (Some(seconds), Some(per_second)) = (self.seconds, self.images_per_second) {
            write!(f, "\n{seconds:.1} s, {per_second:.2} images/s")?;
        }
        Ok(())
    }
}
