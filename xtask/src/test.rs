//! `cargo xtask test`: every check and every test of the repository.
//! The native code has one feature set and one profile throughout, so that nothing is compiled twice.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::process::{cargo, in_ci, root, run as run_command};
use crate::report::{Outcome, Report};
use crate::steps::{Step, select};
use crate::{browser, deny, node, types, wasm, wasm_target};

/// The packages of the product, and the benchmark's `marscope-roof`: built separately, its dependencies would be compiled
/// again.
const PACKAGES: [&str; 14] = [
    "-p",
    "marscope",
    "-p",
    "marscope-core",
    "-p",
    "marscope-simd",
    "-p",
    "marscope-inference",
    "-p",
    "marscope-kernels",
    "-p",
    "marscope-training",
    "-p",
    "marscope-roof",
];
/// The feature set of every native build.
const FEATURES: &str = "marscope/train,marscope/webgpu";

/// Arguments of `cargo xtask test`.
#[derive(clap::Args)]
pub struct Args {
    /// Run these steps alone, in their usual order.
    #[arg(long, value_delimiter = ',', value_name = "STEP")]
    only: Vec<String>,
    /// Print the steps and what each is for, and run none.
    #[arg(long)]
    list: bool,
}

/// Runs the requested steps and prints the table. Fails if a step fails or the arguments are invalid.
pub fn run(args: &Args) -> ExitCode {
    let steps = match select(&args.only) {
        Ok(steps) => steps,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    if args.list {
        for step in steps {
            println!("{:<12} {}", step.name(), step.about());
        }
        return ExitCode::SUCCESS;
    }
    let report = run_steps(&steps, in_ci(), perform);
    println!("\n{report}");
    if report.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Runs `steps` up to the first that fails. Where a step `must_run`, one that is skipped fails too.
fn run_steps(steps: &[Step], must_run: bool, perform: impl Fn(Step, &Machine) -> Result<Outcome>) -> Report {
    let machine = Machine::default();
    let mut report = Report::default();
    for &step in steps {
        if report.failed() {
            report.add(step, Outcome::NotRun, Duration::ZERO);
            continue;
        }
        println!("\n=== {}: {}", step.name(), step.about());
        let start = Instant::now();
        let outcome = match perform(step, &machine) {
            Ok(Outcome::Skipped(reason)) if must_run => {
                println!("\n*** {} failed: {reason}, and continuous integration may not skip a step", step.name());
                Outcome::Failed
            }
            Ok(outcome) => outcome,
            Err(error) => {
                println!("\n*** {} failed: {error:#}", step.name());
                Outcome::Failed
            }
        };
        report.add(step, outcome, start.elapsed());
    }
    report
}

/// What the steps need from the machine, found once.
#[derive(Default)]
struct Machine {
    browser: OnceCell<PathBuf>,
}

impl Machine {
    fn browser(&self) -> Result<&Path> {
        if let Some(path) = self.browser.get() {
            return Ok(path);
        }
        let path = browser::find()?;
        Ok(self.browser.get_or_init(|| path))
    }
}

fn perform(step: Step, machine: &Machine) -> Result<Outcome> {
    match step {
        Step::Tools => tools(machine)?,
        Step::Fmt => run_command(cargo().args(["fmt", "--all", "--check"]))?,
        Step::Clippy => {
            // README's first command builds the default features. Tests need more features, so only the code is checked;
            // the kernels have their gradients, so that Burn is checked once for both.
            clippy(&["-p", "marscope", "-p", "marscope-kernels", "--features", "marscope-kernels/train"])?;
            clippy(&[&PACKAGES[..], &["--all-targets", "--features", FEATURES]].concat())?;
            clippy(&["-p", "xtask", "--all-targets"])?;
        }
        Step::ClippyWasm => run_command(wasm_target::cargo_for_page("clippy", &wasm_target::target_dir())?.args([
            "-p",
            "marscope",
            "--lib",
            "--no-default-features",
            "--features",
            "web,webgpu",
            "--",
            "-D",
            "warnings",
        ]))?,
        Step::Test => {
            // Built quietly first, so that the output of the tests is not lost among the names of crates. This build also
            // makes the program that the browser tests and the command line's tests run.
            run_command(native("build").args(["--quiet", "--lib", "--bins", "--tests"]))?;
            // With a Vulkan driver, for the tests of the GPU engine.
            run_command(native("test").envs(browser::vulkan(machine.browser()?)?))?;
        }
        Step::TestXtask => run_command(cargo().args(["test", "--release", "--quiet", "-p", "xtask"]))?,
        Step::TestGpu => {
            let driver = browser::vulkan(machine.browser()?)?;
            let tests = ["parity", "decoding", "probe", "trace"].map(|name| ["--test", name]).concat();
            run_command(native("test").args(tests).env("MARSCOPE_TEST_DEVICE", "webgpu").envs(driver))?;
        }
        Step::Wasm => wasm::build(&wasm::Bundle::ALL)?,
        Step::NpmCi => node::install()?,
        Step::Lint => node::npm(&["run", "lint"], &[])?,
        Step::Types => types::check()?,
        Step::Check => node::npm(&["run", "check"], &[])?,
        Step::Unit => node::npm(&["test"], &[])?,
        Step::Page => node::npm(&["run", "build"], &[])?,
        Step::E2e => {
            let program = OsString::from(root().join("target/release/marscope"));
            let browser = machine.browser()?.as_os_str().to_owned();
            node::npm(&["run", "e2e"], &[("MARSCOPE_BIN", &program), ("CHROMIUM_PATH", &browser)])?;
        }
        Step::Deny => return deny::check(),
    }
    Ok(Outcome::Passed)
}

/// Finds missing tools before the long steps.
fn tools(machine: &Machine) -> Result<()> {
    node::check()?;
    let browser = machine.browser()?;
    println!("browser: {}", browser.display());
    for (name, value) in browser::vulkan(browser)? {
        println!("{name}={}", value.display());
    }
    wasm_target::ensure()
}

fn clippy(selection: &[&str]) -> Result<()> {
    run_command(cargo().args(["clippy", "--quiet", "--release"]).args(selection).args(["--", "-D", "warnings"]))
}

/// `cargo SUBCOMMAND` on the packages, for every native step.
fn native(subcommand: &str) -> Command {
    let mut command = cargo();
    command.args([subcommand, "--release"]).args(PACKAGES).args(["--features", FEATURES]);
    command
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use anyhow::bail;

    use super::*;

    #[test]
    fn nothing_runs_after_a_failure() {
        let ran = RefCell::new(Vec::new());
        let steps = [Step::Fmt, Step::Deny, Step::Clippy, Step::Test];
        let report = run_steps(&steps, false, |step, _| {
            ran.borrow_mut().push(step);
            match step {
                Step::Clippy => bail!("broken"),
                Step::Deny => Ok(Outcome::Skipped("absent")),
                _ => Ok(Outcome::Passed),
            }
        });
        assert_eq!(*ran.borrow(), [Step::Fmt, Step::Deny, Step::Clippy]);
        assert!(report.failed());
        assert_eq!(report.to_string().lines().last(), Some("1 passed, 1 failed, 1 skipped"));
    }

    #[test]
    fn what_must_run_fails_when_it_is_skipped() {
        let skip = |_: Step, _: &Machine| Ok(Outcome::Skipped("absent"));
        assert!(!run_steps(&[Step::Deny], false, skip).failed());
        let report = run_steps(&[Step::Deny, Step::Clippy], true, skip);
        assert!(report.failed());
        assert_eq!(report.to_string().lines().last(), Some("0 passed, 1 failed"));
    }
}
