//! Descriptors as bytes: JSON text in column 1 of a [`Row`], whose schema version is the descriptor format (C3).
//!
//! JSON because descriptors are few, read by people in need, and grow fields; the row around it gives the checksum. Numbers
//! above 2^53 and 128-bit ids are strings of hexadecimal digits. `docs/formats-catalog.md` lists every field.

use serde::Serialize;
use serde::de::DeserializeOwned;
use tenet_types::{CodecError, ColumnId, Key, Row, SchemaVersion, Value, Write};

/// Version of the descriptor formats that this code writes.
const DESCRIPTOR_FORMAT: SchemaVersion = SchemaVersion(1);

const JSON_COLUMN: ColumnId = ColumnId(1);

pub(crate) fn write<T: Serialize>(key: Key, descriptor: &T) -> Write {
    let json = serde_json::to_string(descriptor).expect("descriptors are plain data with text keys");
    let row = Row { schema: DESCRIPTOR_FORMAT, columns: vec![(JSON_COLUMN, Value::Text(json))] };
    let value = row.encode(&key);
    Write { key, value: Some(value) }
}

pub(crate) fn read<T: DeserializeOwned>(key: &Key, bytes: &[u8], what: &'static str) -> Result<T, CodecError> {
    let row = Row::decode(key, bytes)?;
    let bad = CodecError { what, offset: 0 };
    match row.get(JSON_COLUMN) {
        Value::Text(json) if row.schema == DESCRIPTOR_FORMAT => serde_json::from_str(&json).map_err(|_| bad),
        _ => Err(bad),
    }
}
