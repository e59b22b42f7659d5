//! The example stack in one binary: an API server, a worker and a client, as a small web application has them.
//! Picks the program by its name and the exit code by its outcome; each program lives in its own file.

mod caddy;
mod check;
mod client;
mod clock;
mod fetch;
mod http;
mod jobs;
mod log;
mod queue;
mod server;
mod settings;
mod sqs;
mod stop;
mod worker;

use std::process::ExitCode;

use settings::Settings;

const USAGE: &str = "\
usage: tidepool PROGRAM

  server         the API on PORT (7163)
  worker         takes jobs from the queue and works them off
  client dev     the client's development server on CLIENT_PORT (5173)
  client build   writes the client to BUILD_DIR (build/client)
  check server   whether the API is well
  check client   whether the client's development server is";

fn main() -> ExitCode {
    // The clock starts here: uptimes count from it.
    clock::monotonic();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let settings = match Settings::read(|name| std::env::var(name).ok()) {
        Ok(settings) => settings,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::from(2);
        }
    };
    let done = match words.as_slice() {
        ["server"] => server::run(&settings),
        ["worker"] => worker::run(&settings),
        ["client", "dev"] => client::dev(&settings),
        ["client", "build"] => client::build(&settings),
        ["check", "server"] => check::server(&settings),
        ["check", "client"] => check::client(&settings),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    if done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
