//! `cargo xtask bench`: marscope's engines against ONNX Runtime Web and PyTorch, on the same weights and noise.
//! The measurements are in `bench/`. This installs and builds what they need, runs them and makes one table.

use std::env;
use std::fs;
use std::path::{Path, PathBuf, absolute};
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::process::{cargo, root, run as run_command};
use crate::{browser, node, wasm};

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Args {
    /// Run these parts alone.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Part::Browser, Part::Native])]
    only: Vec<Part>,
    /// Number of rounds; each part has its own default.
    #[arg(long)]
    rounds: Option<u32>,
    /// JSON file for the table.
    #[arg(long, default_value = "target/bench/bench.json")]
    json: PathBuf,
    /// A folder with the `cpu` and `gpu` bundles of another marscope, to measure beside this one.
    #[arg(long)]
    baseline: Option<PathBuf>,
    /// In the browser, use the machine's GPU and not the software one.
    #[arg(long)]
    native_adapter: bool,
    /// Folder of Fashion-MNIST's idx files, to train on.
    #[arg(long, required_if_eq("only", "train"))]
    data: Option<PathBuf>,
    /// Also measure sampling and training at mar-base's size, with random weights.
    #[arg(long)]
    mar_base: bool,
}

/// One part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// CPU and WebGPU in headless Chromium, against ONNX Runtime Web.
    Browser,
    /// The command line against `PyTorch`.
    Native,
    /// How time grows with tokens, width, steps and images.
    Sweep,
    /// A step of training against `PyTorch`; needs `--data`.
    Train,
}

/// Runs the requested measurements. The raw times and the table are written to `target/bench`.
///
/// # Errors
/// If something is missing and cannot be installed, or a measurement fails.
pub fn run(args: &Args) -> Result<()> {
    let wants = |part| args.only.contains(&part);
    let folder = root().join("target/bench");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let python = Python::ready(&folder, wants(Part::Native) || wants(Part::Train))?;
    let mut raw = Vec::new();
    if wants(Part::Browser) || wants(Part::Sweep) {
        prepare_browser()?;
    }
    if wants(Part::Native) || wants(Part::Sweep) || wants(Part::Train) {
        let features: &[&str] = if wants(Part::Train) { &["--features", "train"] } else { &[] };
        run_command(cargo().args(["build", "--release", "-p", "marscope", "-p", "marscope-roof"]).args(features))?;
    }
    if wants(Part::Browser) {
        run_command(
            python
                .script("export_onnx.py")
                .arg("--weights")
                .arg("weights/fashion")
                .arg("--out")
                .arg(folder.join("onnx")),
        )?;
        let out = folder.join("browser.json");
        let mut command = node_script("browser/run.mjs")?;
        command.arg("--out").arg(&out);
        if let Some(rounds) = args.rounds {
            command.args(["--rounds", &rounds.to_string()]);
        }
        if let Some(baseline) = &args.baseline {
            command.arg("--baseline").arg(baseline);
        }
        if args.native_adapter {
            command.arg("--native-adapter");
        }
        run_command(&mut command)?;
        raw.push(out);
    }
    if wants(Part::Native) {
        for (size, wanted) in [("weights", true), ("mar-base", args.mar_base)] {
            if wanted {
                let out = folder.join(format!("native-{size}.json"));
                let mut command = python.script("run.py");
                command.args(["--size", size]).arg("--out").arg(&out);
                if let Some(rounds) = args.rounds {
                    command.args(["--rounds", &rounds.to_string()]);
                }
                run_command(&mut command)?;
                raw.push(out);
            }
        }
    }
    if let (true, Some(data)) = (wants(Part::Train), &args.data) {
        let out = folder.join("train.json");
        let mut command = python.script("train.py");
        command
            .arg("--data")
            .arg(absolute(data).context("the path of --data cannot be resolved")?)
            .arg("--out")
            .arg(&out);
        if args.mar_base {
            command.arg("--mar-base");
        }
        if let Some(rounds) = args.rounds {
            command.args(["--rounds", &rounds.to_string()]);
        }
        run_command(&mut command)?;
        raw.push(out);
    }
    if !raw.is_empty() {
        run_command(
            Command::new("node").arg("bench/report.mjs").args(raw).arg("--out").arg(&args.json).current_dir(root()),
        )?;
    }
    if wants(Part::Sweep) {
        run_command(python.script("sweep.py").arg("--out").arg(folder.join("sweep")))?;
        run_command(node_script("browser/sweep.mjs")?.arg("--dir").arg(folder.join("sweep")))?;
    }
    Ok(())
}

/// The bundles, and the benchmark's npm packages, exactly those of its lock file.
fn prepare_browser() -> Result<()> {
    node::check()?;
    if !wasm::up_to_date()? {
        wasm::build(&wasm::Bundle::ALL)?;
    }
    let packages = root().join("bench/browser");
    if !packages.join("node_modules/.package-lock.json").is_file() {
        run_command(Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(packages))?;
    }
    Ok(())
}

fn node_script(script: &str) -> Result<Command> {
    let mut command = Command::new("node");
    command.arg(Path::new("bench").join(script)).current_dir(root()).env("CHROMIUM_PATH", browser::find()?);
    Ok(command)
}

/// The Python environment of the benchmark.
struct Python(PathBuf);

impl Python {
    /// The Python that `BENCH_PYTHON` names, as it is; else an environment in `folder`, made or brought up to the
    /// requirements, which is quick when it is there.
    fn ready(folder: &Path, torch: bool) -> Result<Self> {
        if let Some(python) = env::var_os("BENCH_PYTHON").filter(|python| !python.is_empty()) {
            return Ok(Self(PathBuf::from(python)));
        }
        let venv = folder.join("venv");
        let python = venv.join("bin/python");
        if !python.is_file() {
            run_command(Command::new("python3").args(["-m", "venv"]).arg(&venv))
                .context("the benchmark's peers need Python 3.10 or newer with its venv module")?;
        }
        let requirements = if torch { "requirements.txt" } else { "requirements-onnx.txt" };
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        run_command(Command::new(&python).args(pip).arg(root().join("bench/pytorch").join(requirements)))?;
        Ok(Self(python))
    }

    /// A command that runs `name` of `bench/pytorch`.
    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.0);
        // No folders of compiled scripts in the work tree.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command.arg(Path::new("bench/pytorch").join(name)).current_dir(root());
        command
    }
}
