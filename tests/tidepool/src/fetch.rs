//! The HTTP client: a request out, an answer back, as plain values. The only file that knows ureq.
//! A status is never an error here; not getting an answer is.

use std::time::Duration;

use ureq::http::Request;

const JSON: &str = "application/json";

/// A client with one limit for a whole exchange. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    agent: ureq::Agent,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// `Content-Type`, or empty.
    pub content_type: String,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether the status is 2xx.
    pub fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim().to_string()
    }
}

impl Client {
    /// A client that gives up on an exchange after `limit`.
    pub fn new(limit: Duration) -> Client {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(limit))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // Everything asked is on this machine, and restarts often: no proxy, no kept connections.
            .proxy(None)
            .max_idle_connections(0)
            .build();
        Client { agent: config.into() }
    }

    /// `GET url`.
    pub fn get(&self, url: &str) -> Result<Answer, String> {
        self.send("GET", url, "", Vec::new())
    }

    /// `POST url` with JSON.
    pub fn post_json(&self, url: &str, body: Vec<u8>) -> Result<Answer, String> {
        self.send("POST", url, JSON, body)
    }

    /// Any method; an empty `content_type` or `body` is left out. The error is the cause alone.
    pub fn send(&self, method: &str, url: &str, content_type: &str, body: Vec<u8>) -> Result<Answer, String> {
        let mut request = Request::builder().method(method).uri(url);
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        let sent = if body.is_empty() && method != "POST" {
            request
                .body(())
                .map_err(|cause| cause.to_string())
                .map(|request| self.agent.run(request))
        } else {
            request
                .body(body)
                .map_err(|cause| cause.to_string())
                .map(|request| self.agent.run(request))
        };
        let mut response = sent?.map_err(|cause| cause.to_string())?;
        let content_type = response
            .headers()
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or("");
        Ok(Answer {
            status: response.status().as_u16(),
            content_type: content_type.to_string(),
            body: response.body_mut().read_to_vec().map_err(|cause| cause.to_string())?,
        })
    }
}
