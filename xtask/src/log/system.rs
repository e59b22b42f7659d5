//! The three things that only Linux offers to a log writer, and what stands in for them elsewhere.

use std::fs::File;
use std::os::fd::OwnedFd;

#[cfg(target_os = "linux")]
use rustix::fs::FallocateFlags;

/// Bytes a busy pipe may hold. More gains nothing, and past 64 MiB of pipes an ordinary user gets tiny ones instead.
#[cfg(target_os = "linux")]
const PIPE_SIZE: usize = 256 * 1024;

/// Gives a busy pipe more room, where that is possible and allowed.
#[cfg(target_os = "linux")]
pub(super) fn enlarge_pipe(pipe: &OwnedFd) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_SIZE);
}

/// Of the room that a file system has left, what is laid aside is at most one part in so many: the rest is for everybody else.
#[cfg(target_os = "linux")]
const PARTS: u64 = 4;

/// Has the file system lay aside room for a file that is about to become so large, where it can and has plenty: then writing it takes
/// less time. The file's length stays what it is. `true` when there may be room to give back.
#[cfg(target_os = "linux")]
pub(super) fn reserve(file: &File, bytes: u64) -> bool {
    let Ok(system) = rustix::fs::fstatvfs(file) else {
        return false;
    };
    let is_plenty = system.f_bavail.saturating_mul(system.f_frsize) / PARTS >= bytes;
    if is_plenty {
        // Where it fails it may have come part of the way.
        let _ = rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes);
    }
    is_plenty
}

/// Room comes with the writing here.
#[cfg(not(target_os = "linux"))]
pub(super) fn reserve(_: &File, _: u64) -> bool {
    false
}

/// Pipes have one size here.
#[cfg(not(target_os = "linux"))]
pub(super) fn enlarge_pipe(_: &OwnedFd) {}

/// Lets everything else run first: on Linux a priority belongs to the calling thread. Not the very last one, which gets no time at all
/// where all processors are busy.
#[cfg(target_os = "linux")]
pub(super) fn lower_own_priority() {
    let _ = rustix::process::setpriority_process(None, 10);
}

/// Elsewhere a priority belongs to the whole process, which must keep its own.
#[cfg(not(target_os = "linux"))]
pub(super) fn lower_own_priority() {}
