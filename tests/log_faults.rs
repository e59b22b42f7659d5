//! What becomes of logs when somebody else meddles with their files: the service goes on, and what is lost is said.

use std::fs::{self, File};

use crate::support::{Project, Signal, Value, wait_until};

const OUT: &str = ".dev/dev/logs/web-out.log";

/// A service that says each word when the test wants it.
fn on_demand(words: &[&str], keys: &str) -> Project {
    let words: Vec<String> = words
        .iter()
        .map(|word| format!("wait-for say.{word} out {word}"))
        .collect();
    Project::new().service("web", &words.join(" "), &format!("min_uptime = 50\n{keys}"))
}

fn say(project: &Project, word: &str) {
    project.write(&format!("say.{word}"), "");
}

#[track_caller]
fn wait_for_text(project: &Project, log: &str, text: &str) {
    wait_until(&format!("{log} has {text:?}"), || {
        project.read(log).contains(text).then_some(())
    });
}

#[test]
fn a_file_that_was_removed_moved_or_cut_is_written_on() {
    let project = on_demand(&["one", "two", "three", "four", "five"], "");
    project.up();
    let log = project.path(OUT);
    say(&project, "one");
    wait_for_text(&project, OUT, " one\n");
    fs::remove_file(&log).unwrap();
    say(&project, "two");
    wait_for_text(&project, OUT, " two\n");
    fs::rename(&log, project.path("moved")).unwrap();
    say(&project, "three");
    wait_for_text(&project, OUT, " three\n");
    assert!(!project.read("moved").contains("three"));
    File::options().write(true).open(&log).unwrap().set_len(5).unwrap();
    say(&project, "four");
    wait_for_text(&project, OUT, " four\n");
    // No hole of zero bytes, and what was cut within a line does not run into the next one.
    assert_eq!(project.lines(OUT), 2);
    assert!(!project.read(OUT).contains('\0'));
    fs::remove_dir_all(project.path(".dev/dev/logs")).unwrap();
    say(&project, "five");
    wait_for_text(&project, OUT, " five\n");
    let web = project.service_status("web");
    assert_eq!((&web["reason"], &web["log_dropped_bytes"]), (&Value::Null, &0.into()));
}

/// Lets the service say two words into a log that cannot be written, and waits until `status` says so.
#[track_caller]
fn lose(project: &Project, cause: &str) {
    say(project, "lost");
    say(project, "also");
    let web = project.wait("web", "has lost two lines", |web| web["log_dropped_bytes"] == 10);
    let reason = web["reason"].as_str().unwrap();
    assert_eq!(
        reason,
        format!("cannot write web.log: {cause}; 10 bytes (2 lines) dropped")
    );
    assert_eq!(
        (&web["status"], &web["ready"], &web["restarts"]),
        (&"online".into(), &true.into(), &0.into())
    );
    let shown = project.run(&["status"]).ok().stdout;
    assert!(shown.contains(cause), "{shown}");
}

/// Expects that the log is written again, says what it lost without being asked, and that `status` is content.
#[track_caller]
fn recover(project: &Project, log: &str, cause: &str) {
    wait_for_text(
        project,
        log,
        &format!(" [xtask: 10 bytes (2 lines) dropped: {cause}]\n"),
    );
    let web = project.wait("web", "is content", |web| web["reason"] == Value::Null);
    assert_eq!(web["log_dropped_bytes"], 10, "the count stays until a flush");
    say(project, "kept");
    wait_for_text(project, log, " kept\n");
    project.run(&["flush", "web"]).ok();
    assert_eq!(project.service_status("web")["log_dropped_bytes"], 0);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_stops_nobody_and_what_it_swallows_is_counted_and_said() {
    let project = on_demand(&["lost", "also", "kept"], "out_file = \"web.log\"");
    std::os::unix::fs::symlink("/dev/full", project.path("web.log")).unwrap();
    project.up();
    lose(&project, "No space left on device");
    fs::remove_file(project.path("web.log")).unwrap();
    recover(&project, "web.log", "No space left on device");
}

#[test]
fn a_log_that_cannot_be_read_hides_no_other_and_ends_nobody_who_follows() {
    let project = on_demand(&["one", "two"], "").service("odd", "out hello", "min_uptime = 50\nout_file = \"odd\"");
    fs::create_dir(project.path("odd")).unwrap();
    let dev = project.start(&["dev"]);
    project.wait_ready("web");
    say(&project, "one");
    dev.wait_for("one");
    let run = project.run(&["logs", "--no-follow"]).ok();
    run.prints(&["one"])
        .says(&["warning: cannot read", "odd; its lines are left out"]);
    // Also one that becomes so while somebody follows.
    fs::remove_file(project.path(".dev/dev/logs/web-error.log")).unwrap();
    fs::create_dir(project.path(".dev/dev/logs/web-error.log")).unwrap();
    say(&project, "two");
    dev.wait_for("two");
    dev.press_ctrl_c();
    dev.wait().ok();
}

#[test]
fn a_directory_that_cannot_be_made_stops_nobody() {
    let project = on_demand(&["lost", "also", "kept"], "out_file = \"log/web.log\"").file("log", "in its place");
    project.up();
    lose(&project, "Not a directory");
    fs::remove_file(project.path("log")).unwrap();
    recover(&project, "log/web.log", "Not a directory");
}

/// A file system of 256 KiB, where one may be mounted.
#[cfg(target_os = "linux")]
struct TinyDisk<'p> {
    project: &'p Project,
}

#[cfg(target_os = "linux")]
impl TinyDisk<'_> {
    fn mount(project: &Project) -> Option<TinyDisk<'_>> {
        fs::create_dir_all(project.path("tiny")).unwrap();
        let mut mount = project.prepare("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256k", "tiny", "tiny"]);
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        if !is_mounted {
            println!("skipped: no file system may be mounted here");
        }
        is_mounted.then_some(TinyDisk { project })
    }
}

#[cfg(target_os = "linux")]
impl Drop for TinyDisk<'_> {
    fn drop(&mut self) {
        let _ = self.project.prepare("umount").args(["-l", "tiny"]).status();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_fills_up_under_a_flood_is_written_again_when_it_has_room() {
    let words = "wait-for begin flood 10000 pid flooded wait-for go out after pid done";
    let keys = "out_file = \"tiny/web.log\"\nmax_size = \"100M\"\nmin_uptime = 50";
    let project = Project::new().service("web", words, keys);
    let Some(_disk) = TinyDisk::mount(&project) else { return };
    project.write("tiny/ballast", &"x".repeat(100 * 1024));
    project.up();
    project.write("begin", "");
    project.pid_in("flooded");
    project.wait("web", "says that the disk is full", |web| {
        web["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("No space left on device"))
    });
    fs::remove_file(project.path("tiny/ballast")).unwrap();
    project.write("go", "");
    project.pid_in("done");
    wait_for_text(&project, "tiny/web.log", " after\n");
    // What is there and what is said to be lost is together what was written.
    let (mut there, mut lost) = (0, 0);
    for line in project.read("tiny/web.log").lines() {
        let text = line.split_once(' ').map_or("", |(_, text)| text);
        match text.strip_prefix("[xtask: ") {
            Some(notice) => lost += notice.split(' ').next().unwrap().parse::<usize>().unwrap(),
            None => there += text.len() + 1,
        }
    }
    let flood: usize = (0..10000).map(|line: u32| format!("line {line} \n").len() + 80).sum();
    let written = flood + "after\n".len();
    // But for the line end that the cut line was given, and a stamp that was itself cut.
    let difference = (there + lost).abs_diff(written);
    assert!(difference <= 28, "{there} + {lost} of {written}");
    assert_eq!(project.service_status("web")["log_dropped_bytes"], lost);
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_with_room_for_no_more_than_the_kept_files_loses_nothing_under_a_flood() {
    let words = "wait-for begin flood 10000 out after pid done";
    let keys = "out_file = \"tiny/web.log\"\nmax_size = \"120K\"\nretain = 1\ncompress = false\nmin_uptime = 50";
    let project = Project::new().service("web", words, keys);
    let Some(_disk) = TinyDisk::mount(&project) else { return };
    project.up();
    project.write("begin", "");
    project.pid_in("done");
    wait_for_text(&project, "tiny/web.log", " after\n");
    assert_eq!(project.service_status("web")["log_dropped_bytes"], 0);
}

#[test]
fn a_reader_that_is_stopped_slows_no_service() {
    let project = Project::new().service(
        "web",
        "out begun wait-for go flood 30000 pid flooded",
        "min_uptime = 50",
    );
    project.up();
    let logs = project.start(&["logs", "web"]);
    logs.wait_for("begun");
    logs.signal(Signal::STOP);
    project.write("go", "");
    project.pid_in("flooded");
    wait_until("all of it is in the log", || {
        project.read(OUT).contains(" line 29999 ").then_some(())
    });
    logs.signal(Signal::CONT);
    logs.wait_for("line 29999 ");
    logs.press_ctrl_c();
    logs.wait();
}
