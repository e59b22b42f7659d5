//! `dev`: resolves the profile, builds, starts the stack or brings it in line, then follows its logs or returns.

use super::follow::{self, Wake};
use super::printer::{self, Follower};
use super::teller::Teller;
use super::workspace::{Workspace, invocation};
use super::{logs, replace, stacks, starter, status};
use crate::cli::Dev;
use crate::fleet::Goal;
use crate::ipc::client::{Connection, Unanswered};
use crate::ipc::protocol::{Details, Failure, Lease, Reply, Request, ServiceStatus, Stack, Up};
use crate::lifecycle::Monotonic;
use crate::log::reader::{self, Line};
use crate::paths::StackPaths;
use crate::plan::{Invocation, Options, Plan};
use crate::signal::INTERRUPTED;
use crate::tasks::interrupt::Interrupts;
use crate::ui::style::Style;
use crate::{clock, tasks, ui};
use anyhow::{Context as _, Result, bail};
use std::io::{stderr, stdout};
use std::sync::mpsc::{Receiver, Sender, channel};

/// How many of its last lines a service that failed is shown with.
const LAST_LINES: usize = 10;

/// How much of the past is shown to a `dev` that joins a running stack.
const EARLIER_LINES: usize = 20;

/// The profile that is named.
pub(super) fn profile(args: &Dev) -> Option<&str> {
    if args.caddy {
        Some("caddy")
    } else {
        args.profile.as_deref()
    }
}

pub(super) fn run(workspace: &Workspace, args: Dev, ahead: Option<starter::Ahead>) -> Result<u8> {
    let profile = profile(&args);
    let (sender, wakes) = channel();
    let followed = sender.clone();
    let interrupts = Interrupts::listen(move || {
        // The loop that listens may be over: then the command is about to end anyway.
        let _ = followed.send(Wake::Interrupted);
    })?;
    let options = Options {
        only: args.only.clone(),
        except: args.except.clone(),
        set: args.set.clone(),
        stopped: Vec::new(),
        no_watch: args.no_watch,
        no_build: args.no_build,
    };
    let invocation = invocation(options);
    let plan = workspace.plan(profile, &invocation)?;
    let paths = workspace.stack(&plan.profile)?;
    let taken_ids = replace::make_room(&paths, &plan, args.replace)?;
    let began = clock::monotonic();
    tasks::build::run(&plan.builds, &invocation.shell, &workspace.place(), &interrupts)?;
    let session = Session {
        workspace,
        args: &args,
        paths: &paths,
        sender,
        wakes: &wakes,
        interrupts: &interrupts,
        build_began: began,
    };
    session.start(&plan, &invocation, taken_ids, ahead)
}

/// One `dev` at work.
struct Session<'a> {
    workspace: &'a Workspace,
    args: &'a Dev,
    paths: &'a StackPaths,
    sender: Sender<Wake>,
    wakes: &'a Receiver<Wake>,
    interrupts: &'a Interrupts,
    build_began: Monotonic,
}

impl Session<'_> {
    fn start(
        &self,
        plan: &Plan,
        invocation: &Invocation,
        taken_ids: Vec<u32>,
        ahead: Option<starter::Ahead>,
    ) -> Result<u8> {
        let up = Up {
            plan: plan.clone(),
            invocation: invocation.clone(),
            taken_ids,
            lease: if self.args.detach { Lease::Release } else { Lease::Hold },
            goal: if self.args.wait { Goal::Ready } else { Goal::Launched },
            timeout: self.args.timeout,
            build_began: Some(self.build_began),
        };
        let reached = starter::bring_up(self.paths, up, ahead, || {
            // One that leaves again follows nothing.
            (!self.args.detach).then(|| self.follower(plan)).transpose()
        })?;
        self.interrupts.hand_over();
        let (connection, owner, fresh) = (reached.connection, reached.owner, reached.fresh);
        let Some((follower, earlier)) = reached.before else {
            return self.detached(connection, plan);
        };
        let teller = Teller::start()?;
        if !owner {
            teller.tell(format!(
                "{} is running already; following it, Ctrl-C leaves it up",
                plan.profile
            ));
        }
        let earlier = if fresh { Vec::new() } else { earlier };
        follow::follow(follower, earlier, connection, owner, teller, self)
    }

    /// What follows the logs from now on, and their last lines: what somebody who joins a running stack has missed.
    fn follower(&self, plan: &Plan) -> Result<(Follower, Vec<Line>)> {
        let selection = logs::of_plan(plan, self.paths);
        logs::tell_unreadable(&selection);
        let (earlier, follow) = reader::last(&selection, EARLIER_LINES).context("failed to read the logs")?;
        let style = if self.args.json {
            Style::Json
        } else {
            ui::for_people(&selection, &stdout())
        };
        let profile = plan.profile.clone();
        let stacks = printer::Stacks::new(self.workspace, Some(&profile));
        let workspace = self.workspace.clone();
        let again = move || logs::selection(&workspace, Some(&profile), &[], &[], &logs::SILENTLY);
        Ok((Follower::new(follow, style, Box::new(again), stacks)?, earlier))
    }

    /// Waits until the stack is where `-d` promises it to be.
    fn detached(&self, connection: Connection, plan: &Plan) -> Result<u8> {
        let mut asking = connection.second()?;
        follow::receive_all(connection, follow::to(self.sender.clone()))?;
        let Some(failures) = self.answer(|reply| match reply {
            Reply::Done { failures } => Ok(Some(failures)),
            Reply::Ended { .. } => bail!("the stack was stopped meanwhile"),
            _ => Ok(None),
        })?
        else {
            return Ok(INTERRUPTED);
        };
        asking.send(Request::Status)?;
        let services = failures.iter().map(|failure| failure.service.clone()).collect();
        asking.send(Request::Details { services })?;
        // The answers come in the order of the questions.
        let Some(stack) = self.answer(|reply| match reply {
            Reply::Status(stack) => Ok(Some(*stack)),
            _ => Ok(None),
        })?
        else {
            return Ok(INTERRUPTED);
        };
        let Some(details) = self.answer(|reply| match reply {
            Reply::Details(details) => Ok(Some(details)),
            _ => Ok(None),
        })?
        else {
            return Ok(INTERRUPTED);
        };
        let others = if failures.is_empty() {
            Vec::new()
        } else {
            fates(&stack, &failures)
        };
        let text = if self.args.json {
            status::json(vec![stack])?
        } else {
            ui::table::render(&[stack], ui::width())
        };
        ui::print(&text)?;
        others.iter().for_each(|fate| ui::tell(fate));
        details.iter().for_each(|failed| self.show_last_lines(failed, plan));
        stacks::failed(&failures).map_or(Ok(0), Err)
    }

    /// Waits for the reply that is meant; `None` when the user has had enough.
    fn answer<T>(&self, meant: impl Fn(Reply) -> Result<Option<T>>) -> Result<Option<T>> {
        loop {
            match self.wakes.recv().context("nothing can arrive any more")? {
                Wake::Reply(reply) => {
                    if let Some(answer) = meant(reply?)? {
                        return Ok(Some(answer));
                    }
                }
                Wake::Printed(_) => {}
                Wake::Interrupted => return Ok(None),
            }
        }
    }

    /// The last lines of a service that failed, as far as its last run wrote them: most often they say why.
    fn show_last_lines(&self, failed: &Details, plan: &Plan) {
        let last = || failed.past.last().map(|run| &run.began);
        let Some(began) = failed.began.as_ref().or_else(last).and_then(|began| began.parse().ok()) else {
            return;
        };
        let mut selection = logs::of_plan(plan, self.paths);
        selection.logs.retain(|input| input.service == failed.plan.name);
        selection.names = vec![failed.plan.name.clone()];
        selection.events.clear();
        selection.span.from = Some(began);
        // The failure itself is told anyway; a log that cannot be read adds nothing.
        let Ok((lines, _)) = reader::last(&selection, LAST_LINES) else {
            return;
        };
        if !lines.is_empty() {
            let text = ui::for_people(&selection, &stderr()).render(&lines);
            ui::tell(String::from_utf8_lossy(&text).trim_end());
        }
    }
}

impl follow::Launched for Session<'_> {
    /// A service that failed at once does not end a followed `dev`, but is told.
    fn launched(&self, failures: &[Failure]) -> Option<String> {
        stacks::failed(failures).as_ref().map(super::describe)
    }

    fn others(&self, stack: &Stack, failures: &[Failure]) -> Vec<String> {
        fates(stack, failures)
    }

    fn ended(&self, profile: &str) -> Result<()> {
        super::stop::await_end(self.paths, profile)
    }

    fn silent(&self) -> anyhow::Error {
        anyhow::Error::from(Unanswered::Silent).context(stacks::asked(self.paths))
    }

    fn clear(&self, tell: &dyn Fn(&str)) -> Result<()> {
        starter::clear(self.paths, tell)
    }

    fn profile(&self) -> String {
        self.paths.profile()
    }

    fn wakes(&self) -> &Receiver<Wake> {
        self.wakes
    }

    fn sender(&self) -> Sender<Wake> {
        self.sender.clone()
    }
}

/// What became of the services that did not fail and yet are not as wanted, a line each.
fn fates(stack: &Stack, failures: &[Failure]) -> Vec<String> {
    let others = stack
        .services
        .iter()
        .filter(|service| failures.iter().all(|failure| failure.service != service.name));
    let fate = |service: &ServiceStatus| {
        service
            .reason
            .as_ref()
            .map(|reason| format!("{}: {}, {reason}", service.name, service.status))
    };
    others.filter_map(fate).collect()
}
