//! The repository's own stack, `dev.toml` with `tests/tidepool`, in a copy of the workspace.
//!
//! It has fixed ports, so one test at a time holds it, in whatever process that test runs. The copy and what its builds leave
//! stay where cargo keeps the files of this test binary: cargo builds the application once, not once for each test.

use std::fs::{self, File};
use std::ops::Deref;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::{Project, is_free, wait_until};

/// The ports of `dev.toml` and of `test.env`.
const PORTS: [u16; 11] = [7163, 5173, 8080, 8081, 2019, 9324, 17163, 18080, 18081, 12019, 19324];

/// Not a part of the source: what builds and stacks make.
const LEFT_OUT: [&str; 5] = ["target", ".git", ".dev", "build", "node_modules"];

/// The stack, held by one test.
pub struct Tidepool {
    // The project ends before the lock is given back.
    project: Project,
    _lock: File,
}

impl Tidepool {
    /// Waits for its turn and for the ports; the workspace is as it is in the repository, with no state.
    pub fn take() -> Tidepool {
        let lock = File::create(std::env::temp_dir().join("xtask-tests-tidepool.lock")).unwrap();
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        wait_until("the ports of dev.toml are free", || {
            PORTS.iter().all(|port| is_free(*port)).then_some(())
        });
        let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tidepool");
        mirror(
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap(),
            &copy,
            &LEFT_OUT,
        );
        for made in [".dev", "build"] {
            let _ = fs::remove_dir_all(copy.join(made));
        }
        // The stack builds its application with cargo.
        let mut project = Project::of(&copy).with_cargo();
        if let Some(jar) = std::env::var("ELASTICMQ_JAR").ok().filter(|jar| !jar.is_empty()) {
            project = project.env("ELASTICMQ_JAR", &jar);
        }
        Tidepool { project, _lock: lock }
    }
}

impl Deref for Tidepool {
    type Target = Project;

    fn deref(&self) -> &Project {
        &self.project
    }
}

/// Makes `to` the same as `from`; files that are the same already keep their times, which cargo goes by.
fn mirror(from: &Path, to: &Path, left_out: &[&str]) {
    fs::create_dir_all(to).unwrap();
    let names = |dir: &Path| -> Vec<_> {
        fs::read_dir(dir)
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name())
            .collect()
    };
    let kept = |name: &std::ffi::OsString| !left_out.iter().any(|left_out| name == left_out);
    for name in names(to)
        .into_iter()
        .filter(|name| kept(name) && !from.join(name).exists())
    {
        let path = to.join(name);
        let _ = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
    }
    for name in names(from).into_iter().filter(kept) {
        let (from, to) = (from.join(&name), to.join(&name));
        if from.is_dir() {
            mirror(&from, &to, &[]);
        } else if fs::read(&from).ok() != fs::read(&to).ok() {
            fs::copy(&from, &to).unwrap();
        }
    }
}
