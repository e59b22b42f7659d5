//! The two things that only Linux offers to a log writer, and what stands in for them elsewhere.

use std::os::fd::OwnedFd;

/// Bytes a busy pipe may hold. More gains nothing, and past 64 MiB of pipes an ordinary user gets tiny ones instead.
#[cfg(target_os = "linux")]
const PIPE_SIZE: usize = 256 * 1024;

/// Gives a busy pipe more room, where that is possible and allowed.
#[cfg(target_os = "linux")]
pub(super) fn enlarge_pipe(pipe: &OwnedFd) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, PIPE_SIZE);
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
