//! What the system has run out of, and what to do about it: its own words name no limit.

use std::error::Error;
use std::io;

use rustix::io::Errno;

/// What to do where there is no thread to be had, or no process.
pub const NO_THREAD_ADVICE: &str = "end some processes or raise `ulimit -u`";

const NO_FILE_ADVICE: &str = "raise `ulimit -n`";

/// Why a thread or a process could not be started, with what to do where too many are there. To be called where one is started: the
/// same answer of the system means something else elsewhere.
pub fn not_started(cause: io::Error) -> io::Error {
    if Errno::from_io_error(&cause) == Some(Errno::AGAIN) {
        io::Error::new(cause.kind(), format!("{cause}; {NO_THREAD_ADVICE}"))
    } else {
        cause
    }
}

/// An error with all its causes, and what to do where too many files are open.
pub fn describe(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    if error.chain().any(is_of_files) {
        format!("{text}; {NO_FILE_ADVICE}")
    } else {
        text
    }
}

fn is_of_files(cause: &(dyn Error + 'static)) -> bool {
    let errno = cause.downcast_ref::<Errno>().copied();
    let errno = errno.or_else(|| cause.downcast_ref().and_then(Errno::from_io_error));
    matches!(errno, Some(Errno::MFILE | Errno::NFILE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    #[test]
    fn a_limit_that_is_reached_is_named_and_nothing_else_is() {
        let of = |errno: Errno| io::Error::from(errno);
        assert!(
            not_started(of(Errno::AGAIN))
                .to_string()
                .ends_with("; end some processes or raise `ulimit -u`")
        );
        assert!(!not_started(of(Errno::NOENT)).to_string().contains("ulimit"));
        let said = |cause: anyhow::Error| describe(&cause.context("failed"));
        for files in [of(Errno::MFILE).into(), of(Errno::NFILE).into(), Errno::MFILE.into()] {
            let text = said(files);
            assert!(
                text.starts_with("failed: ") && text.ends_with("; raise `ulimit -n`"),
                "{text}"
            );
        }
        assert!(!said(of(Errno::AGAIN).into()).contains("ulimit"));
        assert!(!said(Err::<(), _>(of(Errno::NOENT)).context("x").unwrap_err()).contains("ulimit"));
    }
}
