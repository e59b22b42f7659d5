//! The API: takes jobs, tells how far they are, and configures Caddy at its own start when it shall serve the client.
//! Knows nothing of how jobs travel (`queue`) and what Caddy is told (`caddy`).

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::caddy::{self, CaddyError, Site};
use crate::clock;
use crate::fetch::Client;
use crate::http::{self, Call, Reply};
use crate::jobs::{Jobs, State};
use crate::log::Log;
use crate::queue::Queue;
use crate::settings::Settings;
use crate::sqs::Sqs;
use crate::stop;

/// Between two attempts at something that is not up yet.
const RETRY: Duration = Duration::from_millis(250);
/// How many attempts Caddy gets: 15 s.
const CADDY_ATTEMPTS: u32 = 60;
/// How many attempts pass between two lines about them.
const ATTEMPTS_A_LINE: u32 = 20;

/// Runs until a signal. False when it could not start.
pub fn run(settings: &Settings) -> bool {
    let log = Log::new("server");
    match serve(settings, log) {
        Ok(()) => true,
        Err(problem) => {
            log.fatal(&problem, json!({}));
            false
        }
    }
}

fn serve(settings: &Settings, log: Log) -> Result<(), String> {
    let (sender, stopped) = mpsc::channel();
    stop::on_signal(sender, || ())?;
    let jobs = open_jobs(settings, log)?;
    let listeners = http::bind(settings.port)?;
    let queue = if settings.in_process() {
        Queue::memory(jobs.clone(), settings.job, log)
    } else {
        Queue::Sqs(Sqs::new(&settings.queue_endpoint, &settings.queue_name))
    };
    let app = Arc::new(App::new(settings, jobs, queue, log));
    let serving = http::serve(listeners, {
        let app = Arc::clone(&app);
        move |call| app.logged(call)
    })?;
    log.info(
        &format!("listening on http://localhost:{}", settings.port),
        json!({
            "NODE_ENV": settings.node_env, "RUNTIME": settings.runtime, "port": settings.port, "queue": app.queue.kind(),
        }),
    );
    if configure_caddy(settings, &stopped, log)? && connect_queue(&app.queue, &stopped, log) {
        app.requeue();
        app.ready.store(true, Ordering::Release);
        log.info("ready", json!({}));
        let _ = stopped.recv();
    }
    log.info("stopping", json!({}));
    serving.finish();
    Ok(())
}

fn open_jobs(settings: &Settings, log: Log) -> Result<Jobs, String> {
    let Some(path) = &settings.jobs_file else {
        return Ok(Jobs::in_memory());
    };
    let file = path.display().to_string();
    let (jobs, torn) = Jobs::open(path).map_err(|cause| format!("open the journal {file}: {cause}; see JOBS_FILE"))?;
    if torn > 0 {
        log.warn(
            "the journal has lines that are none of ours",
            json!({"file": file, "lines": torn}),
        );
    }
    Ok(jobs)
}

/// False when a signal came first.
fn configure_caddy(settings: &Settings, stopped: &Receiver<()>, log: Log) -> Result<bool, String> {
    let Some(root) = &settings.spa_root else {
        return Ok(true);
    };
    let root = std::path::absolute(root).map_err(|cause| format!("find SPA_ROOT: {cause}"))?;
    if !root.join("index.html").is_file() {
        log.warn(
            "SPA_ROOT has no index.html; build the client",
            json!({"root": root.display().to_string()}),
        );
    }
    let client = Client::new(Duration::from_secs(3));
    let admin = settings.caddy_admin.as_str();
    for attempt in 0..CADDY_ATTEMPTS {
        match caddy::load(&client, admin, site(settings, &root)) {
            Ok(()) => {
                let fields = json!({"root": root.display().to_string(), "port": settings.caddy_port, "admin": admin});
                log.info("caddy serves the client", fields);
                return Ok(true);
            }
            Err(CaddyError::Refused(said)) => {
                return Err(format!("configure caddy at {admin}: {said}; stop what is in its way"));
            }
            Err(CaddyError::NotUp(cause)) => {
                if attempt % ATTEMPTS_A_LINE == 0 {
                    log.warn("caddy is not up yet", json!({"admin": admin, "err": cause}));
                }
            }
        }
        if stop_within(stopped, RETRY) {
            return Ok(false);
        }
    }
    Err(format!(
        "configure caddy at {admin}: it did not come up; start caddy, or unset SPA_ROOT"
    ))
}

fn site<'a>(settings: &Settings, root: &'a Path) -> Site<'a> {
    Site {
        root,
        api_port: settings.port,
        port: settings.caddy_port,
        health_port: settings.caddy_admin_ui_port,
    }
}

/// Waits for the queue as long as it takes. False when a signal came first.
fn connect_queue(queue: &Queue, stopped: &Receiver<()>, log: Log) -> bool {
    let mut attempt = 0;
    while let Err(cause) = queue.connect() {
        if attempt % ATTEMPTS_A_LINE == 0 {
            log.warn("the queue is not up yet", json!({"err": cause.to_string()}));
        }
        attempt += 1;
        if stop_within(stopped, RETRY) {
            return false;
        }
    }
    true
}

fn stop_within(stopped: &Receiver<()>, span: Duration) -> bool {
    !matches!(stopped.recv_timeout(span), Err(RecvTimeoutError::Timeout))
}

/// What the requests share.
struct App {
    jobs: Jobs,
    queue: Queue,
    log: Log,
    node_env: String,
    runtime: String,
    /// Caddy is configured and the queue is there.
    ready: AtomicBool,
    /// Jobs taken by this process.
    taken: AtomicU64,
}

impl App {
    fn new(settings: &Settings, jobs: Jobs, queue: Queue, log: Log) -> App {
        App {
            jobs,
            queue,
            log,
            node_env: settings.node_env.clone(),
            runtime: settings.runtime.clone(),
            ready: AtomicBool::new(false),
            taken: AtomicU64::new(0),
        }
    }

    /// Answers, and says so in the log; only health is asked too often for that.
    fn logged(&self, call: &Call) -> Reply {
        let start = clock::monotonic();
        let reply = self.answer(call);
        if call.path() != "/api/health" {
            let spent = (clock::monotonic() - start).as_millis() as u64;
            let fields = json!({
                "req": {"method": call.method, "url": call.url}, "res": {"statusCode": reply.status}, "responseTime": spent,
            });
            if reply.status < 500 {
                self.log.info("request completed", fields);
            } else {
                self.log.error("request failed", fields);
            }
        }
        reply
    }

    fn answer(&self, call: &Call) -> Reply {
        let path: Vec<&str> = call.path().trim_matches('/').split('/').collect();
        match (call.method.as_str(), path.as_slice()) {
            ("GET", ["api", "health"]) => self.health(),
            ("GET", ["api", "jobs"]) => {
                let jobs: Vec<Value> = self.jobs.all().iter().map(crate::jobs::Job::to_json).collect();
                Reply::json(200, &json!(jobs))
            }
            ("POST", ["api", "jobs"]) => self.take(call),
            ("GET", ["api", "jobs", id]) => match self.jobs.get(id) {
                Some(job) => Reply::json(200, &job.to_json()),
                None => error(404, &format!("no job {id}")),
            },
            ("POST", ["api", "jobs", id, "working"]) => self.report(id, State::Working),
            ("POST", ["api", "jobs", id, "done"]) => self.report(id, State::Done),
            (_, ["api", "health" | "jobs", ..]) => error(405, "no such method here"),
            _ => error(404, "no such path"),
        }
    }

    fn health(&self) -> Reply {
        let ready = self.ready.load(Ordering::Acquire);
        let health = json!({
            "status": if ready { "ok" } else { "starting" },
            "pid": std::process::id(),
            "uptime": clock::monotonic().as_millis() as f64 / 1000.0,
            "NODE_ENV": self.node_env,
            "RUNTIME": self.runtime,
            "queue": self.queue.kind(),
        });
        Reply::json(if ready { 200 } else { 503 }, &health)
    }

    fn take(&self, call: &Call) -> Reply {
        let payload: Value = match serde_json::from_slice(&call.body) {
            Ok(payload) => payload,
            Err(cause) => return error(400, &format!("read the body as JSON: {cause}")),
        };
        let (now, count) = (clock::wall_ms(), self.taken.fetch_add(1, Ordering::Relaxed));
        let id = format!("{now:x}-{:x}-{count}", std::process::id());
        // The worker may be done before we have noted the job; the list knows how to take that.
        if let Err(cause) = self.queue.send(&id, &payload) {
            self.log
                .error("send the job", json!({"job": id, "err": cause.to_string()}));
            return error(503, &cause.to_string());
        }
        self.note(&id, State::Queued, Some(payload));
        Reply::json(202, &json!({"id": id}))
    }

    fn report(&self, id: &str, state: State) -> Reply {
        self.note(id, state, None);
        Reply::json(200, &json!({"id": id, "state": state.name()}))
    }

    fn note(&self, id: &str, state: State, payload: Option<Value>) {
        if let Err(cause) = self.jobs.set(id, state, payload, clock::wall_ms()) {
            self.log
                .error("write the journal", json!({"job": id, "err": cause.to_string()}));
        }
    }

    /// A queue in memory has forgotten what the journal remembers.
    fn requeue(&self) {
        if let Queue::Memory(_) = self.queue {
            for job in self.jobs.all().iter().filter(|job| job.state < State::Done) {
                let _ = self.queue.send(&job.id, &job.payload);
            }
        }
    }
}

fn error(status: u16, text: &str) -> Reply {
    Reply::json(status, &json!({"error": text}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> App {
        let settings = Settings::read(|_| None).unwrap();
        let (sender, _) = mpsc::channel();
        // Nobody receives: a job can be noted as the reports say, but not handed over.
        App::new(&settings, Jobs::in_memory(), Queue::Memory(sender), Log::new("test"))
    }

    fn ask(app: &App, method: &str, url: &str, body: &str) -> (u16, Value) {
        let call = Call {
            method: method.into(),
            url: url.into(),
            content_type: String::new(),
            body: body.as_bytes().into(),
        };
        let reply = app.answer(&call);
        (reply.status, serde_json::from_slice(&reply.body).unwrap())
    }

    #[test]
    fn health_is_not_ok_before_all_is_set_up() {
        let app = app();
        assert_eq!(ask(&app, "GET", "/api/health", "").0, 503);
        app.ready.store(true, Ordering::Release);
        let (status, health) = ask(&app, "GET", "/api/health?x=1", "");
        assert_eq!(
            (status, &health["status"], &health["RUNTIME"]),
            (200, &json!("ok"), &json!("stub"))
        );
    }

    #[test]
    fn a_report_about_an_unknown_job_makes_it() {
        let app = app();
        assert_eq!(ask(&app, "POST", "/api/jobs/j1/done", "").0, 200);
        assert_eq!(ask(&app, "GET", "/api/jobs/j1", "").1["state"], "done");
        assert_eq!(ask(&app, "GET", "/api/jobs", "").1[0]["id"], "j1");
    }

    #[test]
    fn a_job_that_the_queue_does_not_take_is_refused_and_not_listed() {
        let app = app();
        assert_eq!(ask(&app, "POST", "/api/jobs", "{}").0, 503);
        assert_eq!(ask(&app, "GET", "/api/jobs", ""), (200, json!([])));
    }

    #[test]
    fn what_is_wrong_with_a_request_is_said_by_its_status() {
        let app = app();
        assert_eq!(ask(&app, "POST", "/api/jobs", "{").0, 400);
        assert_eq!(ask(&app, "DELETE", "/api/jobs", "").0, 405);
        assert_eq!(ask(&app, "GET", "/api/jobs/none", "").0, 404);
        assert_eq!(ask(&app, "GET", "/other", "").0, 404);
    }
}
