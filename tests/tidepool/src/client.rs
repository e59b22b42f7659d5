//! The client: a page and a script, compiled in. `dev` serves them and passes `/api/*` on; `build` writes them.
//! Speaks to people, so its lines are text.

use std::io::Write;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use crate::clock;
use crate::fetch::Client;
use crate::http::{self, Call, Reply};
use crate::settings::Settings;
use crate::stop;

const PAGE: &str = include_str!("../client/index.html");
const SCRIPT: &str = include_str!("../client/app.js");
/// How long the API may take before the proxy answers 502.
const PROXY_LIMIT: Duration = Duration::from_secs(10);

/// Serves the client until a signal. False when it could not start.
pub fn dev(settings: &Settings) -> bool {
    match serve(settings) {
        Ok(()) => true,
        Err(problem) => {
            say_error(&format!("error: {problem}"));
            false
        }
    }
}

/// Writes the client. False when that failed.
pub fn build(settings: &Settings) -> bool {
    match write_to(&settings.build_dir) {
        Ok(written) => {
            for (path, bytes) in written {
                say(&format!("{path}  {bytes} bytes"));
            }
            true
        }
        Err(problem) => {
            say_error(&format!("error: {problem}"));
            false
        }
    }
}

fn serve(settings: &Settings) -> Result<(), String> {
    let (sender, stopped) = mpsc::channel();
    stop::on_signal(sender, || ())?;
    let listeners = http::bind(settings.client_port)?;
    let api = format!("http://localhost:{}", settings.port);
    let client = Client::new(PROXY_LIMIT);
    say("> tidepool client (dev)");
    let serving = http::serve(listeners, {
        let api = api.clone();
        move |call| answer(call, &client, &api)
    })?;
    say(&format!("> Local:  http://localhost:{}/", settings.client_port));
    say(&format!("> Proxy:  /api/* -> {api}"));
    let _ = stopped.recv();
    say("> bye");
    serving.finish();
    Ok(())
}

fn answer(call: &Call, client: &Client, api: &str) -> Reply {
    let start = clock::monotonic();
    let reply = match file(call.path(), &script_name()) {
        Served::Api => proxied(call, client, api),
        Served::File(content_type, body) => Reply::new(200, content_type, body),
        Served::Nothing => Reply::new(404, "text/plain; charset=utf-8", "not found\n"),
    };
    let spent = (clock::monotonic() - start).as_millis();
    say(&format!("{} {} {} in {spent}ms", call.method, call.url, reply.status));
    reply
}

#[derive(Debug, PartialEq, Eq)]
enum Served {
    Api,
    File(&'static str, String),
    Nothing,
}

/// What is behind a path. One without a dot is a route of the client's own: its page answers.
fn file(path: &str, script: &str) -> Served {
    if path.starts_with("/api/") {
        Served::Api
    } else if path.strip_prefix("/assets/") == Some(script) {
        Served::File("text/javascript; charset=utf-8", SCRIPT.to_string())
    } else if path.contains('.') && path != "/index.html" {
        Served::Nothing
    } else {
        Served::File("text/html; charset=utf-8", page(script))
    }
}

fn proxied(call: &Call, client: &Client, api: &str) -> Reply {
    let url = format!("{api}{}", call.url);
    match client.send(&call.method, &url, &call.content_type, call.body.clone()) {
        Ok(answer) => Reply {
            status: answer.status,
            content_type: answer.content_type,
            body: answer.body,
        },
        Err(cause) => {
            say_error(&format!("[proxy] {} {}: {cause}", call.method, call.url));
            Reply::new(
                502,
                "text/plain; charset=utf-8",
                format!("reach {api}: {cause}; is the server up?\n"),
            )
        }
    }
}

/// What was written, with sizes.
fn write_to(dir: &Path) -> Result<Vec<(String, usize)>, String> {
    let (assets, script) = (dir.join("assets"), script_name());
    let failed = |path: &Path, cause: std::io::Error| format!("write {}: {cause}", path.display());
    // What an earlier build left there has another name.
    if assets.exists() {
        std::fs::remove_dir_all(&assets).map_err(|cause| failed(&assets, cause))?;
    }
    std::fs::create_dir_all(&assets).map_err(|cause| failed(&assets, cause))?;
    let files = [
        (assets.join(&script), SCRIPT.to_string()),
        (dir.join("index.html"), page(&script)),
    ];
    for (path, text) in &files {
        std::fs::write(path, text).map_err(|cause| failed(path, cause))?;
    }
    Ok(files
        .iter()
        .map(|(path, text)| (path.display().to_string(), text.len()))
        .collect())
}

fn page(script: &str) -> String {
    PAGE.replace("/assets/app.js", &format!("/assets/{script}"))
}

fn script_name() -> String {
    format!("app-{:08x}.js", hash(SCRIPT.as_bytes()))
}

/// FNV-1a: the same everywhere, and another one for another script.
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

fn say(line: &str) {
    // Nobody reads on: no reason to stop serving.
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn say_error(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_the_script_that_is_written_beside_it() {
        let script = script_name();
        assert!(page(&script).contains(&format!("src=\"/assets/{script}\"")));
    }

    #[test]
    fn the_hash_is_the_known_one() {
        assert_eq!(hash(b""), 0x811c_9dc5);
        assert_eq!(hash(b"foobar"), 0xbf9c_f968);
    }

    #[test]
    fn a_route_of_the_client_gets_the_page_and_a_missing_file_does_not() {
        assert!(matches!(
            file("/jobs/7", "app-1.js"),
            Served::File("text/html; charset=utf-8", _)
        ));
        assert!(matches!(
            file("/assets/app-1.js", "app-1.js"),
            Served::File("text/javascript; charset=utf-8", _)
        ));
        assert_eq!(file("/assets/app-2.js", "app-1.js"), Served::Nothing);
        assert_eq!(file("/api/jobs", "app-1.js"), Served::Api);
    }
}
