//! Signals by name, as a user writes them: `SIGINT`, `INT`, `int`.
//!
//! Names only: their numbers differ between systems and belong to whoever sends them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::nearest::did_you_mean;

macro_rules! signals {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal,)+) => {
        /// A signal that a user may name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Signal { $($(#[$doc])+ $variant,)+ }

        impl Signal {
            /// Every signal that can be named.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The full name: `SIGINT`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

signals! {
    /// The terminal is gone; many servers reload.
    Hup = "SIGHUP",
    /// Ctrl-C.
    Int = "SIGINT",
    /// Ctrl-\; a JVM prints its threads.
    Quit = "SIGQUIT",
    /// Abort, with a core dump.
    Abrt = "SIGABRT",
    /// Ends a process at once; cannot be caught.
    Kill = "SIGKILL",
    /// The program's own meaning.
    Usr1 = "SIGUSR1",
    /// The program's own meaning.
    Usr2 = "SIGUSR2",
    /// A reader is gone.
    Pipe = "SIGPIPE",
    /// A timer of the program's own.
    Alrm = "SIGALRM",
    /// Asks a process to end.
    Term = "SIGTERM",
    /// Goes on after a stop.
    Cont = "SIGCONT",
    /// Freezes a process; cannot be caught.
    Stop = "SIGSTOP",
    /// Ctrl-Z.
    Tstp = "SIGTSTP",
    /// The terminal's size changed; some servers take it for a graceful stop of their workers.
    Winch = "SIGWINCH",
}

impl Signal {
    /// Reads a name, in any case, with or without `SIG`.
    ///
    /// # Errors
    /// When it is none of [`Signal::ALL`]; names the nearest one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let upper = text.trim().to_ascii_uppercase();
        let short = upper.strip_prefix("SIG").unwrap_or(&upper);
        let known = Self::ALL.iter().copied();
        known
            .clone()
            .find(|signal| signal.name().strip_prefix("SIG") == Some(short))
            .ok_or_else(|| {
                format!(
                    "no signal is called `{text}`{}",
                    did_you_mean(&format!("SIG{short}"), known.map(Self::name))
                )
            })
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Signal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

impl Serialize for Signal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Signal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::values::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_is_read_from_all_its_spellings() {
        for signal in Signal::ALL {
            let name = signal.name();
            for text in [name, &name[3..], &name.to_lowercase(), &name[3..].to_lowercase()] {
                assert_eq!(Signal::parse(text), Ok(*signal));
            }
        }
    }

    #[test]
    fn an_unknown_name_gets_the_nearest() {
        assert_eq!(
            Signal::parse("SIGTREM").unwrap_err(),
            "no signal is called `SIGTREM`; did you mean `SIGTERM`?"
        );
        assert_eq!(
            Signal::parse("usr").unwrap_err(),
            "no signal is called `usr`; did you mean `SIGUSR1`?"
        );
        assert!(Signal::parse("").is_err());
    }

    #[test]
    fn serde_writes_and_reads_the_name() {
        assert_eq!(serde_json::to_string(&Signal::Usr1).unwrap(), "\"SIGUSR1\"");
        assert_eq!(serde_json::from_str::<Signal>("\"usr1\"").unwrap(), Signal::Usr1);
    }
}
