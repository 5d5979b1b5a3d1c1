use std::fmt;
use std::io;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

/// `host:port`, as an operator writes it. Only the network's implementation looks inside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub String);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A reliable, ordered, two-way stream of bytes.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> ByteStream for T {}

pub type Stream = Box<dyn ByteStream>;

/// Connections between machines.
///
/// What may go wrong: a connect may hang or be refused; a stream may stall for any time, be reset, or lose its peer without a
/// word; a write that returned says nothing about what the peer has read. Writes push back when the peer does not read.
pub trait Net: Send + Sync {
    /// Takes the address for this node; fails if it is in use. Port 0 asks for a free one ([`Listener::address`] tells which).
    fn listen(&self, address: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>>;

    /// May take arbitrarily long: wrap it in a timeout.
    fn connect(&self, address: &Address) -> BoxFuture<'static, io::Result<Stream>>;
}

/// An address on which connections arrive.
pub trait Listener: Send + Sync {
    /// The next connection and where it came from. Cancel-safe.
    fn accept(&self) -> BoxFuture<'_, io::Result<(Stream, Address)>>;

    /// The address that was taken.
    fn address(&self) -> Address;
}
