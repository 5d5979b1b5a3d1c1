//! The map: rows of the system shard that say which tenants and shards there are.
//!
//! ```text
//!              create_tenant          mark_ready            drop_tenant
//!   (nothing) ─────────────▶ Creating ──────────▶ Ready ───────────────▶ Dropped
//!                               └───────────────── drop_tenant ─────────────▲
//! ```
//! A shard goes the same way with its tenant, and its row in `Dropped` is the tombstone that tells nodes to remove their
//! replicas; it stays for ever. A tenant's row stays until another tenant takes the name.

use serde::{Deserialize, Serialize};
use tenet_types::{
    CodecError, Key, KeyBuilder, NodeId, RangeEpoch, ReplicaId, ShardId, Span, TableId, TenantId, Value, Write,
};

use crate::catalog::PRIMARY_INDEX;
use crate::format;

const TENANTS: TableId = TableId(10);
const SHARDS: TableId = TableId(11);
const IDS: TableId = TableId(12);

/// Replica ids up to this one are for the founders of the system shard, who need them before any allocation.
pub const REPLICA_IDS_RESERVED: u64 = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TenantState {
    /// Its shard may not have a leader yet.
    Creating,
    /// It can be connected to.
    Ready,
    /// It is gone; the row is a tombstone.
    Dropped,
}

/// A database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantDescriptor {
    pub id: TenantId,
    pub name: String,
    pub state: TenantState,
    /// The shard that holds its catalog; today the only one.
    pub home: ShardId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShardState {
    /// Nodes named in it make replicas.
    Live,
    /// Nodes that have a replica remove it.
    Dropped,
}

/// A raft group and the range it replicates. It covers all of its tenant's keys until shards split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardDescriptor {
    pub id: ShardId,
    pub tenant: TenantId,
    pub epoch: RangeEpoch,
    pub replicas: Vec<(NodeId, ReplicaId)>,
    pub state: ShardState,
}

/// The next ids to give (C2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    pub tenant: TenantId,
    pub shard: ShardId,
    pub replica: ReplicaId,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    #[error("database \"{0}\" already exists")]
    Exists(String),
    #[error("database \"{0}\" does not exist")]
    Absent(String),
}

impl Default for Ids {
    /// Of a cluster that has only its system shard.
    fn default() -> Ids {
        Ids {
            tenant: TenantId(TenantId::SYSTEM.0 + 1),
            shard: ShardId(ShardId::SYSTEM.0 + 1),
            replica: ReplicaId(REPLICA_IDS_RESERVED + 1),
        }
    }
}

/// Makes a tenant in state `Creating`, with one shard that has a replica on each of `nodes`. `existing` is the row of that
/// name, `ids` the row at [`ids_key`]; both must be in the transaction's read set.
pub fn create_tenant(
    existing: Option<&TenantDescriptor>,
    ids: Ids,
    name: &str,
    nodes: &[NodeId],
) -> Result<(TenantDescriptor, ShardDescriptor, Vec<Write>), MapError> {
    assert!(!nodes.is_empty(), "a shard has a replica");
    if existing.is_some_and(|tenant| tenant.state != TenantState::Dropped) {
        return Err(MapError::Exists(name.to_owned()));
    }
    let replicas: Vec<_> = nodes.iter().zip(ids.replica.0..).map(|(node, id)| (*node, ReplicaId(id))).collect();
    let tenant =
        TenantDescriptor { id: ids.tenant, name: name.to_owned(), state: TenantState::Creating, home: ids.shard };
    let shard =
        ShardDescriptor { id: ids.shard, tenant: ids.tenant, epoch: RangeEpoch(1), replicas, state: ShardState::Live };
    let next = Ids {
        tenant: TenantId(ids.tenant.0 + 1),
        shard: ShardId(ids.shard.0 + 1),
        replica: ReplicaId(ids.replica.0 + nodes.len() as u64),
    };
    let writes = vec![tenant_write(&tenant), shard_write(&shard), ids_write(next)];
    Ok((tenant, shard, writes))
}

/// `Creating` becomes `Ready`; nothing is written if it is ready already.
pub fn mark_ready(existing: Option<&TenantDescriptor>, name: &str) -> Result<Vec<Write>, MapError> {
    match existing {
        Some(tenant) => match tenant.state {
            TenantState::Creating => {
                Ok(vec![tenant_write(&TenantDescriptor { state: TenantState::Ready, ..tenant.clone() })])
            }
            TenantState::Ready => Ok(Vec::new()),
            TenantState::Dropped => Err(MapError::Absent(name.to_owned())),
        },
        None => Err(MapError::Absent(name.to_owned())),
    }
}

/// Tenant and shard become tombstones. `shard` is the row of the tenant's home.
pub fn drop_tenant(
    existing: Option<&TenantDescriptor>,
    shard: Option<&ShardDescriptor>,
    name: &str,
) -> Result<Vec<Write>, MapError> {
    let Some(tenant) = existing.filter(|tenant| tenant.state != TenantState::Dropped) else {
        return Err(MapError::Absent(name.to_owned()));
    };
    let mut writes = vec![tenant_write(&TenantDescriptor { state: TenantState::Dropped, ..tenant.clone() })];
    if let Some(shard) = shard {
        assert_eq!((shard.id, shard.tenant), (tenant.home, tenant.id), "the shard of database {name:?}");
        writes.push(shard_write(&ShardDescriptor { state: ShardState::Dropped, ..shard.clone() }));
    }
    Ok(writes)
}

/// Tenants are found by name.
pub fn tenant_key(name: &str) -> Key {
    KeyBuilder::new(TENANTS, PRIMARY_INDEX).push(&Value::Text(name.to_owned())).build()
}

pub fn shard_key(id: ShardId) -> Key {
    number_key(SHARDS, id.0)
}

pub fn ids_key() -> Key {
    number_key(IDS, 0)
}

pub fn tenants_span() -> Span {
    span(TENANTS)
}

pub fn shards_span() -> Span {
    span(SHARDS)
}

fn span(table: TableId) -> Span {
    Span::prefix(&KeyBuilder::new(table, PRIMARY_INDEX).build())
}

fn number_key(table: TableId, id: u64) -> Key {
    let id = i64::try_from(id).expect("ids count up from small numbers");
    KeyBuilder::new(table, PRIMARY_INDEX).push(&Value::Int8(id)).build()
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTenant {
    id: u64,
    name: String,
    state: TenantState,
    home: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredShard {
    id: u64,
    tenant: u64,
    epoch: u64,
    /// (node, replica)
    replicas: Vec<(u64, u64)>,
    state: ShardState,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredIds {
    tenant: u64,
    shard: u64,
    replica: u64,
}

fn tenant_write(tenant: &TenantDescriptor) -> Write {
    let stored = StoredTenant { id: tenant.id.0, name: tenant.name.clone(), state: tenant.state, home: tenant.home.0 };
    format::write(tenant_key(&tenant.name), &stored)
}

fn shard_write(shard: &ShardDescriptor) -> Write {
    let stored = StoredShard {
        id: shard.id.0,
        tenant: shard.tenant.0,
        epoch: shard.epoch.0,
        replicas: shard.replicas.iter().map(|(node, replica)| (node.0, replica.0)).collect(),
        state: shard.state,
    };
    format::write(shard_key(shard.id), &stored)
}

fn ids_write(ids: Ids) -> Write {
    format::write(ids_key(), &StoredIds { tenant: ids.tenant.0, shard: ids.shard.0, replica: ids.replica.0 })
}

pub fn tenant_from_row(key: &Key, bytes: &[u8]) -> Result<TenantDescriptor, CodecError> {
    let s: StoredTenant = format::read(key, bytes, "tenant descriptor")?;
    Ok(TenantDescriptor { id: TenantId(s.id), name: s.name, state: s.state, home: ShardId(s.home) })
}

pub fn shard_from_row(key: &Key, bytes: &[u8]) -> Result<ShardDescriptor, CodecError> {
    let s: StoredShard = format::read(key, bytes, "shard descriptor")?;
    Ok(ShardDescriptor {
        id: ShardId(s.id),
        tenant: TenantId(s.tenant),
        epoch: RangeEpoch(s.epoch),
        replicas: s.replicas.into_iter().map(|(node, replica)| (NodeId(node), ReplicaId(replica))).collect(),
        state: s.state,
    })
}

/// The row at [`ids_key`]; its absence is the default.
pub fn ids_from_row(bytes: Option<&[u8]>) -> Result<Ids, CodecError> {
    let Some(bytes) = bytes else { return Ok(Ids::default()) };
    let s: StoredIds = format::read(&ids_key(), bytes, "id allocation")?;
    Ok(Ids { tenant: TenantId(s.tenant), shard: ShardId(s.shard), replica: ReplicaId(s.replica) })
}
