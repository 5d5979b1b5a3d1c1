//! CREATE TABLE and DROP TABLE: what they ask for, as descriptors.

use sqlparser::ast::{
    ColumnDef, ColumnOption, CreateTable, CreateTableOptions, Expr, HiveDistributionStyle, IndexColumn, ObjectName,
    PrimaryKeyConstraint, TableConstraint,
};
use tenet_catalog::{ColumnDescriptor, NAME_BYTES_MAX, TableDescriptor, fold};
use tenet_types::{ColumnId, SchemaVersion, TableId};

use crate::bind::fold_ident;
use crate::error::{SqlError, SqlState};
use crate::parse::Source;
use crate::plan::{bind_default, split_name};
use crate::text::Formats;
use crate::types;

/// Most columns of a table, as in Postgres.
const COLUMNS_MAX: usize = 1600;

/// The table that CREATE TABLE describes, without an id.
pub(crate) fn table_of(create: &CreateTable, source: &Source, formats: &Formats) -> Result<TableDescriptor, SqlError> {
    refuse_unsupported(create)?;
    let name = new_name(&create.name, source)?;
    let mut columns: Vec<ColumnDescriptor> = Vec::new();
    let mut key: Option<(Vec<String>, Option<String>)> = None;
    let mut set_key = |columns: Vec<String>, constraint: Option<String>| match &key {
        Some(_) => Err(SqlError::new(
            SqlState::INVALID_TABLE_DEFINITION,
            format!("multiple primary keys for table \"{name}\" are not allowed"),
        )),
        None => {
            key = Some((columns, constraint));
            Ok(())
        }
    };
    for definition in &create.columns {
        let (column, key_constraint) = column_of(definition, columns.len(), source, formats)?;
        if columns.iter().any(|other| other.name == column.name) {
            let message = format!("column \"{}\" specified more than once", column.name);
            return Err(
                SqlError::new(SqlState::DUPLICATE_COLUMN, message).at(source.position(definition.name.span.start))
            );
        }
        if let Some(constraint) = key_constraint {
            set_key(vec![column.name.clone()], constraint)?;
        }
        columns.push(column);
    }
    for constraint in &create.constraints {
        match constraint {
            TableConstraint::PrimaryKey(constraint) => {
                set_key(key_columns(constraint)?, constraint.name.as_ref().map(fold_ident))?;
            }
            TableConstraint::Unique(_) => return Err(SqlError::unsupported("UNIQUE")),
            TableConstraint::ForeignKey(_) => return Err(SqlError::unsupported("FOREIGN KEY")),
            TableConstraint::Check(_) => return Err(SqlError::unsupported("CHECK")),
            other => return Err(SqlError::unsupported(format!("the constraint {other}"))),
        }
    }
    if columns.len() > COLUMNS_MAX {
        let message = format!("tables can have at most {COLUMNS_MAX} columns");
        return Err(SqlError::new(SqlState::TOO_MANY_COLUMNS, message));
    }
    let Some((key_names, constraint)) = key else {
        return Err(SqlError::unsupported("a table without a PRIMARY KEY")
            .hint("Rows are stored by their primary key: name one or more columns as PRIMARY KEY."));
    };
    let mut primary_key = Vec::new();
    for key_name in &key_names {
        let column = columns.iter_mut().find(|column| column.name == *key_name).ok_or_else(|| {
            let message = format!("column \"{key_name}\" named in key does not exist");
            SqlError::new(SqlState::UNDEFINED_COLUMN, message)
        })?;
        if primary_key.contains(&column.id) {
            let message = format!("column \"{key_name}\" appears twice in primary key constraint");
            return Err(SqlError::new(SqlState::DUPLICATE_COLUMN, message));
        }
        column.not_null = true;
        primary_key.push(column.id);
    }
    let primary_key_name = constraint.unwrap_or_else(|| constraint_name(&name));
    Ok(TableDescriptor { id: TableId(0), name, schema: SchemaVersion(1), columns, primary_key, primary_key_name })
}

/// `t_pkey`, with the table's name cut so that it fits.
fn constraint_name(table: &str) -> String {
    const SUFFIX: &str = "_pkey";
    let cut = (0..=table.len().min(NAME_BYTES_MAX - SUFFIX.len()))
        .rev()
        .find(|at| table.is_char_boundary(*at))
        .expect("0 is a boundary");
    fold(&format!("{}{SUFFIX}", &table[..cut]), true)
}

/// A name in schema public.
fn new_name(name: &ObjectName, source: &Source) -> Result<String, SqlError> {
    let (schema, table, place) = split_name(name)?;
    match schema.as_deref() {
        None | Some("public") => Ok(table),
        Some(schema @ ("pg_catalog" | "information_schema")) => {
            Err(SqlError::unsupported(format!("creating a table in schema {schema}")))
        }
        Some(schema) => {
            Err(SqlError::new(SqlState::INVALID_SCHEMA_NAME, format!("schema \"{schema}\" does not exist"))
                .at(source.position(place)))
        }
    }
}

/// The column; and if it is the primary key, the constraint's name, if it has one.
fn column_of(
    definition: &ColumnDef,
    at: usize,
    source: &Source,
    formats: &Formats,
) -> Result<(ColumnDescriptor, Option<Option<String>>), SqlError> {
    let place = source.position(definition.name.span.start);
    let (sql_type, type_modifier) = types::sql_type(&definition.data_type).map_err(|error| error.at(place))?;
    let id = ColumnId(u32::try_from(at + 1).expect("a statement has fewer columns"));
    let mut column = ColumnDescriptor {
        id,
        name: fold_ident(&definition.name),
        sql_type,
        type_modifier,
        not_null: false,
        default: None,
    };
    let mut key = None;
    let mut nullable = false;
    for option in &definition.options {
        let constraint = option.name.as_ref().map(fold_ident);
        match &option.option {
            ColumnOption::Null => nullable = true,
            ColumnOption::NotNull => column.not_null = true,
            ColumnOption::Default(expr) => {
                if column.default.is_some() {
                    let message = format!("multiple default values specified for column \"{}\"", column.name);
                    return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(place));
                }
                column.default = default_of(expr, &column, source, formats)?;
            }
            ColumnOption::PrimaryKey(primary) => {
                refuse_index_options(primary)?;
                if key.is_some() {
                    let message = "multiple primary keys for one column are not allowed";
                    return Err(SqlError::new(SqlState::INVALID_TABLE_DEFINITION, message).at(place));
                }
                key = Some(constraint);
            }
            ColumnOption::Unique(_) => return Err(SqlError::unsupported("UNIQUE").at(place)),
            ColumnOption::ForeignKey(_) => return Err(SqlError::unsupported("REFERENCES").at(place)),
            ColumnOption::Check(_) => return Err(SqlError::unsupported("CHECK").at(place)),
            ColumnOption::Generated { .. } => return Err(SqlError::unsupported("GENERATED").at(place)),
            ColumnOption::Collation(_) => return Err(SqlError::unsupported("COLLATE").at(place)),
            other => return Err(SqlError::unsupported(format!("the column option {other}")).at(place)),
        }
    }
    if nullable && (column.not_null || key.is_some()) {
        let message = format!("conflicting NULL/NOT NULL declarations for column \"{}\"", column.name);
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).at(place));
    }
    Ok((column, key))
}

/// The default as SQL text. It is bound once, so that what is wrong with it is said now.
fn default_of(
    expr: &Expr,
    column: &ColumnDescriptor,
    source: &Source,
    formats: &Formats,
) -> Result<Option<String>, SqlError> {
    use crate::scalar::Scalar;
    match bind_default(expr, column, source, formats) {
        Ok(Scalar::Constant(value)) if value.is_null() => Ok(None),
        Ok(_) => Ok(Some(expr.to_string())),
        Err(error) if error.state == SqlState::UNDEFINED_COLUMN => {
            Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "cannot use column reference in DEFAULT expression")
                .at(error.position))
        }
        Err(error) => Err(error),
    }
}

fn key_columns(constraint: &PrimaryKeyConstraint) -> Result<Vec<String>, SqlError> {
    refuse_index_options(constraint)?;
    let name = |column: &IndexColumn| match &column.column.expr {
        Expr::Identifier(name)
            if column.operator_class.is_none()
                && column.column.options.asc.is_none()
                && column.column.options.nulls_first.is_none() =>
        {
            Ok(fold_ident(name))
        }
        other => Err(SqlError::new(SqlState::SYNTAX_ERROR, format!("syntax error in the primary key: {other}"))),
    };
    constraint.columns.iter().map(name).collect()
}

fn refuse_index_options(constraint: &PrimaryKeyConstraint) -> Result<(), SqlError> {
    if constraint.characteristics.is_some() {
        return Err(SqlError::unsupported("DEFERRABLE"));
    }
    if constraint.index_name.is_some() || constraint.index_type.is_some() || !constraint.index_options.is_empty() {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "syntax error: options of an index in a primary key"));
    }
    Ok(())
}

/// Whatever else the parser takes after CREATE TABLE.
fn refuse_unsupported(create: &CreateTable) -> Result<(), SqlError> {
    let present = [
        (create.or_replace, "CREATE OR REPLACE TABLE"),
        (create.temporary, "CREATE TEMPORARY TABLE"),
        (create.external, "CREATE EXTERNAL TABLE"),
        (create.global.is_some(), "CREATE GLOBAL TABLE"),
        (create.transient || create.volatile || create.iceberg || create.dynamic || create.snapshot, "such a table"),
        (create.query.is_some(), "CREATE TABLE AS"),
        (create.like.is_some(), "CREATE TABLE LIKE"),
        (create.clone.is_some(), "CREATE TABLE CLONE"),
        (create.inherits.is_some(), "INHERITS"),
        (create.partition_of.is_some() || create.for_values.is_some(), "PARTITION OF"),
        (create.partition_by.is_some(), "PARTITION BY"),
        (create.on_commit.is_some(), "ON COMMIT"),
        (!matches!(create.table_options, CreateTableOptions::None), "WITH"),
        (create.hive_distribution != HiveDistributionStyle::NONE, "PARTITIONED BY"),
        (create.hive_formats.as_ref().is_some_and(|formats| *formats != Default::default()), "ROW FORMAT"),
        (create.file_format.is_some() || create.location.is_some(), "STORED AS"),
        (create.without_rowid || create.strict, "WITHOUT ROWID"),
        (create.primary_key.is_some() || create.order_by.is_some(), "ORDER BY"),
        (create.cluster_by.is_some() || create.clustered_by.is_some(), "CLUSTER BY"),
        (create.version.is_some() || create.comment.is_some() || create.on_cluster.is_some(), "such an option"),
    ];
    match present.iter().find(|(present, _)| *present) {
        Some((_, what)) => Err(SqlError::unsupported(what)),
        None => Ok(()),
    }
}
