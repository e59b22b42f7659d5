//! A log file that is open for appending: what it is, how long it is, and whether its last line is whole.
//!
//! It knows neither stamps nor rotation (see `writer` and `kept`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::archive::{self, Identity};
use super::system;

/// An open log file.
pub(super) struct Open {
    file: File,
    identity: Identity,
    /// Its length in bytes, as far as we know: others may write to it, too.
    pub(super) size: u64,
    /// Only a regular file has a size and a place to be moved to.
    pub(super) regular: bool,
    /// It ends within a line that nobody will continue.
    pub(super) torn: bool,
    /// There may be room laid aside beyond its end.
    reserved: bool,
}

/// What became of an open file while nobody looked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is as we left it, or somebody appended to it.
    Same,
    /// It has been cut.
    Cut,
    /// Another file lies in its place, or none.
    Gone,
}

impl Open {
    /// Opens the file at `path`, which is made, with its directories, where it is not.
    pub(super) fn at(path: &Path) -> io::Result<Open> {
        // Reading is for the last byte.
        let file = archive::make(OpenOptions::new().read(true).append(true).create(true), path)?;
        let metadata = file.metadata()?;
        let mut open = Open {
            file,
            identity: archive::identity(&metadata),
            size: metadata.len(),
            regular: metadata.is_file(),
            torn: false,
            reserved: false,
        };
        open.torn = open.ends_within_a_line();
        Ok(open)
    }

    /// Appends bytes as they are; an error says how many were written, and leaves the file marked as torn.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut written = 0;
        let result = loop {
            if written == bytes.len() {
                break Ok(());
            }
            match self.file.write(&bytes[written..]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Others share the room, and what is laid aside beyond the end may be all that is left of it.
                Err(error) if is_full(&error) && self.give_back() => {}
                Err(error) => break Err(error),
            }
        };
        self.size += written as u64;
        self.torn = match (&result, written.checked_sub(1)) {
            (Ok(()), _) => false,
            (Err(_), Some(last)) => bytes[last] != b'\n',
            // What stood there before decides: the caller was within a line exactly if it had one open.
            (Err(_), None) => self.torn || self.ends_within_a_line(),
        };
        result.map_err(|error| (written, error))
    }

    /// Makes ready for a file that soon has this many bytes; what of it is not used is given back at the latest when the file is closed.
    pub(super) fn reserve(&mut self, size: u64) {
        if self.regular {
            self.reserved = system::reserve(&self.file, size);
        }
    }

    /// Gives back the room beyond the end; `false` where none was laid aside.
    pub(super) fn give_back(&mut self) -> bool {
        let reserved = std::mem::take(&mut self.reserved);
        if reserved {
            // Cutting a file to the length it has frees just that, on whatever file system. The length is asked for because others may
            // have appended. What cannot be freed goes with the file.
            let length = self.file.metadata().map(|metadata| metadata.len());
            let _ = length.and_then(|length| self.file.set_len(length));
        }
        reserved
    }

    /// Compares the file with what lies at `path` now.
    pub(super) fn look(&mut self, path: &Path) -> Found {
        match fs::metadata(path) {
            Ok(found) if archive::identity(&found) != self.identity => Found::Gone,
            Ok(found) if self.regular && found.len() != self.size => {
                let cut = found.len() < self.size;
                self.size = found.len();
                if cut {
                    self.torn = self.ends_within_a_line();
                }
                if cut { Found::Cut } else { Found::Same }
            }
            Ok(_) => Found::Same,
            Err(error) if archive::is_absent(&error) => Found::Gone,
            // A path that may not be looked at says nothing of the file, which can still be written to.
            Err(_) => Found::Same,
        }
    }

    /// Makes the file empty.
    pub(super) fn empty(&mut self) -> io::Result<()> {
        if self.regular {
            self.file.set_len(0)?;
            self.reserved = false;
        }
        self.size = 0;
        self.torn = false;
        Ok(())
    }

    fn ends_within_a_line(&self) -> bool {
        let mut last = [b'\n'];
        if self.regular && self.size > 0 {
            // A file that cannot be read is written to nonetheless.
            let _ = self.file.read_exact_at(&mut last, self.size - 1);
        }
        last != *b"\n"
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Whether there was no room for what was to be written.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
