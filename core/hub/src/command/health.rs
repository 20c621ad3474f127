//! `rialto healthcheck`: asks `/readyz` over a plain socket, so that an image needs no curl.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::command::CommandError;

const PATIENCE: Duration = Duration::from_secs(5);
/// More than the answer of a hub has.
const MOST: u64 = 64 << 10;

pub(super) fn run(address: SocketAddr) -> Result<(), CommandError> {
    let address = reachable(address);
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)
        .map_err(|error| CommandError::NotReady(format!("no hub answers on {address}: {error}")))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(MOST).read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).unwrap_or_default();
    if status == "200" {
        println!("ready");
        return Ok(());
    }
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Err(CommandError::NotReady(format!("not ready ({status}): {body}")))
}

/// A hub that listens everywhere is asked here.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

#[cfg(test)]
mod tests {
    use std::io::BufRead as _;
    use std::net::TcpListener;

    use super::*;

    fn answered(answer: &'static str) -> Result<(), CommandError> {
        let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a visitor");
            // All of the head is read: closing on what was not read would reset the connection.
            let lines = std::io::BufReader::new(&stream).lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            assert_eq!(head.first().map(String::as_str), Some("GET /readyz HTTP/1.1"));
            stream.write_all(answer.as_bytes()).expect("answered");
        });
        let outcome = run(address);
        server.join().expect("served");
        outcome
    }

    #[test]
    fn a_hub_that_is_not_ready_fails_the_check_and_says_why() {
        answered("HTTP/1.1 200 OK\r\n\r\n{}").expect("ready");
        let error = answered("HTTP/1.1 503 Service Unavailable\r\n\r\ndisk full").expect_err("not ready");
        assert!(error.to_string().contains("disk full"), "{error}");
    }
}
