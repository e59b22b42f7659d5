//! Reads the clock as its first act, sends its pid and the time to a socket, and then stays until it is ended.
//!
//! `cargo xtask bench` runs it as the service and as the floor beside it: the smallest program that can be timed from within.

use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_methods, reason = "telling the time is all it does")]
fn main() -> ExitCode {
    let now = SystemTime::now();
    let Some(socket) = std::env::args_os().nth(1) else {
        eprintln!("error: no socket to send the stamp to; `cargo xtask bench` names one");
        return ExitCode::from(2);
    };
    let nanos = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let stamp = format!("{} {nanos}", std::process::id());
    let sent = UnixDatagram::unbound().and_then(|own| own.send_to(stamp.as_bytes(), &socket));
    if let Err(error) = sent {
        eprintln!("error: failed to send the stamp to {}: {error}", socket.display());
        return ExitCode::FAILURE;
    }
    loop {
        thread::park();
    }
}
