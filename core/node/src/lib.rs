//! What runs on one machine: identity, connections, log, stores, replicas, the map, and the SQL engine on top.
//!
//! ```text
//!   identity ──▶ handshakes ──▶ member of a cluster ──▶ wal + stores ──▶ host loop ──▶ system shard
//!                                                                                         │ map
//!                                            engine (SQL) ◀── databases ◀── reconcile ◀───┘
//! ```
//! `server` and `sim` call [`Node::start`] with their seam and then let `core/front` and [`serve_admin`] listen: this is all
//! that differs between production and simulation.

mod admin;
mod handshake;
mod identity;
mod map;
mod peers;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use tenet_seam::{Address, Seam};
use tenet_shard::{
    DiskStorage, HostInput, HostOptions, Limits, Observer, Outgoing, PeerDesk, PeerNetwork, RaftStorage, Shards,
    StorageError, Transport, start_host,
};
use tenet_sql::{Engine, EngineOptions};
use tenet_store::{PoolOptions, StoreError, StorePool};
use tenet_types::{ClusterId, Incarnation, NodeId, ShardId, mark};
use tenet_wal::{Wal, WalError, WalOptions, WalStats};
use tokio::sync::oneshot;

pub use admin::serve_admin;
use identity::{Identity, Membership};
use map::{Map, system_descriptor};
use peers::{Peers, Standing};

/// The log's folder in the data folder.
const WAL_FOLDER: &str = "wal";

/// How a node is started.
#[derive(Clone)]
pub struct NodeOptions {
    pub node: NodeId,
    /// All members, this node too, and where each listens for peers. Empty: a cluster of one.
    pub peers: BTreeMap<NodeId, Address>,
    /// Where this node listens for peers; its address in `peers` unless said.
    pub peer_listen: Option<Address>,
    pub limits: Limits,
    pub wal: WalOptions,
    pub pool: PoolOptions,
    pub engine: EngineOptions,
    /// Nothing in production.
    pub observer: Option<Arc<dyn Observer>>,
}

impl NodeOptions {
    /// A single node with the usual bounds.
    pub fn single() -> NodeOptions {
        NodeOptions {
            node: NodeId(1),
            peers: BTreeMap::new(),
            peer_listen: None,
            limits: Limits::default(),
            wal: WalOptions::default(),
            pool: PoolOptions::default(),
            engine: EngineOptions::default(),
            observer: None,
        }
    }
}

/// Why a node does not start. Each says what, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("cannot {what} \"{path}\" in the data folder: {source}")]
    Io { what: &'static str, path: String, source: io::Error },
    #[error("cannot listen for peers on {address}: {source}; choose another address with --peer-listen")]
    Listen { address: Address, source: io::Error },
    #[error("the data folder has format {found}, this program reads format 1; use the program that wrote it")]
    Version { found: String },
    #[error("{what}; {remedy}")]
    Damaged { what: String, remedy: &'static str },
    #[error(
        "the data folder belongs to node {found}, this is started as node {given}; use --node {found}, or another folder"
    )]
    OtherNode { found: u64, given: u64 },
    #[error(
        "the data folder belongs to a cluster of nodes {found}, --peers lists {given}; list the same nodes, or use another folder"
    )]
    OtherCluster { found: String, given: String },
    #[error("--peers does not list node {0} itself; add it")]
    NotListed(u64),
    #[error(
        "node {node} lost its data folder (node {by} knows it under another incarnation); replace it: restore the old folder, or add a new node under a new number"
    )]
    Lost { node: u64, by: u64 },
    #[error(transparent)]
    Wal(#[from] WalError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A running node.
pub struct Node {
    seam: Seam,
    id: NodeId,
    cluster: ClusterId,
    wal: Arc<Wal>,
    pool: Arc<StorePool>,
    transport: Arc<Transport>,
    shards: Arc<Shards>,
    engine: Arc<Engine>,
}

impl Node {
    /// Starts everything; ready when the node is a member and its replica of the system shard is open. Waits for the other
    /// founding members for as long as it takes.
    pub async fn start(seam: Seam, options: NodeOptions) -> Result<Arc<Node>, NodeError> {
        let mut listed: Vec<NodeId> = options.peers.keys().copied().collect();
        if listed.is_empty() {
            listed.push(options.node);
        }
        if !listed.contains(&options.node) {
            return Err(NodeError::NotListed(options.node.0));
        }
        let identity = own_identity(&seam, options.node, &listed).await?;
        let transport = Transport::new(seam.clone());
        let peers = Peers::new(&seam, identity.clone(), listed.clone(), transport.clone());
        if listed.len() > 1 {
            let address = options.peer_listen.clone().unwrap_or_else(|| options.peers[&options.node].clone());
            let listener = seam
                .net
                .listen(&address)
                .await
                .map_err(|source| NodeError::Listen { address: address.clone(), source })?;
            peers.start(listener, &options.peers);
        }
        let (wal, membership) = join(&seam, &options, &identity, &peers).await?;

        let pool = Arc::new(StorePool::new(seam.disk.clone(), options.pool.clone()));
        let storage: Arc<dyn RaftStorage> = Arc::new(DiskStorage { wal: wal.clone(), pool: pool.clone() });
        let network = PeerNetwork {
            seam: seam.clone(),
            transport: transport.clone(),
            pool: pool.clone(),
            outgoing: Arc::new(Outgoing::default()),
        };
        let host = start_host(
            &seam,
            HostOptions {
                node: options.node,
                limits: options.limits.clone(),
                storage,
                network: Arc::new(network),
                observer: options.observer,
            },
        );
        let shards = Shards::new(&seam, options.node, host.clone(), pool.clone(), transport.clone(), &options.limits);
        transport.set_handler(Arc::new(PeerDesk(shards.clone())));

        let system = system_descriptor(membership.members.keys().copied());
        shards.learn(system.clone());
        let (done, opened) = oneshot::channel();
        host.give(HostInput::Open { descriptor: system, done }).await;
        if opened.await.is_err() {
            // The host could not open it and is ending the node; it has said why.
            std::future::pending::<()>().await;
        }
        let cluster = membership.cluster;
        let members = membership.members.keys().copied().collect();
        peers.joined(membership);

        let map = Map::new(&seam, shards.clone(), pool.clone(), members);
        seam.spawn("reconcile", map.clone().reconcile_forever());
        let engine = Engine::new(seam.clone(), shards.clone(), map, options.engine);
        tracing::info!(node = options.node.0, %cluster, "node is up");
        Ok(Arc::new(Node { seam, id: options.node, cluster, wal, pool, transport, shards, engine }))
    }

    pub fn id(&self) -> NodeId {
        self.id
    }

    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// What speaks SQL.
    pub fn engine(&self) -> Arc<Engine> {
        self.engine.clone()
    }

    /// The replicas of this node, and the ways to all others.
    pub fn shards(&self) -> &Arc<Shards> {
        &self.shards
    }

    /// Other nodes with a live connection.
    pub fn connected(&self) -> Vec<NodeId> {
        self.transport.connected()
    }

    pub fn wal_stats(&self) -> WalStats {
        self.wal.stats()
    }

    /// Ends the replicas, and makes everything durable, so that the next start has little to replay. Nothing depends on it. First
    /// the host: what it applied beside the closing of a store would open its file a second time.
    pub async fn stop(&self) -> Result<(), NodeError> {
        let (done, stopped) = oneshot::channel();
        self.shards.host().give(HostInput::Stop { done }).await;
        if stopped.await.is_err() {
            mark!("node: stopped twice");
        }
        let (wal, pool) = (self.wal.clone(), self.pool.clone());
        self.seam
            .blocking(move || {
                pool.close()?;
                wal.seal()?;
                Ok(())
            })
            .await
    }
}

/// The folder's identity; in an empty folder a new one is drawn and written.
async fn own_identity(seam: &Seam, node: NodeId, listed: &[NodeId]) -> Result<Identity, NodeError> {
    let disk = seam.disk.clone();
    let incarnation = Incarnation(seam.random("incarnation").next_u128());
    let listed = listed.to_vec();
    seam.blocking(move || {
        let Some(identity) = identity::load(&*disk)? else {
            let io = |source| NodeError::Io { what: "list", path: String::new(), source };
            let names = disk.list("").map_err(io)?;
            if names.iter().any(|name| name == WAL_FOLDER || name == "shards") {
                return Err(NodeError::Damaged {
                    what: "the data folder holds data, but its file \"identity\" is missing".into(),
                    remedy: "restore the file from a copy, or replace this node",
                });
            }
            let identity = Identity { node, incarnation, membership: None };
            identity::store(&*disk, &identity)?;
            return Ok(identity);
        };
        if identity.node != node {
            return Err(NodeError::OtherNode { found: identity.node.0, given: node.0 });
        }
        if let Some(membership) = &identity.membership {
            let members: Vec<NodeId> = membership.members.keys().copied().collect();
            if members != listed {
                let text = |nodes: &[NodeId]| nodes.iter().map(|n| n.0.to_string()).collect::<Vec<_>>().join(", ");
                return Err(NodeError::OtherCluster { found: text(&members), given: text(&listed) });
            }
        }
        Ok(identity)
    })
    .await
}

/// Opens the log of a member, or waits until the founding members have met.
async fn join(
    seam: &Seam,
    options: &NodeOptions,
    identity: &Identity,
    peers: &Peers,
) -> Result<(Arc<Wal>, Membership), NodeError> {
    let salt = seam.random("wal salt").next_u64();
    let (disk, wal_options) = (seam.disk.clone(), WalOptions { salt, ..options.wal });
    if let Some(membership) = &identity.membership {
        let wal = seam.blocking(move || Wal::open(disk, WAL_FOLDER, wal_options)).await?;
        if wal.group(ShardId::SYSTEM).is_none() {
            // The log was made before the membership was written (I1).
            return Err(NodeError::Damaged {
                what: "the log does not know the system shard, which every member has".into(),
                remedy: "restore the folder \"wal\" from a copy of the same moment, or replace this node",
            });
        }
        return Ok((Arc::new(wal), membership.clone()));
    }
    let membership = if options.peers.len() <= 1 {
        let cluster = ClusterId(seam.random("cluster id").next_u128());
        Membership { cluster, members: BTreeMap::from([(identity.node, identity.incarnation)]) }
    } else {
        let others = options.peers.keys().filter(|node| **node != identity.node).map(|node| node.0.to_string());
        let others = others.collect::<Vec<_>>().join(", ");
        tracing::info!(others, "a new cluster: waiting until all its nodes have met");
        let mut standing = peers.standing();
        loop {
            let now = standing.borrow_and_update().clone();
            match now {
                Standing::Chosen(membership) => break membership,
                Standing::Lost { by } => return Err(NodeError::Lost { node: identity.node.0, by: by.0 }),
                Standing::Alone | Standing::Member => {}
            }
            standing.changed().await.expect("peers live as long as the node");
        }
    };
    let identity = Identity { membership: Some(membership.clone()), ..identity.clone() };
    let replica = system_descriptor([identity.node].into_iter()).replicas[0].1;
    let wal = seam
        .blocking(move || {
            let wal = Wal::open(disk.clone(), WAL_FOLDER, wal_options)?;
            if wal.group(ShardId::SYSTEM).is_none() {
                let change = tenet_wal::Change { create: Some(replica), ..Default::default() };
                wal.append(tenet_wal::Batch { groups: vec![(ShardId::SYSTEM, change)] })?;
            }
            identity::store(&*disk, &identity)?;
            Ok::<Wal, NodeError>(wal)
        })
        .await?;
    Ok((Arc::new(wal), membership))
}
