//! Compresses rotated logs in the background: one thread for the process, one file at a time, at low priority.
//!
//! A file that is rotated away again within moments (a flood) is never compressed at all. It never touches a log that is written to.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{archive, system};
use crate::clock;

/// How old a rotated file must be: under a flood `retain` removes it sooner, and no processor time was spent on it.
const SETTLE: Duration = if cfg!(test) {
    Duration::ZERO
} else {
    Duration::from_secs(3)
};

struct Job {
    plain: PathBuf,
    due: Duration,
}

enum Message {
    Compress(Job),
    /// Give up what waits.
    HandOver(Sender<VecDeque<Job>>),
}

static QUEUE: OnceLock<Option<Sender<Message>>> = OnceLock::new();

/// Has the rotated file at `plain` compressed some time soon. What does not get done before the process ends is queued again by
/// the next writer of that log.
pub(super) fn queue(plain: PathBuf) {
    let queue = QUEUE.get_or_init(|| {
        let (sender, messages) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("log-compress".into())
            .stack_size(256 * 1024);
        thread.spawn(move || work(&messages)).ok().map(|_| sender)
    });
    if let Some(queue) = queue {
        let due = clock::monotonic() + SETTLE;
        // The receiver lives as long as the process.
        let _ = queue.send(Message::Compress(Job { plain, due }));
    }
}

/// Compresses what is queued, at once and no longer at low priority: somebody waits. Returns when that is done, at the latest after
/// `limit`.
pub fn finish_compressing(limit: Duration) {
    // Nothing was ever rotated.
    let Some(Some(queue)) = QUEUE.get() else { return };
    let deadline = clock::monotonic() + limit;
    let (sender, handed_over) = mpsc::channel();
    let _ = queue.send(Message::HandOver(sender));
    let Ok(waiting) = handed_over.recv_timeout(limit) else {
        return;
    };
    let (done, is_done) = mpsc::channel();
    let finish = move || {
        compress_all(waiting);
        // Nobody may wait any more.
        let _ = done.send(());
    };
    // Without a thread they are left to the next writer: the sender is dropped, and nobody waits.
    let _ = thread::Builder::new().name("log-finish".into()).spawn(finish);
    let _ = is_done.recv_timeout(deadline.saturating_sub(clock::monotonic()));
}

fn work(messages: &Receiver<Message>) {
    system::lower_own_priority();
    let mut waiting: VecDeque<Job> = VecDeque::new();
    loop {
        let message = match waiting.front() {
            Some(job) => messages.recv_timeout(job.due.saturating_sub(clock::monotonic())),
            None => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match message {
            Ok(Message::Compress(job)) => waiting.push_back(job),
            Ok(Message::HandOver(to)) => {
                // Nobody may wait any more: then what waited is left to the next writer.
                let _ = to.send(std::mem::take(&mut waiting));
            }
            Err(RecvTimeoutError::Timeout) => compress_all(waiting.pop_front()),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn compress_all(jobs: impl IntoIterator<Item = Job>) {
    for job in jobs {
        // A full disk or a missing file leaves the plain file, which is as readable.
        let _ = compress(&job.plain);
    }
}

/// Replaces the file at `plain` by its compressed form, which appears whole; a crash leaves the plain file.
pub(super) fn compress(plain: &Path) -> io::Result<()> {
    let mut source = File::open(plain)?;
    let compressed = archive::compressed_path(plain);
    let unfinished = archive::unfinished_path(&compressed);
    let written = write(&mut source, &unfinished).and_then(|()| {
        // Removed meanwhile: its compressed form must not outlive it.
        fs::metadata(plain)?;
        fs::rename(&unfinished, &compressed)
    });
    if let Err(error) = written {
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    if let Err(error) = fs::remove_file(plain) {
        // Removed just before the compressed form appeared.
        let _ = fs::remove_file(&compressed);
        return Err(error);
    }
    Ok(())
}

fn write(source: &mut File, target: &Path) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(target)?;
    let mut encoder = GzEncoder::new(BufWriter::with_capacity(64 * 1024, file), Compression::new(3));
    io::copy(source, &mut encoder)?;
    let mut buffered = encoder.finish()?;
    buffered.flush()?;
    let file = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
    // Lines without a stamp fall back on the time of their file.
    file.set_modified(source.metadata()?.modified()?)?;
    file.sync_all()
}
