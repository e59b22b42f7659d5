//! The HTTP server's edge: listening on both loopback addresses, requests in and replies out as plain values.
//! The only file that knows `tiny_http`; it must not know what is served.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tiny_http::{Header, Request, Response, Server};

/// A larger body is answered with 413.
const MAX_BODY: u64 = 1024 * 1024;
/// How long requests under way may take once the server shall end.
const GRACE: Duration = Duration::from_secs(1);

/// A request, read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path and query.
    pub url: String,
    /// `Content-Type`, or empty.
    pub content_type: String,
    /// The body, or empty.
    pub body: Vec<u8>,
}

impl Call {
    /// The path without the query.
    pub fn path(&self) -> &str {
        self.url.split(['?', '#']).next().unwrap_or("")
    }
}

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// JSON.
    pub fn json(status: u16, value: &Value) -> Reply {
        Reply::new(status, "application/json; charset=utf-8", value.to_string())
    }

    /// Bytes of any type.
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Reply {
        Reply {
            status,
            content_type: content_type.to_string(),
            body: body.into(),
        }
    }
}

/// Listens on `127.0.0.1` and, where there is IPv6, on `::1`, so that `localhost` reaches us by either name.
/// An address that is in use is an error, even when the other one is free.
pub fn bind(port: u16) -> Result<Vec<TcpListener>, String> {
    let listen = |address: SocketAddr| TcpListener::bind(address).map_err(|cause| (address, cause));
    let mut listeners = Vec::new();
    match listen((Ipv4Addr::LOCALHOST, port).into()) {
        Ok(listener) => listeners.push(listener),
        Err((address, cause)) => return Err(not_listening(address, &cause)),
    }
    match listen((Ipv6Addr::LOCALHOST, port).into()) {
        Ok(listener) => listeners.push(listener),
        // No IPv6 on this machine: the errors are "address not available" and "address family not supported".
        Err((_, cause)) if !matches!(cause.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied) => {}
        Err((address, cause)) => return Err(not_listening(address, &cause)),
    }
    Ok(listeners)
}

/// What serves until `finish`.
pub struct Serving {
    servers: Vec<Arc<Server>>,
    under_way: Receiver<()>,
}

/// Answers what arrives at the listeners, each request on a thread of its own.
pub fn serve<F>(listeners: Vec<TcpListener>, answer: F) -> Result<Serving, String>
where
    F: Fn(&Call) -> Reply + Send + Sync + 'static,
{
    let answer = Arc::new(answer);
    // Every request under way holds a sender; when the last is gone, the receiver says so.
    let (token, under_way) = mpsc::channel::<()>();
    let mut servers = Vec::new();
    for listener in listeners {
        let server = Server::from_listener(listener, None).map_err(|cause| format!("serve: {cause}"))?;
        let server = Arc::new(server);
        servers.push(Arc::clone(&server));
        let (answer, token) = (Arc::clone(&answer), token.clone());
        thread::spawn(move || {
            for request in server.incoming_requests() {
                let (answer, token) = (Arc::clone(&answer), token.clone());
                thread::spawn(move || {
                    handle(request, answer.as_ref());
                    drop(token);
                });
            }
        });
    }
    Ok(Serving { servers, under_way })
}

impl Serving {
    /// Takes no more requests and lets those under way finish, for a second at most.
    pub fn finish(self) {
        for server in &self.servers {
            server.unblock();
        }
        let _ = self.under_way.recv_timeout(GRACE);
    }
}

fn handle(mut request: Request, answer: &dyn Fn(&Call) -> Reply) {
    let content_type = request
        .headers()
        .iter()
        .find(|header| header.field.equiv("Content-Type"));
    let mut call = Call {
        method: request.method().to_string(),
        url: request.url().to_string(),
        content_type: content_type.map(|header| header.value.to_string()).unwrap_or_default(),
        body: Vec::new(),
    };
    let reply = match request.as_reader().take(MAX_BODY + 1).read_to_end(&mut call.body) {
        Ok(read) if read as u64 > MAX_BODY => Reply::new(413, "text/plain", "the body is larger than 1 MiB\n"),
        Ok(_) => answer(&call),
        Err(cause) => Reply::new(400, "text/plain", format!("read the body: {cause}\n")),
    };
    let mut response = Response::from_data(reply.body).with_status_code(reply.status);
    if let Ok(header) = Header::from_bytes("Content-Type", reply.content_type) {
        response = response.with_header(header);
    }
    // The other side has gone: its loss.
    let _ = request.respond(response);
}

fn not_listening(address: SocketAddr, cause: &std::io::Error) -> String {
    format!("listen on {address}: {cause}; stop what holds the port, or set another one")
}
