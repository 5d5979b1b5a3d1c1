//! Descriptors of tables and columns.

use tenet_types::{ColumnId, Key, KeyBuilder, Row, SchemaVersion, SqlType, TableId, Value};

use crate::catalog::PRIMARY_INDEX;

/// `type_modifier` of a type without one.
pub const NO_MODIFIER: i32 = -1;

/// `type_modifier` of `varchar` without a length: like text in all but its name.
pub const UNBOUNDED_VARCHAR: i32 = 0;

/// A table, as of one schema version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDescriptor {
    pub id: TableId,
    pub name: String,
    pub schema: SchemaVersion,
    /// In the order in which `SELECT *` shows them.
    pub columns: Vec<ColumnDescriptor>,
    /// The key's columns, in the key's order. Never empty.
    pub primary_key: Vec<ColumnId>,
    /// Name of the constraint, for errors and `\d`.
    pub primary_key_name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDescriptor {
    pub id: ColumnId,
    pub name: String,
    pub sql_type: SqlType,
    /// [`NO_MODIFIER`]; for text also [`UNBOUNDED_VARCHAR`], or n + 4 for `varchar(n)`, as in Postgres.
    pub type_modifier: i32,
    pub not_null: bool,
    /// SQL text of the default expression, which names no column.
    pub default: Option<String>,
}

impl ColumnDescriptor {
    /// Greatest number of characters that a value may have.
    pub fn length_max(&self) -> Option<usize> {
        usize::try_from(self.type_modifier).ok().and_then(|m| m.checked_sub(4))
    }

    /// Postgres' name of the column's type, as `format_type` gives it.
    pub fn type_name(&self) -> String {
        match (self.sql_type, self.length_max()) {
            (SqlType::Text, Some(n)) => format!("character varying({n})"),
            (SqlType::Text, None) if self.type_modifier == UNBOUNDED_VARCHAR => "character varying".to_owned(),
            (sql_type, _) => sql_type.name().to_owned(),
        }
    }
}

impl TableDescriptor {
    /// Position of the column in `columns`.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// Positions in `columns` of the primary key's columns, in the key's order.
    pub fn key_positions(&self) -> Vec<usize> {
        let position = |id: &ColumnId| {
            self.columns
                .iter()
                .position(|c| c.id == *id)
                .expect("a key's columns are the table's, checked when decoded")
        };
        self.primary_key.iter().map(position).collect()
    }

    /// Begins a key of the primary index.
    pub fn key_builder(&self) -> KeyBuilder {
        KeyBuilder::new(self.id, PRIMARY_INDEX)
    }

    /// The key of a row, given all its columns in the order of `columns`.
    pub fn key_of(&self, values: &[Value]) -> Key {
        assert_eq!(values.len(), self.columns.len(), "a row of {} has all its columns", self.name);
        self.key_positions().into_iter().fold(self.key_builder(), |key, at| key.push(&values[at])).build()
    }

    /// What is stored: NULLs are left out.
    pub fn row_of(&self, values: &[Value]) -> Row {
        assert_eq!(values.len(), self.columns.len(), "a row of {} has all its columns", self.name);
        let mut columns: Vec<(ColumnId, Value)> = self
            .columns
            .iter()
            .zip(values)
            .filter(|(_, value)| !value.is_null())
            .map(|(column, value)| (column.id, value.clone()))
            .collect();
        columns.sort_by_key(|(id, _)| *id);
        Row { schema: self.schema, columns }
    }

    /// The inverse of [`TableDescriptor::row_of`].
    pub fn values_of(&self, row: &Row) -> Vec<Value> {
        self.columns.iter().map(|column| row.get(column.id)).collect()
    }
}
