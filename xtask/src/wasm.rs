//! `cargo xtask wasm`: the page's bundles.
//! `cpu` runs in every browser, `cpu-relaxed` runs faster in newer ones, and `gpu` also has WebGPU.

use std::fs;
use std::io::Write;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use flate2::Compression;
use flate2::write::GzEncoder;
use wasm_bindgen_cli_support::Bindgen;

use crate::process::{root, run as run_command, www};
use crate::wasm_target::{self, TARGET, cargo_for_page, target_dir};

/// The files that a bundle consists of.
const FILES: [&str; 3] = ["marscope.js", "marscope_bg.wasm", "marscope.d.ts"];
/// What a bundle is made from, relative to the repository's root.
const SOURCES: [&str; 9] = [
    "crate/src",
    "crate/core",
    "crate/inference",
    "crate/simd",
    "crate/Cargo.toml",
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain.toml",
    ".cargo/config.toml",
];

/// Arguments of `cargo xtask wasm`.
#[derive(clap::Args)]
pub struct Args {
    /// Build this bundle alone.
    #[arg(long, value_enum)]
    only: Option<Bundle>,
}

/// One of the page's bundles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Bundle {
    /// The engine on the CPU.
    Cpu,
    /// The same with relaxed SIMD: fused multiply-adds, where the browser has them.
    CpuRelaxed,
    /// The engine on the CPU and on WebGPU.
    Gpu,
}

impl Bundle {
    /// The bundles, in the order they are built.
    pub const ALL: [Bundle; 3] = [Bundle::Cpu, Bundle::CpuRelaxed, Bundle::Gpu];

    fn name(self) -> &'static str {
        match self {
            Bundle::Cpu => "cpu",
            Bundle::CpuRelaxed => "cpu-relaxed",
            Bundle::Gpu => "gpu",
        }
    }

    fn features(self) -> &'static str {
        match self {
            Bundle::Cpu => "web",
            Bundle::CpuRelaxed => "web,relaxed-simd",
            Bundle::Gpu => "web,webgpu",
        }
    }

    /// The most bytes a visitor may have to fetch for the bundle, compressed with gzip.
    fn budget(self) -> u64 {
        match self {
            Bundle::Cpu | Bundle::CpuRelaxed => 400_000,
            Bundle::Gpu => 800_000,
        }
    }

    /// Where it is compiled. Cargo lets one build at a time into a folder.
    fn target_dir(self) -> PathBuf {
        match self {
            Bundle::Cpu | Bundle::Gpu => target_dir(),
            Bundle::CpuRelaxed => target_dir().join("relaxed"),
        }
    }

    fn folder(self) -> PathBuf {
        www().join("src/pkg").join(self.name())
    }
}

/// Builds the requested bundles, prints their sizes and checks them against their budgets.
///
/// # Errors
/// If no compiler is found, the build or the binding fails, or a bundle is over its budget.
pub fn run(args: &Args) -> Result<()> {
    match args.only {
        Some(bundle) => build(&[bundle]),
        None => build(&Bundle::ALL),
    }
}

/// Builds `bundles`. Budgets are checked after all are built, so that all sizes are printed.
///
/// # Errors
/// As [`run`].
pub fn build(bundles: &[Bundle]) -> Result<()> {
    wasm_target::ensure()?;
    // Relaxed SIMD has nothing in common with the others, so it is compiled beside them: at its end, which takes long,
    // a build keeps a single core busy.
    let (relaxed, plain): (Vec<Bundle>, Vec<Bundle>) =
        bundles.iter().partition(|&&bundle| bundle == Bundle::CpuRelaxed);
    let make = |bundles: Vec<Bundle>| {
        bundles.into_iter().try_for_each(|bundle| {
            compile(bundle)?;
            bind(bundle)
        })
    };
    thread::scope(|scope| {
        let beside = scope.spawn(|| make(relaxed));
        let done = make(plain);
        done.and(beside.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })?;
    let mut over = Vec::new();
    for &bundle in bundles {
        let size = Size::of(&bundle.folder().join("marscope_bg.wasm"))?;
        println!("{} bundle: {} bytes, {} bytes gzip", bundle.name(), size.bytes, size.gzip);
        over.extend(over_budget(bundle, size));
    }
    if !over.is_empty() {
        bail!(over.join("; "));
    }
    Ok(())
}

/// Whether all bundles are there and newer than everything they are made from.
///
/// # Errors
/// If the sources cannot be read.
pub fn up_to_date() -> Result<bool> {
    let mut newest_source = SystemTime::UNIX_EPOCH;
    for source in SOURCES {
        newest_source = newest_source.max(newest(&root().join(source))?);
    }
    let outputs = Bundle::ALL.into_iter().flat_map(|bundle| FILES.map(|file| bundle.folder().join(file)));
    Ok(outputs.into_iter().all(|file| newest(&file).is_ok_and(|time| time >= newest_source)))
}

/// When `path`, or the last changed file below it, was changed.
fn newest(path: &Path) -> Result<SystemTime> {
    let context = || format!("cannot read {}", path.display());
    let metadata = fs::metadata(path).with_context(context)?;
    let mut time = metadata.modified().with_context(context)?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path).with_context(context)? {
            time = time.max(newest(&entry.with_context(context)?.path())?);
        }
    }
    Ok(time)
}

fn compile(bundle: Bundle) -> Result<()> {
    let mut command = cargo_for_page("build", &bundle.target_dir())?;
    command.args(["-p", "marscope", "--lib", "--no-default-features", "--features", bundle.features()]);
    if bundle == Bundle::CpuRelaxed {
        // Joined to the flags of .cargo/config.toml. Without it the engine finds no relaxed SIMD and takes the plain one.
        command.args(["--config", "target.wasm32-unknown-unknown.rustflags=['-C', 'target-feature=+relaxed-simd']"]);
    }
    run_command(&mut command)
}

fn bind(bundle: Bundle) -> Result<()> {
    let compiled = bundle.target_dir().join(TARGET).join("web/marscope.wasm");
    let folder = bundle.folder();
    // Removes files of an earlier build.
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot clear {}", folder.display()))?;
    }
    Bindgen::new()
        .input_path(&compiled)
        .out_name("marscope")
        .web(true)
        .and_then(|bindgen| {
            bindgen.typescript(true).remove_name_section(true).remove_producers_section(true).generate(&folder)
        })
        .with_context(|| format!("cannot make the bindings of {}", compiled.display()))
}

/// How large a file is, as it is and compressed.
#[derive(Clone, Copy)]
struct Size {
    bytes: u64,
    gzip: u64,
}

impl Size {
    fn of(file: &Path) -> Result<Size> {
        let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&content)?;
        Ok(Size { bytes: content.len() as u64, gzip: encoder.finish()?.len() as u64 })
    }
}

/// Why a bundle of `size` exceeds its budget, if it does.
fn over_budget(bundle: Bundle, size: Size) -> Option<String> {
    (size.gzip > bundle.budget()).then(|| {
        format!(
            "the {} bundle is {} bytes gzip, {} over its budget of {}: make it smaller, or raise the budget in \
             xtask/src/wasm.rs and say why",
            bundle.name(),
            size.gzip,
            size.gzip - bundle.budget(),
            bundle.budget()
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bundle_may_reach_its_budget_but_not_pass_it() {
        for bundle in Bundle::ALL {
            let at = |gzip| over_budget(bundle, Size { bytes: 10_000_000, gzip });
            assert_eq!(at(bundle.budget()), None);
            let message = at(bundle.budget() + 5).expect("over the budget");
            assert!(message.contains(bundle.name()) && message.contains(" 5 over"), "{message}");
        }
    }

    #[test]
    fn sizes_are_those_of_the_file_and_of_its_gzip() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("zeros");
        fs::write(&file, vec![0; 100_000]).unwrap();
        let size = Size::of(&file).unwrap();
        assert_eq!(size.bytes, 100_000);
        assert!(size.gzip > 18 && size.gzip < 1_000, "{}", size.gzip);
    }

    #[test]
    fn a_change_deep_in_a_folder_is_its_newest() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        fs::create_dir_all(&deep).unwrap();
        let future = SystemTime::now() + Duration::from_hours(1);
        File::create(deep.join("c.rs")).unwrap().set_modified(future).unwrap();
        assert_eq!(newest(folder.path()).unwrap(), future);
        assert!(newest(&folder.path().join("missing")).is_err());
    }
}
