//! Asks a running program whether it is well, for engines that check from inside of an image.

use std::time::Duration;

use crate::fetch::Client;
use crate::settings::Settings;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(3);

/// Whether the API says that it is well. Prints why not.
pub fn server(settings: &Settings) -> bool {
    is_well(&format!("http://localhost:{}/api/health", settings.port))
}

/// Whether the client's development server serves its page. Prints why not.
pub fn client(settings: &Settings) -> bool {
    is_well(&format!("http://localhost:{}/", settings.client_port))
}

fn is_well(url: &str) -> bool {
    match Client::new(LIMIT).get(url) {
        Ok(answer) if answer.ok() => true,
        Ok(answer) => {
            eprintln!("error: {url} answers {}: {}", answer.status, answer.text());
            false
        }
        Err(cause) => {
            eprintln!("error: reach {url}: {cause}");
            false
        }
    }
}
