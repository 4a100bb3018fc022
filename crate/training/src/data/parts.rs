//! The parts that pictures were made of, such as hair and glasses: `train.jsonl` and `val.jsonl` beside their folders.
//! One line a picture, `{"file": "train/STYLE/0.png", "style": "STYLE", "extra": {"hair": "long02", ...}}`.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::{DataError, ImageFolder, Images, Split};

/// What one picture was made of: the value of each part.
pub type Parts = BTreeMap<String, String>;

/// Why the parts cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {problem}", path.display(), line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct PartsError {
    /// The file of the parts.
    pub path: PathBuf,
    /// The line, from 1, if one is to blame.
    pub line: Option<usize>,
    /// What is wrong.
    pub problem: PartsProblem,
}

/// What is wrong with a file of parts.
#[derive(Debug, thiserror::Error)]
pub enum PartsProblem {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The pictures cannot be listed.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Not the JSON of a picture.
    #[error("{0}. A line is a JSON object with the fields file, style and extra")]
    Json(#[from] serde_json::Error),
    /// A value that is no text or number.
    #[error("the value of part '{part}' is {value}; it must be a text, a number, true or false")]
    Value {
        /// The part.
        part: String,
        /// Its value.
        value: Value,
    },
    /// A picture that is not in the folder.
    #[error("there is no picture {file} in the folder; the pictures and this file must come from the same run")]
    NoPicture {
        /// What the line names.
        file: String,
    },
    /// The folder of a picture is not its style.
    #[error("{file} has the style '{style}', but lies in the folder of the class '{class}'")]
    Style {
        /// The picture.
        file: String,
        /// Its style, as the line says.
        style: String,
        /// Its class, as the folder says.
        class: String,
    },
    /// Two lines for one picture.
    #[error("{file} has a line already, line {first}: leave one of them out")]
    Twice {
        /// The picture.
        file: String,
        /// Its first line.
        first: usize,
    },
    /// A picture without a line.
    #[error("pictures without a line: {count}, the first is {first}; every picture needs one")]
    Undescribed {
        /// Number of such pictures.
        count: usize,
        /// The first of them.
        first: String,
    },
}

/// A line.
#[derive(Deserialize)]
struct Line {
    file: String,
    style: String,
    extra: BTreeMap<String, Value>,
}

/// What each picture of a folder of images was made of, in the order that [`ImageFolder`] lists them. `None` if the folder is of
/// another layout, or if there is no file of parts beside the pictures of `split`.
///
/// # Errors
/// Names the file and the line, and what is wrong with it.
pub fn read_parts(folder: &Path, split: Split) -> Result<Option<Vec<Parts>>, PartsError> {
    let Some(root) = ImageFolder::find(folder, split).filter(|root| root != folder) else { return Ok(None) };
    let path = root.with_extension("jsonl");
    let wrong = |line: Option<usize>, problem: PartsProblem| PartsError { path: path.clone(), line, problem };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(None, error.into())),
    };
    // The side does not matter: no picture is decoded here.
    let images = ImageFolder::list(&root, 1).map_err(|error| wrong(None, error.into()))?;
    let classes = images.classes();
    let name = |index: usize| {
        let file = images.file(index);
        // With slashes on every system, as the lines have them.
        let names = file.strip_prefix(folder).unwrap_or(&file).iter().map(|name| name.to_string_lossy());
        names.collect::<Vec<_>>().join("/")
    };
    let places: HashMap<String, usize> = (0..images.len()).map(|index| (name(index), index)).collect();
    let mut found: Vec<Option<(usize, Parts)>> = vec![None; images.len()];
    for (number, text) in BufReader::new(file).lines().enumerate() {
        let number = number + 1;
        let text = text.map_err(|error| wrong(Some(number), error.into()))?;
        if text.trim().is_empty() {
            continue;
        }
        let mut read = || -> Result<(), PartsProblem> {
            let Line { file, style, extra } = serde_json::from_str(&text)?;
            let Some(&place) = places.get(&file) else { return Err(PartsProblem::NoPicture { file }) };
            let class = &classes[images.class(place)];
            if *class != style {
                return Err(PartsProblem::Style { file, style, class: class.clone() });
            }
            if let Some((first, _)) = found[place] {
                return Err(PartsProblem::Twice { file, first });
            }
            let parts = extra.into_iter().map(value).collect::<Result<_, _>>()?;
            found[place] = Some((number, parts));
            Ok(())
        };
        read().map_err(|problem| wrong(Some(number), problem))?;
    }
    let missing: Vec<usize> = (0..found.len()).filter(|&place| found[place].is_none()).collect();
    if let Some(&first) = missing.first() {
        return Err(wrong(None, PartsProblem::Undescribed { count: missing.len(), first: name(first) }));
    }
    Ok(Some(found.into_iter().flatten().map(|(_, parts)| parts).collect()))
}

/// A part with its value as text.
fn value((part, value): (String, Value)) -> Result<(String, String), PartsProblem> {
    match value {
        Value::String(text) => Ok((part, text)),
        Value::Number(_) | Value::Bool(_) => Ok((part, value.to_string())),
        _ => Err(PartsProblem::Value { part, value }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    /// Two pictures of style a and one of style b, with `lines` as their parts.
    fn folder(lines: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in ["train/a/0.png", "train/a/1.png", "train/b/0.png"] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            image::RgbImage::new(4, 4).save(path).unwrap();
        }
        fs::write(folder.path().join("train.jsonl"), lines.join("\n")).unwrap();
        folder
    }

    const GOOD: [&str; 3] = [
        r#"{"file":"train/b/0.png","style":"b","seed":"b-0","extra":{"mouth":"open"}}"#,
        r#"{"file":"train/a/1.png","style":"a","seed":"a-1","extra":{"hair":"long","turn":295,"hat":true}}"#,
        r#"{"file":"train/a/0.png","style":"a","extra":{}}"#,
    ];

    /// What is said of the good lines with `line` in place of line `at`.
    fn refusal(at: usize, line: &str) -> String {
        let mut lines = GOOD;
        lines[at - 1] = line;
        let folder = folder(&lines);
        let error = read_parts(folder.path(), Split::Train).unwrap_err();
        assert!(error.path.ends_with("train.jsonl"));
        error.to_string()
    }

    #[test]
    fn parts_come_in_the_order_of_the_pictures() {
        // A line without content at the end is no picture.
        let folder = folder(&[GOOD[0], GOOD[1], GOOD[2], "", ""]);
        let parts = read_parts(folder.path(), Split::Train).unwrap().unwrap();
        let read = |pairs: &[(&str, &str)]| -> Parts {
            pairs.iter().map(|&(part, value)| (part.to_owned(), value.to_owned())).collect()
        };
        assert_eq!(
            parts,
            [read(&[]), read(&[("hair", "long"), ("hat", "true"), ("turn", "295")]), read(&[("mouth", "open")])]
        );
    }

    #[test]
    fn data_without_the_file_has_no_parts() {
        let folder = folder(&GOOD);
        assert!(read_parts(folder.path(), Split::Test).unwrap().is_none());
        fs::remove_file(folder.path().join("train.jsonl")).unwrap();
        assert!(read_parts(folder.path(), Split::Train).unwrap().is_none());
        let idx = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/fashion-mnist");
        assert!(read_parts(&idx, Split::Train).unwrap().is_none());
    }

    #[test]
    fn a_bad_line_is_named_with_what_is_wrong() {
        let cases = [
            (2, "{\"file\":", "line 2: EOF"),
            (1, "[1]", "line 1: invalid"),
            (3, r#"{"file":"train/a/0.png","style":"a"}"#, "line 3: missing field `extra`"),
            (
                2,
                r#"{"file":"train/a/1.png","style":"a","extra":{"hair":[1]}}"#,
                "part 'hair' is [1]; it must be a text",
            ),
            (2, r#"{"file":"train/a/9.png","style":"a","extra":{}}"#, "line 2: there is no picture train/a/9.png"),
            (2, r#"{"file":"../a/1.png","style":"a","extra":{}}"#, "there is no picture ../a/1.png"),
            (
                1,
                r#"{"file":"train/b/0.png","style":"a","extra":{}}"#,
                "style 'a', but lies in the folder of the class 'b'",
            ),
            (
                3,
                r#"{"file":"train/a/1.png","style":"a","extra":{}}"#,
                "line 3: train/a/1.png has a line already, line 2",
            ),
            (3, "", "pictures without a line: 1, the first is train/a/0.png"),
        ];
        for (at, line, expected) in cases {
            let message = refusal(at, line);
            assert!(message.contains(expected), "{line}: {message}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error() {
        let folder = folder(&GOOD);
        fs::write(folder.path().join("train.jsonl"), [0xFF, 0xFE, 0x00]).unwrap();
        let error = read_parts(folder.path(), Split::Train).unwrap_err();
        assert_eq!(error.line, Some(1), "{error}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_line_panics(line in ".{0,80}", at in 0usize..70, with in ".") {
            let mut changed: Vec<char> = GOOD[1].chars().collect();
            changed.splice(at..=at, with.chars());
            let changed: String = changed.into_iter().collect();
            for line in [line.as_str(), &changed] {
                let folder = folder(&[GOOD[0], line, GOOD[2]]);
                let _ = read_parts(folder.path(), Split::Train);
            }
        }
    }
}
