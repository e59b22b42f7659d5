//! Short commands whose end is waited for and whose output is nobody's log: readiness probes.

use super::Signal;
use super::children::Children;
use super::launch::Launch;
use crate::lifecycle::Exit;
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

impl Children {
    /// Runs a command to its end, at most for `limit`; then its group is killed.
    ///
    /// # Errors
    /// Why it did not end with 0: its exit and the last line of its stderr.
    pub fn run_quietly(&self, launch: &Launch, limit: Duration) -> Result<(), String> {
        let name = launch
            .program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let (sender, exits) = channel();
        let spawned = self.spawn_and_tell(launch, sender).map_err(|error| error.to_string())?;
        let stdout = spawned.stdout;
        let stderr = spawned.stderr;
        let (last, said) = channel();
        // Both are read to the end: a command that fills a pipe nobody reads would hang.
        let read = || thread::Builder::new().name("probe".to_owned());
        let readers = read()
            .spawn(move || drain(stdout))
            .and_then(|_| read().spawn(move || drop(last.send(last_line(stderr)))));
        if let Err(error) = readers {
            let _ = super::kill::send_to_group(spawned.identity, Signal::KILL);
            return Err(format!("{name}: cannot start a thread to read its output: {error}"));
        }
        let exit = match exits.recv_timeout(limit) {
            Ok(exit) => exit,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                // One that has ended meanwhile needs no signal.
                let _ = super::kill::send_to_group(spawned.identity, Signal::KILL);
                return Err(format!("{name}: no answer within {limit:?}"));
            }
        };
        if exit == Exit::Code(0) {
            return Ok(());
        }
        // A child of the command may hold the pipe on: what is there by now is enough.
        let why = said.recv_timeout(Duration::from_millis(50)).ok().flatten();
        Err(why.map_or_else(|| format!("{name}: {exit}"), |why| format!("{name}: {exit}: {why}")))
    }
}

fn drain(mut stream: impl Read) {
    // A stream that cannot be read has nothing to say.
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

fn last_line(stream: impl Read) -> Option<String> {
    let mut last = VecDeque::with_capacity(1);
    for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
        last.clear();
        last.push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
    }
    last.pop_back()
}
