//! One connection to `HOST:PORT`, closed as soon as it stands.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Connects to any of the host's addresses; for `localhost` both loopback ones, whatever the machine takes the name for.
///
/// # Errors
/// `connect HOST:PORT: ` and the cause, of the first address that did not simply refuse.
pub(super) fn connect(address: &str, limit: Duration) -> Result<(), String> {
    let failed = |cause: &str| format!("connect {address}: {cause}");
    let mut why: Option<io::Error> = None;
    for one in addresses(address).map_err(|error| failed(&super::cause(&error)))? {
        match TcpStream::connect_timeout(&one, limit) {
            Ok(_) => return Ok(()),
            Err(error) => {
                let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
                if why
                    .as_ref()
                    .is_none_or(|known| refused(known) && error.kind() == io::ErrorKind::TimedOut)
                {
                    why = Some(error);
                }
            }
        }
    }
    match why {
        None => Err(failed("the host has no address")),
        Some(error) if error.kind() == io::ErrorKind::TimedOut => Err(failed(&format!("no answer within {limit:?}"))),
        Some(error) => Err(failed(&super::cause(&error))),
    }
}

fn addresses(address: &str) -> io::Result<Vec<SocketAddr>> {
    if let Some((host, port)) = address.rsplit_once(':')
        && host.eq_ignore_ascii_case("localhost")
        && let Ok(port) = port.parse()
    {
        let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        return Ok(loopback.map(|ip| SocketAddr::new(ip, port)).into());
    }
    Ok(address.to_socket_addrs()?.collect())
}
