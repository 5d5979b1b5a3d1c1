//! What a tenant's tables look like, and where tenants and shards are: descriptors, and the rows that hold them.
//!
//! A tenant's descriptors are ordinary rows in its home shard, so that DDL is a transaction like any other and an old
//! snapshot sees its old schema. The map (tenants, shards, ids) is rows of the system shard. Nothing here reads or
//! writes: functions take rows that were read and give writes, and whoever calls runs them in a transaction.
//!
//! Invariants
//!  C1  Every DDL transaction writes [`tenet_types::Key::catalog_version`], raising the version by one; every other
//!      transaction has that key in its read set. So no transaction commits under a schema that it did not see.
//!  C2  Ids of tenants, shards, replicas and tables come from counters that only grow: none is used twice, not even after DROP.
//!  C3  A stored descriptor names its format; one of another format, or with a field that is not known, is refused, never guessed at.
//!
//! Not here: leases and caches (the version is checked at commit instead), privileges, anything about placement.

mod catalog;
mod descriptor;
mod format;
mod map;
mod names;

pub use catalog::{Catalog, CatalogError, PRIMARY_INDEX, catalog_span};
pub use descriptor::{ColumnDescriptor, NO_MODIFIER, TableDescriptor, UNBOUNDED_VARCHAR};
pub use map::{
    Ids, MapError, REPLICA_IDS_RESERVED, ShardDescriptor, ShardState, TenantDescriptor, TenantState, create_tenant,
    drop_tenant, ids_from_row, ids_key, mark_ready, shard_from_row, shard_key, shards_span, tenant_from_row,
    tenant_key, tenants_span,
};
pub use names::{NAME_BYTES_MAX, fold};

use tenet_types::TableId;

/// Tables below this are the catalog's own; a tenant's first table gets this id.
pub const FIRST_USER_TABLE: TableId = TableId(100);

#[cfg(test)]
mod tests;
