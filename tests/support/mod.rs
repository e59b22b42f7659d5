//! What the tests are written in: a `Project` with a `dev.toml` and puppets, commands that run against it, and waiting.

mod observed;
mod processes;
mod program;
mod project;
mod terminal;
mod tidepool;
mod waiting;

pub use observed::{pid, restarts};
pub use processes::{free_port, get, is_alive, is_free, parent_of, request, signal, wait_gone};
pub use program::{Run, Running, command};
pub use project::Project;
pub use rustix::process::Signal;
pub use serde_json::{Value, json};
pub use terminal::Terminal;
pub use tidepool::Tidepool;
pub use waiting::{LIMIT, measure, wait_at_most, wait_until};

use std::path::Path;
use std::sync::OnceLock;

/// The program under test: the one beside this test, which may be a copy of both that another user runs.
pub fn xtask() -> &'static str {
    static FOUND: OnceLock<String> = OnceLock::new();
    FOUND.get_or_init(|| {
        let own = std::env::current_exe().unwrap();
        let beside = own.ancestors().nth(2).unwrap().join("xtask");
        let found = if beside.is_file() {
            beside
        } else {
            env!("CARGO_BIN_EXE_xtask").into()
        };
        found.to_str().unwrap().to_owned()
    })
}

/// The puppet, an example of the package: `cargo test` builds it beside this test, `cargo test --test` leaves it to us.
pub fn puppet() -> String {
    static BUILT: OnceLock<String> = OnceLock::new();
    BUILT.get_or_init(build_puppet).clone()
}

fn build_puppet() -> String {
    let own = std::env::current_exe().unwrap();
    let profile = own.ancestors().nth(2).unwrap();
    let puppet = profile.join("examples/puppet");
    let changed = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/puppet/main.rs");
    if changed(&puppet) < changed(&source) {
        let mut cargo = command(env!("CARGO"));
        cargo.args([
            "build",
            "--quiet",
            "--package",
            env!("CARGO_PKG_NAME"),
            "--example",
            "puppet",
            "--target-dir",
        ]);
        cargo
            .arg(profile.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"));
        cargo.args((!cfg!(debug_assertions)).then_some("--release"));
        Running::start(&mut cargo).wait().ok();
    }
    puppet.to_str().unwrap().to_owned()
}

/// Whether a test that needs `program` can run; where it must, in CI, its absence is a failure.
pub fn has(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    present(
        program,
        std::env::split_paths(&paths).any(|dir| dir.join(program).is_file()),
    )
}

/// Whether the profile `prod` can run: ElasticMQ (java, and its jar where `dev.toml` looks for it) and Caddy.
pub fn has_elasticmq() -> bool {
    let jar = std::env::var_os("ELASTICMQ_JAR").unwrap_or_else(|| "/opt/elasticmq/elasticmq-server.jar".into());
    has("caddy") && has("java") && present("elasticmq", Path::new(&jar).is_file())
}

fn present(what: &str, found: bool) -> bool {
    assert!(
        found || std::env::var_os("CI").is_none(),
        "{what} is not installed, and CI needs it"
    );
    if !found {
        println!("skipped: no {what}");
    }
    found
}
