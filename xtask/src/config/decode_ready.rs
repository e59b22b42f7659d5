//! `ready` of a service: its probe and how long it may take.
//!
//! Proves that a probe is well formed; probes nothing.

use super::section::{Item, Section};
use super::service::{Probe, Ready};
use super::shapes::some_time;
use super::values::Leaf;

/// Reads the table.
pub(super) fn ready(mut section: Section<'_, '_>) -> Ready {
    let mut probes = Vec::new();
    for (key, read) in PROBES {
        if let Some(item) = section.take(key) {
            probes.push((*key, read(item)));
        }
    }
    if let [(first, _), (second, _), ..] = probes[..] {
        section.refuse(format!("`ready` has both `{first}` and `{second}`; keep one"));
    }
    let ready = Ready {
        probe: probes.into_iter().next().and_then(|(_, probe)| probe),
        timeout: section.take("timeout").and_then(|item| some_time(&item)),
        interval: section.take("interval").and_then(|item| some_time(&item)),
    };
    section.finish();
    ready
}

type ReadProbe = fn(Item<'_, '_>) -> Option<Probe>;

const PROBES: &[(&str, ReadProbe)] = &[
    ("http", |item| item.checked(String::EXPECTED, http)),
    ("tcp", |item| item.checked(String::EXPECTED, tcp)),
    ("log", |item| item.checked(String::EXPECTED, log)),
    ("command", command),
    ("notify", |item| {
        item.checked("true", |on: bool| {
            if on {
                Ok(Probe::Notify)
            } else {
                Err(NOT_NOTIFY.to_owned())
            }
        })
    }),
];
const NOT_NOTIFY: &str = "it can only be true; leave it out otherwise";

fn http(url: String) -> Result<Probe, String> {
    let scheme = url.get(..8).unwrap_or(&url).to_ascii_lowercase();
    if scheme == "https://" {
        return Err("TLS is not supported; use `http://`, or `tcp` or `command`".to_owned());
    }
    let host = if scheme.starts_with("http://") {
        url.get(7..)
    } else {
        None
    };
    let host = host.unwrap_or("").split(['/', '?', '#']).next().unwrap_or("");
    if host.is_empty() && !url.starts_with("${") {
        return Err(format!("`{url}` is not a URL like `http://localhost:3000/health`"));
    }
    if !url.contains("${") {
        check_url(&url)?;
    }
    Ok(Probe::Http(url))
}

/// What a URL to be asked needs, once its variables have their values: a host, and a port that is one.
///
/// # Errors
/// What is wrong with it.
pub fn check_url(url: &str) -> Result<(), String> {
    let is_http = url
        .get(..7)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"));
    let authority = url.get(7..).filter(|_| is_http).unwrap_or_default();
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    };
    if host.is_empty() {
        return Err(format!("`{url}` is not a URL like `http://localhost:3000/health`"));
    }
    match port {
        Some(port) if !port.parse::<u16>().is_ok_and(|port| port > 0) => {
            Err(format!("`{port}` of `{url}` is not a port; use 1 to 65535"))
        }
        Some(_) | None => Ok(()),
    }
}

fn tcp(address: String) -> Result<Probe, String> {
    let port = address
        .rsplit_once(':')
        .filter(|(host, _)| !host.is_empty())
        .map(|(_, port)| port);
    let good = port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if good || address.contains("${") {
        Ok(Probe::Tcp(address))
    } else {
        Err(format!("`{address}` is not `HOST:PORT`, such as `localhost:5432`"))
    }
}

fn log(pattern: String) -> Result<Probe, String> {
    match regex::Regex::new(&pattern) {
        Ok(_) => Ok(Probe::Log(pattern)),
        Err(error) => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or("").trim_start_matches("error: ");
            Err(format!("`{pattern}` is not a regular expression: {last}"))
        }
    }
}

fn command(item: Item<'_, '_>) -> Option<Probe> {
    const EXPECTED: &str = "a list: a program and its arguments";
    if item.is_empty_list() {
        item.refuse("it names no program");
        return None;
    }
    Some(Probe::Command(
        item.items(EXPECTED)?.iter().filter_map(Item::leaf).collect(),
    ))
}
