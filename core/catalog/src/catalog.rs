//! A tenant's catalog as one value: what was read of it, what DDL makes of it, and the writes that store it.
//!
//! It is read whole: catalogs are small, and one scan of [`catalog_span`] brings the version and every table at one
//! timestamp. Table 3 (tables by name) is reserved for the day when that is too much.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tenet_types::{
    CatalogVersion, CodecError, ColumnId, IndexId, Key, KeyBuilder, SchemaVersion, Span, SqlType, TableId, Value, Write,
};

use crate::descriptor::{ColumnDescriptor, TableDescriptor};
use crate::{FIRST_USER_TABLE, format};

/// The index that holds a table's rows.
pub const PRIMARY_INDEX: IndexId = IndexId(1);

/// Tables by id.
const TABLES: TableId = TableId(2);

/// First table that is not part of [`catalog_span`].
const AFTER_TABLES: TableId = TableId(3);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    #[error("relation \"{0}\" already exists")]
    Exists(String),
    #[error("table \"{0}\" does not exist")]
    Absent(String),
}

/// All of a tenant's tables at one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog {
    pub version: CatalogVersion,
    next_table: TableId,
    tables: BTreeMap<String, Arc<TableDescriptor>>,
}

/// Everything that [`Catalog::from_rows`] wants.
pub fn catalog_span() -> Span {
    Span { start: Key::catalog_version(), end: KeyBuilder::new(AFTER_TABLES, IndexId(0)).build() }
}

impl Default for Catalog {
    /// Of a tenant that has seen no DDL.
    fn default() -> Catalog {
        Catalog { version: CatalogVersion(0), next_table: FIRST_USER_TABLE, tables: BTreeMap::new() }
    }
}

impl Catalog {
    /// From all rows of [`catalog_span`], read at one timestamp.
    pub fn from_rows(rows: &[(Key, Vec<u8>)]) -> Result<Catalog, CodecError> {
        let mut catalog = Catalog::default();
        for (key, bytes) in rows {
            if *key == Key::catalog_version() {
                let head: StoredHead = format::read(key, bytes, "catalog version")?;
                catalog.version = CatalogVersion(head.version);
                catalog.next_table = TableId(head.next_table);
            } else {
                let table = table_from_row(key, bytes)?;
                catalog.tables.insert(table.name.clone(), Arc::new(table));
            }
        }
        Ok(catalog)
    }

    pub fn table(&self, name: &str) -> Option<&Arc<TableDescriptor>> {
        self.tables.get(name)
    }

    /// By name.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<TableDescriptor>> {
        self.tables.values()
    }

    /// Adds a table; its id is chosen here. The catalog stays at its version: [`Catalog::raise`] ends a DDL transaction's
    /// first change.
    pub fn create_table(
        &mut self,
        mut table: TableDescriptor,
    ) -> Result<(Arc<TableDescriptor>, Vec<Write>), CatalogError> {
        if self.tables.contains_key(&table.name) {
            return Err(CatalogError::Exists(table.name));
        }
        table.id = self.next_table;
        self.next_table = TableId(table.id.0 + 1);
        let write = format::write(table_key(table.id), &StoredTable::from(&table));
        let table = Arc::new(table);
        self.tables.insert(table.name.clone(), table.clone());
        Ok((table, vec![write, self.head_write()]))
    }

    /// Removes a table's descriptor. Its rows stay until garbage collection: nobody can name them, since ids are never used again.
    pub fn drop_table(&mut self, name: &str) -> Result<Vec<Write>, CatalogError> {
        let table = self.tables.remove(name).ok_or_else(|| CatalogError::Absent(name.to_owned()))?;
        Ok(vec![Write { key: table_key(table.id), value: None }, self.head_write()])
    }

    /// The version that a DDL transaction makes of the one it read (C1). Once per transaction, before its first change.
    pub fn raise(&mut self) {
        self.version = CatalogVersion(self.version.0 + 1);
    }

    fn head_write(&self) -> Write {
        format::write(Key::catalog_version(), &StoredHead { version: self.version.0, next_table: self.next_table.0 })
    }
}

fn table_key(id: TableId) -> Key {
    let id = i64::try_from(id.0).expect("table ids count up from 100");
    KeyBuilder::new(TABLES, PRIMARY_INDEX).push(&Value::Int8(id)).build()
}

fn table_from_row(key: &Key, bytes: &[u8]) -> Result<TableDescriptor, CodecError> {
    let stored: StoredTable = format::read(key, bytes, "table descriptor")?;
    stored.into_table().ok_or(CodecError { what: "table descriptor", offset: 0 })
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredHead {
    version: u64,
    next_table: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredTable {
    id: u64,
    name: String,
    schema: u32,
    columns: Vec<StoredColumn>,
    primary_key: Vec<u32>,
    primary_key_name: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredColumn {
    id: u32,
    name: String,
    /// [`SqlType::tag`].
    #[serde(rename = "type")]
    type_tag: u8,
    type_modifier: i32,
    not_null: bool,
    default: Option<String>,
}

impl From<&TableDescriptor> for StoredTable {
    fn from(table: &TableDescriptor) -> StoredTable {
        StoredTable {
            id: table.id.0,
            name: table.name.clone(),
            schema: table.schema.0,
            columns: table.columns.iter().map(StoredColumn::from).collect(),
            primary_key: table.primary_key.iter().map(|id| id.0).collect(),
            primary_key_name: table.primary_key_name.clone(),
        }
    }
}

impl From<&ColumnDescriptor> for StoredColumn {
    fn from(column: &ColumnDescriptor) -> StoredColumn {
        StoredColumn {
            id: column.id.0,
            name: column.name.clone(),
            type_tag: column.sql_type.tag(),
            type_modifier: column.type_modifier,
            not_null: column.not_null,
            default: column.default.clone(),
        }
    }
}

impl StoredTable {
    /// `None` when it is not a table: an unknown type, a key that is empty or names no column.
    fn into_table(self) -> Option<TableDescriptor> {
        let columns: Vec<ColumnDescriptor> = self
            .columns
            .into_iter()
            .map(|column| {
                Some(ColumnDescriptor {
                    id: ColumnId(column.id),
                    name: column.name,
                    sql_type: SqlType::from_tag(column.type_tag)?,
                    type_modifier: column.type_modifier,
                    not_null: column.not_null,
                    default: column.default,
                })
            })
            .collect::<Option<_>>()?;
        let primary_key: Vec<ColumnId> = self.primary_key.into_iter().map(ColumnId).collect();
        let known = primary_key.iter().all(|id| columns.iter().any(|c| c.id == *id));
        (known && !primary_key.is_empty()).then_some(TableDescriptor {
            id: TableId(self.id),
            name: self.name,
            schema: SchemaVersion(self.schema),
            columns,
            primary_key,
            primary_key_name: self.primary_key_name,
        })
    }
}
