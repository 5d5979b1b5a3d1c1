//! Connections over TCP, without Nagle's delay: a message is a whole thought, never half a keystroke.

use std::io;

use futures::future::BoxFuture;
use tenet_seam::{Address, Listener, Net, Stream};
use tokio::net::{TcpListener, TcpStream};

pub struct TcpNet;

impl Net for TcpNet {
    fn listen(&self, address: &Address) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let Address(address) = address.clone();
        Box::pin(async move {
            let listener = TcpListener::bind(&address).await.map_err(|error| explain("listen on", &address, error))?;
            let taken = Address(listener.local_addr()?.to_string());
            Ok(Box::new(TcpPort { listener, taken }) as Box<dyn Listener>)
        })
    }

    fn connect(&self, address: &Address) -> BoxFuture<'static, io::Result<Stream>> {
        let Address(address) = address.clone();
        Box::pin(async move {
            let stream = TcpStream::connect(&address).await.map_err(|error| explain("connect to", &address, error))?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Stream)
        })
    }
}

struct TcpPort {
    listener: TcpListener,
    taken: Address,
}

impl Listener for TcpPort {
    fn accept(&self) -> BoxFuture<'_, io::Result<(Stream, Address)>> {
        Box::pin(async move {
            let (stream, from) = self.listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as Stream, Address(from.to_string())))
        })
    }

    fn address(&self) -> Address {
        self.taken.clone()
    }
}

/// The operating system's errors do not say which address.
fn explain(what: &str, address: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what} {address}: {error}"))
}
