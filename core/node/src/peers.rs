//! Connections to the other nodes: dialling, answering, the handshake, and what follows from it.
//!
//! The lower node of a pair dials the higher one, again and again; there is one connection per pair. Whether a connection may be
//! used is `handshake`'s decision; this file carries it out.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tenet_seam::{Address, Listener, Seam, Stream};
use tenet_shard::{Transport, Unframer, put_frames};
use tenet_types::{ClusterId, Incarnation, NodeId, mark};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use crate::handshake::{Founding, Hello, PROTOCOL, Verdict, judge};
use crate::identity::{Identity, Membership};

/// A connect and its handshake must be done in this time.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause before dialling again.
const REDIAL_PAUSE: Duration = Duration::from_millis(200);

/// Longest message of a handshake, in bytes: a membership of a thousand nodes.
const HANDSHAKE_BYTES_MAX: usize = 64 << 10;

/// Connections in their handshake at once; more are closed at once.
const HANDSHAKES_MAX: usize = 64;

/// What the handshakes have led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Waiting for the others.
    Alone,
    /// This membership is to be written down; then [`Peers::joined`].
    Chosen(Membership),
    /// Connections may be used.
    Member,
    /// A member of the cluster says that this node's data folder was lost.
    Lost { by: NodeId },
}

pub struct Peers {
    seam: Seam,
    identity: Mutex<Identity>,
    listed: Vec<NodeId>,
    founding: Mutex<Founding>,
    transport: Arc<Transport>,
    standing: watch::Sender<Standing>,
}

impl Peers {
    pub fn new(seam: &Seam, identity: Identity, listed: Vec<NodeId>, transport: Arc<Transport>) -> Arc<Peers> {
        Arc::new(Peers {
            seam: seam.clone(),
            identity: Mutex::new(identity),
            listed,
            founding: Mutex::new(Founding::default()),
            transport,
            standing: watch::Sender::new(Standing::Alone),
        })
    }

    /// Dials the higher nodes and answers the lower ones, for as long as the node lives.
    pub fn start(self: &Arc<Self>, listener: Box<dyn Listener>, addresses: &BTreeMap<NodeId, Address>) {
        let me = self.identity.lock().expect("no holder panics").node;
        let peers = self.clone();
        self.seam.spawn("peer listener", async move { peers.answer_all(listener).await });
        for (node, address) in addresses {
            if *node > me {
                let (peers, node, address) = (self.clone(), *node, address.clone());
                self.seam.spawn("peer dialler", async move { peers.dial(node, address).await });
            }
        }
    }

    /// What the handshakes lead to, as it changes.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    /// The membership is durable, and whoever uses connections is ready.
    pub fn joined(&self, membership: Membership) {
        self.identity.lock().expect("no holder panics").membership = Some(membership);
        self.standing.send_replace(Standing::Member);
    }

    async fn dial(&self, node: NodeId, address: Address) {
        // An absence is told once, not five times a second.
        let mut told = false;
        loop {
            let met = self.seam.timeout(HANDSHAKE_TIMEOUT, async {
                let stream = self.seam.net.connect(&address).await?;
                io::Result::Ok(self.shake_hands(stream, Some(node)).await)
            });
            let failed = match met.await {
                Ok(Ok(Some((peer, stream, unframer)))) => {
                    self.keep(peer, stream, unframer).await;
                    told = false;
                    None
                }
                // Why, or that it is too early, is known to the handshake.
                Ok(Ok(None)) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_elapsed) => Some(format!("no answer within {} s", HANDSHAKE_TIMEOUT.as_secs())),
            };
            if let Some(error) = failed
                && !std::mem::replace(&mut told, true)
            {
                tracing::info!(peer = node.0, %address, error, "a peer cannot be reached; it is tried again and again");
            }
            self.seam.sleep(REDIAL_PAUSE).await;
        }
    }

    /// Uses the connection until it ends.
    async fn keep(&self, peer: NodeId, stream: Stream, unframer: Unframer) {
        tracing::info!(peer = peer.0, "connected to a peer");
        self.transport.run_link(peer, stream, unframer).await;
        tracing::warn!(peer = peer.0, "the connection to a peer has ended");
    }

    async fn answer_all(self: Arc<Self>, listener: Box<dyn Listener>) {
        let places = Arc::new(tokio::sync::Semaphore::new(HANDSHAKES_MAX));
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a peer connection could not be accepted");
                    self.seam.sleep(REDIAL_PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                mark!("peers: too many handshakes");
                continue;
            };
            let peers = self.clone();
            self.seam.spawn("peer handshake", async move {
                let met = peers.seam.timeout(HANDSHAKE_TIMEOUT, peers.shake_hands(stream, None)).await;
                drop(place);
                if let Ok(Some((peer, stream, unframer))) = met {
                    peers.keep(peer, stream, unframer).await;
                }
            });
        }
    }

    /// The stream, if both sides accept.
    async fn shake_hands(&self, mut stream: Stream, expected: Option<NodeId>) -> Option<(NodeId, Stream, Unframer)> {
        let mut unframer = Unframer::default();
        let identity = self.identity.lock().expect("no holder panics").clone();
        say(&mut stream, &self.hello(&identity).encode()).await?;
        let Ok(theirs) = Hello::decode(&hear(&mut stream, &mut unframer).await?) else {
            tracing::warn!("a peer connection did not begin with a hello");
            return None;
        };
        let members = self.founding.lock().expect("no holder panics").meet(&identity, &self.listed, &theirs);
        if let Some(members) = members {
            self.found(members);
        }
        let mine = judge(&identity, &self.listed, expected, &theirs);
        say(&mut stream, &mine.encode()).await?;
        let verdict = Verdict::decode(&hear(&mut stream, &mut unframer).await?).ok()?;
        if let Verdict::Stranger(why) = &mine {
            tracing::warn!(peer = theirs.node.0, why, "a peer was turned away");
        }
        match verdict {
            Verdict::Accept if mine == Verdict::Accept => {
                (*self.standing.borrow() == Standing::Member).then_some((theirs.node, stream, unframer))
            }
            Verdict::Accept | Verdict::Wait => None,
            Verdict::Invite(membership) => {
                self.choose(membership);
                None
            }
            Verdict::Lost if identity.membership.is_none() => {
                self.standing.send_replace(Standing::Lost { by: theirs.node });
                None
            }
            // A member is not put off by one voice: it may be the other that is wrong.
            Verdict::Lost => {
                tracing::error!(peer = theirs.node.0, "a peer says that this node's data folder is another one");
                None
            }
            Verdict::Stranger(why) => {
                tracing::warn!(peer = theirs.node.0, "a peer turned this node away: this node {why}");
                None
            }
        }
    }

    fn hello(&self, identity: &Identity) -> Hello {
        Hello {
            protocol: PROTOCOL,
            node: identity.node,
            incarnation: identity.incarnation,
            cluster: identity.membership.as_ref().map(|membership| membership.cluster),
            listed: self.listed.clone(),
        }
    }

    fn found(&self, members: BTreeMap<NodeId, Incarnation>) {
        let cluster = ClusterId(self.seam.random("cluster id").next_u128());
        self.choose(Membership { cluster, members });
    }

    /// The first choice stands.
    fn choose(&self, membership: Membership) {
        self.standing.send_if_modified(|standing| {
            let first = *standing == Standing::Alone;
            if first {
                *standing = Standing::Chosen(membership);
            }
            first
        });
    }
}

async fn say(stream: &mut Stream, message: &[u8]) -> Option<()> {
    let mut bytes = Vec::new();
    put_frames(message, &mut bytes);
    stream.write_all(&bytes).await.ok()?;
    stream.flush().await.ok()
}

async fn hear(stream: &mut Stream, unframer: &mut Unframer) -> Option<Vec<u8>> {
    let mut buf = vec![0; 4096];
    let mut total = 0;
    loop {
        if let Some(message) = unframer.pop().ok()? {
            return Some(message);
        }
        let count = stream.read(&mut buf).await.ok()?;
        total += count;
        if count == 0 || total > HANDSHAKE_BYTES_MAX {
            return None;
        }
        unframer.push(&buf[..count]);
    }
}
