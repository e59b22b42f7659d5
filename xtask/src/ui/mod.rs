//! Values → text. The parts print nothing and know no terminal; the few functions here are the one way to it.

pub mod describe;
pub mod log_line;
pub mod style;
pub mod table;
pub mod why;

use crate::clock;
use crate::log::reader::Selection;
use crate::shortage::not_started;
use anstream::stream::RawStream;
use anyhow::{Context as _, Result};
use jiff::tz::TimeZone;
use std::io::{IsTerminal as _, Write as _};

/// Prints to stdout; colours go where they are wanted.
///
/// # Errors
/// When nobody reads.
pub fn print(text: &str) -> Result<()> {
    print_bytes(text.as_bytes())
}

/// Prints bytes to stdout as they are, whether they are text or not.
///
/// # Errors
/// When nobody reads.
pub fn print_bytes(bytes: &[u8]) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe || is_of_terminal(&error) => {
            Err(NobodyReads.into())
        }
        written @ (Ok(()) | Err(_)) => written.context("failed to write to stdout"),
    }
}

/// Whether it is a terminal that stdout failed with: one takes everything, until it is gone, and is no longer known for one then.
fn is_of_terminal(error: &std::io::Error) -> bool {
    let stdout = std::io::stdout();
    let is_device = || {
        let stat = rustix::fs::fstat(&stdout);
        stat.is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_char_device())
    };
    let is_io = rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::IO);
    stdout.is_terminal() || is_io && is_device()
}

/// Whoever read our stdout has seen enough: `| head` is done. No failure of ours.
#[derive(Debug)]
pub struct NobodyReads;

impl std::error::Error for NobodyReads {}

impl std::fmt::Display for NobodyReads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nobody reads our output any more")
    }
}

/// Calls `then`, on a thread of its own, when whoever read our stdout through a pipe has gone.
///
/// # Errors
/// When no thread can be started.
pub fn on_nobody_reads(then: impl FnOnce() + Send + 'static) -> Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    let wait = move || {
        let stdout = std::io::stdout();
        loop {
            // Asked for nothing, the system still tells errors: of a pipe, that nobody holds the other end.
            let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
            match poll(&mut fds, None) {
                Ok(_) if fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) => return then(),
                Err(rustix::io::Errno::INTR) => {}
                Ok(_) | Err(_) => return,
            }
        }
    };
    std::thread::Builder::new()
        .name("stdout".to_owned())
        .spawn(wait)
        .map(drop)
        .map_err(not_started)
        .context("failed to start the thread that watches stdout")
}

/// Tells the user something on stderr; one who is gone is not told.
pub fn tell(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Whether there is a terminal whose user can press Ctrl-C; one that was closed is none any more.
pub fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// Columns of the terminal that stdout is; `None` where it is none.
pub fn width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(size.ws_col.into())
}

/// Columns of the longest name in a selection.
pub fn name_width(selection: &Selection) -> usize {
    let widths = selection.names.iter().map(|name| name.chars().count());
    widths.max().unwrap_or_default()
}

/// Log lines for people, as the stream they go to wants them: names aligned, on a terminal with their local time and nothing that acts
/// on it, colour where it is wanted.
pub fn for_people(selection: &Selection, stream: &impl RawStream) -> style::Style {
    let zone = TimeZone::system();
    style::Style::People(Box::new(log_line::RenderOptions {
        name_width: name_width(selection),
        colour: anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never,
        terminal: stream.is_terminal(),
        today: clock::wall().to_zoned(zone.clone()).date(),
        zone,
        highlight: selection.filter.pattern.clone(),
    }))
}
