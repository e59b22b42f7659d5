//! Watching: from the write of a source to the first act of the new run, beside a stop and a spawn; the start of the watch over
//! 20,000 files, and what it costs at rest.

use super::Bench;
use super::figures::{Row, Samples, Target, Unit};
use super::idle::at_rest;
use super::stage::{Stage, now, signal};
use crate::process::Signal;
use crate::watch::{WatchReport, WatchSpec, Watcher};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::Path;
use std::sync::mpsc::channel;

const DIRECTORIES: usize = 400;
const FILES: usize = 50;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = vec![change(bench)?];
    let stage = Stage::new(bench)?;
    let sources = stage.dir().join("src");
    make_sources(&sources)?;
    rows.push(start(bench, &stage)?);
    stage.plain_services(1, "watch = ['src']")?;
    stage.up_and_ready()?;
    stage.stamp()?;
    rows.extend(at_rest(&stage, &stage.own_processes()?, "watch of 20,000 files")?);
    stage.down()?;
    Ok(rows)
}

/// A source is written, and the service runs anew.
fn change(bench: &Bench) -> Result<Row> {
    let stage = Stage::new(bench)?;
    // In turn: one file that changes right after each start is taken for the service's own doing.
    let sources = ["src/main.rs", "src/lib.rs"].map(|source| stage.dir().join(source));
    fs::create_dir(stage.dir().join("src"))?;
    for source in &sources {
        fs::write(source, "0")?;
    }
    stage.plain_services(1, "watch = ['src']\nwatch_delay = 0")?;
    stage.up_and_ready()?;
    stage.stamp()?;
    let (mut ours, mut floor) = (Samples::default(), Samples::default());
    for round in 0..bench.rounds(20) {
        let written = now();
        fs::write(&sources[round % sources.len()], format!("{}", round + 1))?;
        ours.push(stage.stamp()?.at - written);
        floor.push(stop_and_spawn(&stage)?);
    }
    stage.down()?;
    Ok(Row {
        measure: "write of a watched source to the exec of the new run".to_owned(),
        unit: Unit::Millis,
        ours,
        floor: Some(floor),
        target: Target::OverFloor(20.0),
    })
}

fn stop_and_spawn(stage: &Stage) -> Result<f64> {
    let mut old = stage.spawn()?;
    stage.stamp()?;
    let begun = now();
    signal(old.id(), Signal::INT)?;
    old.wait()?;
    let mut new = stage.spawn()?;
    let took = stage.stamp()?.at - begun;
    new.kill()?;
    new.wait()?;
    Ok(took)
}

/// Until every directory is watched and every file's content is known.
fn start(bench: &Bench, stage: &Stage) -> Result<Row> {
    let mut ours = Samples::default();
    for _ in 0..bench.rounds(10) {
        let begun = now();
        let (sender, reports) = channel();
        let watcher = Watcher::start(move |report| {
            // Whoever has seen enough does not listen any more.
            let _ = sender.send((now(), report));
        })?;
        watcher.set(
            vec![WatchSpec {
                service: "s0".to_owned(),
                roots: vec![stage.dir().join("src")],
                ignore: Vec::new(),
                workspace: stage.dir().to_owned(),
                own: vec![stage.dir().join(".dev")],
            }],
            crate::clock::wall(),
        );
        match reports.recv().context("the watcher is gone")? {
            (at, WatchReport::Armed { files, .. }) if files == DIRECTORIES * FILES => ours.push(at - begun),
            (_, other) => bail!("not watched: {other:?}"),
        }
    }
    Ok(Row {
        measure: "start of the watch of 20,000 files".to_owned(),
        unit: Unit::Millis,
        ours,
        floor: None,
        target: Target::Limit(150.0),
    })
}

fn make_sources(root: &Path) -> Result<()> {
    for directory in 0..DIRECTORIES {
        let directory = root.join(format!("d{directory}"));
        fs::create_dir_all(&directory)?;
        for file in 0..FILES {
            fs::write(directory.join(format!("f{file}.rs")), format!("fn f{file}() {{}}\n"))?;
        }
    }
    Ok(())
}
