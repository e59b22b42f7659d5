//! From the death of a service to the first act of the next run, beside a loop of waitpid and posix_spawn.

use super::Bench;
use super::figures::{Row, Samples, Target, Unit};
use super::stage::{Stage, now, signal};
use crate::process::Signal;
use anyhow::Result;
use std::time::Duration;

/// How long each run lasts, in milliseconds, and how many rounds that is worth: a supervisor may not make the second crash wait,
/// neither soon after a start nor later.
const AGES: [(u64, usize); 2] = [(100, 40), (1500, 10)];

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    AGES.iter()
        .map(|(age, rounds)| one(bench, Duration::from_millis(*age), bench.rounds(*rounds)))
        .collect()
}

fn one(bench: &Bench, age: Duration, rounds: usize) -> Result<Row> {
    let stage = Stage::new(bench)?;
    stage.plain_services(1, "max_restarts = 1000000")?;
    stage.up()?;
    let mut pid = stage.stamp()?.pid;
    let mut ours = Samples::default();
    for _ in 0..rounds {
        stage.quiet(age)?;
        let killed = now();
        signal(pid, Signal::KILL)?;
        let next = stage.stamp()?;
        ours.push(next.at - killed);
        pid = next.pid;
    }
    stage.down()?;
    Ok(Row {
        measure: format!("crash {} s after its start to the next exec", age.as_secs_f64()),
        unit: Unit::Millis,
        ours,
        floor: Some(floor(&stage, age, rounds)?),
        target: Target::TimesFloor(2.0),
    })
}

fn floor(stage: &Stage, age: Duration, rounds: usize) -> Result<Samples> {
    let mut child = stage.spawn()?;
    stage.stamp()?;
    let mut floor = Samples::default();
    for _ in 0..rounds {
        stage.quiet(age)?;
        let killed = now();
        child.kill()?;
        child.wait()?;
        child = stage.spawn()?;
        floor.push(stage.stamp()?.at - killed);
    }
    child.kill()?;
    child.wait()?;
    Ok(floor)
}
