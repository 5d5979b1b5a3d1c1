//! The Postgres front end: clients on one side, [`tenet_sql::Engine`] on the other.
//!
//! Each connection is one task with its own message loop over a byte stream of the seam, so that production and simulator serve
//! clients with the very same code. Messages are framed, decoded and encoded by hand (`inbox`, `message`, `encode`): bodies
//! come from strangers, and a decoder that panics would take the node with it.
//!
//! ```text
//! accept ─▶ startup packet ─▶ SSL, GSS: "N", again ─▶ session: limit, connect, keys ─▶ loop ─▶ end
//!                         └─▶ cancel request: rings another connection's bell, ends
//! loop:  wait (no buffers held) ─▶ frame ─▶ decode ─▶ simple query │ one step of the extended protocol
//!           ▲                                                     │ error: ErrorResponse, skip to Sync
//!           └──────────── ReadyForQuery, flush ◀───────────────────┘
//! ```
//!
//! Invariants
//!  F1  Nothing is kept for a message before its length was found acceptable; rows are encoded a few KiB ahead of the client at most.
//!  F2  Any bytes from a client give it one clear error, at worst its end; they never harm another connection.
//!  F3  After an error in the extended protocol nothing runs until Sync; what ran since the last Sync is then undone.
//!  F4  A statement that was cancelled had no effect: a commit under way is waited for, and its result is what the client hears.
//!  F5  Success is reported only after the engine reported it.
//!
//! Absent: authentication, TLS (answered "N"), COPY and function calls (0A000), replication, LISTEN.

mod connection;
mod encode;
mod extended;
mod inbox;
mod message;
mod outcome;
mod registry;
mod startup;
mod value;

use std::sync::Arc;
use std::time::Duration;

use tenet_seam::{Listener, Seam};
use tenet_sql::Engine;
use tenet_types::mark;
use tokio::sync::watch;

use connection::Shared;
use registry::Registry;

/// How long to wait before the next accept after one failed, in milliseconds: a process out of descriptors gets some back.
const ACCEPT_RETRY_MS: u64 = 100;

/// What an operator may set.
#[derive(Clone)]
pub struct FrontOptions {
    /// Sessions at once; beyond, 53300.
    pub connections_max: usize,
    /// Longest message that is taken in, in bytes; beyond, 54000. Above the bound of a transaction's writes, so that no
    /// statement that could succeed is refused.
    pub message_bytes_max: usize,
    /// How long a client may take to say who it is.
    pub startup_timeout: Duration,
    /// How long running statements have to end after a stop.
    pub stop_grace: Duration,
    /// Becomes true when the server shall stop: clients hear 57P01, `serve` returns. A dropped sender never stops it.
    pub stop: watch::Receiver<bool>,
}

impl Default for FrontOptions {
    fn default() -> FrontOptions {
        FrontOptions {
            connections_max: 1000,
            message_bytes_max: 8 * 1024 * 1024,
            startup_timeout: Duration::from_secs(30),
            stop_grace: Duration::from_secs(5),
            stop: watch::channel(false).1,
        }
    }
}

/// What speaks SQL, once there is one. Until then clients hear that the node is starting (57P03).
pub type EngineSlot = watch::Receiver<Option<Arc<Engine>>>;

/// Serves Postgres clients on `listener` until stopped by [`FrontOptions::stop`], or dropped: then every connection is dropped too.
pub async fn serve(seam: Seam, listener: Box<dyn Listener>, engine: EngineSlot, options: FrontOptions) {
    let registry = Arc::new(Registry::new(options.connections_max, seam.random("front")));
    let end = AbortOnDrop(registry.clone());
    let mut stop = options.stop.clone();
    let stopped = async move {
        if stop.wait_for(|stop| *stop).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let shared = Arc::new(Shared { seam: seam.clone(), engine, options });
    tokio::select! {
        biased;
        () = stopped => {}
        () = accept(listener, &shared, &registry) => {}
    }
    registry.stop();
    if seam.timeout(shared.options.stop_grace, registry.emptied()).await.is_err() {
        tracing::warn!("connections that did not end in time are dropped");
    }
    drop(end);
}

async fn accept(listener: Box<dyn Listener>, shared: &Arc<Shared>, registry: &Arc<Registry>) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                shared.seam.sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
                continue;
            }
        };
        let Some(socket) = registry.enter() else {
            mark!("front: connection dropped unheard, far over the limit");
            tracing::warn!(%peer, "far too many connections: dropped one unheard");
            continue;
        };
        let id = socket.id;
        let task = shared.seam.spawn("front", connection::run(stream, peer, socket, shared.clone()));
        registry.attach(id, task);
    }
}

/// Ends all connections with the server's future, however that ends.
struct AbortOnDrop(Arc<Registry>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests;
