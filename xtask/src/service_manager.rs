//! What we tell the service manager that started us: systemd's notify protocol, from the side of the service.
//! Only sends; when there is something to say is decided elsewhere.

use anyhow::{Context as _, Result};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The variables that are meant for this process alone: a service that inherited them would answer in our name.
pub const VARIABLES: [&str; 3] = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];

/// A line to the service manager.
#[derive(Debug)]
pub struct ServiceManager {
    socket: UnixDatagram,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The manager that the environment names, if any.
    ///
    /// # Errors
    /// When its socket cannot be reached.
    pub fn from_environment() -> Result<Option<Self>> {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let text = |name: &str| std::env::var(name).ok();
        let watchdog = watchdog(text("WATCHDOG_USEC"), text("WATCHDOG_PID"), std::process::id());
        Self::connect(&name, watchdog)
            .with_context(|| {
                format!(
                    "failed to reach the service manager at NOTIFY_SOCKET={}",
                    name.display()
                )
            })
            .map(Some)
    }

    fn connect(name: &OsStr, watchdog: Option<Duration>) -> Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address(name)?)?;
        Ok(Self { socket, watchdog })
    }

    /// How often it wants a sign of life, if at all.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Everything has been started; `status` is for people.
    pub fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={status}"));
    }

    /// What happens now, for people.
    pub fn status(&self, status: &str) {
        self.say(&format!("STATUS={status}"));
    }

    /// A sign of life.
    pub fn alive(&self) {
        self.say("WATCHDOG=1");
    }

    /// The end has begun, and takes so long at most.
    pub fn stopping(&self, within: Duration) {
        self.say(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}", within.as_micros()));
    }

    fn say(&self, message: &str) {
        // A manager that is gone or does not listen needs no news; it has its own limits.
        let _ = self.socket.send(message.as_bytes());
    }
}

/// A path, or `@` and a name in the abstract namespace, which only Linux has.
fn address(name: &OsStr) -> Result<SocketAddr> {
    match name.as_bytes().strip_prefix(b"@") {
        None => Ok(SocketAddr::from_pathname(name)?),
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt as _;
            Ok(SocketAddr::from_abstract_name(name)?)
        }
        #[cfg(not(target_os = "linux"))]
        Some(_) => anyhow::bail!("this system has no abstract sockets"),
    }
}

/// The interval that `WATCHDOG_USEC` asks for, unless `WATCHDOG_PID` means another process.
fn watchdog(interval: Option<String>, pid: Option<String>, own: u32) -> Option<Duration> {
    let meant = pid.is_none_or(|pid| pid.parse() == Ok(own));
    let micros: u64 = interval?.parse().ok()?;
    (meant && micros > 0).then(|| Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_asked_for_by_the_environment() {
        let text = |text: &str| Some(text.to_owned());
        let table = [
            (None, None, None),
            (text("1500000"), None, Some(Duration::from_millis(1500))),
            (text("1500000"), text("7"), Some(Duration::from_millis(1500))),
            (text("1500000"), text("8"), None),
            (text("0"), None, None),
            (text("x"), None, None),
        ];
        for (interval, pid, expected) in table {
            assert_eq!(
                watchdog(interval.clone(), pid.clone(), 7),
                expected,
                "{interval:?} {pid:?}"
            );
        }
    }

    #[test]
    fn both_kinds_of_sockets_are_reached() {
        let dir = tempfile::tempdir().unwrap();
        let mut sockets = vec![(
            dir.path().join("notify").into_os_string(),
            UnixDatagram::bind(dir.path().join("notify")).unwrap(),
        )];
        #[cfg(target_os = "linux")]
        {
            use std::os::linux::net::SocketAddrExt as _;
            let name = format!("xtask-test-{}", std::process::id());
            let address = SocketAddr::from_abstract_name(&name).unwrap();
            sockets.push((format!("@{name}").into(), UnixDatagram::bind_addr(&address).unwrap()));
        }
        for (name, socket) in sockets {
            let manager = ServiceManager::connect(&name, None).unwrap();
            manager.ready("two stacks");
            let mut message = [0; 256];
            let length = socket.recv(&mut message).unwrap();
            assert_eq!(&message[..length], b"READY=1\nSTATUS=two stacks");
        }
    }
}
