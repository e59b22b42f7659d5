//! Watches the sources of services and reports what changed: one notify watcher and one judging thread for the whole
//! supervisor, which sleeps until the system has news.
//! Only reports: how long to wait for quiet, and what a change leads to, is decided elsewhere.

mod arm;
pub mod files;
pub mod filter;
mod fingerprint;
mod ground;
mod hush;
mod notifier;
pub mod presence;
mod roots;
pub mod rules;
#[cfg(test)]
mod tests;
mod tree;
mod walk;
mod worker;

use crate::shortage::not_started;
use anyhow::Context;
pub use filter::WatchSpec;
use ground::Ground;
use jiff::Timestamp;
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::SystemTime;
use worker::{Message, Worker};

/// Files of a service whose content is no longer what it was, or that came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Whose files.
    pub service: String,
    /// Sorted, never empty; relative to the workspace where they are inside it.
    pub paths: Vec<PathBuf>,
}

/// What the watcher says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchReport {
    /// Files changed.
    Changed(Changed),
    /// A service that was new to `Watcher::set` is watched from now on.
    Armed {
        /// Which service.
        service: String,
        /// How many directories and files count for it.
        directories: usize,
        /// See `directories`.
        files: usize,
    },
    /// The system had more news than it keeps, and lost some: everything is looked at again.
    Overflowed,
    /// A service cannot be watched, or only in part. Said once, and holds until another reason or `Mended` comes.
    Failed {
        /// Which service.
        service: String,
        /// What failed, why, and what to do.
        why: String,
    },
    /// What `Failed` said of a service is over.
    Mended {
        /// Which service.
        service: String,
    },
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    messages: Sender<Message>,
}

impl Watcher {
    /// Starts to watch, at first nothing. `report` is called on a thread of its own.
    ///
    /// # Errors
    /// When the system gives no watcher (the text says which limit to raise) or no thread.
    pub fn start(report: impl Fn(WatchReport) + Send + 'static) -> anyhow::Result<Self> {
        let (messages, inbox) = mpsc::channel();
        let sink = messages.clone();
        let ground = Ground::new(move |news| {
            // Nobody listens only while everything ends.
            let _ = sink.send(Message::News(news));
        })
        .context("start watching files")?;
        let worker = Worker::new(ground, Box::new(report));
        thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || worker.run(&inbox))
            .map_err(not_started)
            .context("start the thread that watches files")?;
        Ok(Self { messages })
    }

    /// Replaces what is watched, and returns at once. A spec that is already watched keeps its watches and loses no
    /// event; what of it could not be watched is tried again. A file written after `since` counts, even before the `Armed` report.
    pub fn set(&self, specs: Vec<WatchSpec>, since: Timestamp) {
        let since = SystemTime::from(since);
        // The thread lives until we are dropped.
        let _ = self.messages.send(Message::Set { specs, since });
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.messages.send(Message::End);
    }
}
