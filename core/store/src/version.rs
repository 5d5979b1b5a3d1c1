//! One version of one key as stored, and the walk over versions that verifies everything it sees (T4).
//!
//! ```text
//! data table:  key · inverted timestamp (8)  ->  flag (1): 0 deleted, 1 value · value … · crc32c (4) over the stored key and all before
//! ```

use std::ops::Bound;

use redb::{AccessGuard, Cursor, ReadOnlyTable, ReadableTable};
use tenet_types::{Key, Timestamp};

use crate::StoreError;
use crate::backend::Place;

const DELETED: u8 = 0;
const VALUE: u8 = 1;

/// The value as stored under `stored_key`.
pub(crate) fn encode(stored_key: &[u8], value: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(5 + value.map_or(0, <[u8]>::len));
    bytes.push(if value.is_some() { VALUE } else { DELETED });
    bytes.extend_from_slice(value.unwrap_or_default());
    let crc = checksum(stored_key, &bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// Takes a stored version apart: its key, its timestamp, its value or none. `None` if it is not what was written.
pub(crate) fn decode<'a>(stored_key: &'a [u8], stored: &'a [u8]) -> Option<(&'a [u8], Timestamp, Option<&'a [u8]>)> {
    let (body, crc) = stored.split_at_checked(stored.len().checked_sub(4)?)?;
    if checksum(stored_key, body).to_le_bytes() != crc {
        return None;
    }
    let (key, timestamp) = Key::split_stored(stored_key)?;
    let value = match body.split_first()? {
        (&VALUE, value) => Some(value),
        (&DELETED, []) => None,
        _ => return None,
    };
    Some((key, timestamp, value))
}

fn checksum(stored_key: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(stored_key), body)
}

pub(crate) type DataTable = ReadOnlyTable<&'static [u8], &'static [u8]>;
type Guard<'t> = AccessGuard<'t, &'static [u8]>;

/// An intact version, still in redb's page.
pub(crate) struct Version<'t> {
    stored_key: Guard<'t>,
    stored: Guard<'t>,
    pub timestamp: Timestamp,
}

impl Version<'_> {
    pub fn key(&self) -> &[u8] {
        let stored = self.stored_key.value();
        &stored[..stored.len() - 8]
    }

    pub fn value(&self) -> Option<&[u8]> {
        let stored = self.stored.value();
        (stored[0] == VALUE).then(|| &stored[1..stored.len() - 4])
    }

    pub fn stored_key(&self) -> &[u8] {
        self.stored_key.value()
    }

    pub fn stored(&self) -> &[u8] {
        self.stored.value()
    }
}

/// Walks versions upwards; verifies each, and what lies before each place it jumps to.
pub(crate) struct Walker<'t> {
    place: &'t Place,
    table: &'t DataTable,
    cursor: Cursor<'t, &'static [u8], &'static [u8]>,
    /// Versions looked at.
    pub steps: usize,
}

impl<'t> Walker<'t> {
    /// Begins before the first version that the bound allows.
    pub fn new(place: &'t Place, table: &'t DataTable, bound: Bound<&[u8]>) -> Result<Walker<'t>, StoreError> {
        let cursor = table.lower_bound(bound).map_err(|e| place.redb("search", e))?;
        let mut walker = Walker { place, table, cursor, steps: 0 };
        walker.verify_before()?;
        Ok(walker)
    }

    /// Jumps.
    pub fn seek(&mut self, bound: Bound<&[u8]>) -> Result<(), StoreError> {
        self.cursor = self.table.lower_bound(bound).map_err(|e| self.place.redb("search", e))?;
        self.verify_before()
    }

    pub fn next(&mut self) -> Result<Option<Version<'t>>, StoreError> {
        let found = self.cursor.next().map_err(|e| self.place.redb("read", e))?;
        self.verify(found)
    }

    /// A version whose key turned smaller lies before the place where a search for it ends.
    fn verify_before(&mut self) -> Result<(), StoreError> {
        let before = self.cursor.peek_prev().map_err(|e| self.place.redb("read", e))?;
        self.verify(before)?;
        Ok(())
    }

    fn verify(&mut self, found: Option<(Guard<'t>, Guard<'t>)>) -> Result<Option<Version<'t>>, StoreError> {
        let Some((stored_key, stored)) = found else { return Ok(None) };
        self.steps += 1;
        match decode(stored_key.value(), stored.value()) {
            Some((_, timestamp, _)) => Ok(Some(Version { stored_key, stored, timestamp })),
            None => Err(StoreError::Damaged {
                path: self.place.path.clone(),
                what: "a version's checksum does not match".into(),
                key: Some(Key(stored_key.value().to_vec())),
            }),
        }
    }
}
