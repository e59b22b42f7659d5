//! Where the server puts jobs: a thread of its own process, or a queue that a worker reads from.
//! The worker program is not here.

use std::collections::VecDeque;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clock;
use crate::jobs::{Jobs, State};
use crate::log::Log;
use crate::sqs::{Sqs, SqsError};

/// The two kinds of queue.
#[derive(Debug)]
pub enum Queue {
    /// Ids of jobs, on their way to the thread that works them off.
    Memory(Sender<String>),
    /// An SQS endpoint.
    Sqs(Sqs),
}

impl Queue {
    /// A queue in this process with a worker thread, where each job takes `job`.
    pub fn memory(jobs: Jobs, job: Duration, log: Log) -> Queue {
        let (sender, inbox) = mpsc::channel();
        thread::spawn(move || work(&inbox, &jobs, job, log));
        Queue::Memory(sender)
    }

    /// The name in health and log.
    pub fn kind(&self) -> &'static str {
        match self {
            Queue::Memory(_) => "memory",
            Queue::Sqs(_) => "sqs",
        }
    }

    /// Makes sure that the queue is there.
    pub fn connect(&self) -> Result<(), SqsError> {
        match self {
            Queue::Memory(_) => Ok(()),
            Queue::Sqs(sqs) => sqs.create(),
        }
    }

    /// Hands a job over.
    pub fn send(&self, id: &str, payload: &Value) -> Result<(), SqsError> {
        match self {
            Queue::Memory(sender) => sender
                .send(id.to_string())
                .map_err(|_| SqsError::Unreachable("the worker thread has ended".into())),
            Queue::Sqs(sqs) => sqs.send(&envelope(id, payload)),
        }
    }
}

/// What travels through the queue.
fn envelope(id: &str, payload: &Value) -> String {
    json!({"id": id, "payload": payload}).to_string()
}

/// The id in a message, if it is one of ours.
pub fn id_of(body: &str) -> Option<String> {
    let value: Value = serde_json::from_str(body).ok()?;
    value["id"].as_str().map(str::to_string)
}

fn work(inbox: &Receiver<String>, jobs: &Jobs, job: Duration, log: Log) {
    let mut waiting = VecDeque::new();
    while let Some(id) = waiting.pop_front().or_else(|| inbox.recv().ok()) {
        let set = |state| {
            if let Err(cause) = jobs.set(&id, state, None, clock::wall_ms()) {
                log.error("write the journal", json!({"job": id, "err": cause.to_string()}));
            }
        };
        set(State::Working);
        clock::receive_for(inbox, job, |next| waiting.push_back(next));
        set(State::Done);
        log.info("job done", json!({"job": id}));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_way_through_the_queue() {
        assert_eq!(
            id_of(&envelope("a-1", &json!({"id": "other"}))),
            Some("a-1".to_string())
        );
        assert_eq!(id_of("not json"), None);
        assert_eq!(id_of("{\"id\":7}"), None);
    }
}
