//! The supervisor: one loop, one owner of all state, one read of the clock per turn.
//! Threads only report into its channel; `fleet` decides; this module carries the decisions out.

mod builds;
mod clients;
mod details;
mod ground;
mod last_words;
mod launch;
mod message;
mod output;
mod ports;
mod schedules;
mod speak;
mod state;
mod status;
mod trees;
mod turn;

pub use state::State;

use crate::clock;
use crate::fleet::{Fleet, ServiceId};
use crate::ipc::server::{self, ClientId, Clients};
use crate::lifecycle::{Monotonic, RunId, Schedule};
use crate::log::{self, EventLog};
use crate::paths::StackPaths;
use crate::plan::{Invocation, Plan};
use crate::process::{self, Children, Identity};
use crate::shortage::{self, not_started};
use crate::watch::Watcher;
use anyhow::{Context as _, Result};
use clients::Waiter;
use message::Message;
use output::Logs;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// How long a supervisor waits for its first plan before it ends: who started it is gone.
const IDLE_LIMIT: Duration = Duration::from_secs(10);
/// How long the end waits for rotated logs to be compressed; what is not by then is by the next supervisor.
const COMPRESSION_LIMIT: Duration = Duration::from_secs(2);
/// How long after the last command memory is given back: commands come in bursts, and each would have to get it anew.
const REST_AFTER: Duration = Duration::from_millis(300);

/// Everything that the loop owns.
struct Supervisor {
    paths: StackPaths,
    started: Monotonic,
    sender: Sender<Message>,
    events: EventLog,
    children: Arc<Children>,
    nonce: u32,
    clients: Clients,
    watcher: Option<Watcher>,
    /// Why a service is not watched, or only in part.
    watch_troubles: BTreeMap<String, String>,
    /// Holders of ports that we want, whose ends are waited for.
    holders: BTreeSet<Identity>,
    logs: Logs,
    fleet: Fleet,
    runs: BTreeMap<RunId, launch::LiveRun>,
    builds: HashMap<ServiceId, builds::Build>,
    /// The last run of each task that came to its end, by the task's name.
    ran: HashMap<String, builds::Ran>,
    work: trees::Work,
    /// The last look at the processes failed: when the next one is due.
    blind_until: Option<Monotonic>,
    /// What is said only once the last words of a run are in the log.
    held: Vec<last_words::Held>,
    /// When, in this turn, something that was held back was said.
    released: Option<jiff::Timestamp>,
    usage: status::UsageHistory,
    plan: Option<Plan>,
    invocation: Invocation,
    waiters: Vec<Waiter>,
    /// When the last command was served, until what it took is given back.
    served: Option<Monotonic>,
    /// The connection whose end stops the stack.
    lease: Option<ClientId>,
    /// The stack is on its way down, and the supervisor with it.
    leaving: bool,
    next_heartbeat: Option<Monotonic>,
    next_memory_look: Option<Monotonic>,
    /// By the names of the services.
    schedules: BTreeMap<String, Schedule>,
    /// The present boot and who this process is in it.
    boot: String,
    own: Identity,
    written_state: Option<State>,
    /// Why the state could last not be written.
    unwritten: Option<String>,
    ground: ground::Ground,
}

/// Runs the supervisor of one stack until the stack is down. Its stdin is the keeper's lease, which lets it begin, its stdout says
/// once that it is ready.
///
/// # Errors
/// When it cannot begin: the socket, the logs or the reaper.
pub fn run(paths: StackPaths) -> Result<()> {
    let (sender, messages) = channel();
    let begin = || {
        let children = prepare(&sender)?;
        if !process::await_word().context("failed to await the word to begin")? {
            return Ok(None);
        }
        Supervisor::begin(paths, sender, children).map(Some)
    };
    let mut supervisor = match begin() {
        Ok(Some(supervisor)) => supervisor,
        Ok(None) => return Ok(()),
        Err(error) => {
            process::tell_starter(shortage::describe(&error));
            return Err(error);
        }
    };
    process::tell_starter("ready");
    process::leave_starter().context("failed to close stdout")?;
    supervisor.serve(&messages);
    supervisor.end();
    Ok(())
}

/// What needs no stack: it is done before the word to begin.
fn prepare(sender: &Sender<Message>) -> Result<Children> {
    process::reserve_descriptors();
    process::become_subreaper().context("failed to become the reaper of orphans")?;
    let deaths = sender.clone();
    let children = Children::start(move |death| send(&deaths, Message::Death(death)))
        .context("failed to start the reaper of children")?;
    children.keep_cgroups();
    Ok(children)
}

impl Supervisor {
    fn begin(paths: StackPaths, sender: Sender<Message>, children: Children) -> Result<Self> {
        // The directory that the state directory is in: the workspace, as a rule.
        let ground = paths.dir.ancestors().nth(2).map(Into::into);
        let events = EventLog::new(paths.events.clone(), ground.clone());
        report_panics(paths.events.clone());
        // Not before the word: until then a signal ends it, and the keeper starts another.
        let signals = sender.clone();
        crate::signal::on_termination(move || send(&signals, Message::Terminated))?;
        let keeper = sender.clone();
        std::thread::Builder::new()
            .name("keeper".to_owned())
            .stack_size(64 * 1024)
            .spawn(move || {
                // Nothing more is written; the end of the pipe is the end of the keeper.
                let _ = std::io::stdin().read(&mut [0; 1]);
                send(&keeper, Message::KeeperGone);
            })
            .map_err(not_started)
            .context("failed to start the thread that watches the keeper")?;
        let arrivals = sender.clone();
        server::listen(&paths.socket, move |arrival| send(&arrivals, Message::Arrival(arrival)))?;
        let pid = std::process::id();
        let own = process::identity_of(pid);
        Ok(Self {
            paths,
            started: clock::monotonic(),
            sender,
            events,
            children: Arc::new(children),
            nonce: process::nonce(),
            clients: Clients::default(),
            watcher: None,
            watch_troubles: BTreeMap::new(),
            holders: BTreeSet::new(),
            logs: Logs::new(ground),
            fleet: Fleet::default(),
            runs: BTreeMap::new(),
            builds: HashMap::new(),
            ran: HashMap::new(),
            work: trees::Work::default(),
            blind_until: None,
            held: Vec::new(),
            released: None,
            usage: status::UsageHistory::default(),
            plan: None,
            invocation: Invocation::default(),
            waiters: Vec::new(),
            served: None,
            lease: None,
            leaving: false,
            next_heartbeat: None,
            next_memory_look: None,
            schedules: BTreeMap::new(),
            boot: process::boot_id(),
            own: own.unwrap_or(Identity { pid, start: 0 }),
            written_state: None,
            unwritten: None,
            ground: ground::Ground::default(),
        })
    }

    /// The loop: wait for a message or a deadline, take everything that is there, act, answer.
    fn serve(&mut self, messages: &Receiver<Message>) {
        // The command that started us is about to hand over its plan, and this is done meanwhile.
        self.events.open();
        self.write_state();
        self.watch_ground();
        while !self.is_over() {
            let first = self.wait(messages);
            // What arrives while these are taken belongs to the next turn: it has a time of its own, and no flood of
            // news keeps a deadline from its turn.
            let news: Vec<Message> = first.into_iter().chain(messages.try_iter()).collect();
            let now = clock::now();
            for message in news {
                self.take(message, now);
            }
            self.tick(now);
            self.settle_trees(now);
            self.logs.open();
            self.answer_waiters(now);
            self.write_state();
            self.released = None;
        }
    }

    fn wait(&mut self, messages: &Receiver<Message>) -> Option<Message> {
        let begins_rest = self.rest_deadline().is_some_and(|rest| rest <= clock::monotonic());
        if begins_rest {
            self.served = None;
        }
        let deadline = self.deadline();
        if begins_rest {
            // What the start of the stack and the answers to commands took is not needed at rest. Last of all before it.
            process::release_code_pages();
        }
        let Some(deadline) = deadline else {
            return messages.recv().ok();
        };
        // The loop holds a sender itself: the channel cannot close, so an error is the deadline.
        messages.recv_timeout(deadline.saturating_sub(clock::monotonic())).ok()
    }

    /// When the stack is at rest, as long as no further command comes.
    fn rest_deadline(&self) -> Option<Monotonic> {
        let is_alone = || self.clients.ids().iter().all(|client| self.lease == Some(*client));
        self.served.filter(|_| is_alone()).map(|served| served + REST_AFTER)
    }

    /// The next moment at which something is due without any news.
    fn deadline(&self) -> Option<Monotonic> {
        let idle = self.plan.is_none().then(|| self.started + IDLE_LIMIT);
        let waiting = self.waiters.iter().filter_map(|waiter| waiter.deadline).min();
        [
            self.fleet.deadline(),
            idle,
            waiting,
            self.next_heartbeat,
            self.next_memory_look,
            self.blind_until,
            self.notes_deadline(),
            self.ground.look_at,
            self.rest_deadline(),
            self.drain_deadline().filter(|_| self.blind_until.is_none()),
            self.schedule_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether the stack is down for good.
    fn is_over(&self) -> bool {
        let nobody_came = self.plan.is_none() && clock::monotonic() >= self.started + IDLE_LIMIT;
        // Who still waits then, as for a start after what cannot be killed, hears of the end in place of an answer.
        nobody_came || (self.leaving && self.is_at_rest())
    }

    fn end(mut self) {
        self.release_all_notes();
        // Else they would stay as large as they are until the stack runs again.
        log::finish_compressing(COMPRESSION_LIMIT);
        let failures = self.unkillable();
        for client in self.clients.ids() {
            self.clients.send(
                client,
                &crate::ipc::protocol::Reply::Ended {
                    failures: failures.clone(),
                },
            );
        }
        self.note(clock::wall(), None, "the stack is down; the supervisor ends");
        // The keeper does that, too, unless it was killed.
        process::remove_cgroups(self.own.pid);
        // What cannot be removed is cleared by the next command.
        let _ = crate::paths::remove_if_there(&self.paths.socket);
        if failures.is_empty() {
            let _ = crate::paths::remove_if_there(&self.paths.state);
        }
        self.clients.close();
    }

    fn note(&self, at: jiff::Timestamp, service: Option<&str>, text: &str) {
        // What follows from what was held back is not said to be before it.
        let at = self.released.map_or(at, |released| released.max(at));
        self.events.event(at, service, text);
    }
}

/// Sends to the loop; once the loop is over nobody is there to hear.
fn send(sender: &Sender<Message>, message: Message) {
    let _ = sender.send(message);
}

/// A panic is a bug: it must be found in the log and not vanish with the closed stderr.
fn report_panics(path: PathBuf) {
    std::panic::set_hook(Box::new(move |panic| {
        EventLog::new(path.clone(), None).event(
            clock::wall(),
            None,
            &format!("error: the supervisor panicked: {panic}"),
        );
    }));
}
