//! Launches a run: its ports, its program, its environment, its logs, its readiness probe.

use super::message::Message;
use super::{Supervisor, ports, send};
use crate::clock::Now;
use crate::fleet::ServiceId;
use crate::lifecycle::{Event, Monotonic, RunId};
use crate::log;
use crate::plan::secret::Mask;
use crate::plan::{Probe, ServicePlan, environment};
use crate::policy::Readiness;
use crate::process::{self, Identity, Launch, LaunchError, RunTag, Spawned, Stdio, TreeRoot};
use crate::readiness::notify::{Notice, NotifyHandle};
use crate::readiness::{self, Ask, ProbeHandle, ProbeReport};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::PipeWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The kind of terminal that a service with one gets to know where its environment does not say.
const TERM: &str = "xterm-256color";

/// What `node server` may mean.
const ENDINGS: [&str; 4] = [".js", ".mjs", ".cjs", ".ts"];

/// A run whose processes may live, with everything that ends when it ends.
pub(super) struct LiveRun {
    /// The service; `None` for a build's.
    pub(super) service: Option<ServiceId>,
    pub(super) root: TreeRoot,
    /// The leader was reaped.
    pub(super) leader_gone: bool,
    /// Streams whose output is not yet all in the log.
    pub(super) streams: usize,
    /// The streams, as far as they go into a log.
    pub(super) pumps: Vec<log::Pump>,
    /// Since when nothing of the tree lives, while its output is not yet at its end; and when to look again.
    pub(super) draining: Option<Draining>,
    /// Leftovers of a crash were asked to end.
    pub(super) asked: bool,
    probe: Option<ProbeHandle>,
    notify: Option<NotifyHandle>,
    pub(super) stdin: Option<PipeWriter>,
}

/// A run of which only output is left.
#[derive(Clone, Copy)]
pub(super) struct Draining {
    pub(super) since: Monotonic,
    pub(super) look_again: Monotonic,
}

impl LiveRun {
    /// A run that was just spawned.
    pub(super) fn new(service: Option<ServiceId>, identity: Identity, tag: RunTag) -> Self {
        Self {
            service,
            root: TreeRoot {
                leader: identity,
                run: tag,
            },
            leader_gone: false,
            streams: 0,
            pumps: Vec::new(),
            draining: None,
            asked: false,
            probe: None,
            notify: None,
            stdin: None,
        }
    }

    /// The run is about to end: nothing asks any more whether it is ready.
    pub(super) fn end_probe(&mut self) {
        self.probe = None;
        self.notify = None;
    }
}

impl Supervisor {
    /// Launches a run of a service; the event says what came of it.
    pub(super) fn launch(&mut self, id: ServiceId, run: RunId) -> Event {
        let Some(plan) = self.fleet.get(id).map(|member| member.plan.clone()) else {
            return Event::Unlaunchable(run, "it is no longer in the plan".to_owned());
        };
        if let Some(holder) = self.held(&plan.ports) {
            return Event::PortsHeld(run, holder);
        }
        match self.spawn_service(id, run, &plan) {
            Ok(pid) => Event::Spawned(run, pid),
            Err(error) => {
                let why = self.mask(plan.values()).text(&error.to_string());
                if error.is_permanent() {
                    Event::Unlaunchable(run, why)
                } else {
                    Event::Scarce(run, why)
                }
            }
        }
    }

    /// Hides secrets in what is said of a service or a task: it goes to tables, logs and whoever depends on it.
    pub(super) fn mask<'a>(&'a self, values: impl IntoIterator<Item = (&'a String, &'a String)>) -> Mask {
        let workspace = self.plan.as_ref().map(|plan| plan.workspace.as_path());
        Mask::of(workspace.unwrap_or(Path::new("")), &self.invocation.shell, values)
    }

    fn spawn_service(&mut self, id: ServiceId, run: RunId, plan: &ServicePlan) -> Result<u32, LaunchError> {
        let tag = self.tag(run);
        let mut env = environment(&self.invocation.shell, &plan.env);
        let notify = self.listen_for_readiness(run, plan, &mut env)?;
        if plan.pty && env.get("TERM").is_none_or(String::is_empty) {
            env.insert("TERM".to_owned(), TERM.to_owned());
        }
        let (program, args) = command_line(plan, env.get("PATH").map(String::as_str))?;
        let launch = Launch {
            program,
            args,
            cwd: plan.cwd.clone(),
            stdio: stdio(plan, &env),
            env: variables(env),
            run: tag,
        };
        let Spawned {
            identity,
            stdout,
            stderr,
            stdin,
        } = self.children.spawn(&launch)?;
        let mut live = LiveRun::new(Some(id), identity, tag);
        live.notify = notify;
        live.stdin = stdin;
        let matches = self.line_matcher(run, plan);
        live.pumps = self
            .logs
            .follow(plan, (stdout, stderr), &matches, &self.drained_report(run));
        live.streams = live.pumps.len();
        if live.streams < 2 {
            // Without a reader its first line would end it: better not launched than launched and lost.
            let _ = process::kill_tree(&[live.root]);
            return Err(LaunchError::Failed {
                program: launch.program,
                cause: rustix::io::Errno::AGAIN.into(),
            });
        }
        live.probe = self.start_probe(run, plan, live.root);
        self.runs.insert(run, live);
        Ok(identity.pid)
    }

    /// The mark of a run's processes.
    pub(super) fn tag(&self, run: RunId) -> RunTag {
        RunTag {
            nonce: self.nonce,
            run: run.0,
        }
    }

    pub(super) fn drained_report(&self, run: RunId) -> impl Fn() + Clone + Send + 'static {
        let sender = self.sender.clone();
        move || send(&sender, Message::Drained(run))
    }

    /// For `ready = { notify = true }`: the socket whose path the service finds in `NOTIFY_SOCKET`.
    fn listen_for_readiness(
        &self,
        run: RunId,
        plan: &ServicePlan,
        env: &mut BTreeMap<String, String>,
    ) -> Result<Option<NotifyHandle>, LaunchError> {
        if plan.probe != Some(Probe::Notify) {
            return Ok(None);
        }
        let path = self.paths.socket.with_extension(format!("n{}", run.0));
        let sender = self.sender.clone();
        let handle = readiness::notify::listen(&path, move |notice| {
            if notice == Notice::Ready {
                send(&sender, Message::SaidReady(run));
            }
        })
        .map_err(|cause| LaunchError::Failed {
            program: path.clone(),
            cause,
        })?;
        env.insert("NOTIFY_SOCKET".to_owned(), path.display().to_string());
        Ok(Some(handle))
    }

    /// For `ready = { log = "…" }`: what looks at each line of output.
    fn line_matcher(&self, run: RunId, plan: &ServicePlan) -> super::output::LineMatcher {
        let Some(Probe::Log(pattern)) = &plan.probe else {
            return super::output::LineMatcher::default();
        };
        let sender = self.sender.clone();
        super::output::LineMatcher::new(pattern, move || send(&sender, Message::SaidReady(run)))
    }

    fn start_probe(&self, run: RunId, plan: &ServicePlan, root: TreeRoot) -> Option<ProbeHandle> {
        let ports = plan.ports.clone();
        // The port that is asked at must not be a stranger's, declared or not.
        let asked = plan.probe.as_ref().and_then(Probe::local_port);
        let strangers = asked.filter(|port| !ports.contains(port));
        let limit = attempt_limit(plan);
        let probe: Ask = match plan.probe.clone()? {
            Probe::Http(url) => {
                let attempt = readiness::attempt(readiness::Probe::Http(url), limit);
                answers_itself(no_stranger(attempt, strangers), ports, root)
            }
            Probe::Tcp(address) => {
                let attempt = readiness::attempt(readiness::Probe::Tcp(address), limit);
                answers_itself(no_stranger(attempt, strangers), ports, root)
            }
            Probe::Command(words) => answers_itself(self.command_probe(run, plan, &words), ports, root),
            Probe::Ports => Box::new(move || ports::are_own(&ports, root, true)),
            // These come by themselves: a line of output, a datagram.
            Probe::Log(pattern) => return self.not_yet(run, format!("no line of its output matches `{pattern}`")),
            Probe::Notify => return self.not_yet(run, "it has not sent READY=1".to_owned()),
        };
        self.ask(run, plan, probe)
    }

    /// What is said of a run that nobody asks.
    fn not_yet(&self, run: RunId, why: String) -> Option<ProbeHandle> {
        send(&self.sender, Message::Probe(run, ProbeReport::NotYet(why)));
        None
    }

    /// A run has said that it is ready; its word counts once its ports are its own.
    pub(super) fn said_ready(&mut self, run: RunId, now: Now) {
        let Some((id, root)) = self.runs.get(&run).and_then(|live| Some((live.service?, live.root))) else {
            return;
        };
        let Some(plan) = self.fleet.get(id).map(|member| member.plan.clone()) else {
            return;
        };
        if plan.ports.is_empty() {
            return self.happen(id, Event::Ready(run), now);
        }
        let declared = plan.ports.clone();
        let probe = self.ask(run, &plan, Box::new(move || ports::are_own(&declared, root, false)));
        if let Some(live) = self.runs.get_mut(&run).filter(|live| !live.leader_gone && !live.asked) {
            live.probe = probe;
        }
    }

    fn ask(&self, run: RunId, plan: &ServicePlan, probe: Ask) -> Option<ProbeHandle> {
        let (sender, mask) = (self.sender.clone(), self.mask(plan.values()));
        let started = readiness::start(probe, plan.probe_interval, move |report| {
            let report = match report {
                ProbeReport::Ready => ProbeReport::Ready,
                ProbeReport::NotYet(why) => ProbeReport::NotYet(mask.text(&why)),
            };
            send(&sender, Message::Probe(run, report));
        });
        // Without a thread the service stays not ready; its time limit tells.
        started.ok()
    }

    /// Runs a command as part of the run's tree, so that it ends with it.
    fn command_probe(&self, run: RunId, plan: &ServicePlan, words: &[String]) -> Ask {
        let children = self.children.clone();
        let env = environment(&self.invocation.shell, &plan.env);
        let (cwd, tag) = (plan.cwd.clone(), self.tag(run));
        let words = words.to_vec();
        let limit = attempt_limit(plan);
        Box::new(move || {
            let (script, args) = words.split_first().ok_or_else(|| "the command is empty".to_owned())?;
            let path = env.get("PATH").map(OsString::from);
            let program = process::resolve_program(script, &cwd, path.as_deref()).map_err(|error| error.to_string())?;
            let args = args.iter().map(OsString::from).collect();
            let launch = Launch {
                program,
                args,
                cwd: cwd.clone(),
                env: variables(env.clone()),
                stdio: Stdio::Output,
                run: tag,
            };
            let done = children.run_quietly(&launch, limit);
            done.map_err(|why| log::escape::printable(&why))
        })
    }
}

/// What a service reads from and writes to. A terminal is as large as its environment says, else large enough for most lines.
fn stdio(plan: &ServicePlan, env: &BTreeMap<String, String>) -> Stdio {
    let size = |name: &str, usual| {
        env.get(name)
            .and_then(|size| size.parse().ok())
            .filter(|size| *size > 0)
            .unwrap_or(usual)
    };
    if plan.pty {
        Stdio::Terminal {
            columns: size("COLUMNS", 120),
            rows: size("LINES", 40),
        }
    } else {
        Stdio::Pipes
    }
}

/// The program and its arguments; with an interpreter the script is its first argument.
fn command_line(plan: &ServicePlan, path: Option<&str>) -> Result<(PathBuf, Vec<OsString>), LaunchError> {
    let path = path.map(Path::new).map(Path::as_os_str);
    let Some(interpreter) = &plan.interpreter else {
        let program = process::resolve_program(&plan.script, &plan.cwd, path)?;
        return Ok((program, plan.args.iter().map(OsString::from).collect()));
    };
    let program = process::resolve_program(&interpreter.program, &plan.cwd, path)?;
    // With arguments of its own the interpreter may take the script for a module or for code, and some add an ending by themselves.
    let script = plan.cwd.join(&plan.script);
    let is_there = script.exists()
        || ENDINGS
            .iter()
            .any(|ending| plan.cwd.join(plan.script.clone() + ending).exists());
    if interpreter.args.is_empty() && !is_there {
        let path = script.display().to_string();
        return Err(LaunchError::NotFound {
            program: path.clone(),
            searched: path,
        });
    }
    let args = interpreter
        .args
        .iter()
        .chain([&plan.script])
        .chain(&plan.args)
        .map(OsString::from)
        .collect();
    Ok((program, args))
}

pub(super) fn variables(env: BTreeMap<String, String>) -> Vec<(OsString, OsString)> {
    env.into_iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

/// The most time one attempt may take: all that there is. What answers late is no less ready.
fn attempt_limit(plan: &ServicePlan) -> Duration {
    match plan.policy.readiness {
        Readiness::Probe(timeout) => timeout,
        Readiness::Uptime => plan.policy.min_uptime,
    }
}

/// Asks, and then makes sure that it was nobody from outside the stack who answered.
fn no_stranger(mut attempt: Ask, port: Option<u16>) -> Ask {
    let Some(port) = port else { return attempt };
    Box::new(move || attempt().and_then(|()| ports::is_no_strangers(port)))
}

/// Asks, and then makes sure that it was not somebody else who answered.
fn answers_itself(mut attempt: Ask, ports: Vec<u16>, root: TreeRoot) -> Ask {
    Box::new(move || attempt().and_then(|()| ports::are_own(&ports, root, false)))
}
