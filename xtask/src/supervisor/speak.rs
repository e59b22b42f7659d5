//! What a user says to a running service itself: a signal to its group, a line to its stdin. Neither changes what is wanted of it.

use super::Supervisor;
use crate::clock::Now;
use crate::fleet::ServiceId;
use crate::ipc::protocol::{Failure, Reply};
use crate::ipc::server::ClientId;
use crate::lifecycle::{RunId, State, signal_name};
use crate::process;
use rustix::io::Errno;
use std::io::{ErrorKind, Write as _};

impl Supervisor {
    pub(super) fn signal(&mut self, client: ClientId, services: &[String], signal: i32, now: Now) {
        let name = signal_name(signal);
        let failures = self.tell_each(services, |this, id, run| {
            let leader = this.runs.get(&run).ok_or("it does not run")?.root.leader;
            process::signal_group(leader, signal)?;
            let service = this.fleet.get(id).map(|member| member.plan.name.clone());
            this.note(now.wall, service.as_deref(), &format!("{name} sent by command"));
            Ok(())
        });
        self.clients.send(client, &Reply::Done { failures });
    }

    pub(super) fn send(&mut self, client: ClientId, services: &[String], text: &str) {
        let line = format!("{text}\n");
        let failures = self.tell_each(services, |this, id, run| {
            let terminal = this.fleet.get(id).is_some_and(|member| member.plan.pty);
            if terminal && line.len() > process::LONGEST_TERMINAL_LINE {
                let longest = process::LONGEST_TERMINAL_LINE - 1;
                return Err(format!("a terminal takes in at most {longest} bytes a line"));
            }
            let stdin = this.runs.get_mut(&run).and_then(|live| live.stdin.as_mut());
            write_line(stdin.ok_or("it does not run")?, line.as_bytes())
        });
        self.clients.send(client, &Reply::Done { failures });
    }

    /// Does something to the run of each service; whoever does not run is told of.
    fn tell_each(
        &mut self,
        services: &[String],
        mut tell: impl FnMut(&mut Self, ServiceId, RunId) -> Result<(), String>,
    ) -> Vec<Failure> {
        let mut failures = Vec::new();
        for id in self.ids(services) {
            let Some(member) = self.fleet.get(id) else { continue };
            let told = match member.service.live_run() {
                Some(run) => tell(self, id, run.id),
                None => Err(self.does_not_run(id)),
            };
            if let (Err(reason), Some(member)) = (told, self.fleet.get(id)) {
                let service = member.plan.name.clone();
                failures.push(Failure { service, reason });
            }
        }
        failures
    }

    /// That a service does not run, and why; or what would start it.
    fn does_not_run(&self, id: ServiceId) -> String {
        let Some(member) = self.fleet.get(id) else {
            return "it does not run".to_owned();
        };
        let status = member.service.status();
        match self.fleet.reason(id) {
            _ if member.service.state == State::Stopped => {
                format!(
                    "it does not run ({status}); `cargo xtask start {}` starts it",
                    member.plan.name
                )
            }
            Some(reason) if member.service.state == State::Errored => format!(
                "it does not run ({status}: {reason}); `cargo xtask start {}` tries again",
                member.plan.name
            ),
            Some(reason) => format!("it does not run ({status}: {reason})"),
            None => format!("it does not run ({status})"),
        }
    }
}

/// Writes a line without ever waiting: the pipe does not block.
fn write_line(stdin: &mut std::io::PipeWriter, line: &[u8]) -> Result<(), String> {
    match stdin.write(line) {
        Ok(count) if count == line.len() => Ok(()),
        Ok(count) => Err(format!(
            "its stdin is full: it took {count} of {} bytes and does not read on",
            line.len()
        )),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            Err("its stdin is full: it does not read what was sent before".to_owned())
        }
        // A terminal whose other side is closed says EIO.
        Err(error) if error.kind() == ErrorKind::BrokenPipe || Errno::from_io_error(&error) == Some(Errno::IO) => {
            Err("it has closed its stdin".to_owned())
        }
        Err(error) => Err(format!("failed to write to its stdin: {error}")),
    }
}
