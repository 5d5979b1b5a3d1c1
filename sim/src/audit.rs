//! What is on the disks when a world is over: every node's stores, opened after a last loss of power, and held together row by row.
//!
//! Nobody's word is taken for it: an auditor boots on each machine in the node's place and reads the files. What a crash left of a store
//! ends somewhere, so replicas are compared as of the earliest of their ends, which all of them have passed (T2 of `tenet-store`).

use std::collections::BTreeMap;
use std::sync::Arc;

use tenet_checker::Verdict;
use tenet_checker::replica_rows::{ReplicaRows, Row};
use tenet_seam::Seam;
use tenet_store::{PoolOptions, ScanLimit, Store, StoreError, StorePool};
use tenet_types::{Key, ShardId, Span, Timestamp};

use crate::boot::Machine;
use crate::world::seam_of;

/// For one page of a scan.
const PAGE: ScanLimit = ScanLimit { rows: 1_024, bytes: 1 << 20 };

/// What an audit came to.
#[derive(Clone, Debug)]
pub struct Audit {
    pub verdict: Verdict,
    /// Stores that were compared with another node's.
    pub stores: u64,
    /// Rows that were.
    pub rows: u64,
}

/// One node's open stores.
struct Holdings {
    name: String,
    seam: Seam,
    stores: BTreeMap<ShardId, Arc<Store>>,
}

/// Audits machines that are down, and stay so but for this.
pub async fn audit(machines: &[Arc<Machine>]) -> Audit {
    let mut oracle = ReplicaRows::default();
    let mut all = Vec::new();
    for machine in machines {
        let seam = seam_of(machine).await;
        let disk = seam.disk.clone();
        match seam.blocking(move || open_all(StorePool::new(disk, PoolOptions::default()))).await {
            Ok(stores) => all.push(Holdings { name: machine.name.clone(), seam, stores }),
            Err(error) => oracle.unreadable(&machine.name, &error.to_string()),
        }
    }
    // Where a shard's earliest store ends, and how many there are.
    let mut shards: BTreeMap<ShardId, (Timestamp, u64)> = BTreeMap::new();
    for (shard, store) in all.iter().flat_map(|node| &node.stores) {
        let end = store.meta().timestamp;
        let (earliest, count) = shards.entry(*shard).or_insert((end, 0));
        *earliest = (*earliest).min(end);
        *count += 1;
    }
    shards.retain(|_, (_, count)| *count > 1);
    for node in &all {
        for (shard, store) in &node.stores {
            let Some((at, _)) = shards.get(shard).copied() else { continue };
            let store = store.clone();
            match node.seam.blocking(move || store.scrub().and_then(|()| rows(&store, at))).await {
                Ok(rows) => oracle.audited(&node.name, shard.0, at.0, rows),
                Err(error) => oracle.unreadable(&node.name, &error.to_string()),
            }
        }
    }
    let stores = shards.values().map(|(_, count)| count).sum();
    Audit { verdict: oracle.verdict(), stores, rows: oracle.compared() }
}

fn open_all(pool: StorePool) -> Result<BTreeMap<ShardId, Arc<Store>>, StoreError> {
    pool.list()?.into_iter().map(|shard| Ok((shard, pool.get(shard)?))).collect()
}

fn rows(store: &Store, at: Timestamp) -> Result<Vec<Row>, StoreError> {
    // No table's id is all ones.
    let mut span = Span { start: Key(Vec::new()), end: Key(vec![0xff; 8]) };
    let mut rows = Vec::new();
    loop {
        let page = store.scan(&span, at, PAGE)?;
        rows.extend(page.rows.into_iter().map(|(key, value)| (key.0, *blake3::hash(&value).as_bytes())));
        match page.resume {
            Some(resume) => span.start = resume,
            None => return Ok(rows),
        }
    }
}
