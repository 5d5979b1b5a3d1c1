//! The real thing: a node as production starts it, and the real Postgres driver at the other end of a simulated stream.

use std::collections::BTreeMap;
use std::sync::Arc;

use tenet_checker::promises::Promise;
use tenet_front::FrontOptions;
use tenet_node::{Node, NodeError, NodeOptions};
use tenet_raft::HardState;
use tenet_seam::{Address, Seam};
use tenet_shard::Observer;
use tenet_types::{LogIndex, NodeId, ReplicaId, ShardId, Term};
use tokio::sync::watch;

use crate::client::PgClient;
use crate::witness::Witness;
use crate::world::{Cast, NodeSettings, Refusal};

/// Who plays in worlds: the server and a driver, both unchanged.
pub fn cast() -> Cast {
    Cast {
        program: Arc::new(|seam, settings| Box::pin(start_node(seam, settings))),
        clients: Arc::new(|seam, nodes, first, database| Box::new(PgClient::new(seam, nodes, first, database))),
    }
}

/// As `tenet start` does it: first the clients' address, where they hear that the node is starting, then the node.
async fn start_node(seam: Seam, settings: NodeSettings) -> Result<(), Refusal> {
    let sql = seam.net.listen(&settings.sql).await.map_err(|error| Refusal::Other(error.to_string()))?;
    let (engine, slot) = watch::channel(None);
    let front = seam.spawn("sql", tenet_front::serve(seam.clone(), sql, slot, FrontOptions::default()));
    let node = match Node::start(seam.clone(), options(&settings)).await {
        Ok(node) => node,
        Err(error) => {
            front.abort();
            return Err(match error {
                NodeError::Lost { .. } => Refusal::Lost(error.to_string()),
                other => Refusal::Other(other.to_string()),
            });
        }
    };
    engine.send_replace(Some(node.engine()));
    seam.spawn("node", async move {
        // It lives as long as its process.
        let _node = node;
        std::future::pending::<()>().await;
    });
    Ok(())
}

fn options(settings: &NodeSettings) -> NodeOptions {
    let limits = &settings.limits;
    let peers: BTreeMap<NodeId, Address> =
        settings.peers.iter().map(|(number, address)| (NodeId(*number), address.clone())).collect();
    let ear = Ear { node: settings.number, witness: settings.witness.clone() };
    let mut options =
        NodeOptions { node: NodeId(settings.number), peers, observer: Some(Arc::new(ear)), ..NodeOptions::single() };
    options.limits.tick = std::time::Duration::from_millis(limits.tick_ms);
    options.limits.election_ticks = limits.election_ticks;
    options.limits.append_entries_max = limits.append_entries_max;
    options.limits.window_sets_max = limits.window_sets_max;
    options.limits.cache_bytes_max = limits.cache_bytes_max;
    options.limits.checkpoint_bytes = limits.checkpoint_bytes;
    options.limits.checkpoint_ticks = limits.checkpoint_ticks;
    options.limits.log_tail_entries = limits.log_tail_entries;
    options.limits.snapshot_piece_bytes = limits.snapshot_piece_bytes;
    options.limits.appends_in_flight_max = limits.appends_in_flight_max;
    options.limits.apply_bytes_max = limits.apply_bytes;
    options.limits.window_bytes_max = limits.window_bytes;
    options.limits.batch_bytes = limits.batch_bytes;
    options.limits.page_bytes = limits.page_bytes;
    options.wal.segment_bytes = limits.segment_bytes;
    options.wal.cache_bytes = limits.wal_cache_bytes;
    options.pool.stores_max = limits.stores_max;
    options.pool.cache_bytes = limits.store_cache_bytes;
    options
}

/// Hears what each replica of a node does.
struct Ear {
    node: u64,
    witness: Arc<Witness>,
}

impl Observer for Ear {
    fn applied(&self, shard: ShardId, _: ReplicaId, index: LogIndex, hash: [u8; 32]) {
        self.witness.applied(self.node, shard.0, index.0, hash);
    }

    fn elected(&self, shard: ShardId, _: ReplicaId, term: Term) {
        self.witness.elected(self.node, shard.0, term.0);
    }

    fn promised(&self, shard: ShardId, _: ReplicaId, hard_state: HardState) {
        self.witness.promised(self.node, shard.0, promise(hard_state));
    }

    fn restored(&self, shard: ShardId, _: ReplicaId, hard_state: HardState) {
        self.witness.restored(self.node, shard.0, promise(hard_state));
    }
}

fn promise(hard_state: HardState) -> Promise {
    Promise { term: hard_state.term.0, vote: hard_state.vote.map(|replica| replica.0) }
}
