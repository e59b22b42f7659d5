//! Reads the clock as its first act, sends its pid and the time to a socket, and then stays until it is ended; or writes so many bytes
//! of lines to its stdout and ends: `stamp SOCKET [blocks|lines BYTES]`. `stamp SOCKET spawn COUNT` starts so many of itself instead,
//! and waits for their ends.
//!
//! `cargo xtask bench` runs it as the service and as the floor beside it: the smallest program that can be timed from within, and the
//! plainest one that starts services.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_methods, reason = "telling the time is all it does")]
fn main() -> ExitCode {
    let now = SystemTime::now();
    let Some(socket) = std::env::args_os().nth(1) else {
        eprintln!("error: no socket to send the stamp to; `cargo xtask bench` names one");
        return ExitCode::from(2);
    };
    let words: Vec<String> = std::env::args().skip(2).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if let ["spawn", count] = words[..] {
        return spawn(&socket, count);
    }
    let nanos = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let stamp = format!("{} {nanos}", std::process::id());
    let sent = UnixDatagram::unbound().and_then(|own| own.send_to(stamp.as_bytes(), &socket));
    if let Err(error) = sent {
        eprintln!("error: failed to send the stamp to {}: {error}", socket.display());
        return ExitCode::FAILURE;
    }
    match words[..] {
        [] => loop {
            thread::park();
        },
        ["blocks", bytes] => flood(&LINE.repeat(655), bytes),
        ["lines", bytes] => flood(&LINE, bytes),
        _ => {
            eprintln!("error: after the socket comes nothing, or `blocks BYTES`, `lines BYTES` or `spawn COUNT`");
            ExitCode::from(2)
        }
    }
}

/// Starts so many of this program, one after the other, and waits for their ends.
#[expect(clippy::disallowed_methods, reason = "the plainest way is what it is there for")]
fn spawn(socket: &OsStr, count: &str) -> ExitCode {
    let own = std::env::args_os().next().unwrap_or_default();
    let start = |_| Command::new(&own).arg(socket).spawn();
    let children: Result<Vec<_>, _> = (0..count.parse().unwrap_or(0)).map(start).collect();
    let ends = children.and_then(|children| children.into_iter().try_for_each(|mut child| child.wait().map(drop)));
    if let Err(error) = ends {
        eprintln!("error: failed to start {count} times {}: {error}", own.display());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// A line of 100 bytes.
const LINE: [u8; 100] = {
    let mut line = [b'x'; 100];
    line[99] = b'\n';
    line
};

/// Writes `block` with one system call each time, until it has written so many bytes.
fn flood(block: &[u8], bytes: &str) -> ExitCode {
    let mut left: usize = bytes.parse().unwrap_or(0);
    // Without the buffer of `Stdout`, which looks for line ends.
    let Ok(own) = std::io::stdout().as_fd().try_clone_to_owned() else {
        return ExitCode::FAILURE;
    };
    let mut out = File::from(own);
    while left > 0 {
        let next = &block[..left.min(block.len())];
        if let Err(error) = out.write_all(next) {
            eprintln!("error: failed to write the lines: {error}");
            return ExitCode::FAILURE;
        }
        left -= next.len();
    }
    ExitCode::SUCCESS
}
