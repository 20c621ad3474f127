//! How long a client is waited for: a body that trickles and a reader that does not read both have an end.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// The two bounds on a request's body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// The longest silence.
    pub(crate) idle: Duration,
    /// The longest body, first byte to last.
    pub(crate) total: Duration,
}

/// The client kept the server waiting.
#[derive(Debug, thiserror::Error)]
#[error("the request's body did not come in time")]
pub(crate) struct TooSlow;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body under [`Patience`]. A body that is already there, as most are, costs no timer.
pub(crate) struct PatientBody {
    inner: Incoming,
    patience: Patience,
    clock: Option<Clock>,
}

struct Clock {
    sleep: Pin<Box<Sleep>>,
    end: Instant,
    /// True while nothing has come since the sleep was set.
    waiting: bool,
}

impl PatientBody {
    pub(crate) fn new(inner: Incoming, patience: Patience) -> Self {
        Self { inner, patience, clock: None }
    }

    fn out_of_time(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let patience = self.patience;
        let clock = self.clock.get_or_insert_with(|| {
            let sleep = Box::pin(tokio::time::sleep_until(now + patience.idle.min(patience.total)));
            Clock { sleep, end: now + patience.total, waiting: true }
        });
        if !clock.waiting {
            clock.waiting = true;
            let until = (now + patience.idle).min(clock.end);
            clock.sleep.as_mut().reset(until);
        }
        clock.sleep.as_mut().poll(cx)
    }
}

impl Body for PatientBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                if let Some(clock) = &mut self.clock {
                    clock.waiting = false;
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)))
            }
            Poll::Pending => {
                ready!(self.out_of_time(cx));
                Poll::Ready(Some(Err(Box::new(TooSlow))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A socket whose writes fail once the other end has taken nothing for too long.
pub(crate) struct PatientIo {
    inner: TcpStream,
    idle: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl PatientIo {
    pub(crate) fn new(inner: TcpStream, idle: Duration) -> Self {
        Self { inner, idle, stalled: None }
    }

    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let idle = self.idle;
        let sleep = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read its answer")))
    }
}

impl AsyncRead for PatientIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for PatientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
