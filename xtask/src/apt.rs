//! System packages on Debian and its relatives.
//! Installs only for root on a machine with `apt-get`, and asks first unless this is continuous integration.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{in_ci, on_path, read, run};

/// Whether packages can be installed on this machine by this user.
pub fn available() -> bool {
    on_path(&["apt-get"]).is_some() && read(Command::new("id").arg("-u")).is_ok_and(|id| id == "0")
}

/// Installs `packages` with their dependencies, but without recommended packages. Asks first on a terminal.
///
/// # Errors
/// If the answer is no, if there is nobody to ask, or if `apt-get` fails; its output has gone through by then.
pub fn install(packages: &[&str]) -> Result<()> {
    let terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    if !allowed(in_ci(), terminal, || ask(packages, &mut io::stdin().lock(), &mut io::stdout()))? {
        bail!(
            "not installed: {names}. Type `apt-get update && apt-get install --no-install-recommends {names}`, or set CI=1 \
             to have it done unasked",
            names = packages.join(" ")
        );
    }
    // A new machine's package lists may be stale or missing, and installing from them fails with a 404.
    run(Command::new("apt-get").args(["update", "-qq"])).context("the package lists could not be updated")?;
    run(Command::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(packages))
    .with_context(|| format!("these packages could not be installed: {}", packages.join(" ")))
}

/// Whether to install: always in continuous integration, else if somebody is there and says yes.
fn allowed(ci: bool, terminal: bool, ask: impl FnOnce() -> Result<bool>) -> Result<bool> {
    if ci { Ok(true) } else { Ok(terminal && ask()?) }
}

/// Asks whether to install `packages`. Any answer except yes means no.
fn ask(packages: &[&str], input: &mut impl BufRead, output: &mut impl Write) -> Result<bool> {
    write!(output, "Install {} on this machine with apt-get, as root? [y/N] ", packages.join(" "))?;
    output.flush()?;
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_asked_in_continuous_integration_or_without_a_terminal() {
        let never = || -> Result<bool> { panic!("asked") };
        assert!(allowed(true, true, never).unwrap());
        assert!(allowed(true, false, never).unwrap());
        assert!(!allowed(false, false, never).unwrap());
    }

    #[test]
    fn on_a_terminal_the_answer_counts() {
        assert!(allowed(false, true, || Ok(true)).unwrap());
        assert!(!allowed(false, true, || Ok(false)).unwrap());
    }

    #[test]
    fn only_yes_is_yes() {
        for (typed, expected) in [
            ("y\n", true),
            ("YES\n", true),
            (" yes \n", true),
            ("\n", false),
            ("", false),
            ("n\n", false),
            ("yep\n", false),
        ] {
            let mut shown = Vec::new();
            assert_eq!(ask(&["chromium"], &mut typed.as_bytes(), &mut shown).unwrap(), expected, "{typed:?}");
            assert!(String::from_utf8(shown).unwrap().contains("Install chromium"));
        }
    }
}
