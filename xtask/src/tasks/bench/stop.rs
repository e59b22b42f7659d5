//! From the start of `stop` to its return, when nothing is left: neither the services, nor their children in sessions of their
//! own, nor the supervisor. The floor signals and reaps as many.

use super::Bench;
use super::figures::{Row, Samples, Target, Unit};
use super::stage::{self, Stage, now, signal};
use crate::process::{self, Signal};
use anyhow::{Result, ensure};

/// Services, rounds, milliseconds of the target.
const COUNTS: [(usize, usize, f64); 2] = [(20, 15, 20.0), (100, 7, 60.0)];

/// Each service starts a child that leaves its session; one that a shell starts in the background ignores SIGINT.
const WITH_CHILD: &str =
    "script = 'sh'\nargs = ['-c', 'setsid STAMP SOCKET & exec STAMP SOCKET']\nkill_signal = 'SIGTERM'";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    COUNTS
        .iter()
        .map(|(count, rounds, limit)| one(bench, *count, bench.rounds(*rounds), *limit))
        .collect()
}

fn one(bench: &Bench, count: usize, rounds: usize, limit: f64) -> Result<Row> {
    let stage = Stage::new(bench)?;
    stage.services(count, WITH_CHILD)?;
    let (mut ours, mut floor) = (Samples::default(), Samples::default());
    for _ in 0..rounds {
        stage.up()?;
        let all = stage::identities(&stage.stamps(2 * count)?);
        ensure!(all.len() == 2 * count, "a service ended by itself");
        ours.push(stage.down()?);
        ensure!(!all.iter().any(process::is_alive), "`stop` has left something behind");
        floor.push(end_all(&stage, 2 * count)?);
    }
    Ok(Row {
        measure: format!("stop of {count} services, each with a child in a session of its own"),
        unit: Unit::Millis,
        ours,
        floor: Some(floor),
        target: Target::Limit(limit),
    })
}

fn end_all(stage: &Stage, count: usize) -> Result<f64> {
    let mut children = (0..count).map(|_| stage.spawn()).collect::<Result<Vec<_>>>()?;
    stage.stamps(count)?;
    let begun = now();
    for child in &children {
        signal(child.id(), Signal::INT)?;
    }
    for child in &mut children {
        child.wait()?;
    }
    Ok(now() - begun)
}
