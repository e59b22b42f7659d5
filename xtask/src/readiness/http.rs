//! One GET of a readiness URL. No TLS, no proxy, no redirect followed, no body read; a new connection each time, because a
//! kept one would say nothing about who listens now.

use std::time::Duration;
use ureq::Agent;
use ureq::http::Uri;

/// A URL to ask.
#[derive(Debug)]
pub(super) struct Target {
    agent: Agent,
    /// Where to ask, one after the other: both addresses of `localhost`, whatever the machine takes the name for.
    urls: Vec<String>,
    host: String,
    /// For messages: `/api/health`.
    path: String,
    /// For messages: `localhost:7163`.
    address: String,
    limit: Duration,
}

impl Target {
    /// Each attempt may take `limit`.
    ///
    /// # Errors
    /// When the URL cannot be asked.
    pub(super) fn new(url: &str, limit: Duration) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("read URL `{url}`: {error}"))?;
        if uri.scheme_str() != Some("http") {
            return Err(format!(
                "read URL `{url}`: only http is asked; write `http://HOST:PORT/PATH`"
            ));
        }
        let host = uri
            .host()
            .ok_or_else(|| format!("read URL `{url}`: it names no host"))?
            .to_owned();
        let port = uri.port_u16().unwrap_or(80);
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let hosts = if host.eq_ignore_ascii_case("localhost") {
            vec!["127.0.0.1", "[::1]"]
        } else {
            vec![host.as_str()]
        };
        let config = Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            .timeout_global(Some(limit))
            .build();
        Ok(Self {
            agent: config.into(),
            urls: hosts.iter().map(|host| format!("http://{host}:{port}{path}")).collect(),
            host: uri
                .authority()
                .map_or(host.as_str(), |authority| authority.as_str())
                .to_owned(),
            address: format!("{host}:{port}"),
            path,
            limit,
        })
    }

    /// Ready if one of the addresses answers 2xx or 3xx; else why not, an answer being the better reason than none.
    pub(super) fn get(&self) -> Result<(), String> {
        let mut why: Option<Failure> = None;
        for url in &self.urls {
            match self.get_one(url) {
                Ok(()) => return Ok(()),
                Err(failure) => {
                    if why.as_ref().is_none_or(|known| known.rank < failure.rank) {
                        why = Some(failure);
                    }
                }
            }
        }
        why.map_or(Ok(()), |failure| Err(failure.text))
    }

    fn get_one(&self, url: &str) -> Result<(), Failure> {
        let (path, address) = (&self.path, &self.address);
        let unreachable = |cause: &str| Failure {
            rank: 0,
            text: format!("connect {address}: {cause}"),
        };
        let failed = |cause: &str| Failure {
            rank: 1,
            text: format!("GET {path}: {cause}"),
        };
        match self.agent.get(url).header("host", &self.host).call() {
            Ok(answer) if answer.status().is_success() || answer.status().is_redirection() => Ok(()),
            Ok(answer) => Err(Failure {
                rank: 2,
                text: format!("GET {path}: {}", answer.status().as_u16()),
            }),
            Err(ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve)) => {
                Err(unreachable(&format!("no answer within {:?}", self.limit)))
            }
            Err(ureq::Error::Timeout(_)) => Err(failed(&format!("no answer within {:?}", self.limit))),
            Err(ureq::Error::ConnectionFailed) => Err(unreachable("connection failed")),
            Err(ureq::Error::HostNotFound) => Err(unreachable("host not found")),
            Err(ureq::Error::Io(error)) => {
                let cause = super::cause(&error);
                Err(if is_unreachable(&error) {
                    unreachable(&cause)
                } else {
                    failed(&cause)
                })
            }
            Err(error) => Err(failed(&error.to_string())),
        }
    }
}

#[derive(Debug)]
struct Failure {
    /// The higher says more about the service.
    rank: u8,
    text: String,
}

fn is_unreachable(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(
        error.kind(),
        ConnectionRefused | AddrNotAvailable | HostUnreachable | NetworkUnreachable
    )
}
