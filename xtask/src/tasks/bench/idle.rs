//! What a stack costs at rest: the memory of supervisor and keeper together, and whether they ever wake.

use super::Bench;
use super::figures::{Row, Samples, Target, Unit};
use super::stage::Stage;
use crate::process;
use anyhow::{Context as _, Result};
use std::time::Duration;

/// Services, mebibytes of the target.
const COUNTS: [(usize, f64); 2] = [(10, 5.0), (100, 10.0)];

/// How long nobody looks.
const SPAN: Duration = Duration::from_secs(5);

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (count, limit) in COUNTS {
        let stage = Stage::new(bench)?;
        stage.plain_services(count, "")?;
        let mut memory = Samples::default();
        for round in 0..bench.rounds(3) {
            stage.up_and_ready()?;
            stage.stamps(count)?;
            let own = stage.own_processes()?;
            if round == 0 && count == 100 {
                rows.extend(at_rest(&stage, &own, &format!("{count} services"))?);
            } else {
                stage.quiet(Duration::from_millis(500))?;
            }
            memory.push(footprint(&own)?.memory as f64 / f64::from(1 << 20));
            stage.down()?;
        }
        rows.push(Row {
            measure: format!("memory (PSS) of all our processes with {count} idle services"),
            unit: Unit::Mebibytes,
            ours: memory,
            floor: None,
            target: Target::Limit(limit),
        });
    }
    Ok(rows)
}

/// How often our processes wake, and how long they work, while nothing happens.
pub(super) fn at_rest(stage: &Stage, own: &[u32], what: &str) -> Result<[Row; 2]> {
    // What `status` has set going is over by then.
    stage.quiet(Duration::from_secs(2))?;
    let before = footprint(own)?;
    stage.quiet(SPAN)?;
    let after = footprint(own)?;
    let row = |measure: String, unit: Unit, figure: f64| Row {
        measure,
        unit,
        ours: std::iter::once(figure).collect(),
        floor: None,
        target: Target::Limit(0.0),
    };
    let span = SPAN.as_secs();
    let wakes = after.switches.saturating_sub(before.switches) as f64;
    let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1000.0;
    Ok([
        row(
            format!("idle {what}, nobody looking: wake-ups in {span} s"),
            Unit::Count,
            wakes,
        ),
        row(
            format!("idle {what}, nobody looking: processor time in {span} s"),
            Unit::Millis,
            cpu,
        ),
    ])
}

/// What several processes cost together.
pub(super) fn footprint(pids: &[u32]) -> Result<process::Footprint> {
    let mut sum = process::Footprint::default();
    for pid in pids {
        sum += process::footprint(*pid).context("failed to look at our own processes; this system may not tell")?;
    }
    Ok(sum)
}
