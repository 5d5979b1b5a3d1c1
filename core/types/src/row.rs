//! A row as stored: `format (1) · flags (1) · schema version (varint) · count · (column id, value) … · crc32c (4)`.
//!
//! The checksum covers the row *and its key*, so that a row found in the wrong place is as bad as a damaged one; redb
//! does not verify what it reads (measured).

use crate::{CodecError, ColumnId, Key, Reader, SchemaVersion, Value, Writer};

/// Version of the row format that this code writes.
pub const ROW_FORMAT: u8 = 1;

/// The columns of one row. A column that is absent is NULL, or the default of its schema version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub schema: SchemaVersion,
    /// In ascending order of id.
    pub columns: Vec<(ColumnId, Value)>,
}

impl Row {
    pub fn encode(&self, key: &Key) -> Vec<u8> {
        let mut w = Writer::with_capacity(16 + 12 * self.columns.len());
        w.u8(ROW_FORMAT);
        w.u8(0); // flags, reserved: compressed, encrypted
        w.varint(u64::from(self.schema.0));
        w.varint(self.columns.len() as u64);
        for (id, value) in &self.columns {
            w.varint(u64::from(id.0));
            value.encode(&mut w);
        }
        let crc = checksum(key, w.as_slice());
        w.u32(crc);
        w.into_vec()
    }

    /// Fails on damage, on a row of another key, and on formats and flags that this code does not know.
    pub fn decode(key: &Key, bytes: &[u8]) -> Result<Row, CodecError> {
        let short = CodecError { what: "row", offset: 0 };
        let (body, crc) = bytes.split_at_checked(bytes.len().wrapping_sub(4)).ok_or(short)?;
        if checksum(key, body).to_le_bytes() != crc {
            return Err(CodecError { what: "row checksum", offset: body.len() });
        }
        let mut r = Reader::new(body);
        if r.u8("row format")? != ROW_FORMAT || r.u8("row flags")? != 0 {
            return Err(CodecError { what: "row format", offset: 0 });
        }
        let schema = SchemaVersion(small(&mut r, "schema version")?);
        let count = r.count(2, "column count")?;
        let mut columns = Vec::with_capacity(count);
        for _ in 0..count {
            let id = ColumnId(small(&mut r, "column id")?);
            columns.push((id, Value::decode(&mut r)?));
        }
        r.finish("row")?;
        Ok(Row { schema, columns })
    }

    /// The column's value; NULL if the row does not have it.
    pub fn get(&self, id: ColumnId) -> Value {
        match self.columns.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(at) => self.columns[at].1.clone(),
            Err(_) => Value::Null,
        }
    }
}

fn small(r: &mut Reader<'_>, what: &'static str) -> Result<u32, CodecError> {
    let error = r.error(what);
    u32::try_from(r.varint(what)?).map_err(|_| error)
}

fn checksum(key: &Key, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&key.0), body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_returns_and_every_flipped_bit_or_other_key_is_seen() {
        let key = Key(vec![1, 2, 3]);
        let row = Row {
            schema: SchemaVersion(300),
            columns: vec![
                (ColumnId(1), Value::Int8(-5)),
                (ColumnId(2), Value::Null),
                (ColumnId(7), Value::Text("Grüße".into())),
            ],
        };
        let bytes = row.encode(&key);
        assert_eq!(Row::decode(&key, &bytes), Ok(row.clone()));
        assert_eq!(row.get(ColumnId(7)), Value::Text("Grüße".into()));
        assert_eq!(row.get(ColumnId(8)), Value::Null);
        assert!(Row::decode(&Key(vec![1, 2, 4]), &bytes).is_err());
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Row::decode(&key, &bad).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(Row::decode(&key, &bytes[..cut]).is_err());
        }
    }
}
