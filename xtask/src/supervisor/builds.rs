//! The builds of watch turns: they run one after the other while the old process keeps serving.

use super::launch::{LiveRun, variables};
use super::message::Message;
use super::{Supervisor, send};
use crate::clock::Now;
use crate::fleet::ServiceId;
use crate::lifecycle::{Event, Exit, RunId};
use crate::plan::{TaskPlan, environment};
use crate::process::{self, Launch, LaunchError};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, PipeReader};
use std::sync::{Arc, Mutex, PoisonError};

/// How many of a build's last lines are kept for whoever asks why it failed.
const TAIL: usize = 20;

/// The builds of one service.
pub(super) struct Build {
    /// The run of the task that is under way.
    run: RunId,
    task: String,
    left: VecDeque<TaskPlan>,
    exit: Option<Exit>,
    lines: Option<Vec<String>>,
    /// Nothing of its processes is left.
    gone: bool,
    cancelled: bool,
    /// A newer change came before the cancelled build was gone.
    again: bool,
}

impl Supervisor {
    /// Starts the first build of a service; an event when that already decides the turn.
    pub(super) fn start_build(&mut self, id: ServiceId) -> Option<Event> {
        if let Some(build) = self.builds.get_mut(&id) {
            build.again = true;
            return None;
        }
        let tasks = self.fleet.get(id)?.plan.builds.clone();
        self.next_task(id, tasks.into())
    }

    pub(super) fn cancel_build(&mut self, id: ServiceId) {
        if let Some(build) = self.builds.get_mut(&id) {
            build.cancelled = true;
            build.again = false;
            self.work.kill.push(build.run);
        }
    }

    fn next_task(&mut self, id: ServiceId, mut left: VecDeque<TaskPlan>) -> Option<Event> {
        let Some(task) = left.pop_front() else {
            return Some(Event::Built(Ok(())));
        };
        let run = self.fleet.take_run();
        match self.spawn_build(id, run, &task) {
            Ok(()) => {
                let (exit, lines) = (None, None);
                let build = Build {
                    run,
                    task: task.name,
                    left,
                    exit,
                    lines,
                    gone: false,
                    cancelled: false,
                    again: false,
                };
                self.builds.insert(id, build);
                None
            }
            Err(error) => Some(Event::Built(Err(format!("task {}: {error}", task.name)))),
        }
    }

    fn spawn_build(&mut self, id: ServiceId, run: RunId, task: &TaskPlan) -> Result<(), LaunchError> {
        let env = environment(&self.invocation.shell, &task.env);
        let path = env.get("PATH").map(OsString::from);
        let program = process::resolve_program(&task.script, &task.cwd, path.as_deref())?;
        let args = task.args.iter().map(OsString::from).collect();
        let tag = self.tag(run);
        let launch = Launch {
            program,
            args,
            cwd: task.cwd.clone(),
            env: variables(env),
            stdin: false,
            run: tag,
        };
        let spawned = self.children.spawn(&launch)?;
        // Its output is no service's: the tail comes as a message of its own.
        self.runs.insert(run, LiveRun::new(None, spawned.identity, tag));
        let sender = self.sender.clone();
        keep_tail([spawned.stdout, spawned.stderr], move |lines| {
            send(&sender, Message::BuildOutput(id, run, lines));
        });
        Ok(())
    }

    /// The task's process ended; what it left behind goes, too.
    pub(super) fn build_ended(&mut self, run: RunId, exit: Exit) {
        if let Some(build) = self.builds.values_mut().find(|build| build.run == run) {
            build.exit = Some(exit);
        }
        self.work.kill.push(run);
        self.work.look = true;
    }

    pub(super) fn build_output(&mut self, id: ServiceId, run: RunId, lines: Vec<String>, now: Now) {
        if let Some(build) = self.builds.get_mut(&id).filter(|build| build.run == run) {
            build.lines = Some(lines);
            self.decide_build(id, now);
        }
    }

    /// Nothing of the task's processes is left.
    pub(super) fn build_gone(&mut self, run: RunId, now: Now) {
        let found = self.builds.iter_mut().find(|(_, build)| build.run == run);
        if let Some((id, build)) = found {
            build.gone = true;
            let id = *id;
            self.decide_build(id, now);
        }
    }

    /// The task is over when its processes are gone and its output is read: the next task, or the end of the turn.
    fn decide_build(&mut self, id: ServiceId, now: Now) {
        let over = |build: &mut Build| build.gone && build.lines.is_some();
        if !self.builds.get_mut(&id).is_some_and(over) {
            return;
        }
        let Some(build) = self.builds.remove(&id) else { return };
        let event = if build.cancelled {
            if build.again { self.start_build(id) } else { None }
        } else if build.exit == Some(Exit::Code(0)) {
            self.next_task(id, build.left)
        } else {
            let how = build
                .exit
                .map_or_else(|| "an unknown end".to_owned(), |exit| exit.to_string());
            let mut tail = vec![format!("task {} ended with {how}", build.task)];
            tail.extend(build.lines.unwrap_or_default());
            Some(Event::Built(Err(tail.join("\n"))))
        };
        if let Some(event) = event {
            self.happen(id, event, now);
        }
    }
}

/// Reads both streams to their ends and reports the last lines of the two together.
fn keep_tail(streams: [PipeReader; 2], report: impl FnOnce(Vec<String>) + Send + 'static) {
    let tail = Arc::new(Mutex::new(VecDeque::new()));
    let [stdout, stderr] = streams;
    let other = tail.clone();
    let reader = std::thread::spawn(move || read_lines(stderr, &other));
    std::thread::spawn(move || {
        read_lines(stdout, &tail);
        // A panic of the other reader loses its lines, not the build.
        let _ = reader.join();
        let lines = std::mem::take(&mut *tail.lock().unwrap_or_else(PoisonError::into_inner));
        report(lines.into());
    });
}

fn read_lines(stream: PipeReader, tail: &Mutex<VecDeque<String>>) {
    for line in BufReader::new(stream).split(b'\n') {
        let Ok(line) = line else { return };
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
    }
}
