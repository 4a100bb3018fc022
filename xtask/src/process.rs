//! Child processes and the places they run in.
//! Every command is printed before it starts, so that a failure can be repeated by hand.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The repository's root folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask/ lies inside the repository")
}

/// The page's folder.
pub fn www() -> PathBuf {
    root().join("www")
}

/// The cargo that runs this program, in the repository's root.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).env("CARGO_TERM_PROGRESS_WHEN", "never");
    command
}

/// Whether this is continuous integration, where nobody can be asked: `CI` is set, and not to "false".
pub fn in_ci() -> bool {
    env::var_os("CI").is_some_and(|value| says_ci(&value))
}

fn says_ci(value: &OsStr) -> bool {
    !value.is_empty() && value != "false"
}

/// Prints `command`, runs it and waits for it, with its output going straight through.
///
/// # Errors
/// If the program cannot be started or exits with anything but 0.
pub fn run(command: &mut Command) -> Result<()> {
    let line = display(command);
    println!("$ {line}");
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("`{}` could not be started: is it installed and on PATH?", name(command)))?;
    if !status.success() {
        bail!("`{line}` failed ({status}); its output is above");
    }
    Ok(())
}

/// Runs `command` without printing it and returns its standard output, trimmed.
///
/// # Errors
/// If the program cannot be started or exits with anything but 0; the message has what it wrote to standard error.
pub fn read(command: &mut Command) -> Result<String> {
    let line = display(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("`{}` could not be started: is it installed and on PATH?", name(command)))?;
    if !output.status.success() {
        bail!("`{line}` failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The first of `names` that is a program on PATH.
pub fn on_path(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|candidate| candidate.is_file())
}

/// The command as a person would type it: the program's name and its arguments.
fn display(command: &Command) -> String {
    let mut words = vec![name(command)];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    words.join(" ")
}

fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    program.file_name().unwrap_or(OsStr::new("?")).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named_in_the_error() {
        let error = run(Command::new("false").arg("--why")).unwrap_err().to_string();
        assert!(error.contains("`false --why` failed"), "{error}");
    }

    #[test]
    fn a_missing_program_is_named_in_the_error() {
        let error = read(&mut Command::new("/no/such/dir/no-such-program")).unwrap_err().to_string();
        assert!(error.contains("`no-such-program` could not be started"), "{error}");
    }

    #[test]
    fn what_a_program_says_on_standard_error_reaches_the_message() {
        let error = read(Command::new("sh").args(["-c", "echo broken >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("broken"), "{error}");
    }

    #[test]
    fn continuous_integration_says_so() {
        assert!(says_ci(OsStr::new("true")) && says_ci(OsStr::new("1")));
        assert!(!says_ci(OsStr::new("")) && !says_ci(OsStr::new("false")));
    }

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(root().join("Cargo.lock").is_file());
        assert!(www().starts_with(root()));
    }

    #[test]
    fn programs_are_looked_up_in_the_order_given() {
        let shell = on_path(&["no-such-program-at-all", "sh", "env"]).expect("a shell is on PATH");
        assert_eq!(shell.file_name(), Some(OsStr::new("sh")));
        assert_eq!(on_path(&["no-such-program-at-all"]), None);
    }
}
