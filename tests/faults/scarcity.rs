//! Nothing left to work with: no descriptors, no processes. Errors say what is missing, nothing is lost, and when there is
//! room again it goes on.

use super::recovers;
use crate::support::{Project, Running, Value, free_port, wait_until};

/// A command of a shell that has set a limit first.
fn limited(project: &Project, limit: &str, args: &str) -> Running {
    let line = format!("{limit} && exec \"$XTASK\" {args}");
    Running::start(
        project
            .prepare("sh")
            .args(["-c", &line])
            .env("XTASK", crate::support::xtask()),
    )
}

fn services(project: &Project) -> Vec<Value> {
    project.stacks()[0]["services"].as_array().unwrap().clone()
}

fn count(services: &[Value], status: &str) -> usize {
    services.iter().filter(|service| service["status"] == status).count()
}

/// What a service without room says.
fn reason(services: &[Value]) -> String {
    let waiting = services
        .iter()
        .find(|service| service["status"] == "waiting restart")
        .unwrap();
    waiting["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn with_64_descriptors_what_fits_runs_and_the_rest_waits_for_room() {
    let port = free_port();
    let mut project = Project::new().service("web", &format!("listen {port}"), &format!("ports = [{port}]"));
    for number in 0..30 {
        project = project.service(&format!("s{number}"), "out here", "min_uptime = 50");
    }
    let run = limited(&project, "ulimit -n 64", "dev -d").wait().code(1);
    run.says(&["error: ", "limit of open files", "ulimit -n"]);
    let before = services(&project);
    let (online, waiting) = (count(&before, "online"), count(&before, "waiting restart"));
    assert!(
        online >= 5 && waiting >= 5 && online + waiting == 31,
        "{online} online, {waiting} waiting"
    );
    assert!(reason(&before).contains("limit of open files"), "{}", reason(&before));

    // Room for one is made by the end of another.
    project.run(&["stop", "s0", "s1", "s2"]).ok();
    wait_until("others have taken the room", || {
        let now = services(&project);
        (count(&now, "online") >= online - 1 && count(&now, "waiting restart") < waiting).then_some(())
    });
    assert!(services(&project).iter().all(|service| service["status"] != "errored"));
    recovers(&project, port);
}

#[test]
fn more_commands_than_descriptors_are_told_so_and_the_stack_goes_on() {
    let port = free_port();
    let project = Project::new().service("web", &format!("listen {port}"), &format!("ports = [{port}]"));
    limited(&project, "ulimit -n 64", "dev -d --wait").wait().ok();
    // Some 20 find room. Not many more: each watches the logs, and of all of a user's there are 128 at most.
    let commands: Vec<_> = (0..28).map(|_| project.start(&["dev"])).collect();
    let told = wait_until("somebody is told", || {
        commands
            .iter()
            .find(|command| command.stderr().contains("no room for another connection"))
            .map(Running::stderr)
    });
    // One that has got in far enough to read the log files goes on with a warning.
    let is_told = told.contains("error: ") || told.contains("warning: ");
    assert!(is_told && told.contains("ulimit -n"), "{told}");
    drop(commands);
    wait_until("status works again", || {
        project.run(&["status"]).status.success().then_some(())
    });
    assert_eq!(project.service_status("web")["ready"], true);
    recovers(&project, port);
}

/// A command where there may be only so many processes and threads: for root in a group of the pids controller, for others by
/// their limit, in a user namespace that counts for itself.
#[cfg(target_os = "linux")]
fn with_processes(project: &Project, most: u32, args: &str) -> Running {
    if !rustix::process::getuid().is_root() {
        let mut command = project.prepare("unshare");
        command.args(["--user", "--map-current-user", "prlimit", &format!("--nproc={most}")]);
        return Running::start(command.arg(crate::support::xtask()).args(args.split(' ')));
    }
    let group = std::path::PathBuf::from(format!("/sys/fs/cgroup/pids/xtask-test-{}", std::process::id()));
    // What an earlier run of the test left is as good.
    let _ = std::fs::create_dir(&group);
    std::fs::write(group.join("pids.max"), most.to_string()).expect("use the pids controller");
    limited(project, &format!("echo $$ >{}/cgroup.procs", group.display()), args)
}

#[cfg(target_os = "linux")]
#[test]
fn without_processes_what_fits_runs_and_the_rest_waits_for_room() {
    let port = free_port();
    let children = "child end ".repeat(60);
    let mut project = Project::new()
        .service(
            "hog",
            &format!("{children} out full"),
            "ready = { log = \"full\" }\nkill_timeout = 200",
        )
        .service("web", &format!("listen {port}"), &format!("ports = [{port}]"));
    for number in 0..24 {
        project = project.service(&format!("s{number}"), "wait-for go out here", "min_uptime = 50");
    }
    with_processes(&project, 90, "dev -d --wait --only hog").wait().ok();
    project
        .run(&["dev", "-d"])
        .code(1)
        .says(&["error: ", "limit of processes", "ulimit -u"]);
    let before = services(&project);
    assert!(count(&before, "waiting restart") > 0, "there was room for all");
    assert!(reason(&before).contains("limit of processes"), "{}", reason(&before));
    assert!(before.iter().all(|service| service["status"] != "errored"));
    // There are no threads for their output either; it is read all the same.
    project.write("go", "");
    let online = before.iter().filter(|service| service["status"] == "online");
    for name in online
        .map(|service| service["name"].as_str().unwrap())
        .filter(|name| name.starts_with('s'))
    {
        let log = project.path(&format!(".dev/dev/logs/{name}-out.log"));
        wait_until(&format!("the line of {name} is in its log"), || {
            std::fs::read_to_string(&log).unwrap().contains(" here\n").then_some(())
        });
    }
    project.run(&["stop", "hog"]).ok();
    wait_until("all have room", || {
        (count(&services(&project), "online") == 25).then_some(())
    });
    project.wait_ready("web");
    project.run(&["stop"]).ok();
    project.wait_nothing_left();
    assert!(crate::support::is_free(port));
}
