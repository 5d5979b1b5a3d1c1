//! A node's shards as others see them: the requests of gateways, near and far, and the mail of peers.
//!
//! ```text
//!  ShardClient ──▶ route ──▶ here: host (commit, read index) and store (rows)
//!                    └────▶ there: a call over the transport, served the same way
//! ```
//!
//! Invariants
//!  G1  A commit is sent again only after an answer, or the absence of a connection, proves that it was not proposed.
//!  G2  Rows are read at a granted snapshot only: a read index just confirmed, or a timestamp that this replica has applied.
//!  G3  A read is bounded in rows, bytes and keys before it reaches a store.
//!  G4  A shard that was dropped is told to be gone at once, and stays so whatever is learned of it later.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use tenet_seam::{Random, Seam};
use tenet_store::{ScanLimit, StoreError, StorePool};
use tenet_types::{Key, LogIndex, NodeId, ShardId, Span, Timestamp, mark, unexpected};
use tokio::sync::oneshot;

use crate::client::{CommitRequest, GetReply, ReadAt, Request, Response, ScanReply, ShardClient, ShardError, Target};
use crate::host::{HostHandle, HostInput, RaftNetwork, SnapshotOffer};
use crate::snapshot::{Incoming, Outgoing};
use crate::transport::{CallError, PeerHandler, Transport};
use crate::view::{Descriptor, Limits};
use crate::wire::{Answer, Call, PeerMessage, RaftMail};

/// How long a gateway looks for a leader before it says that there is none.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long one read may take on one node before another is asked.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a gateway waits for the outcome of a commit before it says that it does not know.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause between two attempts, in milliseconds, plus a random time below as much again.
const PAUSE_MS: u64 = 10;
const PAUSE_MS_MAX: u64 = 160;

/// So many keys are read at once, in place; more on a thread of their own.
const BRIEF_KEYS_MAX: usize = 4;

/// The shards of one node, and the ways to all others.
pub struct Shards {
    seam: Seam,
    me: NodeId,
    host: HostHandle,
    pool: Arc<StorePool>,
    transport: Arc<Transport>,
    incoming: Incoming,
    page_max: ScanLimit,
    /// None: dropped, and never to come back (G4).
    map: Mutex<BTreeMap<ShardId, Option<Descriptor>>>,
    luck: Mutex<Random>,
}

/// The host's network: mail by the transport, snapshots by streams of calls.
pub struct PeerNetwork {
    pub seam: Seam,
    pub transport: Arc<Transport>,
    pub pool: Arc<StorePool>,
    pub outgoing: Arc<Outgoing>,
}

impl RaftNetwork for PeerNetwork {
    fn send(&self, to: NodeId, message: PeerMessage) {
        self.transport.send(to, message);
    }

    fn send_snapshot(&self, offer: SnapshotOffer) {
        self.outgoing.start(&self.seam, self.transport.clone(), self.pool.clone(), offer);
    }

    fn snapshot_floor(&self, shard: ShardId) -> Option<LogIndex> {
        self.outgoing.floor(shard)
    }
}

impl Shards {
    pub fn new(
        seam: &Seam,
        me: NodeId,
        host: HostHandle,
        pool: Arc<StorePool>,
        transport: Arc<Transport>,
        limits: &Limits,
    ) -> Arc<Shards> {
        Arc::new(Shards {
            seam: seam.clone(),
            me,
            host,
            pool: pool.clone(),
            transport,
            incoming: Incoming::new(seam.clone(), pool),
            page_max: ScanLimit { rows: limits.page_rows, bytes: limits.page_bytes },
            map: Mutex::new(BTreeMap::new()),
            luck: Mutex::new(seam.random("gateway")),
        })
    }

    pub fn host(&self) -> &HostHandle {
        &self.host
    }

    /// Where a shard's replicas are. Routes are hints: the shard itself checks what it is asked.
    pub fn learn(&self, descriptor: Descriptor) {
        let mut map = self.map.lock().expect("no holder panics");
        if map.get(&descriptor.shard) != Some(&None) {
            map.insert(descriptor.shard, Some(descriptor));
        }
    }

    /// The shard was dropped: requests for it are refused from now on, here and by whoever asks this node.
    pub fn forget(&self, shard: ShardId) {
        self.map.lock().expect("no holder panics").insert(shard, None);
    }

    fn is_dropped(&self, shard: ShardId) -> bool {
        self.map.lock().expect("no holder panics").get(&shard).is_some_and(Option::is_none)
    }

    /// Does what is asked, here; `NotLeader` if it must be asked elsewhere.
    async fn serve(&self, target: Target, request: Request) -> Response {
        if self.is_dropped(target.shard) {
            return Response::Error(ShardError::Gone);
        }
        match request {
            Request::Get { at, keys } => match self.grant(&target, at).await {
                Ok(at) => self.get_rows(target.shard, at, keys).await,
                Err(response) => response,
            },
            Request::Scan { at, span, limit_bytes, limit_rows } => match self.grant(&target, at).await {
                Ok(at) => self.scan_rows(target.shard, at, span, limit_bytes, limit_rows).await,
                Err(response) => response,
            },
            Request::Commit(commit) => {
                let (answer, response) = oneshot::channel();
                self.host.give(HostInput::Commit { target, commit, answer }).await;
                // The host went away with the proposal: it may have been appended.
                response.await.unwrap_or(Response::Error(ShardError::Unknown))
            }
        }
    }

    /// The snapshot to read at (G2).
    async fn grant(&self, target: &Target, at: ReadAt) -> Result<Timestamp, Response> {
        let nowhere = Response::NotLeader { leader: None };
        match at {
            // The catalog was checked when the snapshot was taken; it cannot have changed at that timestamp.
            ReadAt::Snapshot(at) => self
                .host
                .views
                .with(target.shard, |view| {
                    view.descriptor.check(target)?;
                    if at < view.meta.gc_threshold {
                        return Err(Response::Error(ShardError::BelowGc));
                    }
                    if view.meta.timestamp < at {
                        mark!("shard: snapshot read on a replica that is behind");
                        return Err(Response::NotLeader { leader: view.leader });
                    }
                    Ok(at)
                })
                .unwrap_or(Err(nowhere)),
            ReadAt::Latest => {
                let (answer, granted) = oneshot::channel();
                self.host.give(HostInput::Read { target: *target, answer }).await;
                let grant = granted.await.unwrap_or(Err(nowhere))?;
                match target.catalog {
                    Some(catalog) if catalog != grant.catalog => Err(Response::Error(ShardError::CatalogChanged)),
                    _ => Ok(grant.at),
                }
            }
        }
    }

    async fn get_rows(&self, shard: ShardId, at: Timestamp, keys: Vec<Key>) -> Response {
        let pool = self.pool.clone();
        let few = keys.len() <= BRIEF_KEYS_MAX;
        let bytes_max = self.page_max.bytes;
        let read = move || {
            let store = pool.get(shard)?;
            let (mut values, mut bytes) = (Vec::new(), 0);
            for key in &keys {
                let value = store.get(key, at)?.map(|(_, value)| value);
                bytes += value.as_ref().map_or(0, Vec::len);
                values.push(value);
                if bytes >= bytes_max {
                    mark!("shard: a read by keys in several pieces");
                    break;
                }
            }
            Ok::<_, StoreError>(values)
        };
        let values = if few { self.seam.brief(read).await } else { self.seam.blocking(read).await };
        match values {
            Ok(values) => Response::Get(GetReply { at, values }),
            Err(error) => self.unreadable(shard, error).await,
        }
    }

    async fn scan_rows(
        &self,
        shard: ShardId,
        at: Timestamp,
        span: Span,
        limit_bytes: usize,
        limit_rows: usize,
    ) -> Response {
        let pool = self.pool.clone();
        let ScanLimit { rows, bytes } = self.page_max;
        let limit = ScanLimit { rows: limit_rows.clamp(1, rows), bytes: limit_bytes.clamp(1, bytes) };
        let read = move || pool.get(shard)?.scan(&span, at, limit);
        match self.seam.blocking(read).await {
            Ok(page) => Response::Scan(ScanReply { at, rows: page.rows, resume: page.resume }),
            Err(error) => self.unreadable(shard, error).await,
        }
    }

    /// A read failed. Damage is told to whoever asked; a disk that fails ends the node as a failed write does (opening a store
    /// on the way to a read may write, and what it then holds is unknown).
    async fn unreadable(&self, shard: ShardId, error: StoreError) -> Response {
        match error {
            StoreError::Damaged { .. } => Response::Error(ShardError::Damaged(error.to_string())),
            StoreError::BelowGc { .. } => Response::Error(ShardError::BelowGc),
            // The shard was dropped between the grant and the read.
            StoreError::Missing { .. } | StoreError::Dead { .. } if self.host.views.get(shard).is_none() => {
                Response::NotLeader { leader: None }
            }
            error => match self.seam.halt(format!("{shard} cannot be read: {error}")).await {},
        }
    }

    /// Asks one node once.
    async fn ask(&self, node: NodeId, target: Target, request: Request) -> Result<Response, CallError> {
        if node == self.me {
            return Ok(self.serve(target, request).await);
        }
        match self.transport.call(node, Call::Shard(target, request)).await? {
            Answer::Shard(response) => Ok(response),
            Answer::Snapshot { .. } | Answer::Refused => Err(CallError::Lost),
        }
    }

    /// Finds who can do it, and has it done.
    async fn route(&self, target: Target, request: Request) -> Result<Response, ShardError> {
        let started = self.seam.clock.now();
        let commit = matches!(request, Request::Commit(_));
        let timeout = if commit { COMMIT_TIMEOUT } else { READ_TIMEOUT };
        let mut hint = self.first_choice(&target, &request);
        let mut pause_ms = PAUSE_MS;
        for attempt in 0.. {
            let nodes: Vec<NodeId> = match self.map.lock().expect("no holder panics").get(&target.shard) {
                Some(Some(descriptor)) => descriptor.replicas.iter().map(|(node, _)| *node).collect(),
                Some(None) | None => return Err(ShardError::Gone),
            };
            let node = hint.take().unwrap_or_else(|| nodes[attempt % nodes.len()]);
            let mut refused = false;
            match self.seam.timeout(timeout, self.ask(node, target, request.clone())).await {
                Ok(Ok(Response::NotLeader { leader })) => {
                    hint = leader.filter(|leader| nodes.contains(leader));
                }
                Ok(Ok(Response::Error(error))) => return Err(error),
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(CallError::NotSent)) => {}
                Ok(Err(CallError::Refused)) => {
                    mark!("gateway: asked again of a node that has too many calls");
                    (hint, refused) = (self.first_choice(&target, &request), true);
                }
                Ok(Err(CallError::Lost)) | Err(_) if commit => {
                    mark!("gateway: commit without an answer");
                    return Err(ShardError::Unknown);
                }
                Ok(Err(CallError::Lost)) | Err(_) => mark!("gateway: read without an answer"),
            }
            let waited = self.seam.clock.now().since(started);
            if waited > PATIENCE && refused {
                return Err(ShardError::Busy);
            }
            if waited > PATIENCE {
                return Err(ShardError::Unavailable(format!(
                    "no leader of {} found in {} s",
                    target.shard,
                    waited.as_secs()
                )));
            }
            let jitter = self.luck.lock().expect("no holder panics").below(pause_ms);
            self.seam.sleep(Duration::from_millis(pause_ms + jitter)).await;
            pause_ms = (pause_ms * 2).min(PAUSE_MS_MAX);
        }
        unreachable!("attempts end by time")
    }

    fn first_choice(&self, target: &Target, request: &Request) -> Option<NodeId> {
        self.host.views.with(target.shard, |view| match request {
            Request::Get { at: ReadAt::Snapshot(at), .. } | Request::Scan { at: ReadAt::Snapshot(at), .. }
                if *at <= view.meta.timestamp =>
            {
                Some(self.me)
            }
            _ if view.leading => Some(self.me),
            _ => view.leader,
        })?
    }
}

#[async_trait]
impl ShardClient for Shards {
    async fn get(&self, target: Target, at: ReadAt, keys: Vec<Key>) -> Result<GetReply, ShardError> {
        let (mut at, mut left, mut values) = (at, keys, Vec::new());
        loop {
            let reply = match self.route(target, Request::Get { at, keys: left.clone() }).await? {
                Response::Get(reply) if (1..=left.len()).contains(&reply.values.len()) || left.is_empty() => reply,
                other => return Err(astray(&other)),
            };
            left.drain(..reply.values.len());
            values.extend(reply.values);
            if left.is_empty() {
                return Ok(GetReply { at: reply.at, values });
            }
            // The rest, at the same moment.
            at = ReadAt::Snapshot(reply.at);
        }
    }

    async fn scan(
        &self,
        target: Target,
        at: ReadAt,
        span: Span,
        limit_bytes: usize,
        limit_rows: usize,
    ) -> Result<ScanReply, ShardError> {
        match self.route(target, Request::Scan { at, span, limit_bytes, limit_rows }).await? {
            Response::Scan(reply) => Ok(reply),
            other => Err(astray(&other)),
        }
    }

    async fn commit(&self, target: Target, commit: CommitRequest) -> Result<Timestamp, ShardError> {
        match self.route(target, Request::Commit(commit)).await? {
            Response::Commit(at) => Ok(at),
            Response::Get(_) | Response::Scan(_) | Response::NotLeader { .. } | Response::Error(_) => {
                unexpected!("gateway: a commit was answered with something else");
                Err(ShardError::Unknown)
            }
        }
    }
}

fn astray(response: &Response) -> ShardError {
    ShardError::Damaged(format!("a shard answered with something else: {response:?}"))
}

/// What peers reach of a node.
pub struct PeerDesk(pub Arc<Shards>);

impl PeerHandler for PeerDesk {
    fn on_raft(&self, _from: NodeId, mail: RaftMail) {
        self.0.host.offer(HostInput::Mail(mail));
    }

    fn on_state_hash(&self, from: NodeId, shard: ShardId, index: LogIndex, hash: [u8; 32]) {
        self.0.host.offer(HostInput::StateHash { from, shard, index, hash });
    }

    fn on_call(&self, from: NodeId, call: Call) -> BoxFuture<'static, Answer> {
        let shards = self.0.clone();
        Box::pin(async move {
            match call {
                Call::Shard(target, request) => Answer::Shard(shards.serve(target, request).await),
                Call::Snapshot(piece) => {
                    let go_on = shards.incoming.receive(&shards.host, from, piece).await;
                    Answer::Snapshot { go_on }
                }
            }
        })
    }
}
