//! What a URL means under a folder of static files.
//! Nothing outside the folder is ever named, whatever the URL says.

use std::fs;
use std::path::{Component, Path, PathBuf};

use percent_encoding::percent_decode_str;

/// What a request gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// The content of a file inside the site's folder.
    File(PathBuf),
    /// The address the browser should ask for instead.
    Redirect(String),
    /// Nothing is there, or nothing that may be seen.
    NotFound,
}

/// A folder of static files, served under `base`.
pub struct Site {
    folder: PathBuf,
    base: String,
}

impl Site {
    /// `folder` must exist; `base` is the URL path it appears under, with or without slashes around it.
    ///
    /// # Errors
    /// If the folder is missing.
    pub fn new(folder: &Path, base: &str) -> std::io::Result<Site> {
        Ok(Site { folder: fs::canonicalize(folder)?, base: normal_base(base) })
    }

    /// The URL path the site appears under, with a slash at both ends.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// What is at `url`: the path, and the query if any, of a request.
    pub fn answer(&self, url: &str) -> Answer {
        let (path, query) = match url.find(['?', '#']) {
            Some(end) => url.split_at(end),
            None => (url, ""),
        };
        if path == self.base.trim_end_matches('/') && !path.is_empty() {
            return Answer::Redirect(format!("{}{query}", self.base));
        }
        let Some(relative) = path.strip_prefix(self.base.as_str()).and_then(safe_path) else {
            return Answer::NotFound;
        };
        // A link inside the folder may point out of it: what counts is where the path leads in the end.
        let Ok(mut file) = fs::canonicalize(self.folder.join(relative)) else {
            return Answer::NotFound;
        };
        if file.is_dir() {
            if !path.ends_with('/') {
                return Answer::Redirect(format!("{path}/{query}"));
            }
            file.push("index.html");
        }
        if file.starts_with(&self.folder) && file.is_file() { Answer::File(file) } else { Answer::NotFound }
    }
}

/// `base` with exactly one slash at each end.
fn normal_base(base: &str) -> String {
    match base.trim_matches('/') {
        "" => "/".to_owned(),
        inner => format!("/{inner}/"),
    }
}

/// The relative path that `path` spells, if it is one that cannot lead upwards or to another root.
fn safe_path(path: &str) -> Option<PathBuf> {
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    if decoded.contains(['\\', '\0', ':']) {
        return None;
    }
    let path = Path::new(decoded.as_ref());
    path.components().all(|part| matches!(part, Component::Normal(_))).then(|| path.to_owned())
}

/// The content type of a file, by its name. Browsers refuse WebAssembly and modules under any other.
pub fn mime(path: &Path) -> &'static str {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" | "map" => "application/json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webmanifest" => "application/manifest+json",
        "woff2" => "font/woff2",
        "md" | "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder `outer` with a secret beside the site's own folder.
    fn site(base: &str) -> (tempfile::TempDir, Site) {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("dist");
        fs::create_dir_all(folder.join("assets")).unwrap();
        fs::write(outer.path().join("secret.txt"), "secret").unwrap();
        fs::write(folder.join("index.html"), "page").unwrap();
        fs::write(folder.join("assets/a b.js"), "code").unwrap();
        let site = Site::new(&folder, base).unwrap();
        (outer, site)
    }

    fn file(site: &Site, name: &str) -> Answer {
        Answer::File(site.folder.join(name))
    }

    #[test]
    fn files_are_found_under_the_root() {
        let (_outer, site) = site("/");
        assert_eq!(site.answer("/"), file(&site, "index.html"));
        assert_eq!(site.answer("/?label=3&seed=7"), file(&site, "index.html"));
        assert_eq!(site.answer("/index.html#top"), file(&site, "index.html"));
        assert_eq!(site.answer("/assets/a%20b.js"), file(&site, "assets/a b.js"));
        assert_eq!(site.answer("/missing.js"), Answer::NotFound);
        assert_eq!(site.answer("/assets/"), Answer::NotFound, "a folder is not listed");
        assert_eq!(site.answer("/assets?x=1"), Answer::Redirect("/assets/?x=1".into()));
    }

    #[test]
    fn a_base_path_is_required_where_there_is_one() {
        for base in ["/marscope/", "marscope", "/marscope"] {
            let (_outer, site) = site(base);
            assert_eq!(site.base(), "/marscope/");
            assert_eq!(site.answer("/marscope/"), file(&site, "index.html"));
            assert_eq!(site.answer("/marscope?seed=1"), Answer::Redirect("/marscope/?seed=1".into()));
            assert_eq!(site.answer("/"), Answer::NotFound);
            assert_eq!(site.answer("/index.html"), Answer::NotFound);
            assert_eq!(site.answer("/marscope2/"), Answer::NotFound);
        }
    }

    #[test]
    fn nothing_outside_the_folder_is_reachable() {
        let (_outer, site) = site("/");
        for url in [
            "/../secret.txt",
            "/assets/../../secret.txt",
            "/%2e%2e/secret.txt",
            "/..%2fsecret.txt",
            "/assets/%2e%2e/%2e%2e/secret.txt",
            "/..\\secret.txt",
            "/..%5csecret.txt",
            "//etc/passwd",
            "/%2fetc/passwd",
            "/C:/secret.txt",
            "/index.html%00",
            "/%ff%fe",
            "http://localhost/index.html",
            "",
            "*",
        ] {
            assert_eq!(site.answer(url), Answer::NotFound, "{url}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_out_of_the_folder_is_not_followed() {
        let (outer, site) = site("/");
        std::os::unix::fs::symlink(outer.path().join("secret.txt"), site.folder.join("link.txt")).unwrap();
        std::os::unix::fs::symlink(outer.path(), site.folder.join("up")).unwrap();
        assert_eq!(site.answer("/link.txt"), Answer::NotFound);
        assert_eq!(site.answer("/up/secret.txt"), Answer::NotFound);
    }

    #[test]
    fn content_types_are_the_ones_browsers_insist_on() {
        for (name, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("marscope_bg.wasm", "application/wasm"),
            ("config.json", "application/json"),
            ("style.CSS", "text/css; charset=utf-8"),
            ("model.safetensors", "application/octet-stream"),
            ("no-extension", "application/octet-stream"),
        ] {
            assert_eq!(mime(Path::new(name)), expected, "{name}");
        }
    }
}
