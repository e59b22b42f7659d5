//! From the start of `dev` to the first act of the last service, beside the plainest program that starts as many: both are commands, and
//! both are timed from their own start.

use super::Bench;
use super::figures::{Row, Samples, Target, Unit};
use super::stage::{Moment, Stage, Stamp, now, signal};
use crate::process::Signal;
use anyhow::{Context as _, Result};

const COUNTS: [(usize, usize); 2] = [(10, 15), (100, 7)];

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    COUNTS
        .iter()
        .map(|(count, rounds)| one(bench, *count, bench.rounds(*rounds)))
        .collect()
}

fn one(bench: &Bench, count: usize, rounds: usize) -> Result<Row> {
    let stage = Stage::new(bench)?;
    stage.plain_services(count, "")?;
    let (mut ours, mut floor) = (Samples::default(), Samples::default());
    for _ in 0..rounds {
        let mut command = stage.command(&["dev", "-d"])?;
        let begun = now();
        let mut dev = command.spawn()?;
        ours.push(last(&stage.stamps(count)?) - begun);
        dev.wait()?;
        stage.down()?;
        floor.push(spawn_all(&stage, count)?);
    }
    Ok(Row {
        measure: format!("start of {count} services: the command's start to the last exec"),
        unit: Unit::Millis,
        ours,
        floor: Some(floor),
        target: Target::TimesFloor(2.0),
    })
}

fn spawn_all(stage: &Stage, count: usize) -> Result<f64> {
    let mut program = stage.spawner(count)?;
    let begun = now();
    let mut program = program.spawn().context("failed to start stamp")?;
    let stamps = stage.stamps(count)?;
    for stamp in &stamps {
        signal(stamp.pid, Signal::KILL)?;
    }
    program.wait()?;
    Ok(last(&stamps) - begun)
}

fn last(stamps: &[Stamp]) -> Moment {
    stamps.iter().map(|stamp| stamp.at).fold(0.0, f64::max)
}
