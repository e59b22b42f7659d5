//! Listening TCP sockets and the processes that hold them.
//!
//! The kernel is asked by netlink for the listening ones alone; where that is closed (a sandbox), `/proc/net/tcp` is read,
//! which takes milliseconds because the kernel walks its table of all connections for it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustix::fs::{FileType, Mode, OFlags, RawDir, readlinkat_raw};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with};

use crate::process::ports::{Holder, Listener};

pub(in crate::process) fn listening(members: &[u32]) -> io::Result<Vec<Listener>> {
    let sockets = by_inode(sockets()?);
    if sockets.is_empty() {
        return Ok(Vec::new());
    }
    let found = members.iter().flat_map(|pid| {
        held_by(*pid, &sockets).into_iter().map(|socket| Listener {
            port: socket.port,
            address: socket.address,
            pid: *pid,
        })
    });
    Ok(found.collect())
}

pub(in crate::process) fn holders(ports: &[u16]) -> io::Result<Vec<Holder>> {
    let sockets = by_inode(sockets()?.into_iter().filter(|socket| ports.contains(&socket.port)));
    if sockets.is_empty() {
        return Ok(Vec::new());
    }
    let mut holders = Vec::new();
    let mut unclaimed = sockets.clone();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        for socket in held_by(pid, &sockets) {
            unclaimed.remove(&socket.inode);
            holders.push(holder(socket, Some(pid)));
        }
    }
    holders.extend(unclaimed.values().map(|socket| holder(socket, None)));
    Ok(holders)
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Socket {
    port: u16,
    address: IpAddr,
    inode: u64,
    user: u32,
}

fn holder(socket: &Socket, pid: Option<u32>) -> Holder {
    let command = pid.map(super::arguments).unwrap_or_default();
    Holder {
        port: socket.port,
        address: socket.address,
        pid,
        user: Some(socket.user),
        command: command.join(" ").trim_end().to_owned(),
        cwd: pid.and_then(|pid| fs::read_link(format!("/proc/{pid}/cwd")).ok()),
    }
}

fn by_inode(sockets: impl IntoIterator<Item = Socket>) -> HashMap<u64, Socket> {
    sockets.into_iter().map(|socket| (socket.inode, socket)).collect()
}

/// Those of the sockets that a process has open. None when it is gone or another user's.
fn held_by(pid: u32, sockets: &HashMap<u64, Socket>) -> Vec<&Socket> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(descriptors) = rustix::fs::open(format!("/proc/{pid}/fd"), flags, Mode::empty()) else {
        return Vec::new();
    };
    let mut held = Vec::new();
    let mut names = Vec::with_capacity(8 * 1024);
    let mut names = RawDir::new(&descriptors, names.spare_capacity_mut());
    while let Some(Ok(name)) = names.next() {
        if name.file_type() == FileType::Directory {
            continue; // itself, and the one above
        }
        let mut target = [MaybeUninit::uninit(); 64]; // longer than any socket's
        if let Ok((target, _)) = readlinkat_raw(&descriptors, name.file_name(), &mut target) {
            held.extend(inode_of(target).and_then(|inode| sockets.get(&inode)));
        }
    }
    held
}

/// The inode of a socket from what its descriptor links to.
fn inode_of(target: &[u8]) -> Option<u64> {
    let inode = target.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(inode).ok()?.parse().ok()
}

fn sockets() -> io::Result<Vec<Socket>> {
    let asked = ask(AddressFamily::INET).map(|mut sockets| {
        // A kernel without IPv6 has no such sockets.
        sockets.extend(ask(AddressFamily::INET6).unwrap_or_default());
        sockets
    });
    asked.or_else(|_| {
        let mut sockets = parse_table(&fs::read_to_string("/proc/net/tcp")?);
        sockets.extend(
            fs::read_to_string("/proc/net/tcp6")
                .map(|table| parse_table(&table))
                .unwrap_or_default(),
        );
        Ok(sockets)
    })
}

/// From `linux/netlink.h`, `sock_diag.h` and `inet_diag.h`.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST_DUMP: u16 = 0x301;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER: usize = 16;
const TCP: u8 = 6;
const LISTEN: u32 = 10;

/// Asks the kernel for all listening TCP sockets of a family.
fn ask(family: AddressFamily) -> io::Result<Vec<Socket>> {
    let link = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    let family = u8::try_from(family.as_raw()).unwrap_or_default();
    let mut request = [0_u8; 72];
    request[0..4].copy_from_slice(&72_u32.to_ne_bytes());
    request[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    request[6..8].copy_from_slice(&NLM_F_REQUEST_DUMP.to_ne_bytes());
    request[HEADER] = family;
    request[HEADER + 1] = TCP;
    request[HEADER + 4..HEADER + 8].copy_from_slice(&(1_u32 << LISTEN).to_ne_bytes());
    send(&link, &request, SendFlags::empty())?;

    let mut sockets = Vec::new();
    let mut buffer = vec![0_u8; 32 * 1024]; // the kernel's largest answer
    loop {
        let (length, _) = recv(&link, &mut buffer[..], RecvFlags::empty())?;
        if parse_answer(&buffer[..length], &mut sockets)? {
            return Ok(sockets);
        }
    }
}

/// Reads one datagram of the answer; true after the last.
fn parse_answer(mut datagram: &[u8], sockets: &mut Vec<Socket>) -> io::Result<bool> {
    let broken = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "cannot read the kernel's list of sockets: broken answer",
        )
    };
    if datagram.is_empty() {
        return Err(broken());
    }
    while !datagram.is_empty() {
        let length =
            usize::try_from(u32::from_ne_bytes(bytes(datagram, 0).ok_or_else(broken)?)).map_err(|_| broken())?;
        let body = datagram.get(HEADER..length).ok_or_else(broken)?;
        match u16::from_ne_bytes(bytes(datagram, 4).ok_or_else(broken)?) {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let code = i32::from_ne_bytes(bytes(body, 0).ok_or_else(broken)?);
                return Err(io::Error::from_raw_os_error(-code));
            }
            _ => sockets.push(parse_message(body).ok_or_else(broken)?),
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// `struct inet_diag_msg`: family, three bytes, then ports and addresses in network order, at the end user and inode.
fn parse_message(body: &[u8]) -> Option<Socket> {
    let address = match u16::from(*body.first()?) {
        family if family == AddressFamily::INET.as_raw() => IpAddr::from(bytes::<4>(body, 8)?),
        _ => IpAddr::from(bytes::<16>(body, 8)?).to_canonical(),
    };
    Some(Socket {
        port: u16::from_be_bytes(bytes(body, 4)?),
        address,
        user: u32::from_ne_bytes(bytes(body, 64)?),
        inode: u32::from_ne_bytes(bytes(body, 68)?).into(),
    })
}

fn bytes<const N: usize>(from: &[u8], at: usize) -> Option<[u8; N]> {
    from.get(at..at + N)?.try_into().ok()
}

/// `/proc/net/tcp` and `tcp6`: local address and port in hexadecimal, state, user, inode.
fn parse_table(table: &str) -> Vec<Socket> {
    let parse = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (address, port) = words.nth(1)?.split_once(':')?;
        let is_listening = words.nth(1)? == "0A";
        let socket = Socket {
            port: u16::from_str_radix(port, 16).ok()?,
            address: parse_address(address)?,
            user: words.nth(3)?.parse().ok()?,
            inode: words.nth(1)?.parse().ok()?,
        };
        is_listening.then_some(socket)
    };
    table.lines().skip(1).filter_map(parse).collect()
}

/// Words of four bytes, each printed as a number of this machine.
fn parse_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        Some(
            u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16)
                .ok()?
                .to_ne_bytes(),
        )
    };
    if text.len() == 8 {
        return Some(Ipv4Addr::from(word(0)?).into());
    }
    let octets = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
    Some(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).to_canonical())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_table_of_connections_yields_its_listeners() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0 100 0\n\
            \x20  1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 4243 1 0 20 4\n";
        let home = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(
            parse_table(table),
            [Socket {
                port: 8080,
                address: home,
                inode: 4242,
                user: 1000
            }]
        );
        assert_eq!(
            parse_address("00000000000000000000000001000000"),
            Some(Ipv6Addr::LOCALHOST.into())
        );
        assert_eq!(parse_address("0000000000000000FFFF00000100007F"), Some(home));
        assert_eq!(parse_address("0100"), None);
    }

    #[test]
    fn both_ways_to_ask_the_kernel_agree() {
        let listeners = [
            TcpListener::bind("127.0.0.1:0").unwrap(),
            TcpListener::bind("0.0.0.0:0").unwrap(),
        ];
        let ports = listeners.map(|listener| (listener.local_addr().unwrap().port(), listener));
        let table = parse_table(&fs::read_to_string("/proc/net/tcp").unwrap());
        let asked = ask(AddressFamily::INET).unwrap();
        for (port, _listener) in &ports {
            let of = |sockets: &[Socket]| sockets.iter().find(|socket| socket.port == *port).cloned();
            assert!(of(&asked).is_some());
            assert_eq!(of(&asked), of(&table));
        }
    }

    #[test]
    fn a_broken_answer_is_an_error_and_not_an_empty_list() {
        let mut sockets = Vec::new();
        assert!(parse_answer(&[], &mut sockets).is_err());
        assert!(parse_answer(&[200, 0, 0, 0, 20, 0, 0, 0], &mut sockets).is_err());
        assert!(parse_answer(&[0; 20], &mut sockets).is_err());
    }
}
