//! What is asked of a picture: the value of each part that its class has, such as the hair of an adventurer.
//! The data set says which values there are; validation pictures decide which of them the network can tell apart.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::data::Parts;

/// The value of a part that a picture does not have.
pub const ABSENT: &str = "(none)";

/// A value is left out if fewer of its class's training pictures have it: a hundred pictures of a class would often lack it.
pub const RAREST: f64 = 0.02;

/// A part is left out if the network is right about fewer of the validation pictures.
pub const LEAST_ACCURACY: f64 = 0.8;

/// A value is left out if the network finds it in fewer of the validation pictures that have it.
pub const LEAST_RECALL: f64 = 0.5;

/// A value of a part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// As the data set calls it, or [`ABSENT`].
    pub value: String,
    /// Share of the class's training pictures that have it.
    pub share: f64,
    /// Share of the validation pictures with this value in which the network finds it; `None` if none has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recall: Option<f64>,
    /// Whether it counts in figures.
    pub counts: bool,
}

/// A part of the pictures of one class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// The class, from 0.
    pub class: usize,
    /// The part.
    pub part: String,
    /// Share of the validation pictures that the network is right about; 0 without such pictures.
    pub accuracy: f64,
    /// Number of values that were too rare to be asked for.
    pub rare: usize,
    /// The values that it can answer, at least two.
    pub values: Vec<Value>,
}

impl Question {
    /// The number of values that count.
    pub fn counted(&self) -> usize {
        self.values.iter().filter(|value| value.counts).count()
    }
}

/// Every question, by class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Questions {
    /// Channels of a picture.
    pub channels: usize,
    /// Side of a picture in pixels.
    pub side: usize,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// The questions, those of a class together and the classes in order.
    pub questions: Vec<Question>,
}

/// Why a file of questions cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum QuestionsError {
    /// Not its JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// A question that nothing can answer.
    #[error("question {0} (from 0) is out of order, or has a class that is not there, or fewer than two values")]
    Question(usize),
}

/// What the network answered about one picture: the question, the value that is right, the value that it found.
pub(super) type Answer = (usize, usize, usize);

impl Questions {
    /// The questions that the training pictures give rise to: `labels` are their classes, `parts` what they were made of. A
    /// part with one value, or with rare values only, gives none.
    pub fn of([channels, side]: [usize; 2], classes: &[String], labels: &[u16], parts: &[Parts]) -> Self {
        let mut found: Vec<BTreeMap<&str, BTreeMap<&str, usize>>> = vec![BTreeMap::new(); classes.len()];
        let mut pictures = vec![0usize; classes.len()];
        for (&label, parts) in labels.iter().zip(parts) {
            let class = usize::from(label);
            pictures[class] += 1;
            for (part, value) in parts {
                *found[class].entry(part).or_default().entry(value).or_default() += 1;
            }
        }
        let mut questions = Vec::new();
        for (class, parts) in found.into_iter().enumerate() {
            let all = pictures[class];
            for (part, mut counts) in parts {
                let absent = all - counts.values().sum::<usize>();
                if absent > 0 {
                    *counts.entry(ABSENT).or_default() += absent;
                }
                let value = |(&value, &count): (&&str, &usize)| {
                    let share = count as f64 / all as f64;
                    (share >= RAREST).then(|| Value { value: value.to_owned(), share, recall: None, counts: false })
                };
                let values: Vec<Value> = counts.iter().filter_map(value).collect();
                if values.len() > 1 {
                    let (part, rare) = (part.to_owned(), counts.len() - values.len());
                    questions.push(Question { class, part, accuracy: 0.0, rare, values });
                }
            }
        }
        Self { channels, side, classes: classes.to_vec(), questions }
    }

    /// Reads them from JSON.
    ///
    /// # Errors
    /// When it is not the JSON of questions, or when one cannot be asked.
    pub fn parse(json: &str) -> Result<Self, QuestionsError> {
        let read: Self = serde_json::from_str(json)?;
        let mut before = 0;
        for (i, question) in read.questions.iter().enumerate() {
            if question.class < before || question.class >= read.classes.len() || question.values.len() < 2 {
                return Err(QuestionsError::Question(i));
            }
            before = question.class;
        }
        Ok(read)
    }

    /// Number of values of all questions.
    pub fn values(&self) -> usize {
        self.questions.iter().map(|question| question.values.len()).sum()
    }

    /// The questions about pictures of `class`: each with its number and the places of its values among all.
    pub fn about(&self, class: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
        let mut start = 0;
        let places = self.questions.iter().enumerate().map(move |(number, question)| {
            let places = start..start + question.values.len();
            start = places.end;
            (number, question.class, places)
        });
        places.filter(move |&(_, of, _)| of == class).map(|(number, _, places)| (number, places))
    }

    /// The right answers about a picture of `class` made of `parts`: the question and the value's number in it. A question to
    /// which the picture has a rare value has none.
    pub fn answers<'a>(&'a self, class: usize, parts: &'a Parts) -> impl Iterator<Item = (usize, usize)> + 'a {
        let about = self.questions.iter().enumerate().filter(move |(_, question)| question.class == class);
        about.filter_map(|(number, question)| {
            let right = parts.get(&question.part).map_or(ABSENT, String::as_str);
            Some((number, question.values.iter().position(|value| value.value == right)?))
        })
    }

    /// Decides from answers about validation pictures which values count: those of parts that the network is right about in at
    /// least [`LEAST_ACCURACY`] of the pictures, found in at least [`LEAST_RECALL`] of those that have them; and at least two
    /// of a part.
    pub(super) fn decide(&mut self, answers: &[Answer]) {
        // Pictures with the value, and those of them in which it was found.
        let mut seen: Vec<Vec<[usize; 2]>> =
            self.questions.iter().map(|question| vec![[0; 2]; question.values.len()]).collect();
        for &(question, right, found) in answers {
            let [with, hits] = &mut seen[question][right];
            *with += 1;
            *hits += usize::from(found == right);
        }
        for (question, seen) in self.questions.iter_mut().zip(seen) {
            let [all, right] = seen.iter().fold([0, 0], |sum, of| [sum[0] + of[0], sum[1] + of[1]]);
            question.accuracy = right as f64 / all.max(1) as f64;
            for (value, [with, hits]) in question.values.iter_mut().zip(seen) {
                value.recall = (with > 0).then(|| hits as f64 / with as f64);
                value.counts =
                    question.accuracy >= LEAST_ACCURACY && value.recall.is_some_and(|recall| recall >= LEAST_RECALL);
            }
            if question.counted() < 2 {
                question.values.iter_mut().for_each(|value| value.counts = false);
            }
        }
    }

    /// Number of values that count, over all questions.
    pub fn counted(&self) -> usize {
        self.questions.iter().map(Question::counted).sum()
    }
}

impl fmt::Display for Questions {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "{:34}{:>10}{:>10}{:>10}", "part", "accuracy", "values", "counted")?;
        for question in &self.questions {
            let Question { class, part, accuracy, rare, values } = question;
            let name = format!("{} {part}", self.classes[*class]);
            let (accuracy, all) = (format!("{:.1} %", 100.0 * accuracy), values.len() + rare);
            writeln!(f, "{name:34}{accuracy:>10}{all:>10}{:>10}", question.counted())?;
        }
        let parts = self.questions.iter().filter(|question| question.counted() > 0).count();
        write!(
            f,
            "{} values of {parts} parts count. Left out are values that fewer than {:.0} % of a class's pictures have, parts \
             that the network is right about in fewer than {:.0} % of the validation pictures, and values that it finds in \
             fewer than {:.0} % of those that have them",
            self.counted(),
            100.0 * RAREST,
            100.0 * LEAST_ACCURACY,
            100.0 * LEAST_RECALL,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(pairs: &[(&str, &str)]) -> Parts {
        pairs.iter().map(|&(part, value)| (part.to_owned(), value.to_owned())).collect()
    }

    /// A hundred pictures of a, with a hat in 30 of them and a rare hair in one; ten of b, all the same.
    fn questions() -> Questions {
        let (mut labels, mut all) = (vec![0; 100], Vec::new());
        for i in 0..100 {
            let hair = if i == 0 { "rare" } else { ["long", "short"][i % 2] };
            let mut of = parts(&[("hair", hair), ("base", "default")]);
            if i < 30 {
                of.insert("hat".into(), "cap".into());
            }
            all.push(of);
        }
        labels.extend([1; 10]);
        all.extend((0..10).map(|_| parts(&[("hair", "bald")])));
        Questions::of([3, 16], &["a".into(), "b".into()], &labels, &all)
    }

    #[test]
    fn parts_with_several_common_values_are_asked_for() {
        let Questions { questions, .. } = questions();
        let found: Vec<_> = questions.iter().map(|q| (q.class, q.part.as_str(), q.rare)).collect();
        assert_eq!(found, [(0, "hair", 1), (0, "hat", 0)]);
        let values = |q: &Question| -> Vec<(String, f64)> {
            q.values.iter().map(|value| (value.value.clone(), value.share)).collect()
        };
        assert_eq!(values(&questions[0]), [("long".into(), 0.49), ("short".into(), 0.5)]);
        assert_eq!(values(&questions[1]), [(ABSENT.into(), 0.7), ("cap".into(), 0.3)]);
    }

    #[test]
    fn answers_name_the_value_or_its_absence_and_pass_over_rare_ones() {
        let questions = questions();
        let answers = |class, pairs| -> Vec<_> { questions.answers(class, &parts(pairs)).collect() };
        assert_eq!(answers(0, &[("hair", "short"), ("hat", "cap")]), [(0, 1), (1, 1)]);
        assert_eq!(answers(0, &[("hair", "rare")]), [(1, 0)]);
        assert_eq!(answers(1, &[("hair", "short")]), []);
        let places: Vec<_> = questions.about(0).collect();
        assert_eq!((places, questions.about(1).count()), (vec![(0, 0..2), (1, 2..4)], 0));
    }

    #[test]
    fn values_that_the_network_finds_count() {
        let mut questions = questions();
        // Hair: right about 8 of 10. The hat is never found, so that absence alone would be left.
        let hair = [(0, 0, 0); 4].into_iter().chain([(0, 1, 1); 4]).chain([(0, 1, 0); 2]);
        let hat = [(1, 0, 0); 18].into_iter().chain([(1, 1, 0); 2]);
        questions.decide(&hair.chain(hat).collect::<Vec<_>>());
        let hair = &questions.questions[0];
        assert!((hair.accuracy - 0.8).abs() < 1e-12);
        assert_eq!((hair.values[0].recall, hair.values[1].recall), (Some(1.0), Some(4.0 / 6.0)));
        assert_eq!((hair.counted(), questions.questions[1].counted(), questions.counted()), (2, 0, 2));
        assert!((questions.questions[1].accuracy - 0.9).abs() < 1e-12);
        // One more mistake and the part is below the least accuracy.
        questions.decide(&[[(0, 0, 0); 4], [(0, 1, 1); 4], [(0, 1, 0); 4]].concat());
        assert_eq!(questions.counted(), 0);
        let table = questions.to_string();
        assert!(table.contains("a hair") && table.contains("0 values of 0 parts count"), "{table}");
    }

    #[test]
    fn a_file_that_cannot_be_asked_is_refused() {
        let good = questions();
        assert_eq!(Questions::parse(&serde_json::to_string(&good).unwrap()).unwrap(), good);
        let refused = |change: fn(&mut Questions)| {
            let mut bad = good.clone();
            change(&mut bad);
            Questions::parse(&serde_json::to_string(&bad).unwrap()).unwrap_err().to_string()
        };
        assert!(refused(|q| q.questions[1].class = 2).contains("question 1"));
        assert!(refused(|q| q.questions[0].class = 1).contains("question 1"));
        assert!(refused(|q| q.questions[0].values.truncate(1)).contains("question 0"));
        assert!(Questions::parse("{}").unwrap_err().to_string().contains("missing field"));
    }
}
