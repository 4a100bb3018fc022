//! `cargo xtask serve`: from a fresh clone to the page in a browser.
//! Whatever is missing or out of date is built first; then a static server like any other hands out `www/dist`.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, anyhow};
use tiny_http::{Header, Method, Request, Response, Server};

use crate::node;
use crate::process::www;
use crate::site::{Answer, Site, mime};
use crate::wasm;

/// A browser opens about six connections at a time.
const THREADS: usize = 6;

/// Arguments of `cargo xtask serve`.
#[derive(clap::Args)]
pub struct Args {
    /// The port on 127.0.0.1; 0 takes any that is free.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// The URL path the page appears under, as on a host that serves it from a sub-folder.
    #[arg(long, default_value = "/")]
    base: String,
}

/// Builds what is needed and serves the page until the program is stopped.
///
/// # Errors
/// If a build fails or the port is taken.
pub fn run(args: &Args) -> Result<()> {
    build()?;
    let folder = www().join("dist");
    let site = Site::new(&folder, &args.base).with_context(|| format!("no page in {}", folder.display()))?;
    listen(args.port, site)
}

fn build() -> Result<()> {
    node::check()?;
    if !node::installed() {
        node::install()?;
    }
    if wasm::up_to_date()? {
        println!("the WebAssembly bundles are up to date");
    } else {
        wasm::build(&wasm::Bundle::ALL)?;
    }
    node::npm(&["run", "build"], &[])
}

fn listen(port: u16, site: Site) -> Result<()> {
    // Only this machine: the server is for looking at the page, not for publishing it.
    let server = Server::http(("127.0.0.1", port)).map_err(|error| {
        anyhow!("cannot listen on 127.0.0.1:{port} ({error}): is the port taken? choose another with --port")
    })?;
    println!("serving the page at http://{}{} (stop with Ctrl-C)", server.server_addr(), site.base());
    let (server, site) = (Arc::new(server), Arc::new(site));
    let workers: Vec<_> = (0..THREADS)
        .map(|_| {
            let (server, site) = (Arc::clone(&server), Arc::clone(&site));
            thread::spawn(move || {
                for request in server.incoming_requests() {
                    // A browser that goes away in the middle of an answer is no reason to stop serving.
                    if let Err(error) = answer(request, &site) {
                        eprintln!("a request could not be answered: {error}");
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().map_err(|_| anyhow!("the server stopped unexpectedly"))?;
    }
    Ok(())
}

fn answer(request: Request, site: &Site) -> io::Result<()> {
    // tiny_http leaves the body out of the answer to a HEAD request by itself.
    if !matches!(request.method(), Method::Get | Method::Head) {
        let response = text("only GET and HEAD are served here\n", 405);
        return request.respond(response.with_header(header("Allow", "GET, HEAD")));
    }
    match site.answer(request.url()) {
        Answer::File(path) => {
            let response = Response::from_file(File::open(&path)?)
                .with_header(header("Content-Type", mime(&path)))
                // A rebuilt page must not be mixed with files of the one before.
                .with_header(header("Cache-Control", "no-cache"))
                // Without a length the page could show no progress while it loads.
                .with_chunked_threshold(usize::MAX);
            request.respond(response)
        }
        Answer::Redirect(to) => request.respond(text("", 308).with_header(header("Location", &to))),
        Answer::NotFound => request.respond(text("not found\n", 404)),
    }
}

fn text(body: &str, status: u16) -> Response<io::Cursor<Vec<u8>>> {
    Response::from_string(body).with_status_code(status)
}

/// A header whose value may come from a URL: characters that no header can have are left out.
fn header(name: &str, value: &str) -> Header {
    let value: String = value.chars().filter(|character| character.is_ascii_graphic() || *character == ' ').collect();
    Header::from_bytes(name, value).expect("printable ASCII makes a header")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::path::Path;

    use super::*;

    /// Serves `folder` for `requests` requests on a free port.
    fn start(folder: &Path, requests: usize) -> SocketAddr {
        let server = Server::http(("127.0.0.1", 0)).unwrap();
        let site = Site::new(folder, "/base/").unwrap();
        let address = server.server_addr().to_ip().unwrap();
        thread::spawn(move || {
            for request in server.incoming_requests().take(requests) {
                answer(request, &site).unwrap();
            }
        });
        address
    }

    fn ask(address: SocketAddr, method: &str, url: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "{method} {url} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[test]
    fn requests_are_answered_as_a_static_host_would() {
        let folder = tempfile::tempdir().unwrap();
        // Longer than what tiny_http sends in chunks by default.
        let weights = "w".repeat(100_000);
        fs::write(folder.path().join("model.safetensors"), &weights).unwrap();
        let address = start(folder.path(), 6);

        let get = ask(address, "GET", "/base/model.safetensors");
        assert!(get.starts_with("HTTP/1.1 200"), "{}", &get[..200]);
        assert!(get.contains("Content-Type: application/octet-stream"), "{}", &get[..200]);
        assert!(get.contains("Content-Length: 100000"), "{}", &get[..200]);
        assert!(get.ends_with(&weights));

        let head = ask(address, "HEAD", "/base/model.safetensors");
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("Content-Length: 100000"), "{head}");
        assert!(head.ends_with("\r\n\r\n"), "{head}");

        assert!(ask(address, "GET", "/base/../Cargo.toml").starts_with("HTTP/1.1 404"));
        assert!(ask(address, "GET", "/").starts_with("HTTP/1.1 404"));
        let redirect = ask(address, "GET", "/base?seed=1");
        assert!(redirect.starts_with("HTTP/1.1 308") && redirect.contains("Location: /base/?seed=1"), "{redirect}");
        assert!(ask(address, "POST", "/base/").starts_with("HTTP/1.1 405"));
    }
}
