//! The output of `lsof -F` → values. Pure.
//!
//! One field a line, its first letter says which: `p` pid and `u` user begin a process; `t` type, `P` protocol and
//! `n` name belong to one of its files.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// A listening socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) pid: u32,
    pub(super) user: Option<u32>,
    pub(super) port: u16,
    pub(super) address: IpAddr,
}

/// The sockets of all processes listed.
pub(super) fn parse(text: &str) -> Vec<Socket> {
    let (mut pid, mut user, mut is_v6) = (None, None, false);
    let mut sockets = Vec::new();
    for line in text.lines().filter(|line| line.is_char_boundary(1)) {
        let (kind, value) = line.split_at(1.min(line.len()));
        match kind {
            "p" => (pid, user) = (value.parse().ok(), None),
            "u" => user = value.parse().ok(),
            "t" => is_v6 = value == "IPv6",
            "n" => {
                if let (Some(pid), Some((address, port))) = (pid, parse_name(value, is_v6)) {
                    sockets.push(Socket {
                        pid,
                        user,
                        port,
                        address,
                    });
                }
            }
            _ => {}
        }
    }
    sockets
}

/// The one name of `-d cwd -Fn`.
pub(super) fn parse_directory(text: &str) -> Option<PathBuf> {
    text.lines().find_map(|line| line.strip_prefix('n')).map(PathBuf::from)
}

/// `*:80`, `127.0.0.1:80`, `[::1]:80`.
fn parse_name(name: &str, is_v6: bool) -> Option<(IpAddr, u16)> {
    let (address, port) = name.rsplit_once(':')?;
    let address = match address {
        "*" if is_v6 => Ipv6Addr::UNSPECIFIED.into(),
        "*" => Ipv4Addr::UNSPECIFIED.into(),
        // `%lo0` names the interface.
        address => address
            .trim_matches(['[', ']'])
            .split('%')
            .next()?
            .parse::<IpAddr>()
            .ok()?
            .to_canonical(),
    };
    Some((address, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_belong_to_the_process_above_them() {
        let text = "p12\nu501\nf5\ntIPv4\nPTCP\nn127.0.0.1:8080\nf6\ntIPv6\nPTCP\nn*:8081\np13\nu0\nf3\ntIPv6\nn[fe80::1%lo0]:22\n";
        let socket = |pid, user, port, address: &str| Socket {
            pid,
            user: Some(user),
            port,
            address: address.parse().unwrap(),
        };
        let expected = [
            socket(12, 501, 8080, "127.0.0.1"),
            socket(12, 501, 8081, "::"),
            socket(13, 0, 22, "fe80::1"),
        ];
        assert_eq!(parse(text), expected);
        assert_eq!(parse(""), []);
        assert_eq!(parse("n*:80\npx\nn*:81\n\n"), []);
        assert_eq!(
            parse_directory("p1\nfcwd\nn/home/u/w\n"),
            Some(PathBuf::from("/home/u/w"))
        );
    }
}
