//! The rotated files of one log as they lie on the disk: lists, opens and removes them.
//!
//! Writer and readers both look here, so that they agree on what belongs to a log. It decides nothing (see `rotation`).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use jiff::{SignedDuration, Timestamp};

use super::rotation;

/// What tells one file from another, whatever it is called: device and inode.
pub(super) type Identity = (u64, u64);

/// Ends the name of a file that is being compressed.
const UNFINISHED: &str = ".tmp";

/// The identity of the file behind `metadata`.
pub(super) fn identity(metadata: &fs::Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

/// `error` with what was done to which file.
pub(super) fn context(error: &io::Error, verb: &str, path: &Path) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("cannot {verb} log file {}: {error}", path.display()),
    )
}

/// `error` with the name of the rotated file it came from.
pub(super) fn named(error: &io::Error, path: &Path) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Whether there is no such file; also where something else stands in the place of its directory.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// `result`, with a file that is not there as none.
pub(super) fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens the file that lies at `log`; none where there is none that can be read: nothing, another user's, or a directory, a pipe, a
/// device. One log that cannot be read keeps nobody from the others. Never blocks.
pub(super) fn readable(log: &Path) -> io::Result<Option<File>> {
    match at_once(log) {
        Ok(file) => Ok(file.metadata()?.is_file().then_some(file)),
        Err(error) if is_absent(&error) || error.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        // A socket.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => Ok(None),
        Err(error) => Err(context(&error, "open", log)),
    }
}

/// Opens what lies at `path` for reading, and does not wait for who writes to it where it is a pipe.
fn at_once(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    options.custom_flags(i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0));
    options.open(path)
}

/// The name of the file at `path`.
pub(super) fn name_of(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or("log")
}

/// Where `log` really lies: a log that is a symbolic link is rotated beside the file it leads to, also while there is none.
pub(super) fn real(log: &Path) -> PathBuf {
    let mut path = log.to_owned();
    // A longer chain is a circle, which the system refuses to open.
    for _ in 0..40 {
        match fs::read_link(&path) {
            Ok(target) => path = directory(&path).join(target),
            Err(_) => break,
        }
    }
    path
}

/// The one path of the file at `log`, by whatever links it is reached, also while there is none or no directory for it yet.
pub fn canonical(log: &Path) -> PathBuf {
    let log = real(log);
    let mut missing = Vec::new();
    for ancestor in directory(&log).ancestors() {
        match fs::canonicalize(ancestor) {
            Ok(mut path) => {
                path.extend(missing.into_iter().rev());
                path.extend(log.file_name());
                return path;
            }
            Err(_) => missing.extend(ancestor.file_name()),
        }
    }
    log
}

/// The names in directories of logs, each read once: a hundred logs that are opened together lie in one directory.
#[derive(Debug, Default)]
pub struct Listings(HashMap<PathBuf, io::Result<Vec<String>>>);

impl Listings {
    /// The names of the files that begin as the rotated ones of `log` do.
    fn beside(&mut self, log: &Path) -> io::Result<impl Iterator<Item = &str>> {
        let start = rotation::rotated_start(name_of(log));
        let names = match self.0.entry(directory(log).to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(names_in(directory(log))),
        };
        let names = match names {
            Ok(names) => names,
            Err(error) => return Err(io::Error::new(error.kind(), error.to_string())),
        };
        let from = names.partition_point(|name| *name < start);
        let names = names[from..].iter().map(String::as_str);
        Ok(names.take_while(move |name| name.starts_with(&start)))
    }
}

/// What was left of compressing files of `log` when that was cut short; nothing in a directory that cannot be read.
pub(super) fn unfinished(log: &Path, listings: &mut Listings) -> Vec<PathBuf> {
    let log = &real(log);
    let compressed = |name: &&str| {
        name.strip_suffix(UNFINISHED)
            .and_then(|name| rotated_at(log, name))
            .is_some()
    };
    let unfinished = listings.beside(log).into_iter().flatten().filter(compressed);
    unfinished.map(|name| log.with_file_name(name)).collect()
}

/// When `log` was rotated, oldest first; nothing where the directory is missing.
pub(super) fn rotations(log: &Path) -> io::Result<Vec<Timestamp>> {
    listed_rotations(log, &mut Listings::default())
}

/// The same of directories that may be read already.
pub(super) fn listed_rotations(log: &Path, listings: &mut Listings) -> io::Result<Vec<Timestamp>> {
    let log = &real(log);
    let names = listings.beside(log)?;
    let mut stamps: Vec<Timestamp> = names.filter_map(|name| rotated_at(log, name)).collect();
    stamps.sort_unstable();
    // A file that is being compressed is there twice.
    stamps.dedup();
    Ok(stamps)
}

fn rotated_at(log: &Path, name: &str) -> Option<Timestamp> {
    rotation::parse_rotated(name_of(log), name).map(|(stamp, _)| stamp)
}

#[cfg(test)]
thread_local! {
    /// How many directories this thread has read.
    pub(super) static DIRECTORIES_READ: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The names of all files in a directory, in order.
fn names_in(directory: &Path) -> io::Result<Vec<String>> {
    #[cfg(test)]
    DIRECTORIES_READ.set(DIRECTORIES_READ.get() + 1);
    let mut names = Vec::new();
    // Twice, because one pass can miss a file that is replaced by its compressed form meanwhile.
    for _ in 0..2 {
        for entry in found(fs::read_dir(directory))?.into_iter().flatten() {
            names.extend(entry?.file_name().into_string());
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// The directory `log` lies in.
pub(super) fn directory(log: &Path) -> &Path {
    match log.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

/// The uncompressed file that `log` became when it was rotated at `stamp`.
pub(super) fn plain_path(log: &Path, stamp: Timestamp) -> PathBuf {
    let log = real(log);
    log.with_file_name(rotation::rotated_name(name_of(&log), stamp))
}

/// The compressed form of the file at `plain`.
pub(super) fn compressed_path(plain: &Path) -> PathBuf {
    let mut name = plain.as_os_str().to_owned();
    name.push(".gz");
    name.into()
}

/// Where a file is written before it becomes `compressed`.
pub(super) fn unfinished_path(compressed: &Path) -> PathBuf {
    let mut name = compressed.as_os_str().to_owned();
    name.push(UNFINISHED);
    name.into()
}

/// Removes what `log` became when it was rotated at `stamp`, in whatever form it is there.
pub(super) fn remove(log: &Path, stamp: Timestamp) {
    let plain = plain_path(log, stamp);
    let compressed = compressed_path(&plain);
    // What cannot be removed now is tried again by the next writer of this log, which lists the directory. In this order, because
    // compressing ends with a look whether the plain file is still there.
    let _ = fs::remove_file(&plain);
    let _ = fs::remove_file(unfinished_path(&compressed));
    let _ = fs::remove_file(compressed);
}

/// Empties a log that nobody writes, or makes it anew, and removes what it was rotated to. Errors name the file.
pub fn empty(log: &Path) -> io::Result<()> {
    remove_rotated(log);
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true);
    make(&mut options, log)
        .map(drop)
        .map_err(|error| context(&error, "empty", log))
}

/// Opens a log file, which is made for the user alone, with its directories, where it is not. Never blocks, whatever lies there: a path
/// may turn out to be a pipe or a terminal.
pub(super) fn make(options: &mut OpenOptions, log: &Path) -> io::Result<File> {
    options.mode(0o600);
    options.custom_flags(i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0));
    match options.open(log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory(&real(log)))?;
            options.open(log)
        }
        opened => opened,
    }
}

/// Removes all that `log` was rotated to.
pub(super) fn remove_rotated(log: &Path) {
    for stamp in rotations(log).unwrap_or_default() {
        remove(log, stamp);
    }
}

/// A rotated file, open for reading.
pub(super) struct Rotated {
    /// Where it lay.
    pub(super) path: PathBuf,
    /// What is in it.
    pub(super) content: Content,
}

/// What is in a rotated file.
pub(super) enum Content {
    /// Not compressed (yet).
    Plain(File),
    /// Compressed; reads as its content.
    Compressed(Box<MultiGzDecoder<BufReader<File>>>),
}

impl Rotated {
    /// Opens what `log` became when it was rotated at `stamp`; none when it has been removed. Errors name the file, also those of reading.
    pub(super) fn open(log: &Path, stamp: Timestamp) -> io::Result<Option<Rotated>> {
        let path = plain_path(log, stamp);
        // The compressed file appears before the plain one goes, so one of the two is always there until both are removed.
        if let Some(file) = regular(&path)? {
            let content = Content::Plain(file);
            return Ok(Some(Rotated { path, content }));
        }
        let path = compressed_path(&path);
        Ok(regular(&path)?.map(|file| {
            let content = BufReader::with_capacity(64 * 1024, file);
            let content = Content::Compressed(Box::new(MultiGzDecoder::new(content)));
            Rotated { path, content }
        }))
    }
}

/// The file at `path`, if there is one; that it is something else is an error here, as it cannot be taken for an empty one.
fn regular(path: &Path) -> io::Result<Option<File>> {
    let checked = |file: File| {
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(io::Error::other("this is not a regular file"))
        }
    };
    found(at_once(path).and_then(checked)).map_err(|error| named(&error, path))
}

impl Read for Rotated {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.content {
            Content::Plain(file) => file.read(buffer),
            Content::Compressed(decoder) => decoder.read(buffer),
        };
        read.map_err(|error| named(&error, &self.path))
    }
}

/// When `file` was last written, or a little later: the clock of files ticks every ten milliseconds at most.
pub(super) fn modified(file: &File) -> io::Result<Timestamp> {
    let at = Timestamp::try_from(file.metadata()?.modified()?).unwrap_or(Timestamp::UNIX_EPOCH);
    Ok(at.checked_add(SignedDuration::from_millis(10)).unwrap_or(at))
}

/// The files of a log at one moment: no rotation came between the look at the current file and at the rotated ones.
pub(super) struct Snapshot {
    /// The file that is written to, where there is one.
    pub(super) current: Option<Arc<File>>,
    /// When the others were rotated, oldest first.
    pub(super) rotated: Vec<Timestamp>,
}

impl Snapshot {
    /// Looks at the files of `log`.
    pub(super) fn take(log: &Path) -> io::Result<Snapshot> {
        let mut tries = 0;
        loop {
            let (snapshot, is_exact) = Snapshot::look(log, readable(log)?, &mut Listings::default())?;
            tries += 1;
            // A writer that rotates faster than a directory can be listed wins: the last look is as good as any.
            if is_exact || tries == 1000 {
                return Ok(snapshot);
            }
        }
    }

    /// Looks at the files of many logs, and reads each directory once, not once for each log in it.
    pub(super) fn take_all<'l>(logs: impl Iterator<Item = &'l Path>) -> Vec<io::Result<Snapshot>> {
        // All of them before the first directory is read: what is rotated from here on is noticed.
        let opened: Vec<_> = logs.map(|log| (log, readable(log))).collect();
        let mut listings = Listings::default();
        let mut take = |(log, current): (&Path, io::Result<Option<File>>)| {
            let (snapshot, is_exact) = Snapshot::look(log, current?, &mut listings)?;
            if is_exact { Ok(snapshot) } else { Snapshot::take(log) }
        };
        opened.into_iter().map(&mut take).collect()
    }

    /// The files of `log`, of which `current` was opened before any directory was read; and whether that was still so afterwards.
    fn look(log: &Path, current: Option<File>, listings: &mut Listings) -> io::Result<(Snapshot, bool)> {
        let rotated = match listed_rotations(log, listings) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Vec::new(),
            rotated => rotated.map_err(|error| context(&error, "list the files of", log))?,
        };
        let who = |file: &Option<File>| {
            let data = file.as_ref().map(File::metadata).transpose()?;
            Ok::<_, io::Error>(data.map(|data| identity(&data)))
        };
        let is_exact = who(&current)? == who(&readable(log)?)?;
        let current = current.map(Arc::new);
        Ok((Snapshot { current, rotated }, is_exact))
    }
}
