//! Amazon SQS's query protocol as `ElasticMQ` of any age speaks it: form-encoded requests, XML answers, unsigned.
//! Knows nothing of jobs; a message is a text.

use std::sync::OnceLock;
use std::time::Duration;

use crate::fetch::Client;

/// How long the queue may think about anything that does not wait for messages.
const LIMIT: Duration = Duration::from_secs(3);
/// The longest that SQS lets a poll wait.
const LONGEST_POLL: Duration = Duration::from_secs(20);

/// One queue. The queue's address is asked for once and the queue made again when it has gone:
/// `ElasticMQ` keeps its queues in memory only.
#[derive(Debug)]
pub struct Sqs {
    client: Client,
    poller: Client,
    endpoint: String,
    name: String,
    path: OnceLock<String>,
}

/// A message that was received and is hidden from others for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What was sent.
    pub body: String,
    /// What deletes it.
    receipt: String,
}

/// Why the queue did not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqsError {
    /// No answer; the cause.
    Unreachable(String),
    /// The queue is not there.
    NoQueue,
    /// Anything else it said.
    Refused(String),
}

impl std::fmt::Display for SqsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SqsError::Unreachable(cause) => write!(f, "reach the queue: {cause}"),
            SqsError::NoQueue => f.write_str("reach the queue: it is not there"),
            SqsError::Refused(cause) => write!(f, "use the queue: {cause}"),
        }
    }
}

impl Sqs {
    /// The queue `name` at `endpoint`, a URL without a trailing slash. Nothing is sent yet.
    pub fn new(endpoint: &str, name: &str) -> Sqs {
        Sqs {
            client: Client::new(LIMIT),
            poller: Client::new(LONGEST_POLL + LIMIT),
            endpoint: endpoint.to_string(),
            name: name.to_string(),
            path: OnceLock::new(),
        }
    }

    /// Makes the queue when it is absent.
    pub fn create(&self) -> Result<(), SqsError> {
        let answer = call(
            &self.client,
            &self.endpoint,
            "/",
            &[("Action", "CreateQueue"), ("QueueName", &self.name)],
        )?;
        let url = element(&answer, "QueueUrl").ok_or_else(|| SqsError::Refused("no QueueUrl in its answer".into()))?;
        // The host in there is the one the queue believes to have; ours is the one that reached it.
        let _ = self.path.set(path_of(&url));
        Ok(())
    }

    /// Sends a message.
    pub fn send(&self, body: &str) -> Result<(), SqsError> {
        self.on_queue(&self.client, &[("Action", "SendMessage"), ("MessageBody", body)])
            .map(drop)
    }

    /// Waits for a message, up to `wait` and 20 s at most, and hides it from others for `visibility`; both by whole seconds.
    pub fn receive(&self, wait: Duration, visibility: Duration) -> Result<Option<Message>, SqsError> {
        let wait = wait.min(LONGEST_POLL).as_secs().to_string();
        let visibility = visibility.as_secs().max(1).to_string();
        let answer = self.on_queue(
            &self.poller,
            &[
                ("Action", "ReceiveMessage"),
                ("MaxNumberOfMessages", "1"),
                ("WaitTimeSeconds", &wait),
                ("VisibilityTimeout", &visibility),
            ],
        )?;
        Ok(message(&answer))
    }

    /// Deletes a message that was received.
    pub fn delete(&self, message: &Message) -> Result<(), SqsError> {
        let receipt = message.receipt.as_str();
        self.on_queue(&self.client, &[("Action", "DeleteMessage"), ("ReceiptHandle", receipt)])
            .map(drop)
    }

    /// Asks the queue itself, making it first when it is absent.
    fn on_queue(&self, client: &Client, form: &[(&str, &str)]) -> Result<String, SqsError> {
        if self.path.get().is_none() {
            self.create()?;
        }
        let path = self.path.get().map_or("/", String::as_str);
        match call(client, &self.endpoint, path, form) {
            Err(SqsError::NoQueue) => {
                self.create()?;
                call(client, &self.endpoint, path, form)
            }
            other => other,
        }
    }
}

fn call(client: &Client, endpoint: &str, path: &str, form: &[(&str, &str)]) -> Result<String, SqsError> {
    // Without a charset ElasticMQ reads the form as Latin-1.
    let content_type = "application/x-www-form-urlencoded; charset=UTF-8";
    let url = format!("{endpoint}{path}");
    let answer = client
        .send("POST", &url, content_type, encode(form).into_bytes())
        .map_err(SqsError::Unreachable)?;
    let text = answer.text();
    if answer.ok() {
        return Ok(text);
    }
    let code = element(&text, "Code").unwrap_or_else(|| format!("status {}: {text}", answer.status));
    if code.contains("NonExistentQueue") || code.contains("QueueDoesNotExist") {
        Err(SqsError::NoQueue)
    } else {
        Err(SqsError::Refused(code))
    }
}

/// The first message of a `ReceiveMessage` answer.
fn message(xml: &str) -> Option<Message> {
    Some(Message {
        body: element(xml, "Body")?,
        receipt: element(xml, "ReceiptHandle")?,
    })
}

/// The text of the first element of that name. Enough XML for SQS: no attributes, no nesting, no CDATA.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(unescape(text))
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        match after
            .split_once(';')
            .and_then(|(entity, tail)| Some((character(entity)?, tail)))
        {
            Some((character, tail)) => {
                plain.push(character);
                rest = tail;
            }
            None => {
                plain.push('&');
                rest = after;
            }
        }
    }
    plain + rest
}

fn character(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = entity.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}

fn encode(form: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = form
        .iter()
        .map(|(key, value)| format!("{}={}", percent(key), percent(value)))
        .collect();
    pairs.join("&")
}

fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The path of a URL, from its first slash on.
fn path_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("/", |slash| &rest[slash..]).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_out_of_what_elasticmq_answers() {
        let xml = "<ReceiveMessageResponse xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\">
            <ReceiveMessageResult><Message><MessageId>f7</MessageId><ReceiptHandle>f7#d6</ReceiptHandle>
            <MD5OfBody>bc</MD5OfBody><Body>{&quot;a&quot;:&quot;&lt;&amp;&gt; &#233;&#x20AC; &nope; &quot;}</Body>
            </Message></ReceiveMessageResult></ReceiveMessageResponse>";
        let expected = Message {
            body: "{\"a\":\"<&> é€ &nope; \"}".into(),
            receipt: "f7#d6".into(),
        };
        assert_eq!(message(xml), Some(expected));
    }

    #[test]
    fn an_empty_answer_holds_no_message() {
        let xml = "<ReceiveMessageResponse><ReceiveMessageResult>\n</ReceiveMessageResult></ReceiveMessageResponse>";
        assert_eq!(message(xml), None);
    }

    #[test]
    fn a_form_survives_every_byte() {
        assert_eq!(
            encode(&[("A", "a b&c=d"), ("B", "é\n+%")]),
            "A=a%20b%26c%3Dd&B=%C3%A9%0A%2B%25"
        );
    }

    #[test]
    fn the_queues_path_is_taken_from_its_url() {
        assert_eq!(
            path_of("http://localhost:9324/queue/tidepool-jobs"),
            "/queue/tidepool-jobs"
        );
        assert_eq!(path_of("http://localhost:9324"), "/");
    }
}
