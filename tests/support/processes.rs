//! Processes and ports as the system sees them, without asking the program under test.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::io::FdFlags;
use rustix::net::{AddressFamily, SocketType, bind, socket, sockopt};
use rustix::process::{Pid, Signal};

use super::wait_until;

/// A process that belongs to a test.
#[derive(Debug)]
pub struct Process {
    pub pid: u32,
    pub command: String,
}

impl Process {
    /// Whether it is the program under test itself: a command, the supervisor or its keeper.
    pub fn is_xtask(&self) -> bool {
        self.command
            .split(' ')
            .next()
            .is_some_and(|program| program.ends_with("/xtask"))
    }
}

/// Sends a signal; a process that is gone is fine.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Waits until the process is gone.
#[track_caller]
pub fn wait_gone(pid: u32) {
    wait_until(&format!("process {pid} is gone"), || (!is_alive(pid)).then_some(()));
}

/// A port that was free a moment ago. No other test of this run gets it or tries it, and no connection: the systems give those
/// numbers from 32768 on (Linux), from 49152 on (macOS).
pub fn free_port() -> u16 {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    static TRIED: AtomicU32 = AtomicU32::new(0);
    // Another run beside this one begins elsewhere.
    let begin = std::process::id().wrapping_mul(997);
    loop {
        let number = begin.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + number).unwrap();
        if is_free(port) {
            return port;
        }
    }
}

/// Whether nobody listens on the port. Asked by binding a socket and never listening on it: a child that another test starts at this
/// moment has a copy of it until its exec, and a listening copy would keep the port from whoever takes it next.
pub fn is_free(port: u16) -> bool {
    let bound = || -> rustix::io::Result<()> {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        rustix::io::fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &SocketAddr::from(([127, 0, 0, 1], port)))
    };
    bound().is_ok()
}

/// The status and body that an HTTP server on this machine answers with.
pub fn get(port: u16, path: &str) -> Option<(u16, String)> {
    request(port, &format!("GET {path} HTTP/1.0\r\nHost: localhost:{port}\r\n\r\n"))
}

/// Sends a whole request; `None` where nobody answers.
pub fn request(port: u16, text: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("localhost", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(text.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// Whether the process exists and is not a zombie.
#[cfg(target_os = "linux")]
pub fn is_alive(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| !matches!(stat.first().map(String::as_str), Some("Z" | "X")))
}

/// The parent of a process.
#[cfg(target_os = "linux")]
pub fn parent_of(pid: u32) -> u32 {
    stat(pid)
        .and_then(|stat| stat.get(1)?.parse().ok())
        .expect("the process has a parent")
}

/// The fields of `/proc/PID/stat` after the name.
#[cfg(target_os = "linux")]
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

/// The processes whose directory, environment or command line names one of the places.
#[cfg(target_os = "linux")]
pub fn of_places(places: &[&Path]) -> Vec<Process> {
    let numbers = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let belongs = |pid: &u32| {
        let within = |path: &Path| places.iter().any(|place| path.starts_with(place));
        let names = |file: &str| {
            let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            places.iter().any(|place| text.contains(place.to_str().unwrap()))
        };
        *pid != std::process::id()
            && (std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| within(&cwd))
                || names("environ")
                || names("cmdline"))
    };
    let command = |pid: u32| {
        let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&bytes)
            .trim_end_matches('\0')
            .replace('\0', " ");
        (!command.is_empty() && is_alive(pid)).then_some(Process { pid, command })
    };
    pids.filter(belongs).filter_map(command).collect()
}

/// Whether the process exists and is not a zombie.
#[cfg(not(target_os = "linux"))]
pub fn is_alive(pid: u32) -> bool {
    ps(&["-o", "stat=", "-p", &pid.to_string()])
        .lines()
        .any(|line| !line.trim().starts_with('Z'))
}

/// The parent of a process.
#[cfg(not(target_os = "linux"))]
pub fn parent_of(pid: u32) -> u32 {
    ps(&["-o", "ppid=", "-p", &pid.to_string()])
        .trim()
        .parse()
        .expect("the process has a parent")
}

/// The processes whose environment or command line names one of the places.
#[cfg(not(target_os = "linux"))]
pub fn of_places(places: &[&Path]) -> Vec<Process> {
    let parse = |line: &str| {
        let (pid, command) = line.trim().split_once(' ')?;
        let named = places.iter().any(|place| command.contains(place.to_str().unwrap()));
        let process = Process {
            pid: pid.parse().ok()?,
            command: command.trim().to_owned(),
        };
        (named && process.pid != std::process::id() && is_alive(process.pid)).then_some(process)
    };
    ps(&["-Eww", "-axo", "pid=,command="])
        .lines()
        .filter_map(parse)
        .collect()
}

#[cfg(not(target_os = "linux"))]
fn ps(args: &[&str]) -> String {
    let output = super::program::command("ps").args(args).output().expect("run ps");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
