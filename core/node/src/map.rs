//! The map at work: databases are made and dropped in the system shard, and every node makes true what the map says.
//!
//! ```text
//!   CREATE DATABASE ──▶ row `creating` + shard row      each node: open its replica
//!                                                       the shard's first leader: row `ready`
//!   DROP DATABASE   ──▶ both rows are tombstones        each node: drop its replica, forget the way
//! ```
//! Nodes reconcile towards what their own replica of the system shard has applied: idempotent, in any order, at any speed.
//!
//! Invariants
//!  M1  A replica is made because the map names it, never because a message does; a tombstone is never undone.
//!  M2  `ready` is written only by a leader of the new shard, so that whoever is told of a database can use it.
//!  M3  What a dropped shard leaves on a disk is erased, whenever the node ended: looked for once after every start.
//!  M4  A replica is erased only after its tombstone is durable here: else the next start would make it anew, without its vote.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tenet_catalog::{
    ShardDescriptor, ShardState, TenantDescriptor, TenantState, create_tenant, drop_tenant, ids_from_row, ids_key,
    mark_ready, shard_from_row, shard_key, shards_span, tenant_from_row, tenant_key, tenants_span,
};
use tenet_seam::{Random, Seam};
use tenet_shard::{CommitRequest, Descriptor, HostInput, ReadAt, ShardClient, ShardError, Shards, Target};
use tenet_sql::{DatabaseHandle, Databases, SqlError, SqlState};
use tenet_store::{ScanLimit, StoreError, StorePool};
use tenet_types::{
    CatalogVersion, CodecError, Key, NodeId, RangeEpoch, ReadSet, ReplicaId, RequestId, ShardId, Span, TenantId,
    Timestamp, Write, mark,
};
use tokio::sync::oneshot;

/// The database that a fresh cluster has.
const FIRST_DATABASE: &str = "postgres";

/// How often a node compares itself with its map.
const RECONCILE_EVERY: Duration = Duration::from_millis(100);

/// How long CREATE DATABASE waits for the new shard's first leader.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// Attempts of one change of the map against others.
const ATTEMPTS_MAX: usize = 10;

/// The epoch of the system shard, which never splits.
const SYSTEM_EPOCH: RangeEpoch = RangeEpoch(0);

/// Where the system shard is asked.
const SYSTEM: Target = Target { tenant: TenantId::SYSTEM, shard: ShardId::SYSTEM, epoch: SYSTEM_EPOCH, catalog: None };

/// The system shard of a cluster of these members: a replica on each, with the node's own number.
pub fn system_descriptor(members: impl Iterator<Item = NodeId>) -> Descriptor {
    let replicas = members.map(|node| (node, ReplicaId(node.0))).collect();
    Descriptor { tenant: TenantId::SYSTEM, shard: ShardId::SYSTEM, epoch: SYSTEM_EPOCH, replicas }
}

/// The databases of the cluster, as this node reaches them.
pub struct Map {
    seam: Seam,
    shards: Arc<Shards>,
    pool: Arc<StorePool>,
    members: Vec<NodeId>,
    session: u128,
    requests: Mutex<u64>,
    luck: Mutex<Random>,
}

/// What this life of the node has done about shards.
#[derive(Default)]
struct Known {
    opened: BTreeSet<ShardId>,
    erased: BTreeSet<ShardId>,
}

impl Map {
    pub fn new(seam: &Seam, shards: Arc<Shards>, pool: Arc<StorePool>, members: Vec<NodeId>) -> Arc<Map> {
        let mut luck = seam.random("map");
        let session = luck.next_u128();
        let (requests, luck) = (Mutex::new(0), Mutex::new(luck));
        Arc::new(Map { seam: seam.clone(), shards, pool, members, session, requests, luck })
    }

    /// Makes this node what the map says, for as long as it lives.
    pub async fn reconcile_forever(self: Arc<Self>) {
        let mut seen = None;
        let mut known = Known::default();
        loop {
            let applied = self.shards.host().views.with(ShardId::SYSTEM, |view| (view.meta.timestamp, view.serving));
            if let Some((at, leading)) = applied {
                if leading {
                    self.bootstrap(at).await;
                }
                match self.reconcile(at, seen != Some(at), &mut known).await {
                    Ok(settled) => seen = settled.then_some(at),
                    Err(error) => tracing::error!(%error, "the map cannot be read"),
                }
            }
            self.seam.sleep(RECONCILE_EVERY).await;
        }
    }

    /// One comparison; true if nothing is left to do until the map changes.
    async fn reconcile(&self, at: Timestamp, changed: bool, known: &mut Known) -> Result<bool, MapFault> {
        if !changed {
            return Ok(true);
        }
        let tenants = self.local_rows(tenants_span(), at, tenant_from_row).await?;
        let shards = self.local_rows(shards_span(), at, shard_from_row).await?;
        let mut settled = true;
        let mut dropped = Vec::new();
        for shard in shards {
            match shard.state {
                ShardState::Live => {
                    self.shards.learn(route(&shard));
                    if known.opened.insert(shard.id) {
                        let (done, opened) = oneshot::channel();
                        self.shards.host().give(HostInput::Open { descriptor: route(&shard), done }).await;
                        if opened.await.is_err() {
                            mark!("map: a shard without a replica here");
                        }
                    }
                }
                ShardState::Dropped => {
                    self.shards.forget(shard.id);
                    known.opened.remove(&shard.id);
                    if known.erased.insert(shard.id) {
                        dropped.push(shard.id);
                    }
                }
            }
        }
        self.erase(dropped).await;
        for tenant in tenants.into_iter().filter(|tenant| tenant.state == TenantState::Creating) {
            settled = false;
            // M2
            if self.shards.host().views.with(tenant.home, |view| view.serving) == Some(true) {
                let name = tenant.name.clone();
                let ready = self
                    .change(vec![tenant_key(&name)], |rows| {
                        let existing = tenant_in(rows, &name)?.filter(|row| row.id == tenant.id);
                        Ok(mark_ready(existing.as_ref(), &name).unwrap_or_default())
                    })
                    .await;
                if let Err(error) = ready {
                    tracing::info!(database = name, %error, "not marked ready yet");
                }
            }
        }
        Ok(settled)
    }

    /// Erases what these shards have here, after the map that says so was made durable (M3, M4).
    async fn erase(&self, dropped: Vec<ShardId>) {
        if dropped.is_empty() {
            return;
        }
        let pool = self.pool.clone();
        if let Err(error) = self.seam.blocking(move || pool.checkpoint(ShardId::SYSTEM)).await {
            match self.seam.halt(format!("the map cannot be made durable: {error}")).await {}
        }
        for shard in dropped {
            let (done, erased) = oneshot::channel();
            self.shards.host().give(HostInput::Drop { shard, done }).await;
            if erased.await.is_err() {
                mark!("map: a dropped shard was not erased");
            }
        }
    }

    /// The first leader of a new cluster makes the first database.
    async fn bootstrap(&self, at: Timestamp) {
        let pool = self.pool.clone();
        let fresh = self
            .seam
            .brief(move || Ok::<_, StoreError>(pool.get(ShardId::SYSTEM)?.get(&ids_key(), at)?.is_none()))
            .await
            .unwrap_or(false);
        if !fresh {
            return;
        }
        let made = self
            .change(vec![tenant_key(FIRST_DATABASE), ids_key()], |rows| match rows[1] {
                Some(_) => Ok(Vec::new()),
                None => {
                    let (_, _, writes) = create_tenant(None, ids_from_row(None)?, FIRST_DATABASE, &self.members)
                        .expect("nothing exists before the first ids are given");
                    Ok(writes)
                }
            })
            .await;
        if let Err(error) = made {
            tracing::info!(%error, "the first database is not made yet");
        }
    }

    /// Rows of the local replica.
    async fn local_rows<T: Send + 'static>(
        &self,
        span: Span,
        at: Timestamp,
        decode: fn(&Key, &[u8]) -> Result<T, CodecError>,
    ) -> Result<Vec<T>, MapFault> {
        let (mut rows, mut rest) = (Vec::new(), Some(span));
        while let Some(span) = rest.take() {
            let pool = self.pool.clone();
            let limit = ScanLimit { rows: 1024, bytes: 1 << 20 };
            let end = span.end.clone();
            let page = self.seam.blocking(move || pool.get(ShardId::SYSTEM)?.scan(&span, at, limit)).await?;
            for (key, value) in &page.rows {
                rows.push(decode(key, value)?);
            }
            rest = page.resume.map(|start| Span { start, end });
        }
        Ok(rows)
    }

    /// Reads `keys` now and writes what `decide` makes of them, if they are still the same; again if they are not.
    async fn change(
        &self,
        keys: Vec<Key>,
        decide: impl Fn(&[Option<Vec<u8>>]) -> Result<Vec<Write>, MapFault>,
    ) -> Result<(), MapFault> {
        for _ in 0..ATTEMPTS_MAX {
            let reply = self.shards.get(SYSTEM, ReadAt::Latest, keys.clone()).await?;
            let mut writes = decide(&reply.values)?;
            if writes.is_empty() {
                return Ok(());
            }
            writes.sort_by(|a, b| a.key.cmp(&b.key));
            let sequence = {
                let mut requests = self.requests.lock().expect("no holder panics");
                *requests += 1;
                *requests
            };
            let commit = CommitRequest {
                request: RequestId { session: self.session, sequence },
                snapshot: reply.at,
                reads: ReadSet { keys: keys.clone(), spans: Vec::new() },
                catalog: CatalogVersion::default(),
                writes,
            };
            match self.shards.commit(SYSTEM, commit).await {
                Ok(_) => return Ok(()),
                Err(ShardError::Conflict) => {
                    let pause = self.luck.lock().expect("no holder panics").between(5, 50);
                    self.seam.sleep(Duration::from_millis(pause)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(ShardError::Conflict.into())
    }

    async fn tenant(&self, name: &str) -> Result<Option<TenantDescriptor>, MapFault> {
        let reply = self.shards.get(SYSTEM, ReadAt::Latest, vec![tenant_key(name)]).await?;
        tenant_in(&reply.values, name)
    }
}

fn tenant_in(rows: &[Option<Vec<u8>>], name: &str) -> Result<Option<TenantDescriptor>, MapFault> {
    Ok(rows[0].as_ref().map(|bytes| tenant_from_row(&tenant_key(name), bytes)).transpose()?)
}

fn route(shard: &ShardDescriptor) -> Descriptor {
    Descriptor { tenant: shard.tenant, shard: shard.id, epoch: shard.epoch, replicas: shard.replicas.clone() }
}

/// Why the map could not be read or changed.
#[derive(Debug, thiserror::Error)]
enum MapFault {
    #[error(transparent)]
    Shard(#[from] ShardError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a row of the map cannot be read: {0}")]
    Row(#[from] CodecError),
    #[error("{0}")]
    Refused(SqlError),
}

impl From<MapFault> for SqlError {
    fn from(fault: MapFault) -> SqlError {
        match fault {
            MapFault::Shard(error) => SqlError::from(error),
            MapFault::Refused(error) => error,
            other => SqlError::new(SqlState::INTERNAL_ERROR, other.to_string()),
        }
    }
}

fn starting(name: &str) -> SqlError {
    SqlError::new(SqlState::CANNOT_CONNECT_NOW, format!("database \"{name}\" is starting up"))
}

fn absent(name: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_CATALOG_NAME, format!("database \"{name}\" does not exist"))
}

#[async_trait]
impl Databases for Map {
    async fn open(&self, name: &str) -> Result<DatabaseHandle, SqlError> {
        let keys = vec![tenant_key(name), ids_key()];
        let reply = self.shards.get(SYSTEM, ReadAt::Latest, keys).await.map_err(MapFault::from)?;
        let tenant = match tenant_in(&reply.values, name)?.map(|tenant| (tenant.state, tenant)) {
            Some((TenantState::Ready, tenant)) => tenant,
            Some((TenantState::Creating, _)) => return Err(starting(name)),
            // A cluster without its first ids is about to make its first database.
            None if reply.values[1].is_none() => return Err(starting(name)),
            Some((TenantState::Dropped, _)) | None => return Err(absent(name)),
        };
        let key = shard_key(tenant.home);
        let reply = self
            .shards
            .get(SYSTEM, ReadAt::Latest, vec![key.clone()])
            .await
            .map_err(MapFault::from)
            .map_err(SqlError::from)?;
        let Some(bytes) = &reply.values[0] else { return Err(absent(name)) };
        let shard = shard_from_row(&key, bytes).map_err(MapFault::from).map_err(SqlError::from)?;
        if shard.state == ShardState::Dropped {
            return Err(absent(name));
        }
        self.shards.learn(route(&shard));
        Ok(DatabaseHandle { name: tenant.name, tenant: tenant.id, home: tenant.home, epoch: shard.epoch })
    }

    async fn create(&self, name: &str) -> Result<(), SqlError> {
        self.change(vec![tenant_key(name), ids_key()], |rows| {
            let existing = tenant_in(rows, name)?;
            let ids = ids_from_row(rows[1].as_deref())?;
            match create_tenant(existing.as_ref(), ids, name, &self.members) {
                Ok((_, _, writes)) => Ok(writes),
                Err(error) => Err(MapFault::Refused(SqlError::new(SqlState::DUPLICATE_DATABASE, error.to_string()))),
            }
        })
        .await?;
        let started = self.seam.clock.now();
        while self.seam.clock.now().since(started) < READY_TIMEOUT {
            match self.tenant(name).await? {
                Some(tenant) if tenant.state == TenantState::Creating => {}
                // Ready; or it was, and somebody has dropped it already.
                _ => return Ok(()),
            }
            self.seam.sleep(RECONCILE_EVERY / 2).await;
        }
        let text = format!("database \"{name}\" was created, but its shard has no leader yet");
        // Not a refusal: it took effect.
        Err(SqlError::new(SqlState::TRANSACTION_RESOLUTION_UNKNOWN, text))
    }

    async fn drop(&self, name: &str) -> Result<(), SqlError> {
        let Some(tenant) = self.tenant(name).await?.filter(|tenant| tenant.state != TenantState::Dropped) else {
            return Err(absent(name));
        };
        let shard = shard_key(tenant.home);
        self.change(vec![tenant_key(name), shard.clone()], |rows| {
            let existing = tenant_in(rows, name)?.filter(|row| row.id == tenant.id);
            let home = rows[1].as_ref().map(|bytes| shard_from_row(&shard, bytes)).transpose()?;
            drop_tenant(existing.as_ref(), home.as_ref(), name).map_err(|_| MapFault::Refused(absent(name)))
        })
        .await?;
        self.shards.forget(tenant.home);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<String>, SqlError> {
        let (mut names, mut rest, mut at) = (Vec::new(), Some(tenants_span()), ReadAt::Latest);
        while let Some(span) = rest.take() {
            let end = span.end.clone();
            let page = self.shards.scan(SYSTEM, at, span, 1 << 18, 1024).await.map_err(MapFault::from)?;
            at = ReadAt::Snapshot(page.at);
            for (key, value) in &page.rows {
                let tenant = tenant_from_row(key, value).map_err(MapFault::from)?;
                if tenant.state == TenantState::Ready {
                    names.push(tenant.name);
                }
            }
            rest = page.resume.map(|start| Span { start, end });
        }
        Ok(names)
    }
}
