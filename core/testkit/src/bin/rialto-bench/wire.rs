//! One keep-alive HTTP/1.1 connection with as little work as possible: the generator shares its two cores with
//! the hub, so what it burns is missing there. Requests come as ready bytes; of an answer only the status, the
//! length and `Retry-After` are looked at.

use std::{io, net::SocketAddr};

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest answer that is taken, in bytes.
const LONGEST_ANSWER: usize = 8 << 20;

/// One answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// `Retry-After`, in seconds.
    pub(crate) retry_after: Option<u64>,
    /// Where the body lies in the connection's buffer.
    body: (usize, usize),
}

/// A connection.
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    /// Connects, with Nagle's delay off as all HTTP clients have it.
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends one whole request and waits for its answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the hub closed the connection"));
            }
            if let Some(answer) = parse(&self.buffer)? {
                return Ok(answer);
            }
            if self.buffer.len() > LONGEST_ANSWER {
                return Err(invalid("the answer is too long"));
            }
        }
    }

    /// The body of the last answer.
    pub(crate) fn body(&self, answer: Answer) -> &[u8] {
        &self.buffer[answer.body.0..answer.body.1]
    }
}

/// The answer, once all of it is there.
fn parse(bytes: &[u8]) -> io::Result<Option<Answer>> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| invalid("the head is not ASCII"))?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.strip_prefix("HTTP/1.1 "))
        .and_then(|rest| rest.get(..3))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| invalid("no HTTP/1.1 status line"))?;
    let (mut length, mut retry_after) = (if status == 204 { Some(0) } else { None }, None);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok();
        } else if name.eq_ignore_ascii_case("retry-after") {
            retry_after = value.trim().parse().ok();
        }
    }
    let length: usize = length.ok_or_else(|| invalid("an answer without a content-length"))?;
    let body = (end + 4, end + 4 + length);
    Ok((bytes.len() >= body.1).then_some(Answer { status, retry_after, body }))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_only_when_its_body_is_whole() {
        let text = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 3\r\nContent-Length: 2\r\n\r\nno";
        assert!(parse(&text[..text.len() - 1]).expect("a prefix").is_none());
        let answer = parse(text).expect("valid").expect("whole");
        assert_eq!((answer.status, answer.retry_after), (429, Some(3)));
        assert_eq!(&text[answer.body.0..answer.body.1], b"no");
    }

    #[test]
    fn an_answer_whose_end_is_unknown_is_an_error_and_not_a_guess() {
        assert!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }
}
