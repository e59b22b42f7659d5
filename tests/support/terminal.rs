//! A real terminal: a pseudo-terminal whose other end the program under test has as its controlling terminal.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, ExitStatus, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::{Project, program, puppet, wait_until, xtask};

/// The user's end of the terminal, and the program on the other.
pub struct Terminal {
    master: File,
    /// Kept open, so that the program's end of it is never the last; dropped with the master.
    slave: File,
    child: Child,
    seen: String,
}

impl Terminal {
    /// Runs `xtask ARGS` of the project on a new terminal that does not know its size.
    pub fn run(project: &Project, args: &[&str]) -> Terminal {
        Terminal::run_in(project, 0, args)
    }

    /// The same on a terminal of so many columns.
    pub fn run_in(project: &Project, columns: u16, args: &[&str]) -> Terminal {
        Terminal::start(project, columns, xtask(), args)
    }

    /// Runs a line of shell, in which `XTASK` is the program under test.
    pub fn run_shell(project: &Project, line: &str) -> Terminal {
        Terminal::start(project, 0, "sh", &["-c", &line.replace("XTASK", xtask())])
    }

    fn start(project: &Project, columns: u16, program: &str, args: &[&str]) -> Terminal {
        let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("open a terminal");
        rustix::io::fcntl_setfd(&master, rustix::io::FdFlags::CLOEXEC).unwrap();
        rustix::fs::fcntl_setfl(&master, rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::RDWR).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        // Without a process on the other side a read from the master fails; O_NOCTTY keeps it from becoming the tests' terminal.
        let mut open = OpenOptions::new();
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut open, rustix::fs::OFlags::NOCTTY.bits().cast_signed());
        let slave = open.read(true).write(true).open(&path).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&slave, size).unwrap();
        let mut command = project.prepare(&puppet());
        command
            .args(["terminal", &path, program])
            .args(args)
            .env("TERM", "xterm");
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("start on a terminal");
        Terminal {
            master: File::from(master),
            slave,
            child,
            seen: String::new(),
        }
    }

    /// Waits until this is on the screen.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        wait_until(&format!("{text:?} is on the terminal"), || {
            self.read();
            self.seen.contains(text).then_some(())
        });
    }

    /// Types, as a user does.
    pub fn type_text(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until the program has ended.
    #[track_caller]
    pub fn wait(mut self) -> ExitStatus {
        let Terminal { master, child, .. } = &mut self;
        program::wait_for_end(child, || drain(master, &mut String::new()))
    }

    /// What stood on the screen when the program had ended.
    #[track_caller]
    pub fn shown(mut self) -> String {
        let Terminal {
            master, child, seen, ..
        } = &mut self;
        program::wait_for_end(child, || drain(master, seen));
        self.read();
        self.seen
    }

    /// For another program, whose terminal it is not, to write to.
    pub fn output(&self) -> Stdio {
        self.slave.try_clone().unwrap().into()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Closes the window: the terminal goes away below the program. What happens until its end.
    #[track_caller]
    pub fn close(self, meanwhile: impl FnOnce()) -> ExitStatus {
        let Terminal {
            master,
            slave,
            mut child,
            ..
        } = self;
        drop((master, slave));
        meanwhile();
        program::wait_for_end(&mut child, || {})
    }

    fn read(&mut self) {
        drain(&mut self.master, &mut self.seen);
    }
}

fn drain(master: &mut File, seen: &mut String) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = master.read(&mut buffer) {
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}
