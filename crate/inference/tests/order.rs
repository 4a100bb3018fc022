//! Imports point one way: a file uses those before it in its folder's list, and no other.
//! The lists are those of the documentation, in `lib.rs`, `cpu/mod.rs` and `gpu/mod.rs`.

use std::fs;
use std::path::Path;

/// Names of a numbered list in the documentation of `file`, in its order.
fn order(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let item = |line: &str| {
        let (number, rest) = line.strip_prefix("//! ")?.split_once(". ")?;
        number.parse::<usize>().ok()?;
        Some(rest.split('`').nth(1)?.to_owned())
    };
    text.lines().filter_map(item).collect()
}

/// Names of the modules in `folder`: its files and folders but the one that holds them together.
fn modules(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let rust = entries.filter(|path| path.is_dir() || path.extension().is_some_and(|extension| extension == "rs"));
    let names = rust.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    let mut names: Vec<String> = names.filter(|name| !["mod", "lib"].contains(&name.as_str())).collect();
    names.sort();
    names
}

/// Names that follow `prefix` in the code of `file`, comments left out.
fn names_after(prefix: &str, file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let parts = code.split(prefix).skip(1);
    let names = parts.map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap().to_owned());
    let names: Vec<String> = names.collect();
    assert!(
        !names.contains(&String::new()),
        "{}: name each module after {prefix} on a line of its own",
        file.display()
    );
    names
}

/// Every Rust file of `module`.
fn files(folder: &Path, module: &str) -> Vec<std::path::PathBuf> {
    let file = folder.join(format!("{module}.rs"));
    if file.exists() {
        return vec![file];
    }
    let entries = fs::read_dir(folder.join(module)).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Fails when a module of `folder` names one that does not come before it in `list`.
fn check(folder: &Path, list: &Path, prefix: &str) {
    let order = order(list);
    let mut listed = order.clone();
    listed.sort();
    assert_eq!(listed, modules(folder), "the list in {}", list.display());
    for (i, module) in order.iter().enumerate() {
        for file in files(folder, module) {
            for name in names_after(prefix, &file) {
                assert!(
                    order[..i].contains(&name) || name == *module,
                    "{} uses {prefix}{name}, which does not come before it in the list of {}",
                    file.display(),
                    list.display()
                );
            }
        }
    }
}

#[test]
fn imports_point_one_way() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    check(&source, &source.join("lib.rs"), "crate::");
    for engine in ["cpu", "gpu"] {
        let folder = source.join(engine);
        check(&folder, &folder.join("mod.rs"), "super::");
    }
}

#[test]
fn the_engines_do_not_know_each_other() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (engine, other) in [("cpu", "gpu"), ("gpu", "cpu")] {
        for file in files(&source, engine) {
            assert!(!names_after("crate::", &file).contains(&other.to_owned()), "{} uses {other}", file.display());
        }
    }
}
