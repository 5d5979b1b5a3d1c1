//! Framing: bytes of a stream into messages, each length checked before anything is kept for it.
//!
//! A connection that waits holds no buffer at all: bytes arrive in an array on the stack, and are copied only when there are
//! some. A long body grows the buffer as it arrives, not as it is announced.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tenet_seam::Stream;
use tokio::io::{AsyncRead, ReadBuf};

use crate::message;

/// What one read takes, in bytes: on the stack, so it costs an idle connection nothing.
const READ_BYTES: usize = 8 * 1024;
/// Longest startup packet, in bytes, as in Postgres.
const STARTUP_BYTES_MAX: usize = 10_000;
/// Longest body of a kind that carries neither SQL nor data, as in Postgres.
const SMALL_BYTES_MAX: usize = 10_000;
/// What Postgres takes at all. Beyond it a length is not believed.
const LENGTH_MAX: usize = 0x3fff_fffe;
/// A buffer grown beyond this is given back when it has been read empty.
const KEEP_BYTES_MAX: usize = 16 * 1024;
const HEADER_BYTES: usize = 5;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Message {
        kind: u8,
        body: Bytes,
    },
    /// A body over the limit, already passed over; the stream goes on behind it.
    TooLong {
        kind: u8,
        bytes: usize,
    },
    /// The client closed, or broke off within a message.
    End,
    /// A type or length that is none: what follows cannot be understood.
    Broken(String),
}

#[derive(Default)]
pub(crate) struct Inbox {
    buffer: BytesMut,
}

impl Inbox {
    /// The body of a packet that has no type: length and version come first. `None` when the client closed instead.
    pub async fn startup(&mut self, stream: &mut Stream) -> io::Result<Option<Result<Bytes, String>>> {
        while self.buffer.len() < 4 {
            if !self.fill(stream).await? {
                return Ok(None);
            }
        }
        let length = usize::try_from(self.length_at(0)).unwrap_or(usize::MAX);
        if !(8..=STARTUP_BYTES_MAX).contains(&length) {
            return Ok(Some(Err("invalid length of startup packet".to_owned())));
        }
        while self.buffer.len() < length {
            if !self.fill(stream).await? {
                return Ok(None);
            }
        }
        self.buffer.advance(4);
        Ok(Some(Ok(self.buffer.split_to(length - 4).freeze())))
    }

    /// The next message. Bodies longer than `bytes_max` are not kept. Cancel-safe except while it passes over one of those.
    pub async fn next(&mut self, stream: &mut Stream, bytes_max: usize) -> io::Result<Frame> {
        while self.buffer.len() < HEADER_BYTES {
            self.release();
            if !self.fill(stream).await? {
                return Ok(Frame::End);
            }
        }
        let kind = self.buffer[0];
        if !message::is_known(kind) {
            return Ok(Frame::Broken(format!("invalid frontend message type {kind}")));
        }
        let length = self.length_at(1);
        let small_max = if message::may_be_long(kind) { LENGTH_MAX } else { SMALL_BYTES_MAX };
        let Some(body) = usize::try_from(length).ok().and_then(|l| l.checked_sub(4)).filter(|b| *b <= small_max) else {
            return Ok(Frame::Broken(format!("invalid message length {length} of message type {kind}")));
        };
        if body > bytes_max {
            self.buffer.advance(HEADER_BYTES);
            return Ok(if self.skip(stream, body).await? { Frame::TooLong { kind, bytes: body } } else { Frame::End });
        }
        while self.buffer.len() < HEADER_BYTES + body {
            if !self.fill(stream).await? {
                return Ok(Frame::End);
            }
        }
        self.buffer.advance(HEADER_BYTES);
        Ok(Frame::Message { kind, body: self.buffer.split_to(body).freeze() })
    }

    /// Is more of the client's request already here?
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Does Sync follow, with nothing before it but Close, which cannot fail? Reads on until that is known. Cancel-safe.
    pub async fn sync_follows(&mut self, stream: &mut Stream) -> io::Result<bool> {
        let mut at = 0;
        loop {
            if let Some(kind) = self.buffer.get(at)
                && *kind != b'C'
            {
                return Ok(*kind == b'S');
            }
            if self.buffer.len() >= at + HEADER_BYTES {
                let length = usize::try_from(self.length_at(at + 1)).unwrap_or(usize::MAX);
                if !(4..=SMALL_BYTES_MAX).contains(&length) {
                    return Ok(false);
                }
                if self.buffer.len() > at + length {
                    at += 1 + length;
                    continue;
                }
            }
            if !self.fill(stream).await? {
                return Ok(false);
            }
        }
    }

    fn length_at(&self, offset: usize) -> i32 {
        i32::from_be_bytes(self.buffer[offset..offset + 4].try_into().expect("four bytes are here"))
    }

    /// Gives back what a long message made of the buffer.
    fn release(&mut self) {
        if self.buffer.is_empty() || self.buffer.capacity() > KEEP_BYTES_MAX {
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
    }

    /// Reads some bytes more. False at the end of the stream.
    async fn fill(&mut self, stream: &mut Stream) -> io::Result<bool> {
        let read = std::future::poll_fn(|cx| poll_fill(stream, &mut self.buffer, cx)).await?;
        Ok(read > 0)
    }

    async fn skip(&mut self, stream: &mut Stream, mut bytes: usize) -> io::Result<bool> {
        loop {
            let here = bytes.min(self.buffer.len());
            self.buffer.advance(here);
            bytes -= here;
            if bytes == 0 {
                return Ok(true);
            }
            if !self.fill(stream).await? {
                return Ok(false);
            }
        }
    }
}

fn poll_fill(stream: &mut Stream, buffer: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let mut array = [MaybeUninit::<u8>::uninit(); READ_BYTES];
    let mut chunk = ReadBuf::uninit(&mut array);
    match Pin::new(stream).poll_read(cx, &mut chunk) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
        Poll::Ready(Ok(())) => {
            buffer.extend_from_slice(chunk.filled());
            Poll::Ready(Ok(chunk.filled().len()))
        }
    }
}
