//! The words that every floor shares: ids, timestamps, keys, values, and the bytes they become.
//!
//! Nothing here does anything; it only says what things are. Every format is ours, tagged and versioned, so that
//! what is on a disk or a wire today can be read tomorrow. `docs/formats.md` draws them.
//!
//! Invariants
//!  Y1  Encoded keys sort, byte by byte, as their columns do; no encoded key is a prefix of another of its index.
//!  Y2  Decoding never trusts a length or a tag: bad bytes are a [`CodecError`] that says where, never a panic.
//!
//! Not here: any I/O, any algorithm, anything about SQL beyond its values.

mod codec;
mod entry;
mod ids;
mod key;
mod mark;
mod row;
mod text;
mod timestamp;
mod value;

pub use codec::{COUNTER_MAX, CodecError, Reader, Writer};
pub use entry::{ENTRY_FORMAT, Entry, RequestId, TXN_BYTES_MAX, Write, WriteSet};
pub use ids::{
    CatalogVersion, ClusterId, ColumnId, Incarnation, IndexId, LogIndex, NodeId, RangeEpoch, ReplicaId, SchemaVersion,
    ShardId, TableId, TenantId, Term,
};
pub use key::{KEY_BYTES_MAX, Key, KeyBuilder, ReadSet, Span};
pub use mark::{be_strict, marks, meet_unexpected, reach};
pub use row::{ROW_FORMAT, Row};
pub use text::{TextError, TextOptions, civil_from_days, days_from_civil, parse_offset, write_offset};
pub use timestamp::Timestamp;
pub use value::{SqlType, Value};
