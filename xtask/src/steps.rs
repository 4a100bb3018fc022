//! The steps of `cargo xtask test`: what each is called, what it is for, and which of them a run takes.
//! Cheap steps come first, and each step comes after those whose results it uses.

use anyhow::{Result, bail};

/// One step of the tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The tools that are neither crates nor npm packages.
    Tools,
    /// Formatting of the Rust code.
    Fmt,
    /// Lints of the native code.
    Clippy,
    /// Lints of the code as the page has it.
    ClippyWasm,
    /// The crate's tests on the CPU.
    Test,
    /// The tests of the helper itself.
    TestXtask,
    /// The tests of what the engine computes, on the GPU.
    TestGpu,
    /// The page's bundles and their budgets.
    Wasm,
    /// The page's npm packages.
    NpmCi,
    /// Lints and formatting of the page's code.
    Lint,
    /// The page's types as Rust defines them.
    Types,
    /// Types of the page's code.
    Check,
    /// The page's unit tests.
    Unit,
    /// The page itself.
    Page,
    /// The page in a browser.
    E2e,
    /// Licences and sources of the dependencies.
    Deny,
}

impl Step {
    /// Every step, in the order they run.
    pub const ALL: [Step; 16] = [
        Step::Tools,
        Step::Fmt,
        Step::Deny,
        Step::NpmCi,
        Step::Types,
        Step::Check,
        Step::Unit,
        Step::TestXtask,
        Step::Wasm,
        Step::Lint,
        Step::Page,
        Step::ClippyWasm,
        Step::Clippy,
        Step::Test,
        Step::TestGpu,
        Step::E2e,
    ];

    /// What the step is called on the command line and in the table.
    pub fn name(self) -> &'static str {
        match self {
            Step::Tools => "tools",
            Step::Fmt => "fmt",
            Step::Clippy => "clippy",
            Step::ClippyWasm => "clippy-wasm",
            Step::Test => "test",
            Step::TestXtask => "test-xtask",
            Step::TestGpu => "test-gpu",
            Step::Wasm => "wasm",
            Step::NpmCi => "npm-ci",
            Step::Lint => "lint",
            Step::Types => "types",
            Step::Check => "check",
            Step::Unit => "unit",
            Step::Page => "page",
            Step::E2e => "e2e",
            Step::Deny => "deny",
        }
    }

    /// What the step is for, in a line.
    pub fn about(self) -> &'static str {
        match self {
            Step::Tools => "Node.js, a browser, a Vulkan driver and a compiler for wasm32 are installed",
            Step::Fmt => "the Rust code is formatted",
            Step::Clippy => "the native code is free of warnings",
            Step::ClippyWasm => "the page's Rust code is free of warnings",
            Step::Test => "the crate's tests and examples pass on the CPU",
            Step::TestXtask => "the tests of the build helper pass",
            Step::TestGpu => "the GPU engine gives the reference's numbers",
            Step::Wasm => "the page's bundles build and keep to their budgets",
            Step::NpmCi => "the page's npm packages install from the lock file",
            Step::Lint => "the page's code is linted and formatted",
            Step::Types => "the page's types are those that Rust defines",
            Step::Check => "the page's types check",
            Step::Unit => "the page's unit tests pass",
            Step::Page => "the page builds",
            Step::E2e => "the page works in a browser, and draws what the command line draws",
            Step::Deny => "the dependencies' licences and sources are allowed",
        }
    }
}

/// The steps of `names`, each once and in the order they run; all of them if there are no names.
///
/// # Errors
/// If a name is not a step; the message lists the steps.
pub fn select(names: &[String]) -> Result<Vec<Step>> {
    if names.is_empty() {
        return Ok(Step::ALL.to_vec());
    }
    if let Some(unknown) = names.iter().find(|name| Step::ALL.iter().all(|step| step.name() != *name)) {
        let known: Vec<&str> = Step::ALL.iter().map(|step| step.name()).collect();
        bail!("there is no step '{unknown}'; there are: {}", known.join(", "));
    }
    Ok(Step::ALL.into_iter().filter(|step| names.iter().any(|name| name == step.name())).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn no_names_select_every_step() {
        assert_eq!(select(&[]).unwrap(), Step::ALL);
    }

    #[test]
    fn names_select_their_steps_once_and_in_running_order() {
        let steps = select(&names(&["e2e", "fmt", "wasm", "fmt"])).unwrap();
        assert_eq!(steps, [Step::Fmt, Step::Wasm, Step::E2e]);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = select(&names(&["fmt", "tests"])).unwrap_err().to_string();
        assert!(error.contains("no step 'tests'") && error.contains("test-gpu"), "{error}");
        assert!(select(&names(&[""])).is_err());
    }

    #[test]
    fn no_two_steps_share_a_name() {
        let distinct: HashSet<&str> = Step::ALL.iter().map(|step| step.name()).collect();
        assert_eq!(distinct.len(), Step::ALL.len());
    }

    #[test]
    fn a_step_comes_after_those_whose_products_it_uses() {
        let at = |step| Step::ALL.iter().position(|&other| other == step).unwrap();
        for (first, then) in [
            (Step::Test, Step::TestGpu),
            (Step::Test, Step::E2e),
            (Step::Wasm, Step::Lint),
            (Step::Wasm, Step::Page),
            (Step::Types, Step::Check),
            (Step::NpmCi, Step::Check),
            (Step::NpmCi, Step::Unit),
            (Step::NpmCi, Step::Lint),
            (Step::Page, Step::E2e),
        ] {
            assert!(at(first) < at(then), "{first:?} before {then:?}");
        }
    }
}
