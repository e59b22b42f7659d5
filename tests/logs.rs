//! `logs` and `flush`, and the log files themselves.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Project, wait_until};

/// A service that has written its lines, and a second one.
fn talkers() -> Project {
    Project::new()
        .service(
            "web",
            "out 'web one' err 'web oops' after 50 out 'web two' pid web.done",
            "min_uptime = 50",
        )
        .service(
            "api",
            "wait-for web.done after 50 out 'api one' part 'api rest' pid api.done",
            "min_uptime = 50",
        )
}

/// The stack of `talkers`, when all is in the files.
fn talked(project: &Project) {
    project.up();
    project.pid_in("api.done");
    project.run(&["stop"]).ok();
}

/// The texts of the lines without what a program puts in front of them.
fn texts<'a>(output: &'a str, known: &[&'a str]) -> Vec<&'a str> {
    output
        .lines()
        .filter_map(|line| known.iter().find(|text| line.ends_with(**text)).copied())
        .collect()
}

const ALL: [&str; 5] = ["web one", "web oops", "web two", "api one", "api rest"];

#[test]
fn a_log_file_has_a_stamp_and_the_bytes_of_each_line() {
    let project = talkers();
    talked(&project);
    let text = project.read(".dev/dev/logs/web-out.log");
    let lines: Vec<(&str, &str)> = text.lines().map(|line| line.split_once(' ').unwrap()).collect();
    assert_eq!(
        lines.iter().map(|(_, text)| *text).collect::<Vec<_>>(),
        ["web one", "web two"]
    );
    for (stamp, _) in lines {
        // 2026-02-22T10:11:12.123456Z
        let shape: String = stamp
            .chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000000Z");
    }
    assert!(project.read(".dev/dev/logs/web-error.log").ends_with(" web oops\n"));
    assert!(
        project.read(".dev/dev/logs/api-out.log").ends_with(" api rest\n"),
        "a last line without a newline is kept"
    );
}

#[test]
fn files_are_for_the_user_alone_and_ignored_by_git() {
    let project = talkers();
    project.up();
    let mode = |path: &str| project.path(path).metadata().unwrap().permissions().mode() & 0o777;
    for dir in [".dev", ".dev/dev", ".dev/dev/logs"] {
        assert_eq!(mode(dir), 0o700, "{dir}");
    }
    for file in [
        "logs/web-out.log",
        "logs/web-error.log",
        "logs/api-out.log",
        "supervisor.log",
        "state.json",
    ] {
        assert_eq!(mode(&format!(".dev/dev/{file}")), 0o600, "{file}");
    }
    assert!(project.read(".dev/.gitignore").lines().any(|line| line == "*"));
}

#[test]
fn logs_merge_all_services_by_time_also_of_a_stopped_stack() {
    let project = talkers();
    talked(&project);
    let run = project.run(&["logs", "--no-follow"]).ok();
    let mut found = texts(&run.stdout, &ALL);
    // The two streams of web race for its first two lines.
    found[..2].sort_unstable();
    assert_eq!(found, ALL, "{run}");
    let named = |text: &str, name: &str| {
        let line = run.stdout.lines().find(|line| line.ends_with(text)).unwrap();
        assert!(line[..line.len() - text.len()].contains(name), "{line}");
    };
    named("web two", "web");
    named("api one", "api");
    assert_eq!(
        texts(&project.run(&["logs", "api", "--no-follow"]).ok().stdout, &ALL),
        ["api one", "api rest"]
    );
}

#[test]
fn n_counts_lines_of_the_merge() {
    let project = talkers();
    talked(&project);
    assert_eq!(
        texts(&project.run(&["logs", "-n", "3", "--no-follow"]).ok().stdout, &ALL),
        ["web two", "api one", "api rest"]
    );
    assert_eq!(
        texts(
            &project.run(&["logs", "web", "-n", "1", "--no-follow"]).ok().stdout,
            &ALL
        ),
        ["web two"]
    );
}

#[test]
fn a_stream_can_be_chosen_and_raw_is_the_bytes_alone() {
    let project = talkers();
    talked(&project);
    let run = |args: &[&str]| project.run(&[&["logs", "--no-follow"], args].concat()).ok().stdout;
    assert_eq!(run(&["web", "--raw", "--out"]), "web one\nweb two\n");
    assert_eq!(run(&["web", "--raw", "--err"]), "web oops\n");
    assert_eq!(texts(&run(&["--err"]), &ALL), ["web oops"]);
    assert_eq!(
        project.run(&["logs", "--out", "--err"]).status.code(),
        Some(2),
        "the two exclude each other"
    );
}

#[test]
fn lines_without_utf8_come_through_raw() {
    let project = Project::new().toml(
        "[services.web]\nscript = \"sh\"\nargs = ['-c', 'printf \"a\\377b\\n\\tc\\033[31md\\n\"; : > done; exec PUPPET']\nmin_uptime = 50\n",
    );
    let project = project.toml("[profiles.dev]\nservices = [\"web\"]");
    project.up();
    wait_until("it has written", || project.path("done").exists().then_some(()));
    project.run(&["stop"]).ok();
    let output = project
        .prepare(crate::support::xtask())
        .args(["logs", "web", "--raw", "--no-follow"])
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"a\xffb\n\tc\x1b[31md\n");
}

#[test]
fn following_shows_new_lines_and_those_of_a_service_that_starts_later() {
    let project = Project::new()
        .service("web", "out before wait-for go out after", "min_uptime = 50")
        .service("api", "out 'api is here'", "min_uptime = 50");
    project.run(&["dev", "-d", "--wait", "--only", "web"]).ok();
    let logs = project.start(&["logs"]);
    logs.wait_for("before");
    project.write("go", "");
    logs.wait_for("after");
    project.run(&["dev", "-d", "--wait"]).ok();
    logs.wait_for("api is here");
    logs.press_ctrl_c();
    logs.wait();
}

#[test]
fn following_goes_on_over_a_flush_and_a_restart() {
    let project = Project::new().service("web", "count runs out started", "min_uptime = 50");
    project.up();
    let logs = project.start(&["logs", "--raw"]);
    logs.wait_for("started\n");
    project.run(&["flush"]).ok();
    project.run(&["restart", "web"]).ok();
    logs.wait_for("started\nstarted\n");
    logs.press_ctrl_c();
    logs.wait();
}

#[test]
fn flush_empties_the_logs_of_running_and_stopped_services() {
    let project = talkers();
    talked(&project);
    project.run(&["flush", "web"]).ok();
    assert_eq!(project.read(".dev/dev/logs/web-out.log"), "");
    assert_ne!(project.read(".dev/dev/logs/api-out.log"), "");
    project.up();
    project.run(&["flush"]).ok();
    assert_eq!(texts(&project.run(&["logs", "--no-follow"]).ok().stdout, &ALL), [""; 0]);
    project.run(&["restart", "web"]).ok();
    wait_until("the log has lines again", || {
        project
            .read(".dev/dev/logs/web-out.log")
            .contains("web one")
            .then_some(())
    });
}

#[test]
fn flush_makes_a_missing_file_anew() {
    let project = Project::new().service("web", "out one wait-for go out two", "min_uptime = 50");
    project.up();
    let log = ".dev/dev/logs/web-out.log";
    wait_until("the first line is there", || {
        project.read(log).contains("one").then_some(())
    });
    std::fs::remove_file(project.path(log)).unwrap();
    project.run(&["flush"]).ok();
    project.write("go", "");
    wait_until("the second line is there", || {
        project.read(log).contains("two").then_some(())
    });
}

#[test]
fn a_flood_is_complete_rotated_and_pruned() {
    let keys = "max_size = \"64K\"\nretain = 3\ncompress = true\nmin_uptime = 50";
    let project = Project::new().service("web", "flood 20000 pid flooded", keys).service(
        "every",
        "flood 20000 pid every.flooded",
        "min_uptime = 50",
    );
    project.up();
    project.pid_in("flooded");
    project.pid_in("every.flooded");
    // The old ones are compressed a while after they were rotated, where they still are there by then.
    let old = wait_until("three old files are kept, compressed", || {
        let old = rotated(&project, "web-out.");
        (old.len() == 3 && old.iter().all(|name| name.ends_with(".log.gz"))).then_some(old)
    });
    project.run(&["stop"]).ok();
    assert_eq!(project.lines(".dev/dev/logs/every-out.log"), 20000);
    let last = project
        .read(".dev/dev/logs/web-out.log")
        .lines()
        .last()
        .map(str::to_owned);
    let last = last
        .or_else(|| unzip(&project, old.last().unwrap()).lines().last().map(str::to_owned))
        .unwrap();
    assert!(last.contains("line 19999 "), "{last}");
    // Nothing is lost between two files: the old ones and the present one are consecutive.
    let all: String =
        old.iter().map(|name| unzip(&project, name)).collect::<String>() + &project.read(".dev/dev/logs/web-out.log");
    let numbers: Vec<u32> = all
        .lines()
        .map(|line| line.split(' ').nth(2).unwrap().parse().unwrap())
        .collect();
    assert!(
        numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
        "a line is missing"
    );
    // Reading goes over the rotated files, too.
    let shown = project.run(&["logs", "web", "--raw", "--no-follow", "-n", "1000"]).ok();
    assert_eq!(shown.stdout.lines().count(), 1000);
    assert!(
        shown.stdout.starts_with("line 19000 "),
        "{}",
        shown.stdout.lines().next().unwrap()
    );
}

/// The names of the rotated files that begin so, oldest first.
fn rotated(project: &Project, start: &str) -> Vec<String> {
    let names = std::fs::read_dir(project.path(".dev/dev/logs")).unwrap().flatten();
    let mut names: Vec<String> = names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| name.starts_with(start) && name != &format!("{start}log"));
    names.sort();
    names
}

fn unzip(project: &Project, name: &str) -> String {
    let file = std::fs::File::open(project.path(".dev/dev/logs").join(name)).unwrap();
    std::io::read_to_string(flate2::read::GzDecoder::new(file)).unwrap()
}

#[test]
fn log_files_can_be_elsewhere_or_nowhere() {
    let project = Project::new().service(
        "web",
        "out here pid done",
        "min_uptime = 50\nout_file = \"log/web.txt\"\nerror_file = \"/dev/null\"",
    );
    project.up();
    project.pid_in("done");
    wait_until("the line is there", || {
        project.read("log/web.txt").ends_with(" here\n").then_some(())
    });
    let web = project.service_status("web");
    assert_eq!(web["out_log"].as_str(), project.path("log/web.txt").to_str());
}

#[test]
fn a_closed_pipe_ends_logs_quietly() {
    let project = Project::new().service("web", "flood 5000 pid done", "min_uptime = 50");
    project.up();
    project.pid_in("done");
    let script = format!(
        "{} logs web -n 5000 --no-follow | head -n 1 > first; echo $? >> first",
        crate::support::xtask()
    );
    let output = project.prepare("sh").args(["-c", &script]).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(project.read("first").ends_with("\n0\n"));
}

#[test]
fn a_stamp_of_the_users_own_is_written_and_read() {
    let project = Project::new()
        .service(
            "web",
            "out 'web one' pid web.done wait-for api.done after 50 out 'web two' pid web.end",
            "min_uptime = 50\nlog_date_format = '%H:%M:%S%.6f |'",
        )
        .service(
            "api",
            "wait-for web.done after 50 out 'api one' pid api.done",
            "min_uptime = 50",
        )
        .service(
            "bare",
            "wait-for web.end after 50 out '  bare one'",
            "log_date_format = ''",
        );
    project.up();
    project.pid_in("web.end");
    project.wait_ready("bare");
    let text = project.read(".dev/dev/logs/web-out.log");
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "00:00:00.000000 | web one\n00:00:00.000000 | web two\n");
    assert_eq!(project.read(".dev/dev/logs/bare-out.log"), "  bare one\n");
    for state in ["running", "stopped"] {
        let run = project.run(&["logs", "--raw", "--no-follow"]).ok();
        assert_eq!(run.stdout, "web one\napi one\nweb two\n  bare one\n", "{state}");
        project.run(&["stop"]).ok();
    }
    project.edit("%H:%M:%S%.6f |", "%H:%M %Z");
    project.run(&["check"]).code(1).says(&[
        "error: dev.toml:",
        "log_date_format",
        "cannot be read back",
        "write %z for %Z",
    ]);
}
