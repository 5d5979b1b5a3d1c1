//! Ids: one type each, so that a shard is never passed where a tenant belongs.
//!
//! All are plain numbers, ordered, printed as `prefix` and number (`n2`, `s7`); none is ever used a second time for
//! another thing.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

id!(
    /// A database, with everything in it. 0 is the system tenant, which owns the system shard alone.
    TenantId(u64), "t"
);
id!(
    /// A range of one tenant's keys, replicated by one raft group. 1 is the system shard.
    ShardId(u64), "s"
);
id!(
    /// A machine's place in the cluster, chosen by the operator. Starts at 1.
    NodeId(u64), "n"
);
id!(
    /// One replica of one shard. A replica that is replaced returns under a new id.
    ReplicaId(u64), "r"
);
id!(
    /// A table of one tenant. Never used again after DROP.
    TableId(u64), "table "
);
id!(
    /// An index of a table. 1 is the primary key.
    IndexId(u32), "index "
);
id!(
    /// A column of a table. Never used again within the table.
    ColumnId(u32), "column "
);
id!(
    /// Grows by one with each DDL transaction of a tenant.
    CatalogVersion(u64), "catalog version "
);
id!(
    /// Grows by one with each change of a table's columns; kept in each row.
    SchemaVersion(u32), "schema version "
);
id!(
    /// Grows by one with each change of a shard's key range.
    RangeEpoch(u64), "epoch "
);
id!(
    /// A raft term. 0 is before the first election.
    Term(u64), "term "
);
id!(
    /// A position in one group's log. The first entry is 1; 0 is the empty log.
    LogIndex(u64), "#"
);

impl LogIndex {
    pub const ZERO: LogIndex = LogIndex(0);

    pub fn next(self) -> LogIndex {
        LogIndex(self.0 + 1)
    }

    /// The index before this one; the empty log has none before it.
    pub fn prev(self) -> LogIndex {
        assert!(self.0 > 0, "no index before {self}");
        LogIndex(self.0 - 1)
    }
}

impl Term {
    pub const ZERO: Term = Term(0);

    pub fn next(self) -> Term {
        Term(self.0 + 1)
    }
}

impl TenantId {
    /// Owner of the system shard.
    pub const SYSTEM: TenantId = TenantId(0);
}

impl ShardId {
    /// Holds nodes, tenants, shards and the allocation of ids.
    pub const SYSTEM: ShardId = ShardId(1);
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

random_id!(
    /// Drawn once when a cluster forms. Nodes of different clusters refuse each other.
    ClusterId
);
random_id!(
    /// Drawn once with a node's data folder: a folder that was lost and made anew is another incarnation.
    Incarnation
);
