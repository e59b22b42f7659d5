//! What the environment sets, read once and typed; every default is here.
//! Must not look at files, sockets or the real environment: the caller hands over a lookup.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Everything the programs can be told. An empty variable counts as unset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `PORT`: where the API listens, and where the client's proxy looks for it.
    pub port: u16,
    /// `NODE_ENV`: `test` keeps queue and worker in the server's process.
    pub node_env: String,
    /// `RUNTIME`: only named in health and log.
    pub runtime: String,
    /// `WORKER_INLINE=true`: queue and worker in the server's process, whatever `NODE_ENV` says.
    pub worker_inline: bool,
    /// `QUEUE_ENDPOINT`: an SQS endpoint, without a trailing slash.
    pub queue_endpoint: String,
    /// `QUEUE_NAME`.
    pub queue_name: String,
    /// `VISIBILITY_TIMEOUT`, in seconds: how long a taken job stays hidden from others. More than a job takes.
    pub visibility: Duration,
    /// `WAIT_TIME_SECONDS`: how long one poll waits for a job; SQS allows 20. `ElasticMQ` tells a waiting poll of new
    /// jobs only, so that one which comes back out of the queue may have to wait for the next poll.
    pub wait: Duration,
    /// `SERVER_URL`: where the worker reports to, without a trailing slash.
    pub server_url: String,
    /// `JOBS_FILE`: the journal of the job list; without it the list ends with the process.
    pub jobs_file: Option<PathBuf>,
    /// `JOB_MS`: how long a job takes.
    pub job: Duration,
    /// `SPA_ROOT`: the built client; when set, the server configures Caddy to serve it.
    pub spa_root: Option<PathBuf>,
    /// `CADDY_ADMIN`: Caddy's admin API as a URL. `HOST:PORT`, as Caddy itself reads this variable, is fine, too.
    pub caddy_admin: String,
    /// `CADDY_PORT`: where Caddy serves the client and the API.
    pub caddy_port: u16,
    /// `CADDY_ADMIN_UI_PORT`: where Caddy answers that it is well.
    pub caddy_admin_ui_port: u16,
    /// `CLIENT_PORT`: where the client's development server listens.
    pub client_port: u16,
    /// `BUILD_DIR`: where the client is built to.
    pub build_dir: PathBuf,
}

impl Settings {
    /// Reads every variable through `get`. The error names the variable and what it should be.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Settings, String> {
        let get = &|name: &str| get(name).filter(|value| !value.is_empty());
        let text = |name: &str, default: &str| get(name).unwrap_or_else(|| default.to_string());
        let url = |name: &str, default: &str| as_url(&text(name, default));
        Ok(Settings {
            port: number(get, "PORT", 7163)?,
            node_env: text("NODE_ENV", "development"),
            runtime: text("RUNTIME", "stub"),
            worker_inline: get("WORKER_INLINE").is_some_and(|value| value == "true"),
            queue_endpoint: url("QUEUE_ENDPOINT", "http://localhost:9324"),
            queue_name: text("QUEUE_NAME", "tidepool-jobs"),
            visibility: Duration::from_secs(number(get, "VISIBILITY_TIMEOUT", 10)?),
            wait: Duration::from_secs(number(get, "WAIT_TIME_SECONDS", 20)?),
            server_url: url("SERVER_URL", "http://localhost:7163"),
            jobs_file: get("JOBS_FILE").map(PathBuf::from),
            job: Duration::from_millis(number(get, "JOB_MS", 200)?),
            spa_root: get("SPA_ROOT").map(PathBuf::from),
            caddy_admin: url("CADDY_ADMIN", "http://localhost:2019"),
            caddy_port: number(get, "CADDY_PORT", 8080)?,
            caddy_admin_ui_port: number(get, "CADDY_ADMIN_UI_PORT", 8081)?,
            client_port: number(get, "CLIENT_PORT", 5173)?,
            build_dir: PathBuf::from(text("BUILD_DIR", "build/client")),
        })
    }

    /// Whether queue and worker live in the server's process.
    pub fn in_process(&self) -> bool {
        self.node_env == "test" || self.worker_inline
    }
}

fn number<T: FromStr<Err: Display>>(get: impl Fn(&str) -> Option<String>, name: &str, default: T) -> Result<T, String> {
    match get(name) {
        None => Ok(default),
        Some(value) => value
            .parse()
            .map_err(|cause| format!("read {name}={value}: {cause}; set a number or unset it")),
    }
}

fn as_url(value: &str) -> String {
    let value = value.trim_end_matches('/');
    if value.contains("://") {
        value.to_string()
    } else {
        format!("http://{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        Settings::read(|name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_string())
        })
    }

    #[test]
    fn nothing_set_means_the_ports_everybody_knows() {
        let settings = read(&[]).unwrap();
        assert_eq!(
            (settings.port, settings.client_port, settings.caddy_port),
            (7163, 5173, 8080)
        );
        assert_eq!(settings.runtime, "stub");
        assert!(!settings.in_process());
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        assert_eq!(read(&[("PORT", ""), ("SPA_ROOT", "")]), read(&[]));
    }

    #[test]
    fn test_mode_and_an_inline_worker_both_keep_the_queue_in_the_process() {
        assert!(read(&[("NODE_ENV", "test")]).unwrap().in_process());
        assert!(
            read(&[("NODE_ENV", "production"), ("WORKER_INLINE", "true")])
                .unwrap()
                .in_process()
        );
        assert!(
            !read(&[("NODE_ENV", "production"), ("WORKER_INLINE", "false")])
                .unwrap()
                .in_process()
        );
    }

    #[test]
    fn a_port_that_is_none_names_its_variable() {
        let problem = read(&[("PORT", "70000")]).unwrap_err();
        assert!(problem.starts_with("read PORT=70000: "), "{problem}");
    }

    #[test]
    fn caddys_own_notation_of_its_admin_address_is_understood() {
        assert_eq!(
            read(&[("CADDY_ADMIN", "localhost:2020")]).unwrap().caddy_admin,
            "http://localhost:2020"
        );
        assert_eq!(
            read(&[("CADDY_ADMIN", "http://localhost:2020/")]).unwrap().caddy_admin,
            "http://localhost:2020"
        );
    }
}
