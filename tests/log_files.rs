//! What a service writes is in its log files: every byte, in order, through rotation, restarts and kills.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::support::{Project, Signal, pid, restarts, signal, wait_gone, wait_until};

const OUT: &str = ".dev/dev/logs/web-out.log";

/// The texts of the lines of a log, without their stamps; an unfinished one is the last.
fn texts(project: &Project, log: &str) -> Vec<String> {
    let text = project.read(log);
    text.lines()
        .map(|line| line.split_once(' ').map_or(line, |(_, text)| text).to_owned())
        .collect()
}

/// Waits until a log has this line.
#[track_caller]
fn wait_for_line(project: &Project, log: &str, line: &str) {
    wait_until(&format!("{log} has the line {line:?}"), || {
        texts(project, log).iter().any(|text| text == line).then_some(())
    });
}

/// The rotated files of a log and the log itself, oldest first.
fn paths_of(log: &Path) -> Vec<PathBuf> {
    let start = format!("{}.2", log.file_stem().unwrap().to_str().unwrap());
    let entries = fs::read_dir(log.parent().unwrap()).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(&start) && !name.ends_with(".tmp")
    });
    paths.sort();
    // While it is being compressed a file is there twice.
    paths.dedup_by(|later, first| later.to_str().unwrap().strip_suffix(".gz") == first.to_str());
    paths.push(log.to_owned());
    paths
}

/// The contents of a log file, read without the program under test.
fn contents(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut file = File::open(path).unwrap();
    match path.extension().is_some_and(|extension| extension == "gz") {
        true => flate2::read::MultiGzDecoder::new(file).read_to_end(&mut bytes).unwrap(),
        false => file.read_to_end(&mut bytes).unwrap(),
    };
    bytes
}

#[cfg(target_os = "linux")]
#[test]
fn only_a_stream_that_says_something_costs_a_thread() {
    let project = Project::new()
        .service("silent", "", "")
        .service("web", "out here", "ready = { log = \"here\" }");
    project.up();
    let supervisor = project.stacks()[0]["supervisor"]["pid"].as_u64().unwrap();
    let threads = || {
        let names = fs::read_dir(format!("/proc/{supervisor}/task")).unwrap();
        // One that ends while it is looked at is none.
        let names = names
            .flatten()
            .filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok());
        names.filter(|name| name.trim() == "log").count()
    };
    assert_eq!(threads(), 1, "for the stdout of web, and for no other of four");
    project.run(&["stop", "web"]).ok();
    wait_until("the thread ends with the stream", || (threads() == 0).then_some(()));
    project.run(&["stop", "silent"]).ok();
}

#[test]
fn the_last_byte_is_there_however_a_service_ends() {
    let once = "autorestart = false";
    let project = Project::new()
        .service("exits", "flood 3000 part 'the end' exit 3", once)
        .service("killed", "flood 3000 part 'the end' die KILL", once)
        .service("aborts", "flood 3000 part 'the end' die ABRT", once)
        .service(
            "closes",
            "flood 3000 part 'the end' close pid closed",
            "min_uptime = 50",
        )
        // What it leaves behind holds the pipe until it has been asked to end.
        .service(
            "leaves",
            "child session bye last x pid kid wait-for never end wait-for kid flood 3000 part 'the end' exit 3",
            once,
        );
    project.run(&["dev", "-d"]).ok();
    for name in ["exits", "killed", "aborts", "leaves"] {
        project.wait_status(name, "stopped");
    }
    project.pid_in("closed");
    for name in ["exits", "killed", "aborts", "closes", "leaves"] {
        let log = format!(".dev/dev/logs/{name}-out.log");
        if name == "closes" {
            wait_for_line(&project, &log, "the end");
        }
        let texts = texts(&project, &log);
        assert_eq!(texts.len(), 3001, "{name}");
        assert!(texts[2999].starts_with("line 2999 "), "{name}: {}", texts[2999]);
        assert_eq!(texts[3000], "the end", "{name}");
    }
    assert!(
        project.read(".dev/dev/logs/exits-out.log").ends_with("the end\n"),
        "an unfinished line is ended when its stream is"
    );
    assert_eq!(project.read("last"), "x\n");
    assert_eq!(project.wait_ready("closes")["status"], "online");
}

#[test]
#[cfg(target_os = "linux")]
fn a_stranger_who_holds_the_pipe_keeps_nothing_waiting_and_loses_nothing() {
    let project = Project::new().service("web", "out begun pid web.pid", "min_uptime = 50");
    project.up();
    let first = pid(&project.service_status("web"));
    // As somebody has it who was handed the descriptor over a socket: no process of the service's tree.
    let pipe = format!("/proc/{first}/fd/1");
    let mut held = File::options().write(true).open(pipe).unwrap();
    signal(first, Signal::KILL);
    project.wait("web", "runs again", |web| {
        web["pid"].is_u64() && web["pid"] != first && web["ready"] == true
    });
    held.write_all(b"said by a stranger\n").unwrap();
    wait_for_line(&project, OUT, "said by a stranger");
    project.run(&["stop"]).ok();
    assert_eq!(texts(&project, OUT), ["begun", "begun", "said by a stranger"]);
}

#[test]
fn bytes_are_kept_as_they_came() {
    let script = r"printf 'caf\303\251 \377\376\0nul\r\n\r\n\n\033[1mbold'; exec PUPPET long 3000000 dribble 'byte by byte' pid done";
    let project = Project::new().toml(&format!(
        "[services.web]\nscript = \"sh\"\nargs = [\"-c\", '''{script}''']\nmin_uptime = 50\n[profiles.dev]\nservices = [\"web\"]"
    ));
    project.up();
    project.pid_in("done");
    wait_for_line(&project, OUT, "byte by byte");
    let bytes = fs::read(project.path(OUT)).unwrap();
    let lines: Vec<&[u8]> = bytes
        .split(|byte| *byte == b'\n')
        .map(|line| line.get(28..).unwrap_or_default())
        .collect();
    assert_eq!(lines[..3], [&b"caf\xc3\xa9 \xff\xfe\0nul\r"[..], b"\r", b""]);
    let (pieces, after) = lines[3..].split_at(lines.len() - 5);
    assert_eq!(after, [&b"byte by byte"[..], b""]);
    let mut joined = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        let says_so = piece.strip_suffix(b" [xtask: line continues]");
        assert_eq!(says_so.is_some(), number + 1 < pieces.len(), "piece {number}");
        let own = says_so.unwrap_or(piece);
        assert!(own.len() <= 64 * 1024);
        joined.extend_from_slice(own);
    }
    let letters = (b'a'..=b'z').cycle().take(3_000_000);
    let long: Vec<u8> = b"\x1b[1mbold".iter().copied().chain(letters).collect();
    assert!(joined == long, "the long line is whole");
}

#[test]
fn an_unfinished_line_is_on_disk_and_goes_on_later() {
    let words = "part 'password: ' wait-for go part 'wrong' wait-for on out ', again'";
    let project = Project::new().service("web", words, "min_uptime = 50");
    project.up();
    let ends = |text: &str| {
        wait_until(&format!("{text:?} is on disk"), || {
            project.read(OUT).ends_with(text).then_some(())
        });
    };
    ends(" password: ");
    project.write("go", "");
    ends(" password: wrong");
    project.write("on", "");
    ends(" password: wrong, again\n");
    assert_eq!(texts(&project, OUT), ["password: wrong, again"]);
}

#[test]
fn no_line_is_lost_or_doubled_under_full_load_through_rotation_restarts_and_kills() {
    let project = Project::new()
        .head("[logs]\nmax_size = \"256K\"\nretain = 100000\n")
        .service("web", "number taken more 300000", "min_uptime = 50");
    project.up();
    let log = project.path(OUT);
    let grow = || {
        let before = paths_of(&log).len();
        project.write("more", "");
        wait_until("some more files are full", || {
            (paths_of(&log).len() > before + 2).then_some(())
        });
    };
    for round in [1, 3] {
        grow();
        signal(pid(&project.service_status("web")), Signal::KILL);
        project.wait("web", "was restarted", |web| {
            restarts(web) == round && web["ready"] == true
        });
        grow();
        project.run(&["restart", "web"]).ok();
    }
    let (supervisor, last) = (project.supervisor(), pid(&project.service_status("web")));
    grow();
    signal(supervisor, Signal::KILL);
    wait_gone(supervisor);
    project.wait_nothing_left();
    project.up();
    grow();
    wait_until("old files are compressed", || {
        paths_of(&log)[0].extension().is_some_and(|gz| gz == "gz").then_some(())
    });
    project.run(&["stop"]).ok();
    account(&project, &log, last);
}

/// Expects every line of every run of `number`, once and in its place; `cut_off` is the run whose supervisor was killed.
fn account(project: &Project, log: &Path, cut_off: u32) {
    // A line that was begun is ended in the same file, also past its size; none is longer.
    const LINE: usize = 64;
    let mut numbers: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    let mut torn = Vec::new();
    for path in paths_of(log) {
        let bytes = contents(&path);
        assert!(
            bytes.len() <= 256 * 1024 + LINE,
            "{} has {} bytes",
            path.display(),
            bytes.len()
        );
        for line in String::from_utf8(bytes).unwrap().lines() {
            let text = line.get(28..).and_then(|text| text.split_once(' '));
            match text.and_then(|(pid, number)| Some((pid.parse().ok()?, number.strip_suffix(';')?.parse().ok()?))) {
                Some((pid, number)) => numbers.entry(pid).or_default().push(number),
                None => torn.push(line.to_owned()),
            }
        }
    }
    assert!(
        torn.len() <= 1,
        "only the killed supervisor may have torn a line: {torn:?}"
    );
    assert_eq!(numbers.len(), 6, "one for each run");
    for (pid, numbers) in numbers {
        let misplaced = (0..).zip(&numbers).find(|(expected, number)| *expected != **number);
        assert_eq!(misplaced, None, "{pid}: a line is missing, doubled or not in its place");
        let taken: u64 = project.read(&format!("taken.{pid}")).parse().unwrap();
        // What a killed supervisor had not yet read is lost with the pipe.
        assert!(
            numbers.len() as u64 >= taken || pid == cut_off,
            "{pid}: {} of {taken} lines",
            numbers.len()
        );
    }
}

#[test]
fn an_unfinished_compression_is_finished_by_the_next_start() {
    let project = Project::new().service("web", "out here", "min_uptime = 50");
    let old = ".dev/dev/logs/web-out.20200101T000000.000000Z.log";
    let orphan = ".dev/dev/logs/web-out.20190101T000000.000000Z.log.gz.tmp";
    let neighbour = ".dev/dev/logs/web-out-out.20190101T000000.000000Z.log.gz.tmp";
    project.write(old, "2020-01-01T00:00:00.000000Z old\n");
    project.write(&format!("{old}.gz.tmp"), "half");
    project.write(orphan, "of a file that is long gone");
    project.write(neighbour, "of another service");
    project.up();
    wait_until("the old file is compressed", || {
        (project.path(&format!("{old}.gz")).exists() && !project.path(old).exists()).then_some(())
    });
    assert!(!project.path(&format!("{old}.gz.tmp")).exists());
    assert!(!project.path(orphan).exists() && project.path(neighbour).exists());
    let shown = project.run(&["logs", "web", "--raw", "--no-follow"]).ok().stdout;
    assert_eq!(shown, "old\nhere\n");
}

#[test]
fn what_was_rotated_just_before_a_stop_is_compressed_when_it_returns() {
    let keys = "max_size = \"10K\"\nretain = 2\nmin_uptime = 50";
    let project = Project::new().service("web", "flood 1000 pid done", keys);
    project.up();
    project.pid_in("done");
    project.run(&["stop"]).ok();
    let own = paths_of(&project.path(OUT));
    assert_eq!(own.len(), 3, "{own:?}");
    assert!(
        own[..2]
            .iter()
            .all(|path| path.extension().is_some_and(|ending| ending == "gz")),
        "{own:?}"
    );
}

#[test]
fn a_damaged_archive_is_said_in_the_place_of_what_it_held() {
    let project = Project::new().service("web", "", "");
    let archive = ".dev/dev/logs/web-out.20200101T000000.000000Z.log.gz";
    project.write(archive, "no archive at all");
    project.write(OUT, "2020-01-02T00:00:00.000000Z whole\n");
    for args in [&["-n", "100"] as &[&str], &["--since", "2019-01-01T00:00:00Z"]] {
        let args = [&["logs", "web", "-p", "dev", "--no-follow"], args].concat();
        let shown = project.run(&args).ok().stdout;
        assert!(
            shown.contains("[xtask: cannot read a rotated log file to its end: "),
            "{shown}"
        );
        assert!(shown.contains("whole"), "{shown}");
    }
}

#[test]
fn a_rotated_file_that_cannot_be_read_is_said_in_its_place_and_hides_no_other() {
    let project = Project::new().service("web", "", "").service("api", "", "");
    let error_log = ".dev/dev/logs/web-error.log";
    let rotated = |year: u16| format!(".dev/dev/logs/web-error.{year}0103T000000.000000Z.log");
    project.write(&rotated(2019), "2019-01-02T00:00:00.000000Z oldest\n");
    // Of these two only the second cannot even be opened, by nobody at all.
    fs::create_dir(project.path(&rotated(2020))).unwrap();
    let circle = project.path(&rotated(2021));
    std::os::unix::fs::symlink(&circle, &circle).unwrap();
    project.write(&rotated(2022), "2022-01-02T00:00:00.000000Z old\n");
    project.write(error_log, "2023-01-02T00:00:00.000000Z new\n");
    project.write(".dev/dev/logs/api-error.log", "2018-01-02T00:00:00.000000Z other\n");
    let is_whole = |shown: &str| {
        let damage = |year| {
            format!(
                "[xtask: cannot read a rotated log file to its end: {}: ",
                project.path(&rotated(year)).display()
            )
        };
        let expected = [
            "other".into(),
            "oldest".into(),
            damage(2020),
            damage(2021),
            "old".into(),
            "new".into(),
        ];
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), expected.len(), "{shown}");
        for (line, expected) in lines.iter().zip(&expected) {
            let (_, text) = line.split_once(" ! ").unwrap_or(("", line));
            assert!(text.starts_with(expected), "{line} is not {expected}");
        }
    };
    for args in [
        &["logs", "--no-follow", "-n", "100"] as &[&str],
        &["logs", "--no-follow", "--since", "2017-01-01T00:00:00Z"],
        &["errors", "-n", "100"],
        &["errors", "--since", "2017-01-01T00:00:00Z"],
    ] {
        is_whole(&project.run(&[args, &["-p", "dev"]].concat()).ok().stdout);
    }
    for args in [&["-n", "100"] as &[&str], &["--since", "2017-01-01T00:00:00Z"]] {
        let logs = project.start(&[&["logs", "--raw", "-p", "dev"], args].concat());
        logs.wait_for("new");
        logs.press_ctrl_c();
        is_whole(&logs.wait().stdout);
    }
}

#[test]
fn a_log_that_is_a_link_is_followed_where_it_leads_also_when_that_changes() {
    let project = Project::new().service("web", "", "out_file = \"current.log\"");
    let point = |target: &str| {
        std::os::unix::fs::symlink(target, project.path("new.log")).unwrap();
        fs::rename(project.path("new.log"), project.path("current.log")).unwrap();
    };
    project.write("one/web.log", "2020-01-01T00:00:00.000000Z begin\n");
    point("one/web.log");
    let logs = project.start(&["logs", "web", "--raw", "-p", "dev"]);
    logs.wait_for("begin");
    // Each is written when the one before is shown: the first few may be found on the way to the watch, the last only by it.
    let grow = |target: &str| {
        for number in 0..10 {
            let text = format!("{target} says {number}");
            let mut file = File::options().append(true).open(project.path(target)).unwrap();
            writeln!(file, "2020-01-02T00:00:00.000000Z {text}").unwrap();
            logs.wait_for(&text);
        }
    };
    grow("one/web.log");
    project.write("two/web.log", "2020-01-01T00:00:00.000000Z elsewhere\n");
    point("two/web.log");
    logs.wait_for("elsewhere");
    grow("two/web.log");
    logs.press_ctrl_c();
    logs.wait();
}

#[test]
fn the_last_words_of_a_run_stand_before_the_news_of_its_end() {
    let keys = "restart_delay = 0\nmax_restarts = 1000";
    let project = Project::new().service("web", "wait-for go count runs err 'last words' exit 3", keys);
    project.up();
    // From now on nobody asks: who is told of an end finds it in the log, be the last words there or not.
    project.write("go", "");
    project.wait_lines("runs", 40);
    project.run(&["stop"]).ok();
    let shown = project.run(&["logs", "--no-follow", "--since", "1h"]).ok().stdout;
    let lines = shown
        .lines()
        .filter(|line| line.contains("last words") || line.contains("* ended with"));
    let lines: Vec<&str> = lines.collect();
    for pair in lines.chunks_exact(2).take(39) {
        assert!(
            pair[0].contains("last words") && pair[1].contains("ended with"),
            "{shown}"
        );
    }
    assert!(lines.len() >= 78, "{shown}");
}

#[test]
fn retain_counts_the_files_of_one_log_alone() {
    let keys = "max_size = \"10K\"\nretain = 2\ncompress = false\nmin_uptime = 50";
    let project = Project::new().service("web", "flood 1000 pid done", keys);
    let others = ["web-2-out", "web-out-out", "web-error", "we-out", "web-out.x"];
    let others = others.map(|name| format!(".dev/dev/logs/{name}.20200101T000000.000000Z.log.gz"));
    others.iter().for_each(|path| project.write(path, "another's"));
    project.up();
    project.pid_in("done");
    project.run(&["stop"]).ok();
    let own = paths_of(&project.path(OUT));
    assert_eq!(own.len(), 3, "{own:?}");
    let last = contents(&own[2]).into_iter().chain(contents(&own[1])).collect();
    assert!(String::from_utf8(last).unwrap().contains(" line 999 "));
    for path in others {
        assert!(project.path(&path).exists(), "{path}");
    }
}

#[test]
fn no_two_streams_share_a_file() {
    let project = Project::new()
        .service("web", "", "out_file = \"all.log\"\nerror_file = \"web.log\"")
        .service("api", "", "error_file = \"./all.log\"");
    let says = ["all.log", "give each its own"];
    project.run(&["check"]).code(1).says(&says).says(&["api", "web"]);
    project.edit("./all.log", "api.log");
    project.run(&["check"]).ok();
}

#[test]
fn no_log_is_a_file_of_our_own() {
    for own in ["dev.toml", ".dev/saved.json", ".dev/dev/supervisor.log"] {
        let project = Project::new().service("web", "", &format!("error_file = \"{own}\""));
        project.run(&["check"]).code(1).says(&[own, "cannot be a log file"]);
    }
}

#[test]
fn both_outputs_of_a_service_may_share_a_file() {
    let project = Project::new().service(
        "web",
        "out one err two out three",
        "out_file = \"web.log\"\nerror_file = \"web.log\"\nmin_uptime = 50",
    );
    project.up();
    wait_until("all is there", || (project.lines("web.log") == 3).then_some(()));
    let shown = project.run(&["logs", "web", "--raw", "--no-follow"]).ok().stdout;
    let mut lines: Vec<&str> = shown.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["one", "three", "two"], "each once");
    // What came by which cannot be told: all of it counts as stdout, whatever is asked for.
    let of = |stream: &str| project.run(&["logs", stream, "--raw", "--no-follow"]).ok().stdout;
    assert_eq!((of("--out").lines().count(), of("--err").as_str()), (3, ""));
    assert_eq!(project.run(&["errors"]).ok().stdout, "");
}

#[test]
fn a_service_that_keeps_no_logs_is_aligned_with_the_others() {
    let silent = "out_file = '/dev/null'\nerror_file = '/dev/null'\nmin_uptime = 50";
    let project = Project::new()
        .service("web", "out one", "min_uptime = 50")
        .service("silent-one", "", silent);
    project.up();
    let of_all = project.run(&["logs", "--no-follow"]).ok();
    of_all.prints(&["\nweb        | one\n", "silent-one * started (pid "]);
    let alone = project.run(&["logs", "silent-one", "--no-follow"]).ok();
    alone.prints(&["silent-one * started (pid "]);
}

#[test]
fn a_log_that_is_a_link_is_rotated_where_it_leads() {
    let keys = "out_file = \"current.log\"\nmax_size = \"10K\"\nretain = 100\ncompress = false\nmin_uptime = 50";
    let project = Project::new().service("web", "flood 1000 pid done", keys);
    let link = project.path("current.log");
    std::os::unix::fs::symlink("elsewhere/web-out.log", &link).unwrap();
    project.up();
    // What is written into the pipe is not yet in the log.
    wait_until("the last line is in the log", || {
        project
            .read("elsewhere/web-out.log")
            .contains("line 999 ")
            .then_some(())
    });
    let shown = project.run(&["logs", "web", "--raw", "--no-follow", "-n", "1000"]).ok();
    project.run(&["stop"]).ok();
    assert!(link.symlink_metadata().unwrap().is_symlink());
    let files = paths_of(&project.path("elsewhere/web-out.log"));
    assert!(files.len() > 5);
    let all: Vec<u8> = files.iter().flat_map(|path| contents(path)).collect();
    assert_eq!(String::from_utf8(all).unwrap().lines().count(), 1000);
    assert_eq!(shown.stdout.lines().count(), 1000, "readers find the old files, too");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let (dir, log) = (project.path("elsewhere"), project.path("elsewhere/web-out.log"));
    assert_eq!((mode(&dir), mode(&log)), (0o700, 0o600), "made where they were missing");
}
