//! The lines of a worker's report.

use crate::{http2::broken, wire::MAX_LINE};
use base::{Code, Error, Result};
use bytes::{Bytes, BytesMut};
use futures::Stream;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A worker's report, line by line. A reader that falls behind slows the worker down; nothing is lost.
#[derive(Debug)]
pub struct Report {
    body: h2::RecvStream,
    buffer: BytesMut,
    searched: usize,
    over: bool,
}

impl Report {
    pub(super) fn new(body: h2::RecvStream) -> Self {
        Report { body, buffer: BytesMut::new(), searched: 0, over: false }
    }

    fn take_line(&mut self) -> Option<Bytes> {
        let Some(end) = self.buffer[self.searched..].iter().position(|b| *b == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let mut line = self.buffer.split_to(self.searched + end + 1);
        line.truncate(line.len() - 1);
        self.searched = 0;
        Some(line.freeze())
    }

    fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            if let Some(line) = self.take_line() {
                return Poll::Ready(Some(Ok(line)));
            }
            if self.buffer.len() > MAX_LINE {
                let message = format!("a line of a worker's report is longer than {MAX_LINE} bytes");
                return Poll::Ready(Some(Err(Error::new(Code::TooLarge, message))));
            }
            match ready!(self.body.poll_data(cx)) {
                Some(Ok(chunk)) => {
                    self.buffer.extend_from_slice(&chunk);
                    let _ = self.body.flow_control().release_capacity(chunk.len());
                }
                Some(Err(e)) => return Poll::Ready(Some(Err(broken(&e)))),
                None if self.buffer.is_empty() => return Poll::Ready(None),
                None => {
                    return Poll::Ready(Some(Err(Error::unavailable("a worker's report ended in a line"))));
                }
            }
        }
    }
}

impl Stream for Report {
    type Item = Result<Bytes>;

    /// Ends after the first error.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let next = ready!(self.poll_line(cx));
        self.over = !matches!(next, Some(Ok(_)));
        Poll::Ready(next)
    }
}
