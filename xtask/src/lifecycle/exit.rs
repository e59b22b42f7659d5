//! How runs end: exit codes and signals, kept apart and called by their names.

use crate::config::did_you_mean;
use rustix::process::Signal;
use std::fmt;
use std::time::Duration;

/// How a process ended: a code or a signal, never mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// It was ended by this signal.
    Signal(i32),
}

/// A run that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastRun {
    /// The leader's process id.
    pub pid: u32,
    /// When it was launched, as people read it.
    pub began: jiff::Timestamp,
    /// When its leader ended, as people read it.
    pub at: jiff::Timestamp,
    /// How long it ran; the time of day may have been set meanwhile.
    pub lasted: Duration,
    /// How it ended.
    pub exit: Exit,
    /// Why it was ended; `None` when it ended by itself.
    pub ended_by: Option<String>,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "{}", signal_name(*signal)),
        }
    }
}

/// What the supervisor's log says of a run that ended by itself begins so; the exit follows.
pub(super) const ENDED: &str = "ended with ";

/// Whether a line of the supervisor's log says that a run ended by itself and not well.
pub fn is_crash(event: &str) -> bool {
    let well = format!("{} ", Exit::Code(0));
    event.strip_prefix(ENDED).is_some_and(|exit| !exit.starts_with(&well))
}

/// The signals that have a name everywhere; their numbers differ between systems.
const SIGNALS: [(Signal, &str); 28] = [
    (Signal::HUP, "SIGHUP"),
    (Signal::INT, "SIGINT"),
    (Signal::QUIT, "SIGQUIT"),
    (Signal::ILL, "SIGILL"),
    (Signal::TRAP, "SIGTRAP"),
    (Signal::ABORT, "SIGABRT"),
    (Signal::BUS, "SIGBUS"),
    (Signal::FPE, "SIGFPE"),
    (Signal::KILL, "SIGKILL"),
    (Signal::USR1, "SIGUSR1"),
    (Signal::SEGV, "SIGSEGV"),
    (Signal::USR2, "SIGUSR2"),
    (Signal::PIPE, "SIGPIPE"),
    (Signal::ALARM, "SIGALRM"),
    (Signal::TERM, "SIGTERM"),
    (Signal::CHILD, "SIGCHLD"),
    (Signal::CONT, "SIGCONT"),
    (Signal::STOP, "SIGSTOP"),
    (Signal::TSTP, "SIGTSTP"),
    (Signal::TTIN, "SIGTTIN"),
    (Signal::TTOU, "SIGTTOU"),
    (Signal::URG, "SIGURG"),
    (Signal::XCPU, "SIGXCPU"),
    (Signal::XFSZ, "SIGXFSZ"),
    (Signal::VTALARM, "SIGVTALRM"),
    (Signal::PROF, "SIGPROF"),
    (Signal::WINCH, "SIGWINCH"),
    (Signal::SYS, "SIGSYS"),
];

/// A signal's name, as `SIGKILL`; the number where it has none.
pub fn signal_name(signal: i32) -> String {
    let named = SIGNALS.iter().find(|(known, _)| known.as_raw() == signal);
    named.map_or_else(|| format!("signal {signal}"), |(_, name)| (*name).to_owned())
}

/// The number of a signal that a user names: `SIGHUP`, `hup` or `1`.
///
/// # Errors
/// When no signal is called so; names the nearest one.
pub fn named_signal(text: &str) -> Result<i32, String> {
    let upper = text.trim().to_ascii_uppercase();
    let full = format!("SIG{}", upper.strip_prefix("SIG").unwrap_or(&upper));
    let is_meant = |(signal, name): &&(Signal, &str)| *name == full || upper.parse() == Ok(signal.as_raw());
    if let Some((signal, _)) = SIGNALS.iter().find(is_meant) {
        return Ok(signal.as_raw());
    }
    let meant = did_you_mean(&full, SIGNALS.iter().map(|(_, name)| *name));
    Err(format!("no signal is called `{text}`{meant}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_is_found_by_its_names_and_its_number() {
        for (signal, name) in SIGNALS {
            let number = signal.as_raw();
            for text in [name, &name[3..], &name.to_lowercase(), &number.to_string()] {
                assert_eq!(named_signal(text), Ok(number), "{text}");
            }
            assert_eq!(signal_name(number), name);
        }
        assert_eq!(signal_name(99), "signal 99");
    }

    #[test]
    fn what_is_no_signal_is_refused_with_the_nearest() {
        let error = "no signal is called `TREM`; did you mean `SIGTERM`?";
        assert_eq!(named_signal("TREM").unwrap_err(), error);
        for text in ["0", "-9", "99", "", "SIG"] {
            assert!(
                named_signal(text)
                    .unwrap_err()
                    .starts_with(&format!("no signal is called `{text}`"))
            );
        }
    }
}
