//! The project's own checks, each step named and timed. `.ci/run` installs what they need and calls this.

use crate::clock;
use anyhow::{Context as _, Result};
use std::path::Path;
use xshell::{Shell, cmd};

type Step = fn(&Shell) -> Result<()>;

/// The tests in which it matters who one is.
const AS_ANYBODY: [&str; 4] = ["faults::", "trees::", "stop::", "owner::"];

/// Runs all checks; the first that fails ends it.
///
/// # Errors
/// Which step failed.
pub fn run() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("failed to find the project's root")?;
    let sh = Shell::new().context("failed to find the current directory")?;
    sh.change_dir(root);
    // The tests wait more than they compute.
    let threads = 2 * std::thread::available_parallelism().map_or(1, usize::from);
    let _threads = sh.push_env("RUST_TEST_THREADS", threads.to_string());
    let steps: [(&str, Step); 6] = [
        ("format", |sh| Ok(cmd!(sh, "cargo fmt --all --check").run()?)),
        ("lints", |sh| {
            Ok(cmd!(sh, "cargo clippy --workspace --all-targets --locked -- -D warnings").run()?)
        }),
        ("build", |sh| Ok(cmd!(sh, "cargo build --workspace --locked").run()?)),
        ("tests", |sh| Ok(cmd!(sh, "cargo test --workspace --locked").run()?)),
        ("faults as an ordinary user", |sh| super::ordinary::run(sh, &AS_ANYBODY)),
        ("documents", |sh| {
            Ok(cmd!(sh, "cargo doc --workspace --no-deps --locked")
                .env("RUSTDOCFLAGS", "-D warnings")
                .run()?)
        }),
    ];
    for (name, step) in steps {
        crate::ui::tell(&format!("== {name}"));
        let begun = clock::monotonic();
        step(&sh).with_context(|| format!("step {name} failed"))?;
        crate::ui::tell(&format!(
            "== {name}: {:.1} s",
            (clock::monotonic() - begun).as_secs_f64()
        ));
    }
    Ok(())
}
