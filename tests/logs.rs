//! `logs` and `flush`, and the log files themselves.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::support::{Project, Running, wait_until, xtask};

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
    assert_eq!(mode(".dev/.gitignore"), 0o600);
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
fn names_that_the_stack_that_ran_last_does_not_have_are_looked_for_in_those_before() {
    let project = Project::new()
        .service("web", "out web", "")
        .service("api", "out api", "")
        .toml("[profiles.one]\nservices = [\"web\", \"api\"]\n[profiles.two]\nservices = [\"web\"]");
    for profile in ["one", "two"] {
        project.run(&["dev", "-p", profile, "-d", "--wait"]).ok();
        project.run(&["stop"]).ok();
    }
    let shown = |name: &str| project.run(&["logs", name, "--out", "--no-follow"]).ok().stdout;
    assert_eq!(shown("web"), "web | web\n");
    assert_eq!(shown("api"), "api | api\n");
    assert_eq!(shown("one/web"), "web | web\n");
    project
        .run(&["logs", "nobody", "--no-follow"])
        .code(1)
        .says(&["no service `nobody`; there is api, web"]);
}

#[test]
fn what_was_left_out_of_a_running_stack_can_still_be_read() {
    let project = Project::new()
        .service("web", "out web", "")
        .service("old", "out old", "")
        .toml("[profiles.dev]\nservices = [\"web\", \"old\"]");
    project.run(&["dev", "-d", "--wait"]).ok();
    project.run(&["stop"]).ok();
    project.run(&["dev", "-d", "--wait", "--only", "web"]).ok();
    let shown = |name: &str| project.run(&["logs", name, "--out", "--no-follow"]).ok().stdout;
    assert_eq!(shown("old"), "old | old\n");
    assert_eq!(shown("dev/old"), "old | old\n");
    let nobody = project.run(&["logs", "nobody", "--no-follow"]).code(1);
    nobody.says(&["no service `nobody`; there is old, web"]);
}

#[test]
fn who_follows_what_was_left_out_is_warned_of_nothing_again_and_again() {
    let project =
        Project::new()
            .service("web", "", "min_uptime = 50")
            .service("old", "out old-is-up", "min_uptime = 50");
    project.run(&["dev", "-d", "--wait", "--only", "web"]).ok();
    let mut command = project.prepare(xtask());
    command.args(["logs", "old"]).env("FOO", OsStr::from_bytes(b"\xff"));
    let logs = Running::start(&mut command);
    for _ in 0..3 {
        project.run(&["restart", "web"]).ok();
    }
    project.up();
    logs.wait_for("old-is-up");
    logs.press_ctrl_c();
    let run = logs.wait().ok();
    assert_eq!(run.stderr, "", "{run}");
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
        .prepare(xtask())
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
fn who_joins_is_followed_also_where_its_log_is_an_old_one() {
    let project = Project::new()
        .service("web", "out web-is-up", "min_uptime = 50")
        .service("api", "out api-is-up", "min_uptime = 50");
    project.up();
    project.run(&["stop"]).ok();
    project.run(&["dev", "-d", "--wait", "--only", "web"]).ok();
    let all = project.start(&["logs"]);
    let some = project.start(&["logs", "*", "--since", "1ms"]);
    let dev = project.start(&["dev", "--only", "web"]);
    all.wait_for("web-is-up");
    dev.wait_for("web-is-up");
    project.up();
    for following in [all, some, dev] {
        following.wait_for("api | api-is-up");
        following.wait_for("api * ready after");
        following.press_ctrl_c();
        following.wait();
    }
}

#[test]
fn a_stack_that_is_started_later_is_followed_too_and_told_apart() {
    let project = Project::new()
        .service("web", "out web-is-up", "min_uptime = 50")
        .service("api", "out api-is-up", "min_uptime = 50")
        .toml("[profiles.one]\nservices = [\"web\"]\n[profiles.two]\nservices = [\"api\"]");
    project.run(&["dev", "-d", "--wait", "-p", "one"]).ok();
    let following = project.start(&["logs"]);
    following.wait_for("web | web-is-up");
    project.run(&["dev", "-d", "--wait", "-p", "two"]).ok();
    following.wait_for("two/api | api-is-up");
    following.wait_for("two/api * ready after");
    project.run(&["restart", "web"]).ok();
    following.wait_for("one/web * restarted: asked by command");
    following.press_ctrl_c();
    following.wait().ok();
}

#[test]
fn following_ends_when_its_reader_does_even_if_nothing_comes() {
    let project = Project::new().service("web", "out web-is-up", "min_uptime = 50");
    project.up();
    for stop in [false, true] {
        if stop {
            project.run(&["stop"]).ok();
        }
        let mut command = project.prepare("sh");
        command.args(["-c", &format!("'{}' logs | head -n 1", xtask())]);
        let run = Running::start(&mut command).wait().ok();
        assert_eq!(run.stdout.lines().count(), 1, "{run}");
    }
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
    let said = |log: &str, text: &str| project.read(&format!(".dev/dev/logs/{log}.log")).matches(text).count();
    wait_until("both have said all again", || {
        let all = [
            said("web-out", "web two"),
            said("web-error", "web oops"),
            said("api-out", "api rest"),
        ];
        (all == [1, 1, 2]).then_some(())
    });
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
    fs::remove_file(project.path(log)).unwrap();
    project.run(&["flush"]).ok();
    project.write("go", "");
    wait_until("the second line is there", || {
        project.read(log).contains("two").then_some(())
    });
}

#[test]
fn flush_makes_missing_directories_and_one_that_cannot_be_emptied_keeps_no_other_from_it() {
    let project = Project::new()
        .service("api", "out here", "min_uptime = 50\nout_file = \"deep/er/api.log\"")
        .service("bad", "out here", "min_uptime = 50\nout_file = \"bad/bad.log\"")
        .service("web", "out here", "min_uptime = 50");
    project.up();
    project.run(&["stop"]).ok();
    for dir in ["deep", "bad"] {
        fs::remove_dir_all(project.path(dir)).unwrap();
    }
    project.write("bad", "a file");
    project.run(&["flush"]).code(1).says(&["error: ", "bad.log"]);
    assert_eq!(project.read("deep/er/api.log"), "");
    assert_eq!(project.read(".dev/dev/logs/web-out.log"), "");
    fs::remove_dir_all(project.path(".dev/dev/logs")).unwrap();
    fs::remove_file(project.path("bad")).unwrap();
    project.run(&["flush"]).ok();
    assert_eq!(project.read(".dev/dev/logs/web-out.log"), "");
}

#[test]
fn flush_of_a_running_stack_names_each_file_it_cannot_empty_and_empties_the_others() {
    let project = Project::new()
        .service("bad", "err oops", "min_uptime = 50\nout_file = \"dir\"")
        .service(
            "worse",
            "out here",
            "min_uptime = 50\nout_file = \"other\"\nerror_file = \"er\"",
        );
    for dir in ["dir", "other", "er"] {
        fs::create_dir(project.path(dir)).unwrap();
    }
    project.up();
    let log = ".dev/dev/logs/bad-error.log";
    wait_until("the line is there", || project.read(log).contains("oops").then_some(()));
    let [dir, other, er] =
        ["dir", "other", "er"].map(|dir| format!("cannot empty log file {}: ", project.path(dir).display()));
    let named = [format!("bad: {dir}"), format!("worse: {other}"), format!("worse: {er}")];
    project
        .run(&["flush"])
        .code(1)
        .says(&named.each_ref().map(String::as_str));
    assert_eq!(project.read(log), "");
}

#[test]
fn one_file_by_two_paths_has_one_writer_that_tears_no_line() {
    let words = "part begun wait-for go err oops";
    let both = |out: &str, error: &str| format!("min_uptime = 50\nout_file = {out:?}\nerror_file = {error:?}");
    let project = Project::new()
        .service("dirs", words, &both("real/made/x.log", "link/made/x.log"))
        .service("files", words, &both("y.log", "to-y.log"));
    fs::create_dir(project.path("real")).unwrap();
    symlink("real", project.path("link")).unwrap();
    symlink("y.log", project.path("to-y.log")).unwrap();
    project.up();
    let logs = ["real/made/x.log", "y.log"];
    let wait_for = |end: &str| logs.map(|log| wait_until(log, || project.read(log).ends_with(end).then_some(())));
    wait_for(" begun");
    project.write("go", "");
    wait_for(" oops\n");
    for log in logs {
        let text = project.read(log);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            matches!(lines[..], [first, _] if first.ends_with(" begun [xtask: line continues]")),
            "{text}"
        );
    }
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
    let names = fs::read_dir(project.path(".dev/dev/logs")).unwrap().flatten();
    let mut names: Vec<String> = names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| name.starts_with(start) && name != &format!("{start}log"));
    names.sort();
    names
}

fn unzip(project: &Project, name: &str) -> String {
    let file = fs::File::open(project.path(".dev/dev/logs").join(name)).unwrap();
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
        xtask()
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

/// One crash between what two services say.
fn crashed() -> Project {
    let project = Project::new()
        .service(
            "web",
            "out 'web here' err 'web oops' out '{\"level\":50,\"msg\":\"web bad\",\"n\":1}' out 'level=info msg=fine' take live exit 3",
            "min_uptime = 50\nautorestart = false",
        )
        .service("api", "out 'api here' pid api.done", "min_uptime = 50");
    project.write("live", "");
    project
}

#[test]
fn lines_are_chosen_by_time_level_and_pattern() {
    let project = crashed();
    project.run(&["dev", "-d"]).ok();
    project.wait_status("web", "stopped");
    project.pid_in("api.done");
    let all = [
        "web here",
        "web oops",
        "\"web bad\",\"n\":1}",
        "level=info msg=fine",
        "api here",
    ];
    let logs = |args: &[&str]| {
        let run = project.run(&[&["logs", "--no-follow"], args].concat()).ok();
        let mut found: Vec<String> = texts(&run.stdout, &all).into_iter().map(str::to_owned).collect();
        found.sort_by_key(|text| all.iter().position(|known| known == text));
        found
    };
    for state in ["running", "stopped"] {
        assert_eq!(logs(&["--since", "5m"]), all, "{state}");
        assert_eq!(logs(&["--until", "5m"]), [""; 0], "{state}");
        assert_eq!(logs(&["--since", "1h", "--until", "0"]), all, "{state}");
        assert_eq!(logs(&["--grep", "^web (h|o)"]), all[..2], "{state}");
        assert_eq!(logs(&["--level", "warn"]), all[1..3], "{state}");
        assert_eq!(logs(&["--level", "error", "web"]), all[2..3], "{state}");
        assert_eq!(logs(&["--level", "50", "web"]), all[2..3], "{state}");
        assert_eq!(logs(&["--level", "debug"]), all, "{state}");
        assert_eq!(logs(&["--around", "web"]), all, "{state}");
        assert_eq!(logs(&["--around", "web", "api"]), all[4..], "{state}");
        let errors = project.run(&["errors"]).ok();
        assert_eq!(texts(&errors.stdout, &all).len(), 2, "{errors}");
        assert_eq!(errors.stdout.lines().count(), 2, "no events: {errors}");
        project.run(&["errors", "api"]).ok();
        let around = project.run(&["logs", "--around", "web"]).ok();
        around.prints(&["web * ended with exit code 3 after", "web * started (pid"]);
        project.run(&["stop"]).ok();
    }
    project
        .run(&["logs", "--around", "api"])
        .code(1)
        .says(&["error: api has not crashed"]);
    project.run(&["logs", "--around", "wab"]).code(1).says(&["web"]);
}

#[test]
fn options_that_exclude_each_other_or_mean_nothing_are_usage_errors() {
    let project = talkers();
    talked(&project);
    for (args, said) in [
        (&["--raw", "--json"][..], "cannot be used with"),
        (&["--around", "web", "--since", "5m"], "cannot be used with"),
        (&["--since", "yesterday"], "10:30"),
        (&["--until", "25:00"], "10:30"),
        (&["--level", "loud"], "warn"),
        (&["--grep", "("], "unclosed group"),
        (&["--since", "5m", "--until", "10m"], "later than"),
    ] {
        project
            .run(&[&["logs", "--no-follow"], args].concat())
            .code(2)
            .says(&[said]);
    }
}

#[test]
fn json_is_one_object_a_line_also_while_following() {
    let project = crashed();
    project.run(&["dev", "-d"]).ok();
    project.wait_status("web", "stopped");
    project.pid_in("api.done");
    let logs = project.start(&["logs", "--json", "--since", "1h"]);
    logs.wait_for("api here");
    project.run(&["stop", "api"]).ok();
    logs.wait_for("\"stopped\"");
    logs.press_ctrl_c();
    let followed = logs.wait().ok().stdout;
    let parsed: Vec<crate::support::Value> = followed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for line in &parsed {
        let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["time", "service", "stream", "text", "fields"], "{line}");
    }
    let find = |text: &str| {
        parsed
            .iter()
            .find(|line| line["text"].as_str().unwrap().contains(text))
            .unwrap()
    };
    assert_eq!(
        (&find("oops")["stream"], &find("oops")["fields"]),
        (&"err".into(), &().into())
    );
    assert_eq!(
        find("web bad")["fields"],
        serde_json::json!({"level": 50, "msg": "web bad", "n": 1})
    );
    assert_eq!(
        find("msg=fine")["fields"],
        serde_json::json!({"level": "info", "msg": "fine"})
    );
    assert_eq!(find("ended with exit code 3")["stream"], "event");
    assert!(
        parsed
            .windows(2)
            .all(|pair| pair[0]["time"].as_str() <= pair[1]["time"].as_str()),
        "{followed}"
    );
}

#[test]
fn raw_puts_long_lines_together_and_unfinished_ones_are_shown() {
    let long = "x".repeat(200_000);
    let project = Project::new()
        .file("long", &format!("{long}\n"))
        .toml("[services.web]\nscript = \"sh\"\nargs = ['-c', 'cat long; printf \"name: \"; : > done; exec PUPPET']\nmin_uptime = 50\n")
        .toml("[profiles.dev]\nservices = [\"web\"]");
    project.up();
    let log = ".dev/dev/logs/web-out.log";
    wait_until("the prompt is there", || {
        project.read(log).ends_with("name: ").then_some(())
    });
    assert_eq!(project.lines(log), 5, "the file has it in pieces");
    for args in [&["-n", "9"][..], &["--since", "1h"]] {
        let run = project.run(&[&["logs", "--raw", "--no-follow"], args].concat()).ok();
        assert!(run.stdout == format!("{long}\nname: "), "{args:?} {}", run.stdout.len());
    }
    let logs = project.start(&["logs", "-n", "0", "--out"]);
    logs.wait_for("name: ");
    project.run(&["stop"]).ok();
    wait_until("its end is in the file", || {
        project.read(log).ends_with('\n').then_some(())
    });
    logs.press_ctrl_c();
    assert_eq!(
        logs.wait().ok().stdout,
        "web | name: \n",
        "the end of the line adds nothing"
    );
}

#[test]
fn a_prompt_is_shown_however_busy_the_others_are() {
    let project = Project::new()
        .toml("[services.ask]\nscript = \"PUPPET\"\nargs = [\"part\", \"Continue? \"]\nmin_uptime = 50")
        .toml("[services.busy]\nscript = \"sh\"\nargs = ['-c', 'while :; do echo x; sleep 0.02; done']")
        .toml("[services.dots]\nscript = \"sh\"\nargs = ['-c', 'while :; do printf .; sleep 0.3; done']")
        .toml("[profiles.dev]\nservices = [\"ask\", \"busy\", \"dots\"]");
    let dev = project.start(&["dev"]);
    dev.wait_for("Continue? ");
    dev.press_ctrl_c();
    dev.wait().ok();
}

#[test]
fn who_follows_chosen_lines_sees_a_line_once_it_is_whole() {
    let project = Project::new().service(
        "web",
        "part 'listening ' wait-for go out 'on 80' wait-for end",
        "min_uptime = 50",
    );
    project.up();
    let logs = project.start(&["logs", "-n", "0", "--grep", "listening on|ready"]);
    let all = project.start(&["logs", "--out"]);
    // Who wants all lines sees it unfinished: by then the others have looked at it, too, or will see it whole.
    all.wait_for("listening ");
    project.write("go", "");
    logs.wait_for("listening on 80");
    for follower in [logs, all] {
        follower.press_ctrl_c();
        follower.wait().ok();
    }
}

#[test]
fn who_counts_the_past_lines_still_follows_the_events() {
    let project = Project::new().service("web", "out hello exit-when crash 3", "min_uptime = 50");
    project.up();
    let logs = project.start(&["logs", "-n", "1"]);
    logs.wait_for("hello");
    project.write("crash", "");
    logs.wait_for("ended with exit code 3");
    logs.press_ctrl_c();
    logs.wait().ok();
}

#[test]
fn a_terminal_shows_time_level_message_and_matches() {
    let project = Project::new().service(
        "web",
        "out '{\"level\":40,\"time\":1795433111695,\"msg\":\"disk full\",\"free\":0}' pid done",
        "min_uptime = 50",
    );
    project.up();
    project.pid_in("done");
    let mut logs = crate::support::Terminal::run(&project, &["logs", "--grep", "full|0"]);
    logs.wait_for("web");
    logs.wait_for("| \u{1b}[33mwarn \u{1b}[0m disk \u{1b}[1m\u{1b}[31mfull\u{1b}[0m");
    logs.wait_for("free=\u{1b}[0m\u{1b}[1m\u{1b}[31m0\u{1b}[0m");
    logs.type_text("\x03");
    logs.wait();
    let mut plain = crate::support::Terminal::run(&project, &["--color", "never", "logs", "--no-follow"]);
    plain.wait_for(" web | warn  disk full free=0");
    plain.wait();
}

#[test]
fn logs_are_read_without_a_supervisor_that_answers() {
    let project = talkers();
    project.up();
    // What is still in a pipe when a supervisor is suspended, and then killed, is in no file.
    let web = ["logs", "--no-follow", "web", "--raw", "--out"];
    let api = ["logs", "--no-follow", "api", "--raw"];
    for (args, text) in [(&web[..], "web one\nweb two\n"), (&api, "api one\napi rest")] {
        wait_until("it is in the files", || {
            (project.run(args).ok().stdout == text).then_some(())
        });
    }
    let supervisor = u32::try_from(project.stacks()[0]["supervisor"]["pid"].as_u64().unwrap()).unwrap();
    crate::support::signal(supervisor, crate::support::Signal::STOP);
    let run = project.run(&web).ok();
    assert_eq!(
        run.says(&["warning: ", "reading the log files without it"]).stdout,
        "web one\nweb two\n"
    );
    crate::support::signal(supervisor, crate::support::Signal::KILL);
    project.wait_nothing_left();
    let run = project.run(&api).ok();
    assert_eq!(run.stdout, "api one\napi rest", "byte by byte");
}

#[test]
fn a_reader_that_is_stopped_slows_nobody_and_misses_nothing() {
    let project = Project::new().service(
        "web",
        "out hello wait-for go flood 30000 pid flooded",
        "min_uptime = 50",
    );
    project.up();
    let logs = project.start(&["logs", "--raw", "-n", "1"]);
    logs.wait_for("hello");
    logs.signal(crate::support::Signal::STOP);
    project.write("go", "");
    project.pid_in("flooded");
    assert!(project.service_status("web")["status"] == "online");
    logs.signal(crate::support::Signal::CONT);
    logs.wait_for("line 29999 ");
    logs.press_ctrl_c();
    logs.wait();
}

#[test]
fn flush_under_a_flood_removes_the_rotated_files_and_loses_nothing_after_it() {
    let project = Project::new().service(
        "web",
        "flood 100000 wait-for go out last pid done",
        "max_size = \"64K\"\nmin_uptime = 50",
    );
    project.up();
    wait_until("it has rotated", || {
        (!rotated(&project, "web-out.").is_empty()).then_some(())
    });
    project.run(&["flush"]).ok();
    project.write("go", "");
    project.pid_in("done");
    wait_until("the last line is there", || {
        let log = project.read(".dev/dev/logs/web-out.log");
        assert!(!log.contains('\0'));
        log.ends_with(" last\n").then_some(())
    });
    project.run(&["flush", "web"]).ok();
    assert_eq!(rotated(&project, "web-out."), [""; 0]);
    project.run(&["stop"]).ok();
    project.run(&["flush"]).ok();
    assert_eq!(project.run(&["logs", "--raw", "--no-follow"]).ok().stdout, "");
}
