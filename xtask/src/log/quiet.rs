//! Pipes through which nothing has come yet: one thread watches all of them. Most services never write to their stderr, so half of
//! the threads would only wait; and what a start takes is the first thing a user sees.
//!
//! It reads none of them, because a log on a slow disk must hold up nobody else's: with the first byte a pipe gets a thread of its own
//! (see `pump`). Only where there is none to be had, it reads in its place.

use super::pump::Drain;

#[cfg(target_os = "linux")]
pub(super) use watched::watch;

/// Gives the pipe back: elsewhere each has its thread from the start.
#[cfg(not(target_os = "linux"))]
pub(super) fn watch(drain: Box<Drain>) -> Result<(), Box<Drain>> {
    Err(drain)
}

#[cfg(target_os = "linux")]
mod watched {
    use super::Drain;
    use rustix::buffer::spare_capacity;
    use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
    use rustix::io::Errno;
    use std::collections::HashMap;
    use std::io;
    use std::os::fd::OwnedFd;
    use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
    use std::thread;

    /// Of this process, like its threads; `None` when it could not be had at the first pipe.
    static WATCH: OnceLock<Option<Watch>> = OnceLock::new();

    struct Watch {
        epoll: OwnedFd,
        pipes: Mutex<Pipes>,
    }

    #[derive(Default)]
    struct Pipes {
        by_number: HashMap<u64, Box<Drain>>,
        last_number: u64,
    }

    /// Waits for the first byte, and then starts to read; gives the pipe back where it cannot be watched.
    pub(in crate::log) fn watch(drain: Box<Drain>) -> Result<(), Box<Drain>> {
        match WATCH.get_or_init(|| Watch::new().ok()) {
            Some(watch) => watch.add(drain),
            None => Err(drain),
        }
    }

    impl Watch {
        fn new() -> io::Result<Self> {
            let epoll = epoll::create(CreateFlags::CLOEXEC)?;
            let thread = thread::Builder::new().name("quiet-pipes".into()).stack_size(128 * 1024);
            thread.spawn(|| {
                // It is there once this is started, which is part of making it.
                if let Some(watch) = WATCH.wait() {
                    watch.run();
                }
            })?;
            let pipes = Mutex::default();
            Ok(Self { epoll, pipes })
        }

        fn pipes(&self) -> MutexGuard<'_, Pipes> {
            self.pipes.lock().unwrap_or_else(PoisonError::into_inner)
        }

        fn add(&self, drain: Box<Drain>) -> Result<(), Box<Drain>> {
            let mut pipes = self.pipes();
            pipes.last_number += 1;
            let number = pipes.last_number;
            // Held until it is noted: what comes at once finds it.
            match epoll::add(&self.epoll, drain.pipe(), EventData::new_u64(number), FIRST) {
                Ok(()) => {
                    pipes.by_number.insert(number, drain);
                    Ok(())
                }
                Err(_) => Err(drain),
            }
        }

        fn run(&self) {
            let mut events = Vec::with_capacity(64);
            loop {
                match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    // It cannot be: the descriptor is ours.
                    Err(_) => return,
                }
                for event in events.drain(..) {
                    let drain = self.pipes().by_number.remove(&event.data.u64());
                    if let Some(drain) = drain {
                        self.take(drain, event.flags);
                    }
                }
            }
        }

        fn take(&self, drain: Box<Drain>, flags: EventFlags) {
            // Else every write into the pipe would go on looking whether this is told. What cannot be removed is merely slower.
            let _ = epoll::delete(&self.epoll, drain.pipe());
            if !flags.contains(EventFlags::IN) {
                return drain.end();
            }
            let Err((_, drain)) = drain.start() else { return };
            let Some(drain) = drain.read_once() else { return };
            if let Err(drain) = self.add(drain) {
                // Better that all others wait than that this one is lost.
                drain.run();
            }
        }
    }

    /// Told once.
    const FIRST: EventFlags = EventFlags::IN.union(EventFlags::ONESHOT);
}
