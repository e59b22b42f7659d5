//! The benchmark: runs this very binary on temporary workspaces, beside the plainest program that does the same in the same
//! rounds, and prints what came of it. One file per group of measures.
//!
//! It is no test: a missed target is said and fails nothing, because the machine has its part in every figure.

mod figures;
mod idle;
mod logs;
mod restart;
mod stage;
mod start;
mod status;
mod stop;
mod watch;

use crate::config::did_you_mean;
use crate::{signal, ui};
use anyhow::{Context as _, Result, bail, ensure};
use figures::{HEADER, Row};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use xshell::{Shell, cmd};

/// Measures that belong together.
struct Group {
    name: &'static str,
    measure: fn(&Bench) -> Result<Vec<Row>>,
}

const GROUPS: [Group; 7] = [
    Group {
        name: "restart",
        measure: restart::measure,
    },
    Group {
        name: "start",
        measure: start::measure,
    },
    Group {
        name: "stop",
        measure: stop::measure,
    },
    Group {
        name: "idle",
        measure: idle::measure,
    },
    Group {
        name: "status",
        measure: status::measure,
    },
    Group {
        name: "watch",
        measure: watch::measure,
    },
    Group {
        name: "logs",
        measure: logs::measure,
    },
];

/// What every group needs.
pub struct Bench {
    /// This binary, as a user runs it.
    program: PathBuf,
    /// The process that tells when it began.
    stamp: PathBuf,
    /// In place of each measure's own number of rounds.
    rounds: Option<usize>,
    interrupted: Arc<AtomicBool>,
}

impl Bench {
    /// How often something is measured.
    fn rounds(&self, usual: usize) -> usize {
        self.rounds.unwrap_or(usual)
    }

    fn check_interrupted(&self) -> Result<()> {
        ensure!(!self.interrupted.load(Ordering::Relaxed), "interrupted");
        Ok(())
    }
}

/// Measures the named groups, or all, and prints the table.
///
/// # Errors
/// When something does not work; a missed target is no error.
pub fn run(names: &[String], rounds: Option<usize>) -> Result<()> {
    let chosen = choose(names)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    signal::on_termination(move || flag.store(true, Ordering::Relaxed))?;
    let program = crate::keeper::own_program()?;
    let bench = Bench {
        stamp: build_stamp(&program)?,
        program,
        rounds,
        interrupted,
    };
    let mut rows = Vec::new();
    for group in chosen {
        ui::tell(&format!("measuring {}", group.name));
        rows.extend((group.measure)(&bench).with_context(|| format!("failed to measure {}", group.name))?);
    }
    ui::print(&ui::table::plain(&HEADER, rows.iter().map(Row::cells)))?;
    let missed = rows.iter().filter(|row| row.is_met() == Some(false)).count();
    if missed > 0 {
        ui::tell(&format!("{missed} of {} targets are missed here and now", rows.len()));
    }
    Ok(())
}

fn choose(names: &[String]) -> Result<Vec<&'static Group>> {
    let known = || GROUPS.iter().map(|group| group.name);
    for name in names {
        if !known().any(|known| known == name) {
            let all: Vec<&str> = known().collect();
            bail!(
                "no measures `{name}`{}; there are {}",
                did_you_mean(name, known()),
                all.join(", ")
            );
        }
    }
    let is_chosen = |group: &&Group| names.is_empty() || names.iter().any(|name| name == group.name);
    Ok(GROUPS.iter().filter(is_chosen).collect())
}

/// Builds the process that is started and timed, beside this binary.
fn build_stamp(program: &Path) -> Result<PathBuf> {
    let profile = program
        .parent()
        .context("failed to find the directory of this program")?;
    let target = profile.parent().context("failed to find the target directory")?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("failed to find the project's root")?;
    let sh = Shell::new().context("failed to find the current directory")?;
    sh.change_dir(root);
    cmd!(sh, "cargo build --quiet --package stamp --target-dir {target}")
        .quiet()
        .run()
        .context("failed to build stamp")?;
    Ok(target.join("debug/stamp"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(wanted: &[&str]) -> Result<Vec<&'static str>> {
        let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
        choose(&wanted).map(|groups| groups.iter().map(|group| group.name).collect())
    }

    #[test]
    fn no_name_is_all_groups_and_an_unknown_one_names_the_nearest() {
        assert_eq!(names(&[]).unwrap().len(), GROUPS.len());
        assert_eq!(names(&["stop", "start"]).unwrap(), ["start", "stop"]);
        let error = names(&["statsu"]).unwrap_err().to_string();
        assert!(
            error.contains("`statsu`") && error.contains("did you mean") && error.contains("restart"),
            "{error}"
        );
    }
}
