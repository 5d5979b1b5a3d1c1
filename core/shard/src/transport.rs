//! One connection per pair of nodes, carrying everything that they say to each other.
//!
//! Who dials, who listens and who is let in is `core/node`'s business; it hands over a stream after the handshake, and
//! [`Transport::run_link`] uses it until it breaks. Raft's mail is fire and forget: a full queue drops it, and raft says it
//! again. A call gets its answer, or learns whether it can have been received.
//!
//! Invariants
//!  N1  A call answered [`CallError::NotSent`] was never given to a connection: its effects cannot exist.
//!  N2  A link that brought nothing for [`SILENCE_MAX`] is closed (a hung connection must not hold a shard hostage).
//!  N3  Every queue is bounded: mail per link, calls in service per link.
//!  N4  Whoever reads a link waits for nothing but bytes. A call beyond the bound is refused at once: the acks that those in
//!      service wait for may stand behind it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures::future::BoxFuture;
use tenet_seam::{Seam, Stream};
use tenet_types::{NodeId, mark, unexpected};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use crate::wire::{Answer, Call, PeerMessage, RaftMail, Unframer, put_frames};

/// A link says something at least this often.
pub const PING_EVERY: Duration = Duration::from_millis(500);

/// A link that brought nothing for this long is closed.
pub const SILENCE_MAX: Duration = Duration::from_secs(3);

/// Messages that wait for one link; beyond it mail is dropped and calls wait.
const QUEUE_MAX: usize = 4096;

/// Calls of one peer that are in service at once; beyond it they are refused.
const CALLS_MAX: usize = 1024;

/// Bytes gathered into one write.
const WRITE_BYTES: usize = 256 << 10;

/// What a node does with what it is told.
pub trait PeerHandler: Send + Sync {
    /// Must not block; may drop.
    fn on_raft(&self, from: NodeId, mail: RaftMail);

    fn on_state_hash(&self, from: NodeId, shard: tenet_types::ShardId, index: tenet_types::LogIndex, hash: [u8; 32]);

    fn on_call(&self, from: NodeId, call: Call) -> BoxFuture<'static, Answer>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// There is no connection: nothing left this node.
    NotSent,
    /// The connection broke after the call may have left.
    Lost,
    /// The peer has too many calls in service and did nothing.
    Refused,
}

/// The connections of one node.
pub struct Transport {
    seam: Seam,
    handler: OnceLock<Arc<dyn PeerHandler>>,
    links: Mutex<BTreeMap<NodeId, Link>>,
    next_id: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Clone)]
struct Link {
    id: u64,
    queue: mpsc::Sender<PeerMessage>,
    waiting: Arc<Mutex<Waiting>>,
    replaced: Arc<Notify>,
}

/// Calls without an answer yet; `None` once the link is closed.
type Waiting = Option<BTreeMap<u64, oneshot::Sender<Answer>>>;

impl Transport {
    pub fn new(seam: Seam) -> Arc<Transport> {
        Arc::new(Transport {
            seam,
            handler: OnceLock::new(),
            links: Mutex::new(BTreeMap::new()),
            next_id: AtomicU64::new(1),
            dropped: AtomicU64::new(0),
        })
    }

    /// Must be called once, before the first link runs.
    pub fn set_handler(&self, handler: Arc<dyn PeerHandler>) {
        assert!(self.handler.set(handler).is_ok(), "the handler is set once");
    }

    /// Nodes with a live connection.
    pub fn connected(&self) -> Vec<NodeId> {
        self.links.lock().expect("no holder panics").keys().copied().collect()
    }

    /// Messages dropped because a queue was full, since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn link(&self, to: NodeId) -> Option<Link> {
        self.links.lock().expect("no holder panics").get(&to).cloned()
    }

    /// Says something if there is a connection with room; otherwise it is lost.
    pub fn send(&self, to: NodeId, message: PeerMessage) {
        let Some(link) = self.link(to) else { return };
        if link.queue.try_send(message).is_err() {
            mark!("transport: queue full, mail dropped");
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Asks and waits for the answer, as long as the connection lives.
    pub async fn call(&self, to: NodeId, call: Call) -> Result<Answer, CallError> {
        let link = self.link(to).ok_or(CallError::NotSent)?;
        let permit = link.queue.reserve().await.map_err(|_| CallError::NotSent)?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        match link.waiting.lock().expect("no holder panics").as_mut() {
            Some(waiting) => waiting.insert(id, sender),
            None => return Err(CallError::NotSent),
        };
        permit.send(PeerMessage::Call { id, call });
        match receiver.await {
            Ok(Answer::Refused) => Err(CallError::Refused),
            Ok(answer) => Ok(answer),
            Err(_) => Err(CallError::Lost),
        }
    }

    /// Uses a stream whose handshake is done, until it breaks; replaces an older link to the same peer. `unframer` holds
    /// what was read beyond the handshake.
    pub async fn run_link(self: &Arc<Self>, peer: NodeId, stream: Stream, mut unframer: Unframer) {
        let handler = self.handler.get().expect("set before links run").clone();
        let (queue, mut outgoing) = mpsc::channel(QUEUE_MAX);
        let link = Link {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            queue: queue.clone(),
            waiting: Arc::new(Mutex::new(Some(BTreeMap::new()))),
            replaced: Arc::new(Notify::new()),
        };
        let replaced = self.links.lock().expect("no holder panics").insert(peer, link.clone());
        if let Some(old) = replaced {
            mark!("transport: link replaced");
            old.replaced.notify_one();
            close(&old);
        }
        let (mut reader, mut writer) = tokio::io::split(stream);
        let heard = AtomicU64::new(self.seam.clock.now().0);
        let in_service = Arc::new(Semaphore::new(CALLS_MAX));

        let read = async {
            let mut buf = vec![0; 64 << 10];
            loop {
                while let Some(bytes) = match unframer.pop() {
                    Ok(message) => message,
                    Err(_) => {
                        unexpected!("transport: damaged frame");
                        return;
                    }
                } {
                    match PeerMessage::decode(&bytes) {
                        Ok(message) => self.dispatch(peer, &link, &handler, &in_service, message),
                        Err(_) => {
                            unexpected!("transport: message that cannot be read");
                            return;
                        }
                    }
                }
                match reader.read(&mut buf).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => {
                        heard.store(self.seam.clock.now().0, Ordering::Relaxed);
                        unframer.push(&buf[..count]);
                    }
                }
            }
        };

        let write = async {
            let mut bytes = Vec::new();
            let mut said = false;
            let mut timer = self.seam.clock.sleep(PING_EVERY);
            loop {
                let message = tokio::select! {
                    biased;
                    message = outgoing.recv() => match message {
                        Some(message) => message,
                        None => return,
                    },
                    () = &mut timer => {
                        timer = self.seam.clock.sleep(PING_EVERY);
                        let heard = tenet_seam::Moment(heard.load(Ordering::Relaxed));
                        if self.seam.clock.now().since(heard) > SILENCE_MAX {
                            mark!("transport: silent link closed");
                            return;
                        }
                        if std::mem::take(&mut said) {
                            continue;
                        }
                        PeerMessage::Ping
                    }
                };
                said = true;
                bytes.clear();
                put_frames(&message.encode(), &mut bytes);
                while bytes.len() < WRITE_BYTES
                    && let Ok(message) = outgoing.try_recv()
                {
                    put_frames(&message.encode(), &mut bytes);
                }
                if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                    return;
                }
            }
        };

        // A write that hangs must not keep a silent link alive (N2), so the silence is watched from here as well.
        let watch = async {
            loop {
                self.seam.sleep(SILENCE_MAX).await;
                let heard = tenet_seam::Moment(heard.load(Ordering::Relaxed));
                if self.seam.clock.now().since(heard) > SILENCE_MAX {
                    return;
                }
            }
        };

        tokio::select! {
            biased;
            () = read => {}
            () = write => {}
            () = watch => {}
            () = link.replaced.notified() => {}
        }
        close(&link);
        let mut links = self.links.lock().expect("no holder panics");
        if links.get(&peer).is_some_and(|current| current.id == link.id) {
            links.remove(&peer);
        }
    }

    fn dispatch(
        &self,
        peer: NodeId,
        link: &Link,
        handler: &Arc<dyn PeerHandler>,
        in_service: &Arc<Semaphore>,
        message: PeerMessage,
    ) {
        match message {
            PeerMessage::Raft(mail) => handler.on_raft(peer, mail),
            PeerMessage::StateHash { shard, index, hash } => handler.on_state_hash(peer, shard, index, hash),
            PeerMessage::Ping => {}
            PeerMessage::Answer { id, answer } => {
                let waiter = link.waiting.lock().expect("no holder panics").as_mut().and_then(|w| w.remove(&id));
                if let Some(waiter) = waiter
                    && waiter.send(answer).is_err()
                {
                    mark!("transport: answer to a caller that left");
                }
            }
            PeerMessage::Call { id, call } => {
                let Ok(permit) = in_service.clone().try_acquire_owned() else {
                    mark!("transport: call refused, too many in service");
                    // Without room even for that the caller waits in vain, as if the link had broken.
                    if link.queue.try_send(PeerMessage::Answer { id, answer: Answer::Refused }).is_err() {
                        mark!("transport: queue full, refusal dropped");
                        self.dropped.fetch_add(1, Ordering::Relaxed);
                    }
                    return;
                };
                let answer = handler.on_call(peer, call);
                let queue = link.queue.clone();
                self.seam.spawn("serve call", async move {
                    let answer = answer.await;
                    drop(permit);
                    if queue.send(PeerMessage::Answer { id, answer }).await.is_err() {
                        mark!("transport: answer to a link that broke");
                    }
                });
            }
        }
    }
}

/// Every waiting call learns that its link is lost; none can join.
fn close(link: &Link) {
    link.waiting.lock().expect("no holder panics").take();
}
