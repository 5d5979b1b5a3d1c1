//! What one raft entry carries: a transaction's write set (never SQL), or nothing.
//!
//! ```text
//! entry = format (1) · kind (1) · body
//!   kind 0  no-op: no body; a leader's first entry
//!   kind 1  commit: session (16) · sequence (varint) · catalog version (varint) · wall ms (varint)
//!           · encryption key id (varint, 0 = none; reserved) · count · write …
//!   write = key · 0 (delete) | 1 · value
//! ```
//! Kinds 2 to 9 are reserved: 2 GC threshold, 3 dedupe watermark, 4 membership, 5 prepare, 6 decide, 7 split, 8 merge.

use crate::{CatalogVersion, CodecError, Key, Reader, Writer};

/// Version of the entry format that this code writes.
pub const ENTRY_FORMAT: u8 = 1;

/// Greatest encoded size of one transaction's entry, in bytes. SQLSTATE 54000 beyond. Fits a peer frame (1 MiB) with room
/// for its envelope.
pub const TXN_BYTES_MAX: usize = 960 * 1024;

/// Names one request of one session, for ever: the key of deduplication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// Random, drawn when the session begins.
    pub session: u128,
    /// Counts the session's commits from 1.
    pub sequence: u64,
}

/// One key's new value; `None` deletes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub key: Key,
    pub value: Option<Vec<u8>>,
}

/// A transaction's writes: at most one per key, in order of key.
pub type WriteSet = Vec<Write>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A new leader's first entry.
    Noop,
    /// One transaction.
    Commit {
        request: RequestId,
        /// The catalog version that the transaction read. Apply checks nothing by it; it is for the reader of a log.
        catalog: CatalogVersion,
        /// The proposer's wall clock, in milliseconds since the Unix epoch. Input of the commit timestamp.
        wall_ms: u64,
        writes: WriteSet,
    },
}

impl Entry {
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(64);
        w.u8(ENTRY_FORMAT);
        match self {
            Entry::Noop => w.u8(0),
            Entry::Commit { request, catalog, wall_ms, writes } => {
                w.u8(1);
                w.u128(request.session);
                w.varint(request.sequence);
                w.varint(catalog.0);
                w.varint(*wall_ms);
                w.varint(0); // encryption key id, reserved
                w.varint(writes.len() as u64);
                for write in writes {
                    w.bytes(&write.key.0);
                    match &write.value {
                        None => w.u8(0),
                        Some(value) => {
                            w.u8(1);
                            w.bytes(value);
                        }
                    }
                }
            }
        }
        w.into_vec()
    }

    pub fn decode(bytes: &[u8]) -> Result<Entry, CodecError> {
        let mut r = Reader::new(bytes);
        if r.u8("entry format")? != ENTRY_FORMAT {
            return Err(CodecError { what: "entry format", offset: 0 });
        }
        let entry = match r.u8("entry kind")? {
            0 => Entry::Noop,
            1 => {
                let request = RequestId { session: r.u128("session")?, sequence: r.varint("sequence")? };
                let catalog = CatalogVersion(r.varint("catalog version")?);
                let wall_ms = r.varint("wall time")?;
                if r.varint("key id")? != 0 {
                    return Err(r.error("key id"));
                }
                let count = r.count(2, "write count")?;
                let mut writes = Vec::with_capacity(count);
                for _ in 0..count {
                    let key = Key(r.bytes("key")?.to_vec());
                    let value = match r.u8("write kind")? {
                        0 => None,
                        1 => Some(r.bytes("value")?.to_vec()),
                        _ => return Err(r.error("write kind")),
                    };
                    writes.push(Write { key, value });
                }
                Entry::Commit { request, catalog, wall_ms, writes }
            }
            _ => return Err(CodecError { what: "entry kind", offset: 1 }),
        };
        r.finish("entry")?;
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn entries_return(session: u128, sequence: u64, catalog: u64, wall_ms: u64, writes: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
            let entry = Entry::Commit {
                request: RequestId { session, sequence },
                catalog: CatalogVersion(catalog),
                wall_ms,
                writes: writes.into_iter().map(|(key, value)| Write { key: Key(key), value }).collect(),
            };
            prop_assert_eq!(Entry::decode(&entry.encode()), Ok(entry));
        }

        #[test]
        fn garbage_is_refused_and_no_panic(bytes: Vec<u8>) {
            if let Ok(entry) = Entry::decode(&bytes) {
                prop_assert!(Entry::decode(&entry.encode()) == Ok(entry));
            }
        }
    }
}
