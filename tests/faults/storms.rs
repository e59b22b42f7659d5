//! Too much of everything: a fork storm, ten thousand restarts, a hundred services that crash at once.

use crate::support::{Project, Signal, is_alive, parent_of, pid, restarts, signal, wait_until};

/// Forks 200 children a second, every second one into a session of its own.
fn storm(words: &str) -> Project {
    Project::new().service(
        "storm",
        &format!("{words} pid storm.pid storm 200"),
        "min_uptime = 50\nkill_timeout = \"500ms\"",
    )
}

/// Waits until the storm has blown for a while.
fn blow(project: &Project) {
    wait_until("a hundred children are there", || {
        (project.processes().len() > 100).then_some(())
    });
}

#[test]
fn a_fork_storm_is_stopped_completely() {
    for words in ["", "ignore"] {
        let project = storm(words);
        project.run(&["dev", "-d"]).ok();
        blow(&project);
        project.run(&["stop", "storm"]).ok();
        project.assert_no_service_process();
        assert_eq!(project.service_status("storm")["status"], "stopped");
        project.run(&["stop"]).ok();
        project.wait_nothing_left();
    }
}

#[test]
fn a_fork_storm_whose_source_crashes_is_over_before_the_next_run() {
    let project = storm("");
    project.run(&["dev", "-d"]).ok();
    blow(&project);
    let before = project.processes();
    signal(project.pid_in("storm.pid"), Signal::KILL);
    project.wait("storm", "is up again", |storm| {
        storm["restarts"] == 1 && storm["status"] == "online"
    });
    let alive: Vec<_> = before
        .into_iter()
        .filter(|process| !process.is_xtask() && is_alive(process.pid))
        .collect();
    assert!(alive.is_empty(), "of the first storm: {alive:#?}");
    project.run(&["stop"]).ok();
    project.wait_nothing_left();
}

/// What a process has of the system.
#[derive(Debug)]
struct Figures {
    memory_kib: u64,
    descriptors: usize,
    threads: u64,
    zombies: usize,
}

#[cfg(target_os = "linux")]
fn figures(pid: u32) -> Figures {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_ascii_whitespace().next().unwrap().parse().unwrap()
    };
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    Figures {
        memory_kib: number("VmRSS:"),
        descriptors: std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count(),
        threads: number("Threads:"),
        zombies: children
            .split_ascii_whitespace()
            .filter(|child| !is_alive(child.parse().unwrap()))
            .count(),
    }
}

/// Services that crash as fast as they are restarted, together.
#[cfg(target_os = "linux")]
#[test]
fn ten_thousand_restarts_of_a_crash_loop_leak_nothing() {
    const LOOPS: u64 = 20;
    // The first rotation of a log starts a thread that compresses, and stays.
    const COMPRESSOR: u64 = 1;
    // Whoever waits for the next command has a descriptor to give up, or is about to open it.
    const SPARE: usize = 1;
    let services: String = (0..LOOPS)
        .map(|number| format!("[services.loop-{number}]\nscript = \"false\"\nmax_restarts = 4000000\n"))
        .collect();
    let names: Vec<String> = (0..LOOPS).map(|number| format!("loop-{number}")).collect();
    let project = Project::new().toml(&format!("{services}[profiles.dev]\nservices = {names:?}"));
    project.run(&["dev", "-d"]).ok();
    let supervisor = project.supervisor();
    let keeper = parent_of(supervisor);
    let rest_after = |least: u64| {
        let total = || -> u64 {
            project.stacks()[0]["services"]
                .as_array()
                .unwrap()
                .iter()
                .map(restarts)
                .sum()
        };
        crate::support::wait_at_most(std::time::Duration::from_secs(120), || (total() >= least).then_some(()));
        project.run(&["stop", "all"]).ok();
        project.assert_no_service_process();
        total()
    };
    let look = || [figures(supervisor), figures(keeper)];
    let (early, before) = (rest_after(1000), look());
    project.run(&["start", "all"]).ok();
    let late = rest_after(early + 10_000);
    // The threads of the last command's connection may take a moment to end.
    let is_as_before = |after: &[Figures; 2]| {
        before.iter().zip(after).all(|(before, after)| {
            after.threads <= before.threads + COMPRESSOR && after.descriptors <= before.descriptors + SPARE
        })
    };
    let settled = crate::support::wait_at_most(crate::support::LIMIT, || Some(look()).filter(is_as_before));
    let after = settled.unwrap_or_else(look);
    println!("after {early} restarts {before:#?}\nafter {late} restarts {after:#?}");
    assert!(late >= early + 10_000, "only {late} restarts");
    for (before, after) in before.iter().zip(&after) {
        assert!(after.threads <= before.threads + COMPRESSOR && after.descriptors <= before.descriptors + SPARE);
        assert_eq!(after.zombies, 0);
        assert!(
            after.memory_kib < before.memory_kib + 2048,
            "memory grows: {before:?}, {after:?}"
        );
    }
    let logs: u64 = ["supervisor.log", "state.json"]
        .iter()
        .map(|file| project.path(&format!(".dev/dev/{file}")).metadata().unwrap().len())
        .sum();
    assert!(
        logs < 2 << 20,
        "the supervisor's own log is rotated; it has {logs} bytes"
    );
}

#[test]
fn a_hundred_services_crash_all_at_once_and_come_back() {
    let mut project = Project::new();
    for number in 0..100 {
        project = project.service(&format!("s{number}"), "child session end", "min_uptime = 50");
    }
    project.up();
    let pids = |project: &Project| -> Vec<u32> {
        project.stacks()[0]["services"]
            .as_array()
            .unwrap()
            .iter()
            .map(pid)
            .collect()
    };
    let before = pids(&project);
    let processes = project.processes();
    before.iter().for_each(|pid| signal(*pid, Signal::KILL));
    let back = wait_until("all are back", || {
        let stack = project.stacks().remove(0);
        let services = stack["services"].as_array().unwrap();
        let is_back = |service: &crate::support::Value| service["ready"] == true && restarts(service) == 1;
        services.iter().all(is_back).then(|| pids(&project))
    });
    assert!(back.iter().all(|pid| !before.contains(pid)));
    let alive: Vec<_> = processes
        .iter()
        .filter(|process| !process.is_xtask() && is_alive(process.pid))
        .collect();
    assert!(alive.is_empty(), "of the first runs: {alive:#?}");
    project.run(&["stop"]).ok();
    project.assert_no_service_process();
    project.wait_nothing_left();
}
