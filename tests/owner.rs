//! Who owns a stack: the `dev` that started it, until it ends, in whatever way it ends.

use crate::support::{
    Project, Running, Signal, Terminal, free_port, is_alive, is_free, pid, signal, wait_gone, wait_until,
};
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

fn web(port: u16) -> Project {
    Project::new().service(
        "web",
        &format!("out 'web is here' listen {port}"),
        &format!("ports = [{port}]"),
    )
}

#[test]
fn ctrl_c_ends_a_followed_dev_with_0_and_leaves_nothing() {
    let port = free_port();
    let project = web(port);
    let dev = project.start(&["dev"]);
    dev.wait_for("web is here");
    project.wait_ready("web");
    dev.press_ctrl_c();
    dev.wait().ok();
    assert!(is_free(port));
    project.assert_no_service_process();
    project.wait_nothing_left();
}

/// Lets the service write more than a pipe holds, of which nobody reads anything.
fn wait_until_stuck(project: &Project, pipe: impl std::os::fd::AsFd) {
    project.write("begin", "");
    let size = rustix::pipe::fcntl_getpipe_size(&pipe).unwrap() as u64;
    // Its pages need not all be full.
    wait_until("its output is stuck", || {
        (rustix::io::ioctl_fionread(&pipe).unwrap() > size / 2).then_some(())
    });
}

/// Starts `xtask ARGS`, reads none of what it prints, and presses Ctrl-C.
fn interrupted_unread(project: &Project, args: &[&str]) -> Option<i32> {
    let mut command = project.prepare(crate::support::xtask());
    command.args(args).stdin(Stdio::null()).stderr(Stdio::null());
    let mut unread = command.stdout(Stdio::piped()).spawn().unwrap();
    let pipe = unread.stdout.take().unwrap();
    wait_until_stuck(project, &pipe);
    signal(unread.id(), Signal::INT);
    let status = wait_until("it has ended", || unread.try_wait().unwrap());
    status.code()
}

#[test]
fn ctrl_c_is_heard_while_nobody_reads_what_is_printed() {
    let flood = || Project::new().service("web", "wait-for begin flood 30000", "min_uptime = 50");
    let project = flood();
    assert_eq!(interrupted_unread(&project, &["dev"]), Some(0));
    project.wait_nothing_left();
    let project = flood();
    project.up();
    // From the first line on, which may be written before it follows.
    assert_eq!(interrupted_unread(&project, &["logs", "--since", "1h"]), Some(0));
}

#[test]
fn every_ctrl_c_is_heard_while_nobody_reads_what_is_told_either() {
    let project = Project::new().service(
        "web",
        "ignore wait-for begin flood 30000",
        "min_uptime = 50\nkill_timeout = \"1h\"",
    );
    let (unread, output) = std::io::pipe().unwrap();
    let mut command = project.prepare(crate::support::xtask());
    command.arg("dev").stdin(Stdio::null());
    command.stdout(output.try_clone().unwrap()).stderr(output);
    let mut dev = command.spawn().unwrap();
    drop(command);
    wait_until_stuck(&project, &unread);
    signal(dev.id(), Signal::INT);
    project.wait_status("web", "stopping");
    signal(dev.id(), Signal::INT);
    let status = wait_until("it has ended", || dev.try_wait().unwrap());
    assert_eq!(status.code(), Some(130));
    project.wait_nothing_left();
}

#[test]
fn a_second_ctrl_c_kills_at_once_and_exits_130() {
    let port = free_port();
    let keys = format!("ports = [{port}]\nkill_timeout = \"1h\"");
    let project = Project::new().service("web", &format!("ignore listen {port}"), &keys);
    let dev = project.start(&["dev"]);
    project.wait_ready("web");
    dev.press_ctrl_c();
    project.wait_status("web", "stopping");
    dev.press_ctrl_c();
    dev.wait().code(130);
    assert!(is_free(port));
    project.wait_nothing_left();
}

#[test]
fn ctrl_c_while_it_builds_exits_130_and_is_no_failure_of_the_task() {
    let project = Project::new()
        .service("web", "", "build = \"slow\"")
        .toml("[tasks.slow]\nscript = \"PUPPET\"\nargs = \"pid begun wait-for never\"");
    let dev = project.start(&["dev"]);
    project.pid_in("begun");
    dev.press_ctrl_c();
    let run = dev.wait().code(130);
    assert!(!run.stderr.contains("error: "), "{run}");
    project.wait_nothing_left();
}

/// A `dev` that is at a task, a shell with this script, and the shell's pid.
fn building(script: &str) -> (Project, Running, u32) {
    let project = Project::new()
        .service("web", "", "build = \"slow\"")
        .toml(&format!("[tasks.slow]\nscript = \"sh\"\nargs = ['-c', '{script}']"));
    let dev = project.start(&["dev"]);
    let task = project.pid_in("begun");
    (project, dev, task)
}

#[test]
fn a_signal_to_dev_alone_while_it_builds_ends_the_task_with_its_children() {
    let (project, dev, task) = building("sleep 1000 & echo $! > inner; echo $$ > new; mv new begun; wait");
    dev.signal(Signal::INT);
    let run = dev.wait().code(130);
    assert!(!run.stderr.contains("error: "), "{run}");
    assert!(!is_alive(task));
    // It was told, too; `dev` waits for the task alone.
    wait_gone(project.pid_in("inner"));
    project.wait_nothing_left();
}

#[test]
fn kill_9_of_a_dev_that_builds_ends_the_keeper_and_the_supervisor_that_wait_for_the_build() {
    let (project, dev, task) = building("echo $$ > new; mv new begun; exec sleep 1000");
    assert!(
        project.stacks().is_empty(),
        "nobody sees a stack before the build is done"
    );
    dev.signal(Signal::KILL);
    let ours = || project.processes().into_iter().any(|process| process.is_xtask());
    wait_until("all of ours are gone", || (!ours()).then_some(()));
    signal(task, Signal::KILL);
}

#[test]
fn a_keeper_or_a_supervisor_that_is_ended_while_it_waits_for_the_build_is_replaced() {
    for (verb, by) in [
        ("keeper", Signal::KILL),
        ("supervisor", Signal::KILL),
        ("supervisor", Signal::TERM),
    ] {
        let project = Project::new()
            .service("web", "", "build = \"slow\"")
            .toml("[tasks.slow]\nscript = \"PUPPET\"\nargs = \"pid begun wait-for go exit 0\"");
        let dev = project.start(&["dev", "-d"]);
        project.pid_in("begun");
        let is_it = |command: &str| command.split(' ').nth(1) == Some(verb);
        let waiting = || {
            let mut processes = project.processes().into_iter();
            processes.find(|process| process.is_xtask() && is_it(&process.command))
        };
        let victim = wait_until("one waits", waiting).pid;
        signal(victim, by);
        wait_gone(victim);
        project.write("go", "");
        dev.wait().ok();
        assert_eq!(project.service_status("web")["status"], "online");
    }
}

#[test]
fn a_suspended_supervisor_that_waits_for_a_build_that_fails_is_ended_with_it() {
    let project = Project::new()
        .service("web", "", "build = \"slow\"")
        .toml("[tasks.slow]\nscript = \"PUPPET\"\nargs = \"pid begun wait-for go exit 3\"");
    let dev = project.start(&["dev", "-d"]);
    project.pid_in("begun");
    let waiting = || {
        let mut processes = project.processes().into_iter();
        processes.find(|process| process.is_xtask() && process.command.contains(" supervisor "))
    };
    signal(wait_until("one waits", waiting).pid, Signal::STOP);
    project.write("go", "");
    dev.wait().code(1).says(&["task slow failed"]);
    let left = project.processes();
    assert!(left.is_empty(), "left behind: {left:#?}");
}

#[test]
fn a_ctrl_c_that_meets_the_end_of_the_stack_is_no_error() {
    for _ in 0..5 {
        let project = web(free_port());
        let dev = project.start(&["dev"]);
        project.wait_ready("web");
        dev.signal(Signal::STOP);
        project.run(&["stop"]).ok();
        dev.signal(Signal::INT);
        dev.signal(Signal::CONT);
        dev.wait().ok();
    }
}

#[test]
fn a_second_signal_while_it_builds_kills_a_task_that_does_not_end() {
    let (project, dev, task) =
        building("trap \": > told\" TERM; echo $$ > new; mv new begun; while :; do sleep 0.1; done");
    dev.signal(Signal::TERM);
    wait_until("the task is told", || project.path("told").exists().then_some(()));
    dev.signal(Signal::TERM);
    dev.wait().code(130);
    assert!(!is_alive(task));
    project.wait_nothing_left();
}

#[test]
fn a_signal_to_a_command_alone_that_builds_ends_the_task_and_goes_no_further() {
    let project = Project::new()
        .service("web", "count runs", "build = \"slow\"")
        .toml("[tasks.slow]\nscript = \"sh\"\nargs = \"-c '[ -e stay ] || exit 0; echo $$ > new; mv new begun; exec sleep 1000'\"");
    project.up().run(&["stop", "web"]).ok();
    project.write("stay", "");
    for args in [&["build", "slow"] as &[&str], &["start", "web"], &["restart", "web"]] {
        let command = project.start(args);
        let task = project.pid_in("begun");
        command.signal(Signal::TERM);
        let run = command.wait().code(130);
        assert!(!run.stderr.contains("error: "), "{run}");
        assert!(!is_alive(task), "{args:?}");
        std::fs::remove_file(project.path("begun")).unwrap();
    }
    assert_eq!(project.service_status("web")["status"], "stopped");
    assert_eq!(project.lines("runs"), 1);
}

#[test]
fn a_task_that_takes_a_signal_for_success_does_not_hide_it() {
    let project = Project::new()
        .service("web", "count runs", "build = [\"first\", \"second\"]")
        .toml(
            "[tasks.first]\nscript = \"sh\"\n\
             args = ['-c', 'trap \"exit 0\" INT TERM; echo $$ > new; mv new begun; while :; do sleep 0.1; done']\n\
             [tasks.second]\nscript = \"PUPPET\"\nargs = \"wait-for never\"",
        );
    let dev = project.start(&["dev"]);
    project.pid_in("begun");
    // Should the news come so late that the second has begun, it ends the second.
    dev.press_ctrl_c();
    dev.wait().code(130);
    assert_eq!(project.lines("runs"), 0);
    project.wait_nothing_left();
}

#[test]
fn ctrl_c_ends_a_dev_that_waits_for_the_build_of_somebody_else() {
    let (project, builder, task) = building("echo $$ > new; mv new begun; exec sleep 1000");
    let dev = project.start(&["dev"]);
    dev.wait_for("slow is being built already");
    dev.press_ctrl_c();
    let run = dev.wait().code(130);
    assert!(!run.stderr.contains("error: "), "{run}");
    assert!(is_alive(task));
    builder.press_ctrl_c();
    builder.wait().code(130);
    project.wait_nothing_left();
}

#[test]
fn ctrl_c_ends_a_dev_that_waits_for_the_end_of_the_stack_before() {
    let project = Project::new().service("web", "ignore", "kill_timeout = \"1h\"");
    project.up();
    let stop = project.start(&["stop"]);
    project.wait_status("web", "stopping");
    let dev = project.start(&["dev"]);
    dev.wait_for("the stack of profile dev is still stopping; waiting until it is down");
    dev.press_ctrl_c();
    dev.wait().code(130);
    assert_eq!(project.service_status("web")["status"], "stopping");
    // Who runs the tests may have told all to ignore SIGINT.
    stop.signal(Signal::TERM);
    stop.wait();
}

#[test]
fn a_signal_that_asks_the_followed_dev_to_end_stops_the_stack() {
    for signal in [Signal::TERM, Signal::HUP] {
        let port = free_port();
        let project = web(port);
        let dev = project.start(&["dev"]);
        project.wait_ready("web");
        dev.signal(signal);
        dev.wait();
        project.wait_nothing_left();
        assert!(is_free(port));
    }
}

#[test]
fn kill_9_of_the_followed_dev_stops_the_stack() {
    let port = free_port();
    let project = web(port);
    let dev = project.start(&["dev"]);
    project.wait_ready("web");
    dev.signal(Signal::KILL);
    dev.wait();
    project.wait_nothing_left();
    assert!(is_free(port));
}

#[test]
fn a_closed_terminal_stops_the_stack() {
    let port = free_port();
    let project = web(port);
    let mut terminal = Terminal::run(&project, &["dev"]);
    terminal.wait_for("web is here");
    project.wait_ready("web");
    terminal.close(|| {});
    project.wait_nothing_left();
    assert!(is_free(port));
}

/// A service that says two words, the second when it may, and ends when it may.
fn takes_its_time() -> Project {
    Project::new().service(
        "web",
        "ignore out one wait-for go out two wait-for end exit 0",
        "min_uptime = 50\nkill_timeout = \"1h\"",
    )
}

#[test]
fn a_terminal_that_is_closed_kills_nothing_however_often_it_says_so() {
    let project = takes_its_time();
    let mut terminal = Terminal::run(&project, &["dev"]);
    terminal.wait_for("one");
    project.wait_ready("web");
    let dev = terminal.pid();
    let status = terminal.close(|| {
        project.wait_status("web", "stopping");
        // Nothing can be printed any more, and the shell says what it was told, and what its end says.
        project.write("go", "");
        for again in [Signal::HUP, Signal::HUP, Signal::TERM] {
            signal(dev, again);
            assert_eq!(project.service_status("web")["status"], "stopping");
        }
        project.write("end", "");
    });
    assert_eq!(status.code(), Some(0));
    project.wait_nothing_left();
}

#[test]
fn a_terminal_that_is_gone_is_no_failure_to_write() {
    let project = takes_its_time();
    let mut terminal = Terminal::run(&project, &["logs"]);
    // Not its terminal: it hears of the end only when it prints.
    let told = std::fs::File::create(project.path("told")).unwrap();
    let mut command = project.prepare(crate::support::xtask());
    command.arg("dev").stdin(Stdio::null()).stdout(terminal.output());
    let mut dev = command.stderr(told).spawn().unwrap();
    drop(command);
    project.wait_ready("web");
    terminal.wait_for("ready after");
    terminal.close(|| project.write("go", ""));
    project.wait_status("web", "stopping");
    project.write("end", "");
    let status = wait_until("it has ended", || dev.try_wait().unwrap());
    assert_eq!((status.code(), project.read("told").as_str()), (Some(0), ""));
    project.wait_nothing_left();
}

#[test]
fn the_first_ctrl_c_after_its_reader_has_gone_kills_nothing() {
    let project = takes_its_time();
    let told = std::fs::File::create(project.path("told")).unwrap();
    let mut command = project.prepare(crate::support::xtask());
    command.arg("dev").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut dev = command.stderr(told).spawn().unwrap();
    let mut shown = BufReader::new(dev.stdout.take().unwrap()).lines();
    assert!(shown.any(|line| line.unwrap().ends_with("| one")));
    project.wait_ready("web");
    drop(shown);
    project.write("go", "");
    project.wait_status("web", "stopping");
    signal(dev.id(), Signal::INT);
    wait_until("it is told", || {
        let told = project.read("told");
        told.contains("stopping dev; Ctrl-C again kills at once").then_some(())
    });
    assert_eq!(project.service_status("web")["status"], "stopping");
    signal(dev.id(), Signal::INT);
    let status = wait_until("it has ended", || dev.try_wait().unwrap());
    assert_eq!(status.code(), Some(130));
    project.wait_nothing_left();
}

#[test]
fn ctrl_c_typed_on_a_terminal_stops_the_stack_in_order() {
    let port = free_port();
    let project = web(port);
    let mut terminal = Terminal::run(&project, &["dev"]);
    terminal.wait_for("web is here");
    project.wait_ready("web");
    terminal.type_text("\x03");
    assert_eq!(terminal.wait().code(), Some(0));
    assert!(is_free(port));
    project.wait_nothing_left();
}

#[test]
fn an_errored_service_does_not_end_the_followed_dev() {
    let project = Project::new()
        .service("bad", "err 'this is the end' exit 1", "max_restarts = 0")
        .service("web", "", "min_uptime = 50");
    let dev = project.start(&["dev"]);
    dev.wait_for("this is the end");
    project.wait_status("bad", "errored");
    project.wait_ready("web");
    dev.press_ctrl_c();
    dev.wait().ok();
}

#[test]
fn a_later_dev_only_follows() {
    let port = free_port();
    let project = web(port);
    let owner = project.start(&["dev"]);
    let before = pid(&project.wait_ready("web"));
    let follower = project.start(&["dev"]);
    follower.wait_for("web is here");
    follower.press_ctrl_c();
    follower.wait().ok();
    assert_eq!(pid(&project.service_status("web")), before);
    owner.press_ctrl_c();
    owner.wait().ok();
    project.wait_nothing_left();
}

#[test]
fn a_dev_that_follows_a_detached_stack_leaves_it_when_killed() {
    let port = free_port();
    let project = web(port);
    let before = pid(&project.up().service_status("web"));
    let follower = project.start(&["dev"]);
    follower.wait_for("web is here");
    follower.signal(Signal::KILL);
    follower.wait();
    // A restart that the supervisor still carries out proves that it did not begin to stop.
    project.run(&["restart", "web"]).ok();
    assert_ne!(pid(&project.wait_ready("web")), before);
}

#[test]
fn a_later_detached_dev_takes_the_ownership_away() {
    let port = free_port();
    let project = web(port);
    let owner = project.start(&["dev"]);
    let before = pid(&project.wait_ready("web"));
    project.run(&["dev", "-d"]).ok();
    owner.press_ctrl_c();
    owner.wait().ok();
    assert_eq!(pid(&project.service_status("web")), before);
    project.run(&["restart", "web"]).ok();
    project.wait_ready("web");
}

#[test]
fn a_stop_from_elsewhere_ends_the_followed_dev() {
    let port = free_port();
    let project = web(port);
    let dev = project.start(&["dev"]);
    project.wait_ready("web");
    project.run(&["stop"]).ok();
    dev.wait().ok();
    project.wait_nothing_left();
}
