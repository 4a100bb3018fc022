//! `marscope tune` and `marscope eval` from end to end, on small random networks: what they write, what they keep when they are
//! stopped, what they refuse. The search itself is tested with the library.
#![cfg(feature = "train")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::small;
use marscope_core::checkpoint::{Precision, write_safetensors};
use marscope_core::config::WeightsConfig;
use marscope_core::random::Philox;
use marscope_training::eval::Report;
use marscope_training::eval::tune::Tuning;
use marscope_training::model::Mar;

/// The small network as a weights folder: grey pictures of 12x12 pixels, three classes.
fn weights(folder: &Path) -> PathBuf {
    let (config, checkpoint) = small::weights();
    let path = folder.join("weights");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("config.json"), serde_json::to_string_pretty(&config).unwrap()).unwrap();
    fs::write(path.join("model.safetensors"), write_safetensors(&checkpoint, Precision::F32).unwrap()).unwrap();
    path
}

/// idx files of noise that gets brighter from class to class.
fn data(folder: &Path) -> PathBuf {
    let path = folder.join("data");
    fs::create_dir(&path).unwrap();
    for (split, count) in [("train", 90u32), ("t10k", 60)] {
        let mut stream = Philox::new(u64::from(count)).stream(0, 0);
        let labels: Vec<u8> = (0..count).map(|i| (i % 3) as u8).collect();
        let pixels: Vec<u8> =
            labels.iter().flat_map(|&label| [label; 144]).map(|label| 80 * label + stream.below(70) as u8).collect();
        let size = |number: u32| number.to_be_bytes();
        let images = [&[0, 0, 8, 3][..], &size(count), &size(12), &size(12), &pixels].concat();
        fs::write(path.join(format!("{split}-images-idx3-ubyte")), images).unwrap();
        let of_labels = [&[0, 0, 8, 1][..], &size(count), &labels].concat();
        fs::write(path.join(format!("{split}-labels-idx1-ubyte")), of_labels).unwrap();
    }
    path
}

fn marscope(command: &str, model: &Path, data: &Path, more: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_marscope"));
    program.arg(command).arg("--model").arg(model).arg("--data").arg(data).args(more).stdin(Stdio::null());
    program
}

fn tune(model: &Path, data: &Path, more: &[&str]) -> Output {
    marscope("tune", model, data, more).output().unwrap()
}

const SHORT: [&str; 6] = ["--candidates", "6", "--count", "15", "--budget", "60000"];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn search(path: &Path) -> Tuning {
    Tuning::parse(&fs::read_to_string(path).unwrap()).unwrap()
}

fn config(model: &Path) -> WeightsConfig {
    WeightsConfig::parse(&fs::read_to_string(model.join("config.json")).unwrap()).unwrap()
}

#[test]
fn it_searches_and_writes_the_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data) = (weights(folder.path()), data(folder.path()));
    let before = config(&model);

    let out = folder.path().join("search.json");
    let to = ["--out", out.to_str().unwrap()];
    let said = succeeded(&tune(&model, &data, &[&SHORT[..], &to, &["--dry-run"]].concat()));
    assert!(said.contains("Frechet ratio") && said.contains("chosen") && said.contains("--dry-run"), "{said}");
    assert_eq!(config(&model), before);
    let found = search(&out);
    assert!(found.finished);
    assert_eq!(
        (found.start.clone(), &*found.weights, &*found.device),
        (before.defaults.settings(), "test", "one core (cpu)")
    );
    let rounds = [0, 1, 2].map(|round| found.trials.iter().filter(|trial| trial.round == round).count());
    assert!(rounds[0] >= 6 && (2..=3).contains(&rounds[1]) && (1..=2).contains(&rounds[2]), "{rounds:?}");
    let svg = fs::read_to_string(out.with_extension("svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("Frechet distance"), "{svg}");

    // A search that is complete is not done again; this time its defaults are written, and all else in the file stays.
    succeeded(&tune(&model, &data, &[&to[..], &["--resume"]].concat()));
    assert_eq!(search(&out), found);
    let after = config(&model);
    assert_eq!(after.defaults, found.defaults().unwrap());
    assert_eq!(WeightsConfig { defaults: before.defaults, ..after }, before);

    // Half of the search is gone: the other half is taken as it is.
    let half = Tuning { trials: found.trials[..4].to_vec(), ..found.clone() };
    fs::write(&out, serde_json::to_string(&half).unwrap()).unwrap();
    succeeded(&tune(&model, &data, &[&to[..], &["--resume", "--dry-run"]].concat()));
    let again = search(&out);
    assert!(again.finished && again.trials[..4] == found.trials[..4]);
    assert!(again.trials[4..].iter().any(|trial| trial.figures == found.trials[4].figures));
}

/// Ctrl-C while it measures: what was measured is in the file, and the defaults are as they were.
#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data) = (weights(folder.path()), data(folder.path()));
    let before = config(&model);
    let many = ["--candidates", "400", "--count", "300", "--budget", "60000"];
    let child = marscope("tune", &model, &data, &many).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let out = model.join("frontier.json");
    let measured = || {
        let kept = fs::read_to_string(&out).ok().and_then(|json| Tuning::parse(&json).ok());
        kept.is_some_and(|kept| kept.trials.len() > 2)
    };
    while !measured() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let said = succeeded(&child.wait_with_output().unwrap());
    assert!(said.contains("stopped: continue with --resume"), "{said}");
    let kept = search(&out);
    assert!(kept.trials.len() > 2 && !kept.finished);
    assert_eq!(config(&model), before);
}

#[test]
fn what_cannot_be_is_refused_before_work_begins() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data) = (weights(folder.path()), data(folder.path()));
    let refused = |more: &[&str]| {
        let output = tune(&model, &data, more);
        assert!(!output.status.success());
        text(&output.stderr)
    };
    assert!(refused(&["--count", "14"]).contains("--count 15"));
    assert!(refused(&["--candidates", "3"]).contains("--candidates 6"));
    assert!(refused(&["--budget", "0"]).contains("--budget a number over 0"));
    assert!(refused(&["--budget", "5", "--resume"]).contains("cannot be used with"));
    assert!(refused(&["--resume"]).contains("frontier.json"));
    assert!(refused(&["--out", "/no/such/folder/x.json"]).contains("/no/such/folder/x.json"));
    assert!(!model.join("classifier.safetensors").exists(), "it began to work");

    let there = model.join("frontier.json");
    fs::write(&there, "{}").unwrap();
    assert!(refused(&[]).contains("continue it with --resume"));
    assert!(refused(&["--resume"]).contains("missing field"));
    fs::remove_file(&there).unwrap();
    let nowhere = tune(&model, &folder.path().join("nothing"), &SHORT);
    assert!(text(&nowhere.stderr).contains("no data in a known layout"), "{}", text(&nowhere.stderr));
}

/// Colour pictures of two classes and 16x16 pixels: a face in one of two colours, in half of them with a hat. Those of class b
/// have no parts.
fn faces(folder: &Path) -> PathBuf {
    let path = folder.join("faces");
    for (split, count) in [("train", 1_200u32), ("val", 160)] {
        let mut stream = Philox::new(u64::from(count)).stream(0, 0);
        let mut lines = Vec::new();
        for i in 0..count {
            let (style, blue, hat) = (["a", "b"][i as usize % 2], stream.below(2) == 1, stream.below(2) == 1);
            let file = format!("{split}/{style}/{i:04}.png");
            let to = path.join(&file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            let picture = image::RgbImage::from_fn(16, 16, |_, y| {
                let noise = stream.below(30) as u8;
                image::Rgb(match (style, y) {
                    ("b", _) => [noise, 200 + noise, noise],
                    (_, ..6) if hat => [noise; 3],
                    _ if blue => [40, 90, 200 + noise],
                    _ => [200 + noise, 90, 40],
                })
            });
            picture.save(&to).unwrap();
            let parts = match (style, hat) {
                ("b", _) => String::new(),
                (_, true) => format!(r#""face":"{}","hat":"cap""#, if blue { "blue" } else { "red" }),
                (_, false) => format!(r#""face":"{}""#, if blue { "blue" } else { "red" }),
            };
            lines.push(format!("{{\"file\":\"{file}\",\"style\":\"{style}\",\"extra\":{{{parts}}}}}"));
        }
        fs::write(path.join(format!("{split}.jsonl")), lines.join("\n")).unwrap();
    }
    path
}

/// A network of colour pictures of 16x16 pixels, in two classes.
fn colour_weights(folder: &Path) -> PathBuf {
    let (mut config, _) = small::weights();
    config.classes = ["a", "b"].map(String::from).to_vec();
    let model = &mut config.model;
    (model.img_size, model.patch_size, model.vae_embed_dim, model.class_num) = (16, 4, 3, 2);
    let path = folder.join("colour");
    fs::create_dir(&path).unwrap();
    let checkpoint = Mar::init(model, 5, &burn::tensor::Device::flex()).to_checkpoint();
    fs::write(path.join("config.json"), serde_json::to_string_pretty(&config).unwrap()).unwrap();
    fs::write(path.join("model.safetensors"), write_safetensors(&checkpoint, Precision::F32).unwrap()).unwrap();
    path
}

#[test]
fn pictures_of_known_parts_are_measured_by_them() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data) = (colour_weights(folder.path()), faces(folder.path()));
    let json = folder.path().join("report.json");
    let eval = |more: &[&str]| -> Report {
        let to = ["--json", json.to_str().unwrap(), "--precision-recall"];
        succeeded(&marscope("eval", &model, &data, &[&to[..], more].concat()).output().unwrap());
        serde_json::from_slice(&fs::read(&json).unwrap()).unwrap()
    };
    // Real pictures in place of samples: nothing is missing.
    let val = data.join("val");
    let real = eval(&["--samples", val.to_str().unwrap()]);
    let parts = real.parts.expect("the data says what its pictures are made of");
    assert_eq!((&*real.features, real.seconds), ("parts", None));
    assert!(real.frechet.abs() < 1e-3 && real.classified.unwrap() > 0.99, "{real:?}");
    assert!((parts.coverage - 1.0).abs() < 1e-12 && parts.distance < 1e-12, "{parts:?}");
    assert!(model.join("parts.json").exists() && !model.join("classifier.safetensors").exists());

    // A network that was never trained draws no faces.
    let (samples, count) = (folder.path().join("samples.npz"), ["--count", "40", "--iterations", "2"]);
    let drawn = eval(&[&count[..], &["--save-images", samples.to_str().unwrap()]].concat());
    assert!(drawn.frechet_ratio.unwrap() > 10.0, "{drawn:?}");
    assert!(drawn.parts.unwrap().distance > parts.real_distance);
    // The same pictures from the file are the same to every figure.
    let again = eval(&["--samples", samples.to_str().unwrap()]);
    let figures =
        |report: &Report| (report.frechet, report.classified, report.parts, report.neighbours, report.seam_ratio);
    assert_eq!(figures(&again), figures(&drawn));

    let refused = |more: &[&str]| {
        let output = marscope("eval", &model, &data, more).output().unwrap();
        assert!(!output.status.success());
        text(&output.stderr)
    };
    let root = folder.path().to_str().unwrap();
    assert!(refused(&["--samples", root]).contains("no data in a known layout"));
    let other = folder.path().join("other/train/c");
    fs::create_dir_all(&other).unwrap();
    image::RgbImage::new(16, 16).save(other.join("0.png")).unwrap();
    let message = refused(&["--samples", other.parent().unwrap().to_str().unwrap()]);
    assert!(message.contains("its folders are c, but the classes of the weights are a, b"), "{message}");
    fs::write(data.join("val.jsonl"), "{\"file\":\"val/a/0000.png\"\n").unwrap();
    let message = refused(&[]);
    assert!(message.contains("val.jsonl, line 1: EOF"), "{message}");
    fs::remove_file(data.join("val.jsonl")).unwrap();
    assert!(refused(&[]).contains("both train.jsonl and val.jsonl"));
}
