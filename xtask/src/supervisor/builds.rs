//! The builds of watch turns: they run one after the other while the old process keeps serving.
//! Whether a task is fresh, which means reading many files, is found out on a thread of its own.
//! What one change asks of several services, also of the instances of one, is run once.

use super::launch::{LiveRun, variables};
use super::message::{BuildNews, Message};
use super::{Supervisor, send};
use crate::clock::Now;
use crate::config::units::format_count;
use crate::fleet::ServiceId;
use crate::lifecycle::{Event, Exit, Monotonic, RunId};
use crate::log::{Stream, escape};
use crate::paths::Lock;
use crate::plan::{TaskPlan, environment};
use crate::process::{self, Launch, LaunchError};
use crate::tasks::fresh::{self, Look, Place, Stale};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, PipeReader};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// How many of a build's last lines are kept for whoever asks why it failed.
const TAIL: usize = 20;

/// The builds of one service.
pub(super) struct Build {
    /// The run of the task that is under way.
    run: RunId,
    task: TaskPlan,
    left: VecDeque<TaskPlan>,
    /// What was changed before this moment, the task is to have seen.
    asked: Monotonic,
    stage: Stage,
    /// Nobody else runs the task.
    turn: Option<Lock>,
    cancelled: bool,
    /// A newer change, of this moment, came before the cancelled build was gone.
    again: Option<Monotonic>,
}

/// How far a task has come.
enum Stage {
    /// It is found out whether it has anything to do.
    Looking,
    /// Its processes run.
    Running(Box<Running>),
    /// Its success is written down.
    Recording,
}

/// The last run of a task that came to its end.
pub(super) struct Ran {
    task: TaskPlan,
    began: Monotonic,
    ended: Monotonic,
    /// How it failed.
    failure: Option<String>,
}

/// A task's processes: it is over when they are gone and its output is read.
struct Running {
    began: Monotonic,
    stale: Stale,
    exit: Option<Exit>,
    lines: Option<Vec<String>>,
    gone: bool,
}

impl Supervisor {
    /// Starts the first build of a service; an event when that already decides the turn.
    pub(super) fn start_build(&mut self, id: ServiceId, changed_at: Monotonic) -> Option<Event> {
        if let Some(build) = self.builds.get_mut(&id) {
            build.again = Some(changed_at);
            return None;
        }
        let tasks = self.fleet.get(id)?.plan.builds.clone();
        self.next_task(id, tasks.into(), changed_at)
    }

    pub(super) fn cancel_build(&mut self, id: ServiceId) {
        let Some(build) = self.builds.get_mut(&id) else { return };
        match build.stage {
            // Nothing runs: what it finds out, writes down or waits for is news of nobody.
            Stage::Looking | Stage::Recording => drop(self.builds.remove(&id)),
            Stage::Running(_) => {
                build.cancelled = true;
                build.again = None;
                self.work.kill.push(build.run);
            }
        }
    }

    fn next_task(&mut self, id: ServiceId, mut left: VecDeque<TaskPlan>, asked: Monotonic) -> Option<Event> {
        let Some(task) = left.pop_front() else {
            return Some(Event::Built(Ok(())));
        };
        let place = self.place()?;
        let shell = self.invocation.shell.clone();
        let run = self.fleet.take_run();
        let build = Build {
            run,
            task: task.clone(),
            left,
            asked,
            stage: Stage::Looking,
            turn: None,
            cancelled: false,
            again: None,
        };
        let name = task.name.clone();
        let looks = self.aside(id, run, move || {
            let turn = fresh::turn(&task, &place, || ());
            BuildNews::Looked(fresh::look(&task, &shell, &place), turn)
        });
        let Err(error) = looks else {
            self.builds.insert(id, build);
            return None;
        };
        Some(Event::Built(Err(format!(
            "task {name} was not run: {}",
            no_thread(&error)
        ))))
    }

    /// Works on a thread, and sends the news that come of it.
    fn aside(&self, id: ServiceId, run: RunId, work: impl FnOnce() -> BuildNews + Send + 'static) -> io::Result<()> {
        let sender = self.sender.clone();
        let work = move || send(&sender, Message::Build(id, run, work()));
        thread::Builder::new().name("build".to_owned()).spawn(work).map(drop)
    }

    fn place(&self) -> Option<Place> {
        self.plan.as_ref().map(|plan| Place {
            workspace: plan.workspace.clone(),
            state_dir: plan.state_dir.clone(),
        })
    }

    pub(super) fn build_news(&mut self, id: ServiceId, run: RunId, news: BuildNews, now: Now) {
        let event = match news {
            BuildNews::Looked(look, turn) => self.looked(id, run, look, turn, now),
            BuildNews::Output(lines) => {
                if let Some(running) = self.running(run) {
                    running.lines = Some(lines);
                }
                self.decide_build(id, now)
            }
            BuildNews::Recorded(result) => self.recorded(id, run, result, now),
        };
        if let Some(event) = event {
            self.happen(id, event, now);
        }
    }

    fn looked(&mut self, id: ServiceId, run: RunId, look: Look, turn: Option<Lock>, now: Now) -> Option<Event> {
        let build = self.builds.get_mut(&id).filter(|build| build.run == run)?;
        build.turn = turn;
        let task = build.task.clone();
        let asked = build.asked;
        // It was run for another service, and since the change.
        let ran = self
            .ran
            .get(&task.name)
            .filter(|ran| ran.task == task && asked < ran.began);
        let failure = ran.and_then(|ran| ran.failure.clone());
        let stale = match (look, failure) {
            (Look::Stale(_), Some(failure)) => {
                self.builds.remove(&id);
                return Some(Event::Built(Err(failure)));
            }
            // Of a task with inputs these tell whether it is fresh.
            (Look::Stale(stale), None) if ran.is_none() || !task.inputs.is_empty() => stale,
            (Look::Stale(_), None) | (Look::Fresh, _) => {
                self.note_of(id, &format!("task {} is fresh, skipped", task.name), now);
                return self.task_after(id);
            }
        };
        // What the last run has left is no longer what is there.
        self.ran.remove(&task.name);
        let begun = stale.begin().map_err(|error| format!("{error:#}"));
        let spawned = begun.and_then(|()| {
            let spawned = self.spawn_build(id, run, &task);
            spawned.map_err(|error| self.mask(task.values()).text(&error.to_string()))
        });
        if let Err(error) = spawned {
            self.builds.remove(&id);
            return Some(Event::Built(Err(format!("task {}: {error}", task.name))));
        }
        if let Some(build) = self.builds.get_mut(&id) {
            build.stage = Stage::Running(Box::new(Running {
                began: now.monotonic,
                stale,
                exit: None,
                lines: None,
                gone: false,
            }));
        }
        None
    }

    fn spawn_build(&mut self, id: ServiceId, run: RunId, task: &TaskPlan) -> Result<(), LaunchError> {
        let env = environment(&self.invocation.shell, &task.env);
        let path = env.get("PATH").map(OsString::from);
        let program = process::resolve_program(&task.script, &task.cwd, path.as_deref())?;
        let args = task.args.iter().map(OsString::from).collect();
        let tag = self.tag(run);
        let sender = self.sender.clone();
        // Before the task: one whose output nobody reads would end with its first line.
        let readers = keep_tail(move |lines| send(&sender, Message::Build(id, run, BuildNews::Output(lines))));
        let readers = readers.map_err(|cause| LaunchError::Failed {
            program: program.clone(),
            cause,
        })?;
        let launch = Launch {
            program,
            args,
            cwd: task.cwd.clone(),
            env: variables(env),
            stdio: process::Stdio::Output,
            run: tag,
        };
        let spawned = self.children.spawn(&launch)?;
        // Its output is no service's: the tail comes as a message of its own.
        self.runs.insert(run, LiveRun::new(None, spawned.identity, tag));
        // They wait for just this.
        let _ = readers.send([spawned.stdout, spawned.stderr]);
        Ok(())
    }

    fn running(&mut self, run: RunId) -> Option<&mut Running> {
        let build = self.builds.values_mut().find(|build| build.run == run)?;
        match &mut build.stage {
            Stage::Running(running) => Some(running),
            Stage::Looking | Stage::Recording => None,
        }
    }

    /// The task's process ended; what it left behind goes, too.
    pub(super) fn build_ended(&mut self, run: RunId, exit: Exit) {
        if let Some(running) = self.running(run) {
            running.exit = Some(exit);
        }
        self.work.kill.push(run);
        self.work.look = true;
    }

    /// Nothing of the task's processes is left.
    pub(super) fn build_gone(&mut self, run: RunId, now: Now) {
        let found = self.builds.iter().find(|(_, build)| build.run == run);
        let Some(id) = found.map(|(id, _)| *id) else { return };
        if let Some(running) = self.running(run) {
            running.gone = true;
        }
        if let Some(event) = self.decide_build(id, now) {
            self.happen(id, event, now);
        }
    }

    /// When the task is over: its success is written down, or the turn ends.
    fn decide_build(&mut self, id: ServiceId, now: Now) -> Option<Event> {
        let build = self.builds.get_mut(&id)?;
        let over = match &build.stage {
            Stage::Running(running) => running.gone && running.lines.is_some(),
            Stage::Looking | Stage::Recording => false,
        };
        if !over {
            return None;
        }
        if build.cancelled {
            return self.cancelled(id);
        }
        let Stage::Running(running) = std::mem::replace(&mut build.stage, Stage::Recording) else {
            return None;
        };
        let Running {
            began,
            exit,
            lines,
            stale,
            ..
        } = *running;
        let (run, task) = (build.run, build.task.clone());
        let failure = failure(&task, exit, lines.unwrap_or_default());
        let ran = Ran {
            task,
            began,
            ended: now.monotonic,
            failure: failure.clone(),
        };
        self.ran.insert(ran.task.name.clone(), ran);
        if let Some(failure) = failure {
            self.builds.remove(&id);
            return Some(Event::Built(Err(failure)));
        }
        if let Err(error) = self.aside(id, run, move || BuildNews::Recorded(stale.succeeded())) {
            let unrecorded = BuildNews::Recorded(Err(anyhow::anyhow!(no_thread(&error))));
            send(&self.sender, Message::Build(id, run, unrecorded));
        }
        None
    }

    fn recorded(&mut self, id: ServiceId, run: RunId, result: anyhow::Result<()>, now: Now) -> Option<Event> {
        let build = self.builds.get_mut(&id).filter(|build| build.run == run)?;
        let name = build.task.name.clone();
        if let Err(error) = result {
            self.note_of(id, &format!("task {name} will run again: {error:#}"), now);
        }
        self.task_after(id)
    }

    /// Goes on with what is left when a task is done: by itself, by another service, or by being fresh.
    fn task_after(&mut self, id: ServiceId) -> Option<Event> {
        let Build { task, left, asked, .. } = self.builds.remove(&id)?;
        // The next one is to see what this one wrote.
        let wrote = self.ran.get(&task.name).map(|ran| ran.ended);
        self.next_task(id, left, wrote.map_or(asked, |wrote| wrote.max(asked)))
    }

    /// A cancelled task is over; a newer change may wait for that.
    fn cancelled(&mut self, id: ServiceId) -> Option<Event> {
        let build = self.builds.remove(&id)?;
        self.start_build(id, build.again?)
    }

    fn note_of(&self, id: ServiceId, text: &str, now: Now) {
        let name = self.fleet.get(id).map(|member| member.plan.name.as_str());
        self.note(now.wall, name, text);
    }
}

/// How a task failed, with its last lines.
fn failure(task: &TaskPlan, exit: Option<Exit>, lines: Vec<String>) -> Option<String> {
    if exit == Some(Exit::Code(0)) {
        return None;
    }
    let how = exit.map_or_else(|| "an unknown end".to_owned(), |exit| exit.to_string());
    let first = format!("task {} ended with {how}", task.name);
    Some([vec![first], lines].concat().join("\n"))
}

fn no_thread(error: &io::Error) -> String {
    format!("cannot start a thread ({error}); end some processes or raise `ulimit -u`")
}

/// Starts to wait for two streams, stdout and stderr; reads them to their ends and reports the last lines of the two together.
fn keep_tail(report: impl FnOnce(Vec<String>) + Send + 'static) -> io::Result<Sender<[PipeReader; 2]>> {
    let (streams, both) = channel::<[PipeReader; 2]>();
    let (second, one) = channel::<PipeReader>();
    let tail = Arc::new(Mutex::new(Tail::default()));
    let other = tail.clone();
    let reader = thread::Builder::new().name("build".to_owned()).spawn(move || {
        // None comes where the task could not be spawned.
        if let Ok(stderr) = one.recv() {
            read_lines(stderr, Stream::Err, &other);
        }
    })?;
    thread::Builder::new().name("build".to_owned()).spawn(move || {
        let Ok([stdout, stderr]) = both.recv() else { return };
        // It waits for just this.
        let _ = second.send(stderr);
        read_lines(stdout, Stream::Out, &tail);
        // A panic of the other reader loses its lines, not the build.
        let _ = reader.join();
        let tail = std::mem::take(&mut *tail.lock().unwrap_or_else(PoisonError::into_inner));
        report(tail.told());
    })?;
    Ok(streams)
}

fn read_lines(from: PipeReader, stream: Stream, tail: &Mutex<Tail>) {
    for line in BufReader::new(from).split(b'\n') {
        let Ok(line) = line else { return };
        let line = escape::printable(String::from_utf8_lossy(&line).trim_end());
        tail.lock().unwrap_or_else(PoisonError::into_inner).push(stream, line);
    }
}

/// The last lines of two streams, as they arrived.
#[derive(Default)]
struct Tail {
    lines: VecDeque<(Stream, String)>,
    /// How many are not kept.
    gone: usize,
}

impl Tail {
    /// Takes a line in. For it the oldest of the stream with more lines goes: which of two pipes is read first is chance, and neither
    /// may push the other's last words out.
    fn push(&mut self, stream: Stream, line: String) {
        self.lines.push_back((stream, line));
        if self.lines.len() > TAIL {
            let errors = self.lines.iter().filter(|(of, _)| *of == Stream::Err).count();
            let longer = if 2 * errors > TAIL { Stream::Err } else { Stream::Out };
            let oldest = self.lines.iter().position(|(of, _)| *of == longer);
            oldest.and_then(|oldest| self.lines.remove(oldest));
            self.gone += 1;
        }
    }

    /// The lines, and how many there were before.
    fn told(self) -> Vec<String> {
        let gone = (self.gone > 0).then(|| format!("… {}", format_count(self.gone, "earlier line")));
        gone.into_iter()
            .chain(self.lines.into_iter().map(|(_, line)| line))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_stream_pushes_the_last_words_of_the_other_out() {
        let mut tail = Tail::default();
        tail.push(Stream::Err, "error".to_owned());
        (0..100).for_each(|number| tail.push(Stream::Out, number.to_string()));
        assert_eq!((tail.lines.len(), tail.lines[0].1.as_str()), (TAIL, "error"));
        assert_eq!(
            (tail.lines[1].1.as_str(), tail.lines[TAIL - 1].1.as_str()),
            ("81", "99")
        );
        (0..100).for_each(|number| tail.push(Stream::Err, number.to_string()));
        let out = tail.lines.iter().filter(|(of, _)| *of == Stream::Out).count();
        assert_eq!((tail.lines.len(), out), (TAIL, TAIL / 2));
        assert_eq!(tail.lines[TAIL / 2 - 1].1, "99", "the last of the first");
        assert_eq!(tail.told()[0], "… 181 earlier lines");
    }
}
