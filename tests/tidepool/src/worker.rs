//! The worker: takes one job at a time from the queue, works it off, reports it to the server, and only then deletes it.
//! A job that this process does not finish comes back out of the queue by itself. Must not know how the queue is spoken to.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::clock;
use crate::fetch::Client;
use crate::log::Log;
use crate::queue;
use crate::settings::Settings;
use crate::sqs::{Message, Sqs, SqsError};
use crate::stop;

/// Between two attempts at something that is down.
const RETRY: Duration = Duration::from_millis(500);
/// How long the server may think about a report.
const REPORT_LIMIT: Duration = Duration::from_secs(3);

/// Runs until a signal, and then finishes the job at hand. False when it could not start.
pub fn run(settings: &Settings) -> bool {
    let log = Log::new("worker");
    let (sender, events) = mpsc::channel();
    if let Err(problem) = stop::on_signal(sender.clone(), || Event::Stop) {
        log.fatal(&problem, json!({}));
        return false;
    }
    let sqs = Arc::new(Sqs::new(&settings.queue_endpoint, &settings.queue_name));
    let polls = poller(Arc::clone(&sqs), settings.wait, settings.visibility, sender);
    log.info(
        "worker started",
        json!({
            "NODE_ENV": settings.node_env, "RUNTIME": settings.runtime,
            "endpoint": settings.queue_endpoint, "queue": settings.queue_name,
        }),
    );
    let client = Client::new(REPORT_LIMIT);
    Worker {
        settings,
        log,
        sqs,
        client,
        polls,
        events,
        stopping: false,
        connected: None,
    }
    .run();
    log.info("worker stopped", json!({}));
    true
}

enum Event {
    Stop,
    Polled(Result<Option<Message>, SqsError>),
}

/// The thread that hangs in long polls, one for each request on the channel. It is left behind at the end:
/// a message that reaches a poll nobody waits for comes back out of the queue.
fn poller(sqs: Arc<Sqs>, wait: Duration, visibility: Duration, events: Sender<Event>) -> Sender<()> {
    let (polls, requests) = mpsc::channel();
    thread::spawn(move || {
        for () in requests {
            if events.send(Event::Polled(sqs.receive(wait, visibility))).is_err() {
                return;
            }
        }
    });
    polls
}

struct Worker<'a> {
    settings: &'a Settings,
    log: Log,
    sqs: Arc<Sqs>,
    client: Client,
    polls: Sender<()>,
    events: Receiver<Event>,
    stopping: bool,
    /// Whether the last poll was answered; none before the first.
    connected: Option<bool>,
}

impl Worker<'_> {
    fn run(mut self) {
        while !self.stopping && self.polls.send(()).is_ok() {
            match self.events.recv() {
                Ok(Event::Polled(Ok(message))) => {
                    self.note_connected();
                    if let Some(message) = message {
                        self.work(&message);
                    }
                }
                Ok(Event::Polled(Err(problem))) => {
                    self.note_lost(&problem);
                    self.wait(RETRY);
                }
                Ok(Event::Stop) | Err(_) => return,
            }
        }
    }

    fn work(&mut self, message: &Message) {
        let Some(id) = queue::id_of(&message.body) else {
            self.log
                .error("a message is no job; dropped", json!({"body": message.body}));
            return self.delete(message);
        };
        self.log.info("job taken", json!({"job": id}));
        if let Err(problem) = self.report(&id, "working") {
            self.log
                .warn("report the job as taken", json!({"job": id, "err": problem}));
        }
        self.wait(self.settings.job);
        if self.report_done(&id) {
            self.delete(message);
            self.log.info("job done", json!({"job": id}));
        } else {
            self.log.error(
                "the server is not there; the job stays in the queue",
                json!({"job": id}),
            );
        }
    }

    /// Tries as long as the job is hidden from others. A stop leaves the last attempt at that.
    fn report_done(&mut self, id: &str) -> bool {
        let end = clock::monotonic() + self.settings.visibility;
        let mut said = false;
        loop {
            match self.report(id, "done") {
                Ok(()) => return true,
                Err(_) if self.stopping || clock::monotonic() >= end => return false,
                Err(problem) => {
                    if !said {
                        self.log.warn(
                            "report the job as done; trying again",
                            json!({"job": id, "err": problem}),
                        );
                    }
                    said = true;
                }
            }
            self.wait(RETRY);
        }
    }

    fn report(&self, id: &str, state: &str) -> Result<(), String> {
        let url = format!("{}/api/jobs/{id}/{state}", self.settings.server_url);
        let answer = self.client.post_json(&url, b"{}".to_vec())?;
        if answer.ok() {
            Ok(())
        } else {
            Err(format!("status {}: {}", answer.status, answer.text()))
        }
    }

    fn delete(&self, message: &Message) {
        if let Err(problem) = self.sqs.delete(message) {
            self.log.warn(
                "delete a message; it will come again",
                json!({"err": problem.to_string()}),
            );
        }
    }

    /// Lets time pass, taking note of a stop.
    fn wait(&mut self, span: Duration) {
        let stopping = &mut self.stopping;
        clock::receive_for(&self.events, span, |event| match event {
            Event::Stop => *stopping = true,
            // No poll is under way while we work or wait.
            Event::Polled(_) => {}
        });
    }

    fn note_connected(&mut self) {
        if self.connected != Some(true) {
            self.log.info(
                "connected to the queue",
                json!({"endpoint": self.settings.queue_endpoint}),
            );
        }
        self.connected = Some(true);
    }

    fn note_lost(&mut self, problem: &SqsError) {
        if self.connected != Some(false) {
            let fields = json!({"endpoint": self.settings.queue_endpoint, "err": problem.to_string()});
            self.log.warn("the queue is down; trying again", fields);
        }
        self.connected = Some(false);
    }
}
