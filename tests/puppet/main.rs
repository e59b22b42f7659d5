//! The puppet: a program that does what a test tells it, word by word, and then stays until it is ended.
//!
//! It listens, talks, floods, crashes, ignores signals, forks and escapes on demand. It knows nothing of xtask and has no policy
//! of its own: a word that cannot be done ends it with code 98 and a line on stderr.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "it plays the programs of other people: they sleep, spawn, exit and break as they like"
)]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio, exit};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        perform(&word, &mut words);
    }
    loop {
        thread::park();
    }
}

/// Does one word; what follows it belongs to it as far as it takes it.
fn perform(word: &str, words: &mut dyn Iterator<Item = String>) {
    let mut next = || {
        words
            .next()
            .unwrap_or_else(|| fail(&format!("`{word}` wants another word")))
    };
    match word {
        // Files that tell the test what happened: `note` adds a line, the others replace the file at once.
        "note" => note(&next(), &next()),
        "count" => note(&next(), &format!("{} {}", std::process::id(), unix_millis())),
        "pid" => replace(&next(), &std::process::id().to_string()),
        "cwd" => replace(&next(), &std::env::current_dir().unwrap().display().to_string()),
        "env" => replace(&next(), &environment()),
        "words" => replace(&next(), &serde_json::to_string(&words.collect::<Vec<_>>()).unwrap()),
        // Output.
        "out" => println!("{}", next()),
        // With one system call: `eprintln` writes the line's end by itself, and a line of another stream may come in between.
        "err" => std::io::stderr().write_all(format!("{}\n", next()).as_bytes()).unwrap(),
        "part" => print(&next()),
        "flood" => flood(number(&next())),
        "long" => long(number(&next())),
        "dribble" => dribble(&next()),
        "number" => number_lines(&next(), &next(), number(&next())),
        "close" => close(),
        // What its streams are: a terminal or not, and how wide.
        "tty" => replace(&next(), &tty()),
        // Input: each line is noted in a file, and its end.
        "hear" => hear(next()),
        "close-stdin" => rustix::stdio::dup2_stdin(fs::File::open("/dev/null").unwrap()).unwrap(),
        // Time and fate.
        "after" => thread::sleep(Duration::from_millis(number(&next()))),
        "wait-for" => wait_for(&next()),
        "take" => fs::remove_file(next()).unwrap(),
        "exit" => exit(number(&next())),
        "exit-when" => exit_when(next(), number(&next())),
        "exit-unless" => {
            let (file, code) = (next(), number(&next()));
            if !Path::new(&file).exists() {
                exit(code);
            }
        }
        "die" => die(&next()),
        // Signals: INT, TERM and HUP alike.
        "ignore" => on_signal(|| {}),
        "bye" => on_signal_once({
            let (file, text) = (next(), next());
            move || note(&file, &text)
        }),
        // Ports; `try-listen` swallows "address in use" as some programs do, `share` does not meet it.
        "listen" => listen(number(&next()), None).unwrap_or_else(|error| fail(&error)),
        "listen-when" => {
            let port = number(&next());
            listen(port, Some(next().into())).unwrap_or_else(|error| fail(&error));
        }
        "try-listen" => {
            if let Err(error) = listen(number(&next()), None) {
                eprintln!("{error}");
            }
        }
        "listen-on" => serve(
            TcpListener::bind(next()).unwrap_or_else(|error| fail(&error.to_string())),
            None,
        ),
        "share" => share(number(&next())),
        // What a supervisor looks at: readiness told on NOTIFY_SOCKET, memory in MiB.
        "notify" => notify(&next()),
        "eat" => eat(number(&next())),
        // Escapes.
        "group" => rustix::process::setpgid(None, None).expect("become a group"),
        "session" => drop(rustix::process::setsid().expect("become a session")),
        "child" => child(words, false),
        "bare-child" => child(words, true),
        // Takes off what its limits say of where it comes from.
        "unmark" => unmark(),
        "storm" => storm(number(&next())),
        "terminal" => terminal(words),
        other => fail(&format!("no word `{other}`")),
    }
}

fn fail(why: &str) -> ! {
    eprintln!("puppet: {why}");
    exit(98)
}

fn number<T: std::str::FromStr>(word: &str) -> T {
    word.parse().unwrap_or_else(|_| fail(&format!("`{word}` is no number")))
}

fn note(file: &str, text: &str) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .unwrap_or_else(|e| fail(&format!("{file}: {e}")));
    file.write_all(format!("{text}\n").as_bytes()).unwrap();
}

fn replace(file: &str, text: &str) {
    let temporary = format!("{file}.{}", std::process::id());
    fs::write(&temporary, text)
        .and_then(|()| fs::rename(&temporary, file))
        .unwrap_or_else(|e| fail(&format!("{file}: {e}")));
}

fn environment() -> String {
    let all: BTreeMap<_, _> = std::env::vars_os()
        .map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        })
        .collect();
    serde_json::to_string(&all).unwrap()
}

fn print(text: &str) {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).unwrap();
}

fn tty() -> String {
    use std::io::IsTerminal as _;
    let terminals = [
        std::io::stdin().is_terminal(),
        std::io::stdout().is_terminal(),
        std::io::stderr().is_terminal(),
    ];
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).map(|size| [size.ws_col, size.ws_row]);
    let term = std::env::var("TERM").unwrap_or_default();
    serde_json::json!({ "terminals": terminals, "size": size.ok(), "term": term }).to_string()
}

fn hear(file: String) {
    thread::spawn(move || {
        for line in std::io::stdin().lines() {
            note(&file, &line.unwrap());
        }
        note(&file, "(end)");
    });
}

fn flood(lines: usize) {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in 0..lines {
        writeln!(out, "line {line} {}", "x".repeat(80)).unwrap();
    }
    out.flush().unwrap();
}

/// One line of so many letters.
fn long(length: usize) {
    let line: Vec<u8> = (b'a'..=b'z').cycle().take(length).chain([b'\n']).collect();
    std::io::stdout().write_all(&line).unwrap();
}

/// A line, byte by byte.
fn dribble(line: &str) {
    for byte in line.bytes().chain([b'\n']) {
        rustix::io::write(std::io::stdout(), &[byte]).unwrap();
    }
}

/// Writes so many lines `PID NUMBER;` as fast as it can whenever the file `more` appears, which it takes. A hundred at a time: the pipe
/// takes so many bytes as a whole or not at all, whenever a kill comes. In `FILE.PID` stands how many lines it has taken.
fn number_lines(file: &str, more: &str, lines: u64) -> ! {
    let pid = std::process::id();
    let taken = fs::File::create(format!("{file}.{pid}")).unwrap();
    let mut first = 0;
    loop {
        wait_for(more);
        fs::remove_file(more).unwrap();
        let end = first + lines;
        while first < end {
            let lines: String = (first..first + 100).map(|line| format!("{pid} {line};\n")).collect();
            let written = rustix::io::write(std::io::stdout(), lines.as_bytes()).unwrap();
            assert_eq!(written, lines.len());
            first += 100;
            std::os::unix::fs::FileExt::write_all_at(&taken, first.to_string().as_bytes(), 0).unwrap();
        }
    }
}

/// Gives both outputs up and lives on.
fn close() {
    let null = OpenOptions::new().write(true).open("/dev/null").unwrap();
    rustix::stdio::dup2_stdout(&null).unwrap();
    rustix::stdio::dup2_stderr(&null).unwrap();
}

fn notify(message: &str) {
    let socket = std::env::var_os("NOTIFY_SOCKET").unwrap_or_else(|| fail("no NOTIFY_SOCKET"));
    UnixDatagram::unbound()
        .and_then(|own| own.send_to(message.as_bytes(), socket))
        .unwrap();
}

fn eat(mebibytes: usize) {
    // Written to, so that it is resident; leaked, so that it stays.
    Box::leak(vec![1_u8; mebibytes << 20].into_boxed_slice());
}

fn unix_millis() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()
}

fn wait_for(file: &str) {
    while !Path::new(file).exists() {
        thread::sleep(Duration::from_millis(5));
    }
}

/// Ends with `code` when `file` appears; the file goes first, so that the next run lives.
fn exit_when(file: String, code: i32) {
    thread::spawn(move || {
        wait_for(&file);
        let _ = fs::remove_file(&file);
        exit(code);
    });
}

fn die(signal: &str) {
    use rustix::process::Signal;
    let signal = match signal {
        "KILL" => Signal::KILL,
        "TERM" => Signal::TERM,
        "ABRT" => Signal::ABORT,
        other => fail(&format!("no signal `{other}`")),
    };
    rustix::process::kill_process(rustix::process::getpid(), signal).unwrap();
}

fn on_signal(does: impl FnMut() + Send + 'static) {
    ctrlc::set_handler(does).unwrap();
}

fn on_signal_once(does: impl Fn() + Send + 'static) {
    on_signal(move || {
        does();
        exit(0);
    });
}

/// Answers every HTTP request on the port with its own pid: 200, or 503 until the file is there.
fn listen(port: u16, once_there: Option<PathBuf>) -> Result<(), String> {
    let listener = TcpListener::bind(("127.0.0.1", port)).map_err(|error| format!("port {port}: {error}"))?;
    serve(listener, once_there);
    Ok(())
}

/// Listens beside whoever else shares the port (`SO_REUSEPORT`), as some servers do.
fn share(port: u16) {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    sockopt::set_socket_reuseport(&socket, true).expect("share the port");
    bind(&socket, &std::net::SocketAddr::from(([127, 0, 0, 1], port))).expect("bind the port");
    listen(&socket, 16).expect("listen");
    serve(socket.into(), None);
}

fn serve(listener: TcpListener, once_there: Option<PathBuf>) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let there = once_there.as_ref().is_none_or(|file| file.exists());
            let _ = answer(stream, if there { "200 OK" } else { "503 Not Yet" });
        }
    });
}

fn answer(stream: TcpStream, status: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let body = std::process::id().to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    reader.into_inner().write_all((head + &body).as_bytes())
}

/// Starts another puppet with the words up to the matching `end`.
fn child(words: &mut dyn Iterator<Item = String>, bare: bool) {
    let mut depth = 1;
    let own: Vec<String> = words
        .take_while(|word| {
            match word.as_str() {
                "child" | "bare-child" => depth += 1,
                "end" => depth -= 1,
                _ => {}
            }
            depth > 0
        })
        .collect();
    let mut command = Command::new(std::env::current_exe().unwrap());
    if bare {
        command.env_clear();
    }
    drop(command.args(own).stdin(Stdio::null()).spawn().expect("start a child"));
}

/// Starts so many children a second, every second one in a session of its own, until it is ended.
fn storm(a_second: u64) -> ! {
    let own = std::env::current_exe().unwrap();
    let mut children = Vec::new();
    for number in 0_u64.. {
        let words: &[&str] = if number.is_multiple_of(2) { &["session"] } else { &[] };
        // No process to be had: then there is one less.
        children.extend(Command::new(&own).args(words).stdin(Stdio::null()).spawn());
        thread::sleep(Duration::from_micros(1_000_000 / a_second));
    }
    exit(0)
}

fn unmark() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let none = Rlimit {
        current: None,
        maximum: getrlimit(Resource::Rttime).maximum,
    };
    setrlimit(Resource::Rttime, none).expect("take the limit off");
}

/// Becomes a program that runs on a terminal of its own: the first word is the terminal, the rest the program.
fn terminal(words: &mut dyn Iterator<Item = String>) {
    let path = words.next().unwrap_or_else(|| fail("`terminal` wants a path"));
    let program = words.next().unwrap_or_else(|| fail("`terminal` wants a program"));
    rustix::process::setsid().expect("become a session");
    let open = || {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .expect("open the terminal")
    };
    let slave = open();
    let _ = rustix::process::ioctl_tiocsctty(&slave);
    let error = Command::new(program)
        .args(words)
        .stdin(open())
        .stdout(open())
        .stderr(open())
        .exec();
    panic!("failed to run the program: {error}");
}
