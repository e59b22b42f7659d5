//! `status` as a user runs it, beside the start and end of the plainest program.

use super::Bench;
use super::figures::{Row, Samples, Target, Unit};
use super::stage::{Stage, now};
use anyhow::{Context as _, Result};
use std::path::Path;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let stage = Stage::new(bench)?;
    stage.plain_services(10, "")?;
    stage.up_and_ready()?;
    stage.stamps(10)?;
    let (mut ours, mut floor) = (Samples::default(), Samples::default());
    for _ in 0..bench.rounds(40) {
        ours.push(stage.run(&["status"])?);
        let mut nothing = stage.program(Path::new("/bin/true"))?;
        let begun = now();
        nothing.status().context("failed to run true")?;
        floor.push(now() - begun);
    }
    stage.down()?;
    Ok(vec![Row {
        measure: "`status` of 10 services".to_owned(),
        unit: Unit::Millis,
        ours,
        floor: Some(floor),
        target: Target::Limit(3.0),
    }])
}
