//! Whether what a user asked for has come true, can no longer come true, or is still open.
//! Pure; the supervisor answers waiting commands by it.

use super::{Fleet, Member, ServiceId};
use crate::lifecycle::{Phase, Ready, Service, State, Wanted};
use serde::{Deserialize, Serialize};

/// What a command waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// Launched, or waiting for a dependency.
    Launched,
    /// Ready, or ended with success.
    Ready,
    /// Nothing of it is left.
    Down,
}

/// How the goal stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Not decided yet.
    Open,
    /// Reached.
    Reached,
    /// Out of reach: why.
    Failed(String),
}

impl Fleet {
    /// How `goal` stands for a service; one that leaves the plan is only waited for until it is gone.
    pub fn fate(&self, id: ServiceId, goal: Goal) -> Fate {
        let Some(member) = self.get(id) else {
            return Fate::Reached;
        };
        match goal {
            _ if member.leaving => down(member),
            Goal::Launched => self.launched(id, member),
            Goal::Ready => self.ready(id, member, 0),
            Goal::Down => down(member),
        }
    }

    fn launched(&self, id: ServiceId, member: &Member) -> Fate {
        match &member.service.state {
            _ if member.service.restart.is_some() && member.service.live_run().is_some() => Fate::Open,
            State::Launching(_) if self.waits_for(member).is_some() => Fate::Reached,
            State::Launching(_) | State::Ending { .. } => Fate::Open,
            // Between two runs, unless there was no room for a launch.
            State::WaitingRestart { .. } if member.service.trouble.is_some() => Fate::Failed(self.why(id, member)),
            State::Online(_) | State::WaitingRestart { .. } | State::Stopped => Fate::Reached,
            State::Blocked { .. } | State::Errored => Fate::Failed(self.why(id, member)),
        }
    }

    /// `depth` bounds the walk along dependencies; a plan has no cycles, so the number of services is enough.
    fn ready(&self, id: ServiceId, member: &Member, depth: usize) -> Fate {
        let service = &member.service;
        match &service.state {
            State::Online(_) if service.restart.is_some() => Fate::Open,
            State::Online(run) => match run.ready {
                Ready::Yes => Fate::Reached,
                Ready::Waiting { .. } => Fate::Open,
                Ready::Overdue => Fate::Failed(self.why(id, member)),
            },
            State::Stopped if service.completed.is_some() => Fate::Reached,
            State::Stopped if service.wanted == Wanted::Down => Fate::Failed("stopped".to_owned()),
            State::Stopped => Fate::Failed(how_it_ended(service)),
            State::Errored | State::Blocked { .. } => Fate::Failed(self.why(id, member)),
            State::Launching(None) if depth < self.members.len() => self.dependencies_fate(member, depth),
            State::Launching(_) | State::WaitingRestart { .. } => Fate::Open,
            State::Ending {
                phase: Phase::Stuck, ..
            } => Fate::Failed(self.why(id, member)),
            State::Ending { .. } => Fate::Open,
        }
    }

    /// A launch that waits for something out of reach is itself out of reach.
    fn dependencies_fate(&self, member: &Member, depth: usize) -> Fate {
        for dependency in &member.plan.depends_on {
            let Some(id) = self.find(&dependency.name) else {
                continue;
            };
            let Some(other) = self.get(id) else { continue };
            if super::is_met(&other.service, dependency.condition) {
                continue;
            }
            let why = match self.ready(id, other, depth + 1) {
                Fate::Failed(why) => why,
                // It did what it should, and will not be up for those that wait until it is.
                Fate::Reached if other.service.state == State::Stopped => how_it_ended(&other.service),
                Fate::Reached | Fate::Open => continue,
            };
            return Fate::Failed(format!("waits for {} ({why})", dependency.name));
        }
        Fate::Open
    }

    fn why(&self, id: ServiceId, member: &Member) -> String {
        self.reason(id).unwrap_or_else(|| member.service.status().to_owned())
    }
}

/// Why a service rests that no user has stopped.
fn how_it_ended(service: &Service) -> String {
    let exit = service.last_exit().map(|last| format!("ended with {}", last.exit));
    exit.unwrap_or_else(|| "stopped".to_owned())
}

fn down(member: &Member) -> Fate {
    match &member.service.state {
        State::Stopped => Fate::Reached,
        State::Ending {
            phase: Phase::Stuck, ..
        } => Fate::Failed(member.service.reason().unwrap_or_else(|| "survives SIGKILL".to_owned())),
        _ if member.service.wanted == Wanted::Up => Fate::Failed("it was started again meanwhile".to_owned()),
        State::Launching(_)
        | State::Blocked { .. }
        | State::Online(_)
        | State::Ending { .. }
        | State::WaitingRestart { .. }
        | State::Errored => Fate::Open,
    }
}
