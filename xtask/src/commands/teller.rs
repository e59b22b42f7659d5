//! Tells the user what a command that follows has to say, on a thread of its own: a terminal that takes nothing must not keep the
//! command from hearing Ctrl-C. Decides nothing.

use crate::shortage::not_started;
use crate::ui;
use anyhow::{Context as _, Result};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// The thread, and the end of it.
pub(super) struct Teller {
    texts: Sender<String>,
    end: Receiver<()>,
}

impl Teller {
    pub(super) fn start() -> Result<Self> {
        Self::start_with(ui::tell)
    }

    fn start_with(tell: impl Fn(&str) + Send + 'static) -> Result<Self> {
        let (texts, told) = channel::<String>();
        let (alive, end) = channel();
        std::thread::Builder::new()
            .name("teller".to_owned())
            .spawn(move || {
                told.iter().for_each(|text| tell(&text));
                drop(alive);
            })
            .map_err(not_started)
            .context("failed to start the thread that tells")?;
        Ok(Self { texts, end })
    }

    /// Tells it after all that was told before.
    pub(super) fn tell(&self, text: impl Into<String>) {
        // The thread lives until the last sender is gone.
        let _ = self.texts.send(text.into());
    }

    /// Waits until all is told, but only for so long; whether it is.
    pub(super) fn finish(self, limit: Duration) -> bool {
        drop(self.texts);
        matches!(self.end.recv_timeout(limit), Err(RecvTimeoutError::Disconnected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_told_in_its_order_before_the_end() {
        let (sender, told) = channel();
        let teller = Teller::start_with(move |text| sender.send(text.to_owned()).unwrap()).unwrap();
        let texts = ["one", "two", "three"];
        texts.iter().for_each(|text| teller.tell(*text));
        assert!(teller.finish(Duration::from_secs(30)));
        assert_eq!(told.iter().collect::<Vec<_>>(), texts);
    }

    #[test]
    fn who_takes_nothing_holds_nobody_up() {
        let (stuck, goes_on) = channel::<()>();
        let teller = Teller::start_with(move |_| {
            let _ = goes_on.recv();
        })
        .unwrap();
        teller.tell("one");
        teller.tell("two");
        assert!(!teller.finish(Duration::from_millis(1)));
        drop(stuck);
    }
}
