//! Snapshots on their way: a leader streams a store to a follower that is behind its log.
//!
//! A piece is a call, so that the receiver sets the pace. The view is stable without a held read transaction: everything up to
//! one timestamp, resumed by key. The receiver writes into a file beside its store; only when the last piece is there does raft
//! hear of it, and only raft decides to put it in place.
//!
//! Invariants
//!  X1  One incoming snapshot per shard, also while it waits to be installed (its [`Staged::guard`] lives).
//!  X2  Pieces of one stream are written in order; a gap, another sender or another term ends the stream, and so does a snapshot
//!      that is whole and wrong: what raft decides to put in place can be put there.
//!  X3  While a snapshot is on its way its sender keeps the log that comes after it: else the receiver would need another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tenet_seam::Seam;
use tenet_store::{Import, Meta, StorePool};
use tenet_types::{LogIndex, NodeId, ReplicaId, ShardId, Term, mark, unexpected};

use crate::host::{HostHandle, HostInput, SnapshotOffer};
use crate::storage::Staged;
use crate::transport::{CallError, Transport};
use crate::wire::{Answer, Call, SnapshotPiece};

/// A piece that is not answered within this time ends the stream; the leader offers another.
const PIECE_TIMEOUT: Duration = Duration::from_secs(10);

/// A stream that has ended well holds on to the log for so long, until its receiver has asked for what comes after it.
const GRACE: Duration = Duration::from_secs(2);

/// Streams that this node sends, with the entry at which each ends.
#[derive(Default)]
pub struct Outgoing(Mutex<BTreeMap<(ShardId, ReplicaId), LogIndex>>);

impl Outgoing {
    /// Streams a snapshot in the background, unless one is on its way to that replica.
    pub fn start(self: &Arc<Self>, seam: &Seam, transport: Arc<Transport>, pool: Arc<StorePool>, offer: SnapshotOffer) {
        let key = (offer.shard, offer.to);
        {
            let mut streams = self.0.lock().expect("no holder panics");
            if streams.contains_key(&key) {
                return;
            }
            // Where it ends is known when its store is open; until then nothing is cut.
            streams.insert(key, LogIndex::ZERO);
        }
        let outgoing = self.clone();
        let inner = seam.clone();
        seam.spawn("snapshot", async move {
            match outgoing.stream(&inner, &transport, pool, &offer).await {
                Ok(bytes) => {
                    tracing::info!(shard = %offer.shard, to = %offer.node, bytes, "snapshot sent");
                    inner.sleep(GRACE).await;
                }
                Err(why) => tracing::info!(shard = %offer.shard, to = %offer.node, why, "snapshot not sent"),
            }
            outgoing.0.lock().expect("no holder panics").remove(&key);
        });
    }

    /// The entry after which the log of a shard must be kept, because a snapshot that ends there is on its way.
    pub fn floor(&self, shard: ShardId) -> Option<LogIndex> {
        let streams = self.0.lock().expect("no holder panics");
        streams.range((shard, ReplicaId(0))..=(shard, ReplicaId(u64::MAX))).map(|(_, index)| *index).min()
    }

    async fn stream(
        &self,
        seam: &Seam,
        transport: &Transport,
        pool: Arc<StorePool>,
        offer: &SnapshotOffer,
    ) -> Result<u64, &'static str> {
        let (shard, piece_bytes) = (offer.shard, offer.piece_bytes);
        let opened = seam.blocking(move || pool.get(shard).map(|store| (store.meta(), store))).await;
        let (meta, store) = opened.map_err(|_| "the store cannot be opened")?;
        self.0.lock().expect("no holder panics").insert((shard, offer.to), meta.applied);
        let encoded = meta.encode();
        let (mut resume, mut bytes) = (None, 0);
        for sequence in 0.. {
            let (store, at, from) = (store.clone(), meta.clone(), resume.take());
            let chunk = seam
                .blocking(move || store.export(&at, from, piece_bytes))
                .await
                .map_err(|_| "the store cannot be read")?;
            resume = chunk.resume;
            bytes += chunk.bytes.len() as u64;
            let piece = SnapshotPiece {
                shard,
                from: offer.from,
                to: offer.to,
                term: offer.term,
                meta: encoded.clone(),
                sequence,
                bytes: chunk.bytes,
                last: resume.is_none(),
            };
            match seam.timeout(PIECE_TIMEOUT, transport.call(offer.node, Call::Snapshot(piece))).await {
                Ok(Ok(Answer::Snapshot { go_on: true })) => {}
                Ok(Ok(_)) => return Err("the receiver declined"),
                Ok(Err(CallError::Refused)) => return Err("the receiver has too many calls in service"),
                Ok(Err(CallError::NotSent | CallError::Lost)) => return Err("the connection broke"),
                Err(_) => return Err("the receiver is silent"),
            }
            if resume.is_none() {
                break;
            }
            mark!("snapshot: more than one piece");
        }
        Ok(bytes)
    }
}

struct Stream {
    node: NodeId,
    from: ReplicaId,
    term: Term,
    meta: Vec<u8>,
    next: u64,
    import: Import,
}

enum Slot {
    /// A piece is being written.
    Busy,
    Waiting(Box<Stream>),
    /// Handed to the host.
    Staged(Weak<()>),
}

/// Streams that this node receives.
pub struct Incoming {
    seam: Seam,
    pool: Arc<StorePool>,
    slots: Mutex<BTreeMap<ShardId, Slot>>,
}

impl Incoming {
    pub fn new(seam: Seam, pool: Arc<StorePool>) -> Incoming {
        Incoming { seam, pool, slots: Mutex::new(BTreeMap::new()) }
    }

    /// Takes one piece; true if the next one is wanted (or this was the last and it is complete).
    pub async fn receive(&self, host: &HostHandle, node: NodeId, piece: SnapshotPiece) -> bool {
        let shard = piece.shard;
        if host.views.with(shard, |view| view.me != piece.to || view.leading).unwrap_or(true) {
            mark!("snapshot: piece for a replica that is not here");
            return false;
        }
        let Ok(meta) = Meta::decode(&piece.meta) else {
            unexpected!("snapshot: meta that cannot be read");
            return false;
        };
        let Some(stream) = self.claim(node, &piece) else { return false };
        let pool = self.pool.clone();
        let (bytes, last, meta_of_last) = (piece.bytes, piece.last, meta.clone());
        let written = self
            .seam
            .blocking(move || {
                let mut import = match stream {
                    Some(stream) => stream.import,
                    None => pool.begin_import(shard)?,
                };
                import.push(&bytes)?;
                if last {
                    import.check(&meta_of_last)?;
                }
                Ok::<Import, tenet_store::StoreError>(import)
            })
            .await;
        let import = match written {
            Ok(import) => import,
            Err(error) => {
                mark!("snapshot: refused");
                tracing::warn!(%shard, from = %node, %error, "incoming snapshot refused");
                self.slots.lock().expect("no holder panics").remove(&shard);
                return false;
            }
        };
        if !last {
            let next = piece.sequence + 1;
            let stream = Stream { node, from: piece.from, term: piece.term, meta: piece.meta, next, import };
            self.slots.lock().expect("no holder panics").insert(shard, Slot::Waiting(Box::new(stream)));
            return true;
        }
        let guard = Arc::new(());
        self.slots.lock().expect("no holder panics").insert(shard, Slot::Staged(Arc::downgrade(&guard)));
        let staged = Staged { shard, import, meta, guard };
        host.give(HostInput::SnapshotStaged { from: piece.from, to: piece.to, term: piece.term, staged }).await;
        true
    }

    /// The stream that this piece continues (`Some(None)`: it begins one), which is then busy; `None` if it fits nowhere.
    fn claim(&self, node: NodeId, piece: &SnapshotPiece) -> Option<Option<Box<Stream>>> {
        let mut slots = self.slots.lock().expect("no holder panics");
        let claimed = match slots.remove(&piece.shard) {
            Some(Slot::Busy) => {
                slots.insert(piece.shard, Slot::Busy);
                mark!("snapshot: piece while another is written");
                return None;
            }
            Some(Slot::Staged(guard)) if guard.strong_count() > 0 => {
                slots.insert(piece.shard, Slot::Staged(guard));
                mark!("snapshot: piece while one waits to be installed");
                return None;
            }
            Some(Slot::Waiting(stream)) if piece.sequence > 0 => {
                let theirs = (node, piece.from, piece.term, &piece.meta, piece.sequence);
                if (stream.node, stream.from, stream.term, &stream.meta, stream.next) != theirs {
                    mark!("snapshot: piece of another stream");
                    return None;
                }
                Some(stream)
            }
            _ if piece.sequence == 0 => None,
            _ => return None,
        };
        slots.insert(piece.shard, Slot::Busy);
        Some(claimed)
    }
}
