//! `cargo xtask test`: every check and every test of the repository.
//! The native code has one feature set and one profile throughout, so that nothing is compiled twice.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::process::{cargo, on_path, root, run as run_command};
use crate::report::{Outcome, Report};
use crate::steps::{Step, select};
use crate::{browser, node, wasm, wasm_target};

/// The feature set of every native build.
const FEATURES: &str = "train,webgpu";
/// What is linted: the GPU drivers beside it too.
const LINTED: &str = "train,webgpu,vulkan";

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

/// Runs the steps asked for and prints the table; fails if a step does or the arguments make no sense.
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
    let report = run_steps(&steps, perform);
    println!("\n{report}");
    if report.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn run_steps(steps: &[Step], perform: impl Fn(Step, &Machine) -> Result<Outcome>) -> Report {
    let machine = Machine::default();
    let mut report = Report::default();
    for &step in steps {
        if report.failed() {
            report.add(step, Outcome::NotRun, Duration::ZERO);
            continue;
        }
        println!("\n=== {}: {}", step.name(), step.about());
        let start = Instant::now();
        let outcome = perform(step, &machine).unwrap_or_else(|error| {
            println!("\n*** {} failed: {error:#}", step.name());
            Outcome::Failed
        });
        report.add(step, outcome, start.elapsed());
    }
    report
}

/// What the steps use of the machine, looked for once.
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
            // Default features are what the README's first command builds; tests need more, so the code alone.
            clippy(&["-p", "marscope"])?;
            clippy(&["-p", "marscope", "--all-targets", "--features", LINTED])?;
            clippy(&["-p", "xtask", "--all-targets"])?;
        }
        Step::ClippyWasm => run_command(wasm_target::cargo_for_page("clippy")?.args([
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
            // Built without a word first: what the tests print is then not lost among the names of crates. The tests'
            // build makes the program too, which the browser tests and the command line's own run.
            run_command(native("build").args(["--quiet", "--lib", "--bins", "--tests"]))?;
            // With a driver: the GPU engine's own tests are among them.
            run_command(native("test").envs(browser::vulkan(machine.browser()?)?))?;
        }
        Step::TestXtask => run_command(cargo().args(["test", "--release", "--quiet", "-p", "xtask"]))?,
        Step::TestGpu => {
            let driver = browser::vulkan(machine.browser()?)?;
            let tests = ["parity", "decoding", "moment", "trace"].map(|name| ["--test", name]).concat();
            run_command(native("test").args(tests).env("MARSCOPE_TEST_DEVICE", "webgpu").envs(driver))?;
        }
        Step::Wasm => wasm::build(&wasm::Bundle::ALL)?,
        Step::NpmCi => node::install()?,
        Step::Lint => node::npm(&["run", "lint"], &[])?,
        Step::Check => node::npm(&["run", "check"], &[])?,
        Step::Unit => node::npm(&["test"], &[])?,
        Step::Page => node::npm(&["run", "build"], &[])?,
        Step::E2e => {
            let program = OsString::from(root().join("target/release/marscope"));
            let browser = machine.browser()?.as_os_str().to_owned();
            node::npm(&["run", "e2e"], &[("MARSCOPE_BIN", &program), ("CHROMIUM_PATH", &browser)])?;
        }
        Step::Deny => return deny(),
    }
    Ok(Outcome::Passed)
}

/// Missing tools show here, before the long steps, and not in the middle of them.
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

/// `cargo SUBCOMMAND` on the crate, as every native step has it.
fn native(subcommand: &str) -> Command {
    let mut command = cargo();
    command.args([subcommand, "--release", "-p", "marscope", "--features", FEATURES]);
    command
}

/// The advisories are left out: they need the network, and change without a change here.
fn deny() -> Result<Outcome> {
    if on_path(&["cargo-deny"]).is_none() {
        let reason = "cargo-deny is not installed (cargo install cargo-deny --locked)";
        println!("{reason}");
        return Ok(Outcome::Skipped(reason));
    }
    run_command(cargo().args(["deny", "--all-features", "check", "licenses", "bans", "sources"]))?;
    Ok(Outcome::Passed)
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
        let report = run_steps(&steps, |step, _| {
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
}
