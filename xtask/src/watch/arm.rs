//! Sets and drops the system's watches on a thread of its own, in the order they were asked for. Each takes a round trip
//! through notify's thread, and a walk need not wait for those of directories that it reaches later.
//! Keeps no book: that is `ground`.

use crate::shortage::not_started;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

/// The thread that owns notify's watcher; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Armer {
    orders: Sender<Order>,
    done: Receiver<(PathBuf, notify::Result<()>)>,
}

#[derive(Debug)]
enum Order {
    Watch(PathBuf, RecursiveMode),
    Unwatch(PathBuf),
}

impl Armer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(mut notify: RecommendedWatcher) -> io::Result<Self> {
        let (orders, inbox) = mpsc::channel();
        let (report, done) = mpsc::channel();
        let run = move || {
            for order in inbox {
                match order {
                    Order::Watch(dir, mode) => {
                        let result = notify.watch(&dir, mode);
                        // Nobody listens only while everything ends.
                        let _ = report.send((dir, result));
                    }
                    // Of a removed directory the system has already dropped the watch.
                    Order::Unwatch(dir) => drop(notify.unwatch(&dir)),
                }
            }
        };
        let thread = thread::Builder::new().name("watch-arm".to_owned());
        thread.spawn(run).map_err(not_started)?;
        Ok(Self { orders, done })
    }

    /// Asks for a watch; `next_done` tells how it went.
    pub(super) fn watch(&self, dir: PathBuf, mode: RecursiveMode) {
        // The thread lives until we are dropped.
        let _ = self.orders.send(Order::Watch(dir, mode));
    }

    /// Drops a watch.
    pub(super) fn unwatch(&self, dir: PathBuf) {
        let _ = self.orders.send(Order::Unwatch(dir));
    }

    /// Waits for the next of the asked watches, in order; None when the thread is gone.
    pub(super) fn next_done(&self) -> Option<(PathBuf, notify::Result<()>)> {
        self.done.recv().ok()
    }
}
