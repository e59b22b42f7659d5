//! Real processes. The reaper owns all children of its process, so that each test runs in one of its own: the test
//! binary starts itself anew for just that test.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy knows helpers of tests by their attribute alone"
)]

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{BufRead, BufReader, PipeReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::*;

/// Nothing here takes a hundredth of it.
const LIMIT: Duration = Duration::from_secs(20);

/// Its own for each test, because they run side by side, and one kills all that carries its mark.
fn nonce() -> u32 {
    std::process::id()
}

macro_rules! alone {
    ($($(#[$meta:meta])* fn $name:ident() $body:block)*) => {$(
        $(#[$meta])*
        #[test]
        fn $name() {
            let path = concat!(module_path!(), "::", stringify!($name));
            let (_crate, name) = path.split_once("::").unwrap();
            if std::env::var_os(ALONE).is_some_and(|alone| alone == name) {
                $body
            } else {
                run_alone(name);
            }
        }
    )*};
}

const ALONE: &str = "XTASK_TEST_ALONE";

fn run_alone(name: &str) {
    let test = duct::cmd(
        std::env::current_exe().unwrap(),
        [name, "--exact", "--nocapture", "--include-ignored"],
    );
    let output = test
        .env(ALONE, name)
        .stderr_to_stdout()
        .stdout_capture()
        .unchecked()
        .run()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// A small supervisor.
struct World {
    children: Children,
    deaths: Receiver<Death>,
    runs: u32,
    seen: BTreeMap<u32, Death>,
}

/// A shell script that runs.
struct Run {
    root: TreeRoot,
    lines: BufReader<PipeReader>,
    /// Kept open: a shell that tells there how a child of its died must not die of that.
    _stderr: PipeReader,
}

#[test]
fn the_table_of_descriptors_is_large_before_they_are_needed() {
    reserve_descriptors();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile)
        .current
        .unwrap_or(u64::MAX);
    assert!(
        size.trim().parse::<u64>().unwrap() >= limit.min(4096),
        "{size} of {limit}"
    );
}

impl World {
    fn new() -> Self {
        become_subreaper().unwrap();
        let (sender, deaths) = channel();
        let children = Children::start(move |death| sender.send(death).unwrap_or_default()).unwrap();
        Self {
            children,
            deaths,
            runs: 0,
            seen: BTreeMap::new(),
        }
    }

    fn launch(&mut self, program: &str, args: &[&str]) -> Launch {
        self.runs += 1;
        Launch {
            program: PathBuf::from(program),
            args: args.iter().map(Into::into).collect(),
            cwd: PathBuf::from("/"),
            env: vec![("PATH".into(), std::env::var_os("PATH").unwrap())],
            stdio: Stdio::Output,
            run: RunTag {
                nonce: nonce(),
                run: self.runs,
            },
        }
    }

    fn shell(&mut self, script: &str) -> Run {
        let launch = self.launch("/bin/sh", &["-c", script]);
        let spawned = self.children.spawn(&launch).unwrap();
        let root = TreeRoot {
            leader: spawned.identity,
            run: launch.run,
        };
        Run {
            root,
            lines: BufReader::new(spawned.stdout),
            _stderr: spawned.stderr,
        }
    }

    fn death_of(&mut self, pid: u32) -> Death {
        while !self.seen.contains_key(&pid) {
            let death = self
                .deaths
                .recv_timeout(LIMIT)
                .unwrap_or_else(|_| panic!("{pid} does not die"));
            self.seen.insert(death.pid, death);
        }
        self.seen[&pid]
    }

    /// Kills a tree and waits until each of it is reaped.
    fn end(&mut self, root: TreeRoot) -> Killed {
        let killed = kill_tree(&[root]).unwrap();
        let pids: Vec<u32> = killed.signalled.iter().map(|process| process.identity.pid).collect();
        let gone = wait_gone(
            &killed
                .signalled
                .iter()
                .map(|process| process.identity)
                .collect::<Vec<_>>(),
            LIMIT,
        );
        assert_eq!(gone, []);
        if pids.contains(&root.leader.pid) {
            self.death_of(root.leader.pid);
        }
        assert!(members(root).is_empty());
        killed
    }
}

impl Drop for World {
    /// A failed test leaves nothing behind either.
    fn drop(&mut self) {
        let _ = kill_descendants();
    }
}

impl Run {
    fn pids(&mut self, count: usize) -> Vec<u32> {
        let mut pids: Vec<u32> = (0..count).map(|_| self.line().parse().unwrap()).collect();
        pids.sort_unstable();
        pids
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "its output has ended");
        line.trim().to_owned()
    }
}

fn members(root: TreeRoot) -> Vec<u32> {
    let snapshot = snapshot().unwrap();
    snapshot
        .members(&[root])
        .remove(0)
        .iter()
        .map(|process| process.identity.pid)
        .collect()
}

/// A child says its pid and stays.
const STAY: &str = "sh -c 'echo $$; exec sleep 60'";

fn every_way_to_escape() -> String {
    [
        format!("{STAY} &"), // same group
        format!(
            "bash -c 'set -m; {} &' &",
            STAY.replace('\'', "\"").replace("$$", "\\$\\$")
        ), // new group, orphan
        format!("setsid {STAY} &"), // new session
        format!("(setsid {STAY} &)"), // the same, its parent gone
        format!("(env -i \"$(command -v setsid)\" {STAY} &)"), // and its environment cleared
        format!("(env -i {STAY} &)"), // same group, orphan without environment
        "echo $$; wait; exec sleep 60".to_owned(),
    ]
    .join("\n")
}

alone! {
    fn every_way_to_escape_is_found_and_killed_while_the_leader_lives() {
        let mut world = World::new();
        let mut run = world.shell(&every_way_to_escape());
        let pids = run.pids(7);
        let found = members(run.root);
        assert!(pids.iter().all(|pid| found.contains(pid)), "{pids:?} {found:?}");
        assert_eq!(world.end(run.root).survivors.len(), 0);
        assert_eq!(world.children.left_of(&[run.root.run]), [Left::Nothing]);
    }

    fn what_outlives_its_leader_is_found_and_killed() {
        let mut world = World::new();
        let mut run = world.shell(&every_way_to_escape());
        let mut bystander = world.shell(&every_way_to_escape());
        let (mut pids, others) = (run.pids(7), bystander.pids(7));
        let leader = run.root.leader.pid;
        pids.retain(|pid| *pid != leader);
        rustix::process::kill_process(rustix::process::Pid::from_raw(leader.cast_signed()).unwrap(), Signal::KILL).unwrap();
        let death = world.death_of(leader);
        assert_eq!((death.exit, death.leader, death.run), (Exit::Signal(9), true, Some(run.root.run)));
        assert_eq!(world.children.left_of(&[run.root.run]), [Left::Something]);
        let found = members(run.root);
        assert!(pids.iter().all(|pid| found.contains(pid)), "{pids:?} {found:?}");
        assert!(others.iter().all(|pid| !found.contains(pid)));
        world.end(run.root);
        assert_eq!(world.children.left_of(&[run.root.run]), [Left::Nothing]);
        assert_eq!(world.children.left_of(&[RunTag { nonce: 1, run: 1 }]), [Left::Unknown], "what is foreign may be anybody's");
        let found = members(bystander.root);
        assert!(others.iter().all(|pid| found.contains(pid)), "{others:?} {found:?}");
        world.end(bystander.root);
    }

    fn a_dead_supervisors_processes_are_found_by_their_mark_alone() {
        let mut world = World::new();
        let mut run = world.shell(&every_way_to_escape());
        let pids = run.pids(7);
        let snapshot = snapshot().unwrap();
        assert_eq!(snapshot.tagged(u32::MAX).len(), 0);
        let found: Vec<u32> = snapshot.tagged(nonce()).iter().map(|process| process.identity.pid).collect();
        assert!(pids.iter().all(|pid| found.contains(pid)), "{pids:?} {found:?}");
        let below: Vec<u32> =
            snapshot.descendants_of(std::process::id()).iter().map(|process| process.identity.pid).collect();
        assert!(pids.iter().all(|pid| below.contains(pid)), "{pids:?} {below:?}");
        let killed = kill_tagged(nonce()).unwrap();
        let killed: Vec<Identity> = killed.signalled.iter().map(|process| process.identity).collect();
        assert_eq!(wait_gone(&killed, LIMIT), []);
        assert!(members(run.root).is_empty());
    }

    fn a_keeper_kills_all_that_is_below_it() {
        let mut world = World::new();
        let mut run = world.shell(&every_way_to_escape());
        run.pids(7);
        let killed: Vec<Identity> =
            kill_descendants().unwrap().signalled.iter().map(|process| process.identity).collect();
        assert_eq!(wait_gone(&killed, LIMIT), []);
        assert_eq!(snapshot().unwrap().descendants_of(std::process::id()).len(), 0);
    }

    fn a_fork_storm_is_beaten() {
        let mut world = World::new();
        let storm = "i=0; while [ $i -lt 2000 ]; do (setsid sleep 60 &); sleep 60 & i=$((i + 1)); echo $i; done";
        let mut runs = [world.shell(storm), world.shell(storm)];
        for run in &mut runs {
            while run.line() != "50" {}
        }
        for run in runs {
            let killed = world.end(run.root);
            assert!(killed.signalled.len() >= 100, "{}", killed.signalled.len());
            assert_eq!(world.children.left_of(&[run.root.run]), [Left::Nothing]);
        }
    }

    fn a_program_that_ends_at_once_is_reported_once_with_its_exit() {
        let mut world = World::new();
        for (script, exit) in [("exit 0", Exit::Code(0)), ("exit 7", Exit::Code(7)), ("kill -TERM $$", Exit::Signal(15))] {
            for _ in 0..30 {
                let run = world.shell(script);
                let death = world.deaths.recv_timeout(LIMIT).unwrap();
                let expected = Death { pid: run.root.leader.pid, exit, leader: true, run: Some(run.root.run) };
                assert_eq!(death, expected);
                assert_ne!(run.root.leader.start, 0);
            }
        }
        assert!(world.deaths.try_recv().is_err());
    }

    fn orphans_are_reaped_and_reported_as_such() {
        let mut world = World::new();
        let mut run = world.shell("(sh -c 'echo $$; exit 3' &); (sh -c 'echo $$; kill -9 $$' &); exit 0");
        let orphans = run.pids(2);
        world.death_of(run.root.leader.pid);
        let exits: HashSet<_> = orphans.iter().map(|pid| format!("{:?}", world.death_of(*pid).exit)).collect();
        assert_eq!(exits, HashSet::from(["Code(3)".to_owned(), "Signal(9)".to_owned()]));
        assert!(orphans.iter().all(|pid| !world.seen[pid].leader && world.seen[pid].run.is_none()));
        assert_eq!(world.children.orphans(), Some(Vec::new()));
        let zombies = fs::read_to_string(format!("/proc/self/task/{}/children", std::process::id())).unwrap();
        assert_eq!(zombies, "");
    }

    fn three_hundred_runs_leave_no_descriptor_thread_or_child() {
        let mut world = World::new();
        let count = |what: &str| fs::read_dir(format!("/proc/self/{what}")).unwrap().count();
        let run = world.shell("exit 0");
        world.death_of(run.root.leader.pid);
        drop(run);
        let before = (count("fd"), count("task"));
        for _ in 0..300 {
            let pid = world.shell("exit 0").root.leader.pid;
            world.seen.remove(&pid);
            world.death_of(pid);
        }
        assert_eq!((count("fd"), count("task")), before);
        assert_eq!(world.children.orphans(), Some(Vec::new()));
        assert_eq!(fs::read_to_string(format!("/proc/self/task/{}/children", std::process::id())).unwrap(), "");
    }

    fn a_child_has_its_own_group_the_environment_given_and_no_descriptor_of_ours() {
        let mut world = World::new();
        let other = world.shell("exec sleep 60");
        let pipe = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(other.lines.get_ref()));
        let pipe = fs::read_link(pipe).unwrap().display().to_string();
        let script = "env | cut -d= -f1 | grep -v -x -e PWD -e _ -e SHLVL -e OLDPWD | sort | tr '\\n' ' '; echo;
            ls -l /proc/$$/fd | grep -c -F PIPE; echo $XTASK_RUN; sleep 60";
        let mut run = world.shell(&script.replace("PIPE", &format!("'{pipe}'")));
        assert_eq!(run.line(), "PATH XTASK_RUN");
        assert_eq!(run.line(), "0");
        assert_eq!(run.line(), run.root.run.to_string());
        let snapshot = snapshot().unwrap();
        let tree = snapshot.members(&[run.root]).remove(0);
        assert_eq!(tree[0].group, run.root.leader.pid);
        assert!(usage(&tree).memory > 0);
        assert_eq!(rustix::process::getrlimit(rustix::process::Resource::Rttime).current, None, "our own is restored");
        world.end(run.root);
        world.end(other.root);
    }

    fn stdin_is_a_pipe_when_asked_for_and_output_ends_with_the_program() {
        let mut world = World::new();
        let mut launch = world.launch("/bin/sh", &["-c", "read x; echo got $x; echo bad >&2"]);
        launch.stdio = Stdio::Pipes;
        let mut spawned = world.children.spawn(&launch).unwrap();
        spawned.stdin.take().unwrap().write_all(b"hello\n").unwrap();
        let (mut out, mut err) = (String::new(), String::new());
        spawned.stdout.read_to_string(&mut out).unwrap();
        spawned.stderr.read_to_string(&mut err).unwrap();
        assert_eq!((out.as_str(), err.as_str()), ("got hello\n", "bad\n"));
    }

    fn a_signal_reaches_each_member_once_in_the_group_and_outside_it() {
        let mut world = World::new();
        // Nothing but builtins, so that no child of theirs is hit on its way.
        let wait = "trap 'echo got' USR1; echo up; while :; do read x && echo read; done";
        let script = format!("exec 3<&0; setsid sh -c {} <&3 & {wait}", shell_quote(wait));
        let launch = Launch { stdio: Stdio::Pipes, ..world.launch("/bin/sh", &["-c", &script]) };
        let spawned = world.children.spawn(&launch).unwrap();
        let root = TreeRoot { leader: spawned.identity, run: launch.run };
        let mut run = Run { root, lines: BufReader::new(spawned.stdout), _stderr: spawned.stderr };
        assert_eq!((run.line(), run.line()), ("up".to_owned(), "up".to_owned()));
        let snapshot = snapshot().unwrap();
        let tree = snapshot.members(&[root]).remove(0);
        assert_eq!(tree.len(), 2);
        assert_eq!(signal_tree(&tree, root.leader, Signal::USR1).len(), 0);
        assert_eq!((run.line(), run.line()), ("got".to_owned(), "got".to_owned()));
        spawned.stdin.unwrap().write_all(b"1\n2\n").unwrap();
        assert_eq!((run.line(), run.line()), ("read".to_owned(), "read".to_owned()), "nobody got it twice");
        world.end(root);
    }

    fn a_recycled_pid_is_never_signalled() {
        let mut world = World::new();
        let mut run = world.shell("echo up; exec sleep 1000");
        assert_eq!(run.line(), "up");
        let leader = run.root.leader;
        let recycled = Identity { start: leader.start + 1, ..leader };
        let snapshot = snapshot().unwrap();
        let tree = snapshot.members(&[run.root]).remove(0);
        let imposter = Process { identity: recycled, ..tree[0].clone() };
        assert_eq!(signal_tree(&[&imposter], recycled, Signal::KILL).len(), 0);
        // A signal that did go out would be found when the process is asked for its end.
        assert_eq!(wait_gone(&[leader], Duration::from_millis(200)), [leader]);
        assert_eq!(signal_tree(&tree, leader, Signal::TERM).len(), 0);
        assert_eq!(wait_gone(&[leader], Duration::from_secs(20)), []);
        world.end(run.root);
    }

    fn why_a_program_does_not_start_is_told_by_name() {
        let mut world = World::new();
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str, mode: u32| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let mut failure = |program: &Path, cwd: &Path| {
            let launch = Launch { cwd: cwd.to_owned(), ..world.launch(program.to_str().unwrap(), &[]) };
            let error = world.children.spawn(&launch).unwrap_err();
            assert!(error.is_permanent(), "{error}");
            error
        };
        let root = Path::new("/");
        let no_interpreter = file("crlf", "#!/bin/sh\r\n", 0o755);
        let text = failure(&no_interpreter, root).to_string();
        assert!(text.contains(r#"names "/bin/sh\r", which is not installed"#), "{text}");
        let plain = file("plain", "echo 1\n", 0o755);
        assert!(failure(&plain, root).to_string().contains("has no `#!` line"));
        assert!(matches!(failure(&file("data", "x", 0o644), root), LaunchError::NotExecutable { .. }));
        assert!(matches!(failure(directory.path(), root), LaunchError::NotExecutable { .. }));
        assert!(matches!(failure(&directory.path().join("none"), root), LaunchError::NotFound { .. }));
        assert!(matches!(failure(Path::new("/bin/sh"), &plain), LaunchError::NoDirectory { .. }));
        assert!(matches!(failure(Path::new("/bin/sh"), &directory.path().join("none")), LaunchError::NoDirectory { .. }));
        let shortage = LaunchError::Failed { program: plain, cause: rustix::io::Errno::AGAIN.into() };
        assert!(!shortage.is_permanent());
    }

    fn the_ports_of_a_tree_are_its_own_and_twins_on_one_port_are_all_seen() {
        use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt::set_socket_reuseport};
        let me = std::process::id();
        let first = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        set_socket_reuseport(&first, true).unwrap();
        bind(&first, &"0.0.0.0:0".parse::<std::net::SocketAddrV4>().unwrap()).unwrap();
        listen(&first, 1).unwrap();
        let first = TcpListener::from(first);
        let port = first.local_addr().unwrap().port();
        let twin = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        set_socket_reuseport(&twin, true).unwrap();
        bind(&twin, &std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, port)).unwrap();
        listen(&twin, 1).unwrap();
        let _not_listening = std::net::TcpStream::connect(first.local_addr().unwrap()).unwrap();

        let listener = |address: [u8; 4]| Listener { port, address: address.into(), pid: me };
        assert_eq!(listening(&[me]).unwrap(), [listener([0, 0, 0, 0]), listener([127, 0, 0, 1])]);
        assert_eq!(listening(&[1]).unwrap().iter().filter(|listener| listener.port == port).count(), 0);
        let holders = holders(&[port]).unwrap();
        assert_eq!(holders.iter().map(|holder| holder.pid).collect::<Vec<_>>(), [Some(me), Some(me)]);
        assert_eq!(holders[0].cwd, std::env::current_dir().ok());
        assert!(holders[0].command.contains("--exact"), "{}", holders[0].command);
        drop((first, twin));
        assert_eq!(super::holders(&[port]).unwrap(), []);
    }
}

fn shell_quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

alone! {
    fn the_end_of_anybodys_process_is_told() {
        let other = duct::cmd!("sleep", "1000").start().unwrap();
        let identity = identity_of(other.pids()[0]).unwrap();
        let (told, ends) = channel();
        assert!(on_end(identity, move || told.send(()).unwrap()));
        assert!(ends.try_recv().is_err());
        other.kill().unwrap();
        ends.recv_timeout(LIMIT).unwrap();
    }
}
