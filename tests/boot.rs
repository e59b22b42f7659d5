//! What outlives a reboot: `save`, `resurrect`, and `startup` with the service that it makes for the system's manager.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::{
    LIMIT, Project, Running, Signal, Value, free_port, has, is_free, pid, signal, wait_at_most, wait_gone,
};

/// A workspace with two profiles, `web` before `api` in the second, each service with a port.
fn two() -> (Project, [u16; 3]) {
    let ports = [free_port(), free_port(), free_port()];
    let project = Project::new()
        .service(
            "web",
            &format!("listen {}", ports[0]),
            &format!("ports = [{}]", ports[0]),
        )
        .service(
            "db",
            &format!("bye ended db listen {}", ports[1]),
            &format!("ports = [{}]", ports[1]),
        )
        .service(
            "api",
            &format!("bye ended api listen {}", ports[2]),
            &format!("ports = [{}]\ndepends_on = [\"db\"]", ports[2]),
        )
        .toml("[profiles.one]\nservices = [\"web\"]\n[profiles.two]\nservices = [\"db\", \"api\"]");
    (project, ports)
}

fn up(project: &Project, profile: &str, more: &[&str]) {
    project
        .run(&[&["dev", "-d", "--wait", "-p", profile], more].concat())
        .ok();
}

/// Everything ends as at a shutdown: nothing is said to the services but the signal.
fn shut_down(project: &Project) {
    project.run(&["stop", "--all"]).ok();
    project.wait_nothing_left();
}

#[test]
fn what_was_saved_is_started_again_and_a_second_time_changes_nothing() {
    let (project, ports) = two();
    up(&project, "one", &["--no-watch"]);
    up(&project, "two", &[]);
    project.run(&["stop", "api"]).ok();
    project.run(&["save"]).ok().prints(&["saved one, two"]);
    shut_down(&project);
    project.run(&["resurrect"]).ok().prints(&["started one", "started two"]);
    let [web, db] = ["web", "db"].map(|name| pid(&project.wait_ready(name)));
    // What the user had stopped stays stopped.
    assert_eq!(project.service_status("api")["status"], "stopped");
    assert!(is_free(ports[2]));
    project
        .run(&["resurrect"])
        .ok()
        .prints(&["one is running already", "two is running already"]);
    assert_eq!(["web", "db"].map(|name| pid(&project.service_status(name))), [web, db]);
    // Only what does not run is started.
    project.run(&["stop", "-p", "one"]).ok();
    project
        .run(&["resurrect"])
        .ok()
        .prints(&["started one", "two is running already"]);
    assert_eq!(pid(&project.service_status("db")), db);
    project.run(&["start", "api"]).ok();
    project.wait_ready("api");
}

#[test]
fn options_are_saved_and_no_value_of_a_variable_ever_is() {
    let (project, _) = two();
    let secrets = [("SHELL_SECRET", "of-the-shell")];
    let words = [
        "dev",
        "-d",
        "--wait",
        "-p",
        "two",
        "--only",
        "db",
        "-e",
        "DB_PASSWORD=hunter2",
    ];
    project.run_with(&secrets, &words).ok();
    project
        .run(&["save"])
        .ok()
        .says(&["warning: two: -e DB_PASSWORD is not saved"]);
    let saved = project.read(".dev/saved.json");
    for absent in ["hunter2", "DB_PASSWORD", "SHELL_SECRET", "of-the-shell"] {
        assert!(!saved.contains(absent), "{saved}");
    }
    assert!(saved.contains("\"two\"") && saved.contains("\"db\""), "{saved}");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&project.path(".dev/saved.json").metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    shut_down(&project);
    project.run(&["resurrect"]).ok();
    project.wait_ready("db");
    assert!(project.service_status("api").is_null());
}

#[test]
fn a_save_before_everything_else_keeps_its_directory_out_of_version_control() {
    let project = Project::new().service("web", "", "");
    project.run(&["save", "--force"]).ok();
    assert_eq!(project.read(".dev/.gitignore"), "*\n");
}

#[test]
fn a_torn_list_falls_back_to_its_backup_and_says_so() {
    let (project, _) = two();
    project
        .run(&["resurrect"])
        .code(1)
        .says(&["error: nothing was saved", "cargo xtask save"]);
    project
        .run(&["save"])
        .code(1)
        .says(&["error: no stack is running", "--force"]);
    assert!(!project.path(".dev/saved.json").exists());
    up(&project, "one", &[]);
    project.run(&["save"]).ok();
    up(&project, "two", &[]);
    project.run(&["save"]).ok();
    shut_down(&project);
    let whole = project.read(".dev/saved.json");
    project.write(".dev/saved.json", &whole[..whole.len() / 2]);
    let run = project.run(&["resurrect"]).ok();
    run.says(&["warning: ", "saved.json", "saved.json.bak"])
        .prints(&["started one"]);
    assert_eq!(project.stacks().len(), 1);
    // A torn file never becomes the backup.
    let backup = project.read(".dev/saved.json.bak");
    up(&project, "two", &[]);
    project.run(&["save"]).ok();
    assert_eq!(project.read(".dev/saved.json.bak"), backup);
    shut_down(&project);
    project
        .run(&["save", "--force"])
        .ok()
        .prints(&["saved that no stack runs"]);
    project.run(&["resurrect"]).ok().says(&["no stack runs"]);
    for torn in [".dev/saved.json", ".dev/saved.json.bak"] {
        project.write(torn, "{");
    }
    project
        .run(&["resurrect"])
        .code(1)
        .says(&["error: ", "saved.json", "nor its backup"]);
}

#[test]
fn a_stack_that_cannot_start_does_not_keep_the_others_down() {
    let (project, _) = two();
    for profile in ["one", "two"] {
        up(&project, profile, &[]);
    }
    project.run(&["save"]).ok();
    shut_down(&project);
    project.edit("[profiles.one]", "[profiles.other]");
    project
        .run(&["resurrect"])
        .code(1)
        .says(&["error: one: ", "no profile `one`"]);
    project.wait_ready("api");
}

/// The other end of `NOTIFY_SOCKET`, as the service manager has it.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn of(project: &Project) -> Manager {
        let path = project.path("notify.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Manager { socket, path }
    }

    /// The next message that has this line.
    #[track_caller]
    fn wait(&self, line: &str) -> String {
        let mut message = [0; 4096];
        let mut seen = Vec::new();
        loop {
            let length = self
                .socket
                .recv(&mut message)
                .unwrap_or_else(|_| panic!("no {line:?} after {seen:#?}"));
            let text = String::from_utf8_lossy(&message[..length]).into_owned();
            if text.lines().any(|found| found.starts_with(line)) {
                return text;
            }
            seen.push(text);
        }
    }

    fn said_within(&self, limit: Duration, line: &str) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let mut message = [0; 4096];
        let said = wait_at_most(limit, || {
            let length = self.socket.recv(&mut message).ok()?;
            String::from_utf8_lossy(&message[..length]).contains(line).then_some(())
        });
        self.socket.set_nonblocking(false).unwrap();
        said.is_some()
    }
}

/// Saves both stacks, shuts down, and boots: the `ExecStart` of the unit, with what systemd puts in its environment.
fn boot(project: &Project) -> (Running, Manager) {
    for profile in ["one", "two"] {
        up(project, profile, &[]);
    }
    project.run(&["save"]).ok();
    shut_down(project);
    let unit = project.run(&["startup", "print"]).ok().stdout.clone();
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    // Systemd's quoting is a shell's, as far as these words need any.
    let words = shell_words::split(line).unwrap();
    // What the services said when they were shut down is not of this boot.
    project.write("ended", "");
    let manager = Manager::of(project);
    let mut command = project.prepare(&words[0]);
    command.args(&words[1..]).current_dir("/");
    // Systemd clears the environment but for what the unit names; a unit of the system has no runtime directory.
    command.env_remove("XDG_RUNTIME_DIR");
    command
        .env("NOTIFY_SOCKET", &manager.path)
        .env("WATCHDOG_USEC", "400000");
    let running = Running::start(&mut command);
    manager.wait("READY=1");
    (running, manager)
}

#[test]
fn the_unit_of_boot_starts_all_says_so_gives_signs_of_life_and_stops_in_order() {
    let (project, ports) = two();
    let (service, manager) = boot(&project);
    for name in ["web", "db", "api"] {
        project.wait_ready(name);
    }
    // A service that inherited the socket would speak in our name.
    let db = std::fs::read(format!("/proc/{}/environ", pid(&project.service_status("db")))).unwrap_or_default();
    assert!(!String::from_utf8_lossy(&db).contains("WATCHDOG_USEC"));
    manager.wait("WATCHDOG=1");
    manager.wait("WATCHDOG=1");
    // What a user stops stays stopped, and is no reason to end.
    project.run(&["stop", "-p", "one"]).ok();
    manager.wait("STATUS=one was stopped");
    manager.wait("WATCHDOG=1");
    // A supervisor that does not answer is a hang that the manager must hear of by silence.
    let supervisor = project.supervisor();
    signal(supervisor, Signal::STOP);
    while manager.said_within(Duration::from_millis(500), "WATCHDOG=1") {}
    signal(supervisor, Signal::CONT);
    manager.wait("WATCHDOG=1");
    // What a user has started again is the user's.
    up(&project, "one", &[]);
    service.signal(Signal::TERM);
    let stopping = manager.wait("STOPPING=1");
    // db and api one after the other, 5 s each and 3 s for what is killed, and the keeper's 10 s.
    assert!(stopping.contains("EXTEND_TIMEOUT_USEC=26000000"), "{stopping}");
    service.wait().ok();
    assert_eq!(project.read("ended"), "api\ndb\n");
    assert_eq!(ports.map(is_free), [false, true, true]);
    shut_down(&project);
}

#[test]
fn kill_9_of_the_unit_of_boot_leaves_nothing() {
    let (project, ports) = two();
    let (service, _manager) = boot(&project);
    service.signal(Signal::KILL);
    service.wait();
    project.wait_nothing_left();
    assert!(ports.iter().all(|port| is_free(*port)));
}

#[test]
fn a_supervisor_that_is_killed_ends_the_unit_of_boot_so_that_the_manager_starts_it_anew() {
    let (project, ports) = two();
    let (service, manager) = boot(&project);
    let stacks = project.stacks();
    let supervisor = pid(&stacks[0]["supervisor"]);
    signal(supervisor, Signal::KILL);
    manager.wait("STOPPING=1");
    service.wait().code(1).says(&["error: lost the supervisor of one"]);
    wait_gone(supervisor);
    project.wait_nothing_left();
    assert!(ports.iter().all(|port| is_free(*port)));
}

#[test]
fn the_unit_of_boot_says_what_is_not_up_and_goes_on() {
    let (project, _) = two();
    for profile in ["one", "two"] {
        up(&project, profile, &[]);
    }
    project.run(&["save"]).ok();
    shut_down(&project);
    project.edit("[profiles.one]", "[profiles.other]");
    project.edit("bye ended api", "exit 3");
    let manager = Manager::of(&project);
    let socket = manager.path.to_str().unwrap();
    let service = project.start_with(&[("NOTIFY_SOCKET", socket)], &["resurrect", "--foreground"]);
    let said = manager.wait("READY=1");
    assert!(
        said.contains("STATUS=two up; not ready: api of two; not started: one"),
        "{said}"
    );
    project.wait_ready("db");
    service.signal(Signal::TERM);
    service.wait().ok().says(&["error: one: ", "warning: two: api: "]);
}

#[test]
fn what_a_loss_of_power_leaves_on_the_disk_is_no_obstacle() {
    let (project, _) = two();
    up(&project, "two", &[]);
    project.run(&["save"]).ok();
    for with in [Signal::STOP, Signal::KILL] {
        project.processes().iter().for_each(|process| signal(process.pid, with));
    }
    project.wait_nothing_left();
    // The next boot gives the pids to others: ours is one that lives.
    let state = project.read(".dev/two/state.json");
    let mut state: Value = serde_json::from_str(&state).unwrap();
    let own = std::process::id();
    state["boot"] = "another boot".into();
    for identity in ["/supervisor/pid", "/services/0/leader/pid"] {
        *state.pointer_mut(identity).unwrap() = own.into();
    }
    project.write(".dev/two/state.json", &state.to_string());
    project.run(&["resurrect"]).ok().prints(&["started two"]);
    project.wait_ready("api");
}

#[test]
fn the_unit_of_boot_looks_after_a_stack_that_runs_already() {
    let (project, ports) = two();
    up(&project, "one", &[]);
    project.run(&["save"]).ok();
    let before = pid(&project.service_status("web"));
    let service = project.start(&["resurrect", "--foreground"]);
    service.wait_for("one up");
    assert_eq!(pid(&project.service_status("web")), before);
    service.press_ctrl_c();
    service.wait().ok();
    assert!(is_free(ports[0]));
    project.wait_nothing_left();
}

#[test]
fn what_startup_prints_is_clean_to_systemd() {
    if !has("systemd-analyze") {
        return;
    }
    let (project, _) = two();
    for (name, flag) in [("system", None), ("user", Some("--user"))] {
        let words: Vec<&str> = ["startup"].into_iter().chain(flag).collect();
        let unit = project.run(&words).ok().stdout.clone();
        // Stopped in order: 16 s for db after api, and 10 s for the keeper.
        assert!(
            unit.contains("TimeoutStopSec=26s\n") && unit.contains("Type=notify\n"),
            "{unit}"
        );
        let file = format!("xtask-{name}.service");
        project.write(&file, &unit);
        let mut analyze = project.prepare("systemd-analyze");
        analyze
            .arg("verify")
            .args(flag)
            .args(["--man=no", "--recursive-errors=no", &file]);
        let run = Running::start(&mut analyze).wait().ok();
        assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""), "{unit}");
    }
}

/// A `systemctl` that writes down what it is told, and fails where the project says so.
fn with_systemctl(project: Project) -> Project {
    let script = "#!/bin/sh\necho \"$*\" >>\"$(dirname \"$0\")/told\"\n[ ! -e \"$(dirname \"$0\")/broken\" ]\n";
    project.write("bin/systemctl", script);
    let bin = project.path("bin");
    let executable = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
    std::fs::set_permissions(bin.join("systemctl"), executable).unwrap();
    let path = std::env::var("PATH").unwrap_or_default();
    let config = project.path("config").to_str().unwrap().to_owned();
    project
        .env("PATH", &format!("{}:{path}", bin.display()))
        .env("XDG_CONFIG_HOME", &config)
}

#[test]
fn startup_installs_and_takes_away_a_unit() {
    let project = with_systemctl(two().0);
    let printed = project.run(&["startup", "--user"]).ok().stdout.clone();
    project
        .run(&["startup", "uninstall", "--user"])
        .ok()
        .says(&["is not installed"]);
    let run = project.run(&["startup", "install", "--user"]).ok();
    let run = run
        .prints(&["installed "])
        .says(&["enable-linger", "nothing is saved yet"]);
    let units = project.path("config/systemd/user");
    let unit = std::fs::read_dir(&units).unwrap().next().unwrap().unwrap();
    let name = unit.file_name().into_string().unwrap();
    assert!(
        name.starts_with("xtask-ws-") && name.ends_with(".service"),
        "{name}; {run}"
    );
    assert_eq!(std::fs::read_to_string(unit.path()).unwrap(), printed);
    assert_eq!(project.read("bin/told"), format!("--user enable {name}\n"));
    project.write("bin/told", "");
    project
        .run(&["startup", "uninstall", "--user"])
        .ok()
        .prints(&["removed "]);
    assert_eq!(
        project.read("bin/told"),
        format!("--user stop {name}\n--user disable {name}\n--user daemon-reload\n")
    );
    assert_eq!(std::fs::read_dir(&units).unwrap().count(), 0);
}

#[test]
fn a_service_manager_that_refuses_leaves_the_exact_commands() {
    let project = with_systemctl(two().0);
    project.write("bin/broken", "");
    let run = project
        .run(&["startup", "install", "--user"])
        .code(1)
        .says(&["error: ", "systemctl --user enable"]);
    let commands = run.stdout.clone();
    // They do the same: run by a shell, they write what is printed.
    std::fs::remove_dir_all(project.path("config")).unwrap();
    std::fs::remove_file(project.path("bin/broken")).unwrap();
    project.write("commands.sh", &commands);
    project.write("bin/told", "");
    Running::start(project.prepare("sh").args(["-e", "commands.sh"]))
        .wait()
        .ok();
    let unit = std::fs::read_dir(project.path("config/systemd/user"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let printed = project.run(&["startup", "--user"]).ok().stdout.clone();
    assert_eq!(std::fs::read_to_string(unit.path()).unwrap(), printed);
    assert!(project.read("bin/told").contains("--user enable "));
}

#[test]
fn without_the_rights_startup_prints_the_exact_commands() {
    let (project, _) = two();
    let mut command = project.prepare(crate::support::xtask());
    if rustix::process::geteuid().is_root() {
        // Somebody without rights needs a program and a workspace that all may read.
        let open = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        let program = project.path("xtask");
        // By another process: a program that this one has open for writing while another test forks cannot be run ("text file busy").
        let copied = project
            .prepare("cp")
            .arg(crate::support::xtask())
            .arg(&program)
            .status();
        assert!(copied.unwrap().success());
        for dir in project.path("dev.toml").ancestors().skip(1).take(2) {
            std::fs::set_permissions(dir, open.clone()).unwrap();
        }
        command = project.prepare(program.to_str().unwrap());
        std::os::unix::process::CommandExt::uid(&mut command, 65534);
    }
    command.args(["startup", "install"]);
    let run = Running::start(&mut command).wait().code(1);
    run.says(&["error: ", "the commands above"]).prints(&[
        "sudo tee /etc/systemd/system/xtask-ws-",
        "Type=notify",
        "END_OF_UNIT\nsudo systemctl enable xtask-ws-",
    ]);
}
