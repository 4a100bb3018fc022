//! The allowed dependencies between packages, as in the map of CONTRIBUTING.md. The tests fail when one is reversed.

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::process::{cargo, root};

    /// The project's own packages that each of them stands on, directly or not.
    const BELOW: [(&str, &[&str]); 6] = [
        ("marscope-core", &[]),
        ("marscope-simd", &[]),
        ("marscope-inference", &["marscope-core", "marscope-simd"]),
        ("marscope-kernels", &["marscope-simd"]),
        ("marscope-training", &["marscope-core", "marscope-kernels", "marscope-simd"]),
        (
            "marscope",
            &["marscope-core", "marscope-inference", "marscope-kernels", "marscope-simd", "marscope-training"],
        ),
    ];

    /// The crates in the tree of a package, features and target as `selection` says.
    fn tree(selection: &[&str]) -> BTreeSet<String> {
        let mut command = cargo();
        command.args(["tree", "--edges", "normal", "--prefix", "none", "--format", "{p}"]).args(selection);
        let output = command.current_dir(root()).output().expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("names are text");
        text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
    }

    fn assert_without(what: &str, tree: &BTreeSet<String>, unwanted: &[&str]) {
        let is_unwanted = |name: &&String| unwanted.iter().any(|&start| name.starts_with(start));
        let found: Vec<_> = tree.iter().filter(is_unwanted).collect();
        assert!(found.is_empty(), "{what} depends on {found:?}");
    }

    #[test]
    fn packages_know_only_those_below_them() {
        for (package, below) in BELOW {
            let tree = tree(&["-p", package, "--all-features"]);
            let own = tree.iter().filter(|name| name.starts_with("marscope") && *name != package);
            for known in own {
                assert!(below.contains(&known.as_str()), "{package} knows {known}");
            }
        }
    }

    #[test]
    fn core_has_no_engine_and_no_archive() {
        assert_without(
            "marscope-core",
            &tree(&["-p", "marscope-core", "--all-features"]),
            &["burn", "wgpu", "zip", "image"],
        );
    }

    #[test]
    fn the_page_has_no_burn_no_zip_and_no_pickle() {
        for features in ["web", "web,webgpu"] {
            let page = ["-p", "marscope", "--no-default-features", "--features", features];
            let tree = tree(&[&page[..], &["--target", "wasm32-unknown-unknown"]].concat());
            assert!(tree.contains("wasm-bindgen"), "it is the page's tree");
            // The pickle reader is the training package's.
            assert_without("the page", &tree, &["burn", "zip", "flate2", "image", "marscope-training"]);
        }
    }

    #[test]
    fn without_webgpu_the_page_has_no_wgpu() {
        let page =
            ["-p", "marscope", "--no-default-features", "--features", "web", "--target", "wasm32-unknown-unknown"];
        assert_without("the CPU bundle", &tree(&page), &["wgpu"]);
    }
}
