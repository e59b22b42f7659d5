use super::*;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::Receiver;

const LIMIT: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_millis(20);

fn run(probe: Probe) -> (ProbeHandle, Receiver<ProbeReport>) {
    run_ask(attempt(probe, LIMIT))
}

fn run_ask(ask: Ask) -> (ProbeHandle, Receiver<ProbeReport>) {
    let (said, heard) = mpsc::channel();
    let handle = start(ask, INTERVAL, move |report| said.send(report).unwrap()).unwrap();
    (handle, heard)
}

fn not_yet(heard: &Receiver<ProbeReport>) -> String {
    match heard.recv_timeout(LIMIT) {
        Ok(ProbeReport::NotYet(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Answers each connection with the next of the answers, and returns the requests.
fn serve(listener: TcpListener, answers: &'static [&'static str]) -> Receiver<String> {
    let (said, heard) = mpsc::channel();
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            said.send(request(&mut stream)).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    heard
}

fn request(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut byte = [0];
    while !text.ends_with("\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
        text.push(byte[0].into());
    }
    text
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn http_is_ready_on_success_and_tells_the_status_before_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let unavailable = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
    let asked = serve(
        listener,
        Box::leak(Box::new([unavailable, unavailable, "HTTP/1.1 200 OK\r\n\r\n"])),
    );
    let (_handle, heard) = run(Probe::Http(format!("http://localhost:{port}/api/health?deep=1")));
    assert_eq!(not_yet(&heard), "GET /api/health?deep=1: 503");
    assert_eq!(heard.recv_timeout(LIMIT), Ok(ProbeReport::Ready));
    assert!(heard.recv_timeout(LIMIT).is_err(), "nothing is said after ready");
    let first = asked.recv_timeout(LIMIT).unwrap().to_lowercase();
    assert!(first.starts_with("get /api/health?deep=1 http/1.1\r\n"), "{first}");
    assert!(
        first.contains(&format!("host: localhost:{port}\r\n")) && first.matches("\r\nhost: ").count() == 1,
        "{first}"
    );
}

#[test]
fn a_redirect_is_success_and_is_not_followed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let _asked = serve(
        listener,
        &["HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"],
    );
    let (_handle, heard) = run(Probe::Http(format!("http://127.0.0.1:{port}")));
    assert_eq!(heard.recv_timeout(LIMIT), Ok(ProbeReport::Ready));
}

#[test]
fn http_on_localhost_finds_a_server_that_listens_on_ipv6_alone() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        return;
    };
    let port = listener.local_addr().unwrap().port();
    let _asked = serve(listener, &["HTTP/1.1 204 No Content\r\n\r\n"]);
    let (_handle, heard) = run(Probe::Http(format!("http://localhost:{port}/")));
    assert_eq!(heard.recv_timeout(LIMIT), Ok(ProbeReport::Ready));
}

#[test]
fn a_refused_connection_says_so_for_http_and_tcp() {
    let port = free_port();
    let refused = format!("connect localhost:{port}: connection refused");
    let (_handle, heard) = run(Probe::Http(format!("http://localhost:{port}/x")));
    assert_eq!(not_yet(&heard), refused);
    let (_handle, heard) = run(Probe::Tcp(format!("localhost:{port}")));
    assert_eq!(not_yet(&heard), refused);
}

#[test]
fn a_server_that_does_not_answer_or_hangs_up_is_not_ready() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x", silent.local_addr().unwrap());
    let target = http::Target::new(&url, Duration::from_millis(50)).unwrap();
    assert_eq!(target.get(), Err("GET /x: no answer within 50ms".to_owned()));

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let _asked = serve(listener, &[""]);
    let why = http::Target::new(&url, LIMIT).unwrap().get().unwrap_err();
    assert!(why.starts_with("GET /x: "), "{why}");
}

#[test]
fn a_url_that_cannot_be_asked_is_the_reason() {
    for url in ["https://localhost/", "localhost:80", "http://", "not a url"] {
        let (_handle, heard) = run(Probe::Http(url.to_owned()));
        let why = not_yet(&heard);
        assert!(why.starts_with(&format!("read URL `{url}`: ")), "{why}");
    }
}

#[test]
fn tcp_becomes_ready_when_the_port_is_listened_on() {
    let port = free_port();
    let (_handle, heard) = run(Probe::Tcp(format!("127.0.0.1:{port}")));
    assert_eq!(not_yet(&heard), format!("connect 127.0.0.1:{port}: connection refused"));
    let _listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    assert_eq!(heard.recv_timeout(LIMIT), Ok(ProbeReport::Ready));
}

#[test]
fn tcp_on_localhost_finds_a_server_that_listens_on_ipv6_alone() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        return;
    };
    let (_handle, heard) = run(Probe::Tcp(format!(
        "localhost:{}",
        listener.local_addr().unwrap().port()
    )));
    assert_eq!(heard.recv_timeout(LIMIT), Ok(ProbeReport::Ready));
}

#[test]
fn a_bad_address_is_the_reason() {
    let (_handle, heard) = run(Probe::Tcp("nowhere".to_owned()));
    assert!(not_yet(&heard).starts_with("connect nowhere: "));
}

#[test]
fn each_new_reason_is_said_once() {
    let mut answers = ["a", "a", "b", "b", "a"].into_iter();
    let ask = move || answers.next().map_or(Ok(()), |why| Err(why.to_owned()));
    let (_handle, heard) = run_ask(Box::new(ask));
    let said: Vec<_> = heard.iter().collect();
    let not_yet = |why: &str| ProbeReport::NotYet(why.to_owned());
    assert_eq!(said, [not_yet("a"), not_yet("b"), not_yet("a"), ProbeReport::Ready]);
}

#[test]
fn dropping_the_handle_ends_the_probe_at_once_whatever_the_interval() {
    let (said, heard) = mpsc::channel();
    let hour = Duration::from_secs(3600);
    let ask = Box::new(|| Err("no".to_owned()));
    let handle = start(ask, hour, move |report| said.send(report).unwrap()).unwrap();
    assert_eq!(not_yet(&heard), "no");
    drop(handle);
    assert_eq!(heard.recv_timeout(LIMIT), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn a_cancelled_attempt_says_nothing_any_more() {
    let (go, gate) = mpsc::channel::<()>();
    let (started, running) = mpsc::channel();
    let ask = move || {
        started.send(()).unwrap();
        gate.recv().map_err(|error| error.to_string())
    };
    let (handle, heard) = run_ask(Box::new(ask));
    running.recv_timeout(LIMIT).unwrap();
    drop(handle);
    go.send(()).unwrap();
    assert_eq!(heard.recv_timeout(LIMIT), Err(RecvTimeoutError::Disconnected));
}

#[test]
fn waits_double_up_to_the_interval() {
    let interval = Duration::from_millis(70);
    let waits = std::iter::successors(Some(FIRST_WAIT), |wait| Some(next_wait(*wait, interval)));
    assert_eq!(
        waits.take(5).map(|wait| wait.as_millis()).collect::<Vec<_>>(),
        [10, 20, 40, 70, 70]
    );
    assert_eq!(next_wait(Duration::ZERO, Duration::ZERO), Duration::from_millis(1));
}
