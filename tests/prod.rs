//! The design's production mode with its real parts: Caddy, ElasticMQ, the server and the worker of this repository's `dev.toml`.
//! It runs on the fixed ports of that file, so these tests take turns with the others that do.

use crate::support::{
    Project, Signal, Tidepool, Value, get, has_elasticmq, is_alive, is_free, json, pid, request, restarts, signal,
    wait_until,
};

const SERVICES: [&str; 4] = ["caddy", "elasticmq", "server", "worker"];

/// A stack's ports: Caddy's, the API's, and all the rest.
struct Ports {
    caddy: u16,
    server: u16,
    others: [u16; 3],
}

const PROD: Ports = Ports {
    caddy: 8080,
    server: 7163,
    others: [8081, 2019, 9324],
};

const TEST: Ports = Ports {
    caddy: 18080,
    server: 17163,
    others: [18081, 12019, 19324],
};

impl Ports {
    fn are(&self, free: bool) -> bool {
        [self.caddy, self.server]
            .iter()
            .chain(&self.others)
            .all(|port| is_free(*port) == free)
    }
}

#[test]
fn the_prod_profile_is_what_the_design_asks_for() {
    let repository = Project::of(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    let config = |profile| {
        let jar = [("ELASTICMQ_JAR", "/where/it/is.jar")];
        let run = repository.run_with(&jar, &["config", "--json", "-p", profile]).ok();
        serde_json::from_str::<Value>(&run.stdout).unwrap()
    };
    let (prod, test) = (config("prod"), config("test"));
    let service = |config: &Value, name: &str| {
        let mut services = config["services"].as_array().unwrap().iter();
        services.find(|service| service["name"] == name).cloned().unwrap()
    };
    let restarting = |name| {
        let it = service(&prod, name);
        assert_eq!(it["autorestart"], true, "{name}");
        assert_eq!(
            (&it["max_size"], &it["retain"], &it["compress"]),
            (&(10 << 20).into(), &7.into(), &true.into())
        );
        json!([
            it["max_restarts"],
            it["restart_delay"],
            it["kill_timeout"],
            it["max_memory_restart"]
        ])
    };
    assert_eq!(restarting("caddy"), json!([5, "3s", "5s", null]));
    assert_eq!(restarting("server"), json!([10, "2s", "5s", 512 << 20]));
    assert_eq!(restarting("worker"), json!([10, "2s", "5s", 256 << 20]));
    assert_eq!(restarting("elasticmq"), json!([3, "5s", "5s", null]));
    let (server, worker, queue) = (
        service(&prod, "server"),
        service(&prod, "worker"),
        service(&prod, "elasticmq"),
    );
    assert_eq!(
        (&server["env"]["NODE_ENV"], &server["env"]["PORT"]),
        (&"production".into(), &"7163".into())
    );
    assert_eq!(worker["env"]["NODE_ENV"], "production");
    let (ready, back) = (
        json!({"condition": "ready", "restart": false}),
        json!({"condition": "ready", "restart": true}),
    );
    assert_eq!(server["depends_on"], json!({"caddy": back, "elasticmq": ready}));
    assert_eq!(worker["depends_on"], json!({"elasticmq": back}));
    let command = queue["args"].as_array().unwrap();
    let jar = ["-jar", "/where/it/is.jar"].map(Value::from);
    assert_eq!(
        (&queue["script"], &command[command.len() - 2..]),
        (&"java".into(), &jar[..])
    );
    let usual = repository.run(&["config", "-p", "prod"]).ok();
    usual.prints(&["\"/opt/elasticmq/elasticmq-server.jar\""]);
    assert!(
        SERVICES.iter().all(|name| service(&prod, name)["watch"] == json!([])),
        "nothing is watched in production"
    );

    // The second stack is the first but for its ports, and what follows from them.
    for name in SERVICES {
        let (mut one, mut other) = (service(&prod, name), service(&test, name));
        assert_ne!(one["env"], other["env"], "{name}");
        for key in ["env", "ports", "ready", "out_file", "error_file", "args"] {
            one[key] = Value::Null;
            other[key] = Value::Null;
        }
        assert_eq!(one, other);
    }
}

/// What the tests tell the stack: long enough a job to be caught at work, short waits in the queue.
const QUICK: [(&str, &str); 3] = [
    ("JOB_MS", "800"),
    ("VISIBILITY_TIMEOUT", "3"),
    ("WAIT_TIME_SECONDS", "2"),
];

/// Posts a job through Caddy; its id.
#[track_caller]
fn post(ports: &Ports, name: &str) -> String {
    let job = format!("{{\"name\":\"{name}\"}}");
    let text = format!(
        "POST /api/jobs HTTP/1.0\r\nHost: localhost:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{job}",
        ports.caddy,
        job.len()
    );
    let (status, body) = wait_until("a job is taken", || {
        request(ports.caddy, &text).filter(|(status, _)| *status == 202)
    });
    let answer: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{status}: {body}"));
    answer["id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn wait_job(ports: &Ports, id: &str, state: &str) {
    wait_until(&format!("job {id} is {state}"), || {
        let (_, body) = get(ports.server, &format!("/api/jobs/{id}"))?;
        let job: Value = serde_json::from_str(&body).ok()?;
        (job["state"] == state).then_some(())
    });
}

/// Kills a service while the worker has a job in hand: the job is finished all the same, and everything is ready again.
#[track_caller]
fn kill_with_a_job_in_flight(stack: &Project, victim: &str) {
    let before = stack.wait_ready(victim);
    let job = post(&PROD, victim);
    wait_job(&PROD, &job, "working");
    signal(pid(&before), Signal::KILL);
    wait_job(&PROD, &job, "done");
    stack.wait(victim, "is back", |now| {
        now["ready"] == true && now["pid"] != before["pid"]
    });
}

/// The delays between restarts are checked above; the tests need not sit through them.
fn with_short_delays() -> Tidepool {
    let stack = Tidepool::take();
    for seconds in [2, 3, 5] {
        stack.edit(
            &format!("restart_delay = {seconds}000"),
            &format!("restart_delay = {seconds}00"),
        );
    }
    stack
}

#[test]
fn in_production_every_job_is_finished_whatever_is_killed_meanwhile() {
    if !has_elasticmq() {
        return;
    }
    let stack = with_short_delays();
    stack.run_with(&QUICK, &["dev", "-p", "prod", "-d", "--wait"]).ok();
    let events = stack.read(".dev/prod/supervisor.log");
    let at = |what: &str| events.find(what).unwrap_or_else(|| panic!("no {what:?} in {events}"));
    for (first, then) in [("elasticmq", "server"), ("elasticmq", "worker"), ("caddy", "server")] {
        assert!(
            at(&format!("[{first}] ready")) < at(&format!("[{then}] started")),
            "{first}, then {then}: {events}"
        );
    }
    let health: Value = serde_json::from_str(&get(PROD.caddy, "/api/health").unwrap().1).unwrap();
    assert_eq!(
        (&health["NODE_ENV"], &health["queue"]),
        (&"production".into(), &"sqs".into()),
        "{health}"
    );
    let first = post(&PROD, "first");
    wait_job(&PROD, &first, "done");

    let server = stack.wait_ready("server");
    kill_with_a_job_in_flight(&stack, "caddy");
    // Caddy has forgotten what it serves: who configures it starts again.
    let server = stack.wait("server", "followed caddy", |now| {
        now["ready"] == true && now["pid"] != server["pid"]
    });
    kill_with_a_job_in_flight(&stack, "server");
    kill_with_a_job_in_flight(&stack, "worker");
    assert_eq!(restarts(&stack.service_status("server")), restarts(&server) + 1);

    // The queue is in memory: what comes back is another one. The worker starts again with it, the server stays.
    let [server, worker, queue] = ["server", "worker", "elasticmq"].map(|name| stack.wait_ready(name));
    signal(pid(&queue), Signal::KILL);
    stack.wait("elasticmq", "is back", |now| {
        now["ready"] == true && now["pid"] != queue["pid"]
    });
    stack.wait("worker", "followed the queue", |now| {
        now["ready"] == true && now["pid"] != worker["pid"]
    });
    assert_eq!(stack.wait_ready("server")["pid"], server["pid"]);
    let next = post(&PROD, "next");
    wait_job(&PROD, &next, "done");

    let jvm = pid(&stack.service_status("elasticmq"));
    stack.run(&["stop"]).ok();
    assert!(PROD.are(true) && !is_alive(jvm));
    stack.assert_no_service_process();
}

#[test]
fn a_nested_host_needs_one_command_in_its_image_and_one_at_boot_and_runs_a_second_profile_beside() {
    if !has_elasticmq() {
        return;
    }
    let stack = Tidepool::take();
    stack.run(&["build", "-p", "prod"]).ok();
    assert!(stack.path("build/client/index.html").is_file());
    let boot = ["dev", "-p", "prod", "-d", "--wait", "--no-build"];
    stack.run_with(&QUICK, &boot).ok();
    // The same, but for the ports that an `env_file` names.
    stack
        .run_with(&QUICK, &["dev", "-p", "test", "-d", "--wait", "--no-build"])
        .ok();
    assert_eq!(stack.stacks().len(), 2);
    assert!(PROD.are(false) && TEST.are(false));
    for (ports, others) in [(&PROD, &TEST), (&TEST, &PROD)] {
        let job = post(ports, "one of two");
        wait_job(ports, &job, "done");
        assert_eq!(get(others.server, &format!("/api/jobs/{job}")).unwrap().0, 404);
    }
    // The developer looks at the inner services as at any others.
    stack
        .run(&["logs", "-p", "prod", "worker", "--no-follow"])
        .ok()
        .prints(&["job done"]);
    stack.run(&["stop", "-p", "test"]).ok();
    assert!(TEST.are(true) && PROD.are(false));
    // A second boot command changes nothing.
    let before = SERVICES.map(|name| pid(&stack.service_status(name)));
    stack.run_with(&QUICK, &boot).ok();
    assert_eq!(SERVICES.map(|name| pid(&stack.service_status(name))), before);
    // Or it was saved, and the boot of a host with a service manager starts it as it was.
    stack.run(&["save"]).ok().prints(&["saved prod"]);
    stack.run(&["stop"]).ok();
    assert!(PROD.are(true));
    let run = stack.run_with(&QUICK, &["resurrect"]).ok();
    assert!(!run.stderr.contains("building"), "--no-build was saved; {run}");
    SERVICES.iter().for_each(|name| drop(stack.wait_ready(name)));
    let job = post(&PROD, "after the boot");
    wait_job(&PROD, &job, "done");
    stack.run(&["stop"]).ok();
    assert!(PROD.are(true));
}
