//! The server's side of systemd's notify protocol: a datagram socket per run, on which a service says that it is ready.
//! Only reports what was said; who may say it is left to the file's mode.

use crate::shortage::not_started;
use std::fs::{self, Permissions};
use std::io;
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The longest message that is read whole, in bytes, as in systemd.
const LARGEST: usize = 4096;

/// What a service says on its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// `READY=1`.
    Ready,
    /// `RELOADING=1`: not ready until the next `Ready`.
    Reloading,
    /// `STOPPING=1`.
    Stopping,
    /// `STATUS=…`: one line for people.
    Status(String),
}

/// A socket that is listened on. Dropping it removes the file and ends the thread.
#[derive(Debug)]
#[must_use = "dropping it closes the socket"]
pub struct NotifyHandle {
    path: PathBuf,
    socket: Arc<UnixDatagram>,
    ended: Arc<AtomicBool>,
}

/// Listens at `path`, for this user alone; a file that is in the way is removed. The path is what `NOTIFY_SOCKET` is set to.
///
/// # Errors
/// When the socket cannot be made; the text says so when the path is too long for one.
pub fn listen(path: &Path, report: impl Fn(Notice) + Send + 'static) -> io::Result<NotifyHandle> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let socket = UnixDatagram::bind(path).map_err(|error| explain(path, &error))?;
    let handle = NotifyHandle {
        path: path.to_owned(),
        socket: Arc::new(socket),
        ended: Arc::new(AtomicBool::new(false)),
    };
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    let (socket, ended) = (Arc::clone(&handle.socket), Arc::clone(&handle.ended));
    let receive = move || {
        let mut message = [0; LARGEST];
        while let Ok(len) = socket.recv(&mut message) {
            if ended.load(Ordering::Acquire) {
                return;
            }
            parse(&message[..len]).into_iter().for_each(&report);
        }
    };
    let thread = thread::Builder::new().name("notify".to_owned());
    thread.spawn(receive).map_err(not_started)?;
    Ok(handle)
}

/// The parts of a message that are known to us, in their order; others are skipped.
pub fn parse(message: &[u8]) -> Vec<Notice> {
    let text = String::from_utf8_lossy(message);
    text.lines()
        .filter_map(|line| match line.split_once('=')? {
            ("READY", "1") => Some(Notice::Ready),
            ("RELOADING", "1") => Some(Notice::Reloading),
            ("STOPPING", "1") => Some(Notice::Stopping),
            ("STATUS", status) => Some(Notice::Status(status.to_owned())),
            _ => None,
        })
        .collect()
}

impl Drop for NotifyHandle {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // Either wakes the thread: the first where the system can shut down such a socket, the second elsewhere. If its queue
        // is full, it is awake anyway.
        let _ = self.socket.shutdown(Shutdown::Both);
        let _ = self.socket.set_nonblocking(true);
        let _ = UnixDatagram::unbound().and_then(|waker| {
            waker.set_nonblocking(true)?;
            waker.send_to(&[], &self.path)
        });
        let _ = fs::remove_file(&self.path);
    }
}

fn explain(path: &Path, error: &io::Error) -> io::Error {
    let text = match error.kind() {
        io::ErrorKind::InvalidInput => format!(
            "listen on {}: its {} bytes are too many for a socket's path (about 100); set XDG_RUNTIME_DIR to a shorter one",
            path.display(),
            path.as_os_str().len()
        ),
        _ => format!("listen on {}: {error}", path.display()),
    };
    io::Error::new(error.kind(), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn a_message_is_read_line_by_line() {
        let table: [(&str, Vec<Notice>); 7] = [
            ("READY=1", vec![Notice::Ready]),
            ("READY=1\n", vec![Notice::Ready]),
            (
                "STATUS=a=b\nREADY=1\nMAINPID=7",
                vec![Notice::Status("a=b".to_owned()), Notice::Ready],
            ),
            ("RELOADING=1\nMONOTONIC_USEC=5", vec![Notice::Reloading]),
            ("STOPPING=1", vec![Notice::Stopping]),
            ("READY=0\nready=1\nREADY\n=1", vec![]),
            ("", vec![]),
        ];
        for (text, notices) in table {
            assert_eq!(parse(text.as_bytes()), notices, "{text:?}");
        }
        assert_eq!(
            parse(b"STATUS=\xff\nREADY=1"),
            [Notice::Status("\u{fffd}".to_owned()), Notice::Ready]
        );
    }

    #[test]
    fn what_a_service_says_is_reported_until_the_handle_is_dropped() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("notify");
        fs::write(&path, "in the way").unwrap();
        let (said, heard) = mpsc::channel();
        let handle = listen(&path, move |notice| said.send(notice).unwrap()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let service = UnixDatagram::unbound().unwrap();
        service.send_to(b"STATUS=warming up\nREADY=1", &path).unwrap();
        assert_eq!(heard.recv_timeout(LIMIT), Ok(Notice::Status("warming up".to_owned())));
        assert_eq!(heard.recv_timeout(LIMIT), Ok(Notice::Ready));
        drop(handle);
        assert!(!path.exists());
        // The thread has dropped its sender: it ended.
        assert_eq!(heard.recv_timeout(LIMIT), Err(mpsc::RecvTimeoutError::Disconnected));
    }

    #[test]
    fn the_thread_ends_even_when_the_file_was_removed_under_it() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("notify");
        let (said, heard) = mpsc::channel::<Notice>();
        let handle = listen(&path, move |notice| said.send(notice).unwrap()).unwrap();
        fs::remove_file(&path).unwrap();
        drop(handle);
        assert_eq!(heard.recv_timeout(LIMIT), Err(mpsc::RecvTimeoutError::Disconnected));
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_an_error_that_says_so() {
        let path = Path::new("/tmp").join("x".repeat(120));
        let error = listen(&path, |_| {}).unwrap_err();
        assert!(error.to_string().contains("125 bytes are too many"), "{error}");
    }
}
