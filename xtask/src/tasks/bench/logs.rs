//! Logs: how fast lines of 100 bytes come from services into their files, stamped and rotated, beside `generator | cat > file`;
//! what processor time that takes, and what memory stays. The files are in the temporary directory: `TMPDIR` chooses the disk.

use super::Bench;
use super::figures::{Row, Samples, Target, Unit};
use super::idle::footprint;
use super::stage::{Stage, now};
use crate::process;
use anyhow::{Context as _, Result, ensure};
use std::path::Path;
use std::process::{Child, Stdio};

/// So much output in such a manner; enough of it that the few milliseconds in which `dev --wait` ends do not count.
struct Load {
    name: &'static str,
    services: usize,
    /// How the generator writes: `blocks` of many lines, or each of the `lines` by itself.
    how: &'static str,
    /// Of all services together, in millions of bytes.
    megabytes: usize,
    /// The least that is wanted, in times of what cat does.
    least: f64,
}

const LOADS: [Load; 3] = [
    Load {
        name: "lines of one service",
        services: 1,
        how: "blocks",
        megabytes: 400,
        least: 0.8,
    },
    Load {
        name: "lines of one service, each written by itself",
        services: 1,
        how: "lines",
        megabytes: 200,
        least: 1.0,
    },
    Load {
        name: "lines of sixteen services at once",
        services: 16,
        how: "blocks",
        megabytes: 400,
        least: 0.8,
    },
];

/// Of the processor time that cat takes.
const MOST_CPU: f64 = 1.5;

/// What a run of a load took.
struct Cost {
    /// Millions of bytes in a second.
    rate: f64,
    /// Processor time of the supervisor, or of cat, in milliseconds for 10^9 bytes.
    cpu: f64,
}

pub(super) fn measure(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut memory = (Samples::default(), Samples::default());
    for load in &LOADS {
        // For nothing: memory that was free for long costs more than memory that was just in use, above all in a virtual machine.
        by_cat(bench, load)?;
        by_us(bench, load)?;
        let (mut rates, mut cpus) = <((Samples, Samples), (Samples, Samples))>::default();
        for _ in 0..bench.rounds(5) {
            let theirs = by_cat(bench, load)?;
            let (ours, after) = by_us(bench, load)?;
            rates.0.push(ours.rate);
            rates.1.push(theirs.rate);
            cpus.0.push(ours.cpu);
            cpus.1.push(theirs.cpu);
            if load.services == 1 && load.how == "blocks" {
                let little = Load { megabytes: 1, ..*load };
                memory.0.push(after);
                memory.1.push(by_us(bench, &little)?.1);
            }
        }
        rows.push(Row {
            measure: format!("log of {}", load.name),
            unit: Unit::MegabytesPerSecond,
            ours: rates.0,
            floor: Some(rates.1),
            target: Target::LeastTimesFloor(load.least),
        });
        rows.push(Row {
            measure: "its processor time for 1 GB".to_owned(),
            unit: Unit::Millis,
            ours: cpus.0,
            floor: Some(cpus.1),
            target: Target::TimesFloor(MOST_CPU),
        });
    }
    rows.push(Row {
        measure: "memory (PSS) of all our processes after 400 MB of lines, beside 1 MB".to_owned(),
        unit: Unit::Mebibytes,
        ours: memory.0,
        floor: Some(memory.1),
        target: Target::OverFloor(1.0),
    });
    Ok(rows)
}

impl Load {
    fn bytes_each(&self) -> usize {
        self.megabytes * 1_000_000 / self.services
    }

    fn cost(&self, begun: f64, ended: f64, cpu_millis: f64) -> Cost {
        Cost {
            rate: self.megabytes as f64 / (ended - begun) * 1000.0,
            cpu: cpu_millis / self.megabytes as f64 * 1000.0,
        }
    }
}

/// The load as services of a stack, until the last byte is in its log; the memory of our processes after it, in mebibytes.
fn by_us(bench: &Bench, load: &Load) -> Result<(Cost, f64)> {
    let stage = Stage::new(bench)?;
    // It is never ready, so that `--wait` waits for its end.
    let keys = format!(
        "script = 'STAMP'\nargs = ['SOCKET', '{}', '{}']\nautorestart = false\nready = {{ notify = true, timeout = '1h' }}",
        load.how,
        load.bytes_each()
    );
    stage.services(load.services, &keys)?;
    let mut dev = stage.command(&["dev", "-d", "--wait"])?.spawn()?;
    let begun = first(&stage, load.services)?;
    let status = dev.wait()?;
    let ended = now();
    ensure!(status.success(), "the services did not end well: {status}");
    let own = stage.own_processes()?;
    let cpu = process::snapshot()?
        .lineage(own[0])
        .first()
        .context("the supervisor is gone")?
        .own_cpu;
    let memory = footprint(&own)?.memory as f64 / f64::from(1 << 20);
    stage.down()?;
    // The system tells two times in whole ticks: on the average half a tick of each is left out.
    let left_out = 1000.0 / rustix::param::clock_ticks_per_second().max(1) as f64;
    Ok((load.cost(begun, ended, cpu.as_secs_f64() * 1000.0 + left_out), memory))
}

/// The load through one `cat` for each service.
fn by_cat(bench: &Bench, load: &Load) -> Result<Cost> {
    let stage = Stage::new(bench)?;
    let mut pairs = Vec::new();
    for number in 0..load.services {
        let mut generator = stage.program(&bench.stamp)?;
        generator.arg(stage.dir().join("stamps")).arg(load.how);
        generator.arg(load.bytes_each().to_string());
        let mut generator = generator
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start the generator")?;
        // The `times` of bash counts in thousandths of a second, that of other shells in whole ticks of the system's clock: of sixteen
        // short cats these would leave out a quarter.
        let mut cat = stage.program(Path::new("/bin/bash"))?;
        cat.args(["-c", "cat > \"$0\"; times", &format!("out{number}")]);
        let pipe = generator.stdout.take().context("the generator has no pipe")?;
        let cat = cat
            .stdin(pipe)
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start cat")?;
        pairs.push((generator, cat));
    }
    let begun = first(&stage, load.services)?;
    let ends: Result<Vec<String>> = pairs.into_iter().map(end).collect();
    let ended = now();
    let times: Option<f64> = ends?.iter().map(|times| children_millis(times)).sum();
    let cpu = times.context("failed to read what `times` says")?;
    Ok(load.cost(begun, ended, cpu))
}

/// When the first of so many processes began.
fn first(stage: &Stage, count: usize) -> Result<f64> {
    let stamps = stage.stamps(count)?;
    let begun = stamps.iter().map(|stamp| stamp.at).min_by(f64::total_cmp);
    begun.context("no process began")
}

/// Waits for a generator and its cat; what the shell around cat said.
fn end((mut generator, cat): (Child, Child)) -> Result<String> {
    let status = generator.wait()?;
    ensure!(status.success(), "the generator ended with {status}");
    let output = cat.wait_with_output()?;
    String::from_utf8(output.stdout).context("not UTF-8")
}

/// The processor time of a shell's children as its `times` prints it (`0m0.012s 0m1.500s`, on the second line), in milliseconds.
fn children_millis(times: &str) -> Option<f64> {
    let span = |text: &str| {
        let (minutes, seconds) = text.strip_suffix('s')?.split_once('m')?;
        Some((minutes.parse::<f64>().ok()? * 60.0 + seconds.parse::<f64>().ok()?) * 1000.0)
    };
    times.lines().nth(1)?.split_ascii_whitespace().map(span).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_shells_children_is_user_and_system_together() {
        assert_eq!(
            children_millis("0m0.001000s 0m0.002000s\n0m0.250000s 1m1.500000s\n"),
            Some(61_750.0)
        );
        assert_eq!(children_millis("0m0.00s 0m0.00s\n0m0.25s 0m1,50s\n"), None);
        assert_eq!(children_millis(""), None);
    }
}
