//! The rows that psql prints, from descriptors.

use std::collections::BTreeSet;

use tenet_catalog::{ColumnDescriptor, NO_MODIFIER, TableDescriptor};
use tenet_types::{SqlType, Value};

use super::{Detail, Filled, Form, View, complete, index_oid, table_oid};
use crate::Column;

/// The only schema.
pub(super) const SCHEMA: &str = "public";
/// There are no roles yet; every object belongs to this name.
const OWNER: &str = "postgres";

pub(super) fn named(names: &[(&str, SqlType)]) -> Vec<Column> {
    let column = |(name, sql_type): &(&str, SqlType)| Column {
        name: (*name).to_owned(),
        sql_type: *sql_type,
        type_modifier: NO_MODIFIER,
        table: None,
    };
    names.iter().map(column).collect()
}

pub(super) fn columns(form: Form, detail: Detail) -> Vec<Column> {
    let mut columns = plain_columns(form);
    if detail == Detail::Plus {
        columns.extend(named(more_columns(form)));
    }
    columns
}

/// What a `+` adds.
fn more_columns(form: Form) -> &'static [(&'static str, SqlType)] {
    use SqlType::{Int4, Text};
    match form {
        Form::Databases14 | Form::Databases15 | Form::Databases16 | Form::Databases17 => {
            &[("Size", Text), ("Tablespace", Text), ("Description", Text)]
        }
        Form::Relations | Form::Indexes => {
            &[("Persistence", Text), ("Access method", Text), ("Size", Text), ("Description", Text)]
        }
        Form::Schemas => &[("Access privileges", Text), ("Description", Text)],
        Form::DescribeColumns => {
            &[("attstorage", Text), ("attcompression", Text), ("attstattarget", Int4), ("col_description", Text)]
        }
        Form::DescribeIndexColumns => &[("attstorage", Text), ("attstattarget", Int4)],
        _ => &[],
    }
}

/// The cells below [`more_columns`], for a row that has its plain ones.
fn more_cells(form: Form, row: &[Value]) -> Vec<Value> {
    match form {
        Form::Databases14 | Form::Databases15 | Form::Databases16 | Form::Databases17 => {
            vec![Value::Null, text("pg_default"), Value::Null]
        }
        Form::Relations | Form::Indexes => {
            let access = if row[2] == text("index") { "btree" } else { "heap" };
            vec![text("permanent"), text(access), Value::Null, Value::Null]
        }
        Form::Schemas => vec![Value::Null, Value::Null],
        // Values are stored where their row is, as they are: Postgres calls that plain.
        Form::DescribeColumns => vec![text("p"), text(""), Value::Null, Value::Null],
        Form::DescribeIndexColumns => vec![text("p"), Value::Null],
        _ => Vec::new(),
    }
}

fn plain_columns(form: Form) -> Vec<Column> {
    use SqlType::{Bool, Int2, Int4, Int8, Text};
    let texts = |names: &[&str]| named(&names.iter().map(|name| (*name, Text)).collect::<Vec<_>>());
    match form {
        Form::Databases14 => texts(&["Name", "Owner", "Encoding", "Collate", "Ctype", "Access privileges"]),
        Form::Databases15 => texts(&[
            "Name",
            "Owner",
            "Encoding",
            "Collate",
            "Ctype",
            "ICU Locale",
            "Locale Provider",
            "Access privileges",
        ]),
        Form::Databases16 | Form::Databases17 => texts(&[
            "Name",
            "Owner",
            "Encoding",
            "Locale Provider",
            "Collate",
            "Ctype",
            if form == Form::Databases16 { "ICU Locale" } else { "Locale" },
            "ICU Rules",
            "Access privileges",
        ]),
        Form::Relations => texts(&["Schema", "Name", "Type", "Owner"]),
        Form::Indexes => texts(&["Schema", "Name", "Type", "Owner", "Table"]),
        Form::Schemas => texts(&["Name", "Owner"]),
        Form::SchemaPublications => texts(&["pubname"]),
        Form::Complete(names) => complete::columns(names),
        Form::CompleteQuoted(names) => complete::quoted_columns(names),
        Form::DescribeFind => named(&[("oid", Int8), ("nspname", Text), ("relname", Text)]),
        Form::DescribeRelation => named(&[
            ("relchecks", Int2),
            ("relkind", Text),
            ("relhasindex", Bool),
            ("relhasrules", Bool),
            ("relhastriggers", Bool),
            ("relrowsecurity", Bool),
            ("relforcerowsecurity", Bool),
            ("relhasoids", Bool),
            ("relispartition", Bool),
            ("?column?", Text),
            ("reltablespace", Int8),
            ("reloftype", Text),
            ("relpersistence", Text),
            ("relreplident", Text),
            ("amname", Text),
        ]),
        Form::DescribeColumns => named(&[
            ("attname", Text),
            ("format_type", Text),
            ("pg_get_expr", Text),
            ("attnotnull", Bool),
            ("attcollation", Text),
            ("attidentity", Text),
            ("attgenerated", Text),
        ]),
        Form::DescribeIndexes | Form::DescribeIndexes18 => {
            let mut all = vec![
                ("relname", Text),
                ("indisprimary", Bool),
                ("indisunique", Bool),
                ("indisclustered", Bool),
                ("indisvalid", Bool),
                ("pg_get_indexdef", Text),
                ("pg_get_constraintdef", Text),
                ("contype", Text),
                ("condeferrable", Bool),
                ("condeferred", Bool),
                ("indisreplident", Bool),
                ("reltablespace", Int8),
            ];
            if form == Form::DescribeIndexes18 {
                all.push(("conperiod", Bool));
            }
            named(&all)
        }
        Form::DescribePolicies => named(&[
            ("polname", Text),
            ("polpermissive", Bool),
            ("array_to_string", Text),
            ("pg_get_expr", Text),
            ("pg_get_expr", Text),
            ("cmd", Text),
        ]),
        Form::DescribeStatistics => named(&[
            ("oid", Int8),
            ("stxrelid", Text),
            ("nsp", Text),
            ("stxname", Text),
            ("columns", Text),
            ("ndist_enabled", Bool),
            ("deps_enabled", Bool),
            ("mcv_enabled", Bool),
            ("stxstattarget", Int4),
        ]),
        Form::DescribePublications14 => texts(&["pubname"]),
        Form::DescribePublications15 => texts(&["pubname", "?column?", "?column?"]),
        Form::DescribeParents => texts(&["oid"]),
        Form::DescribeChildren => {
            named(&[("oid", Text), ("relkind", Text), ("inhdetachpending", Bool), ("pg_get_expr", Text)])
        }
        Form::DescribeIndexColumns => texts(&["attname", "format_type", "is_key", "indexdef"]),
        Form::DescribeIndex14 | Form::DescribeIndex15 => {
            let mut all = vec![
                ("indisunique", Bool),
                ("indisprimary", Bool),
                ("indisclustered", Bool),
                ("indisvalid", Bool),
                ("condeferrable", Bool),
                ("condeferred", Bool),
                ("indisreplident", Bool),
            ];
            if form == Form::DescribeIndex15 {
                all.push(("indnullsnotdistinct", Bool));
            }
            all.extend([("amname", Text), ("relname", Text), ("pg_get_expr", Text)]);
            named(&all)
        }
    }
}

pub(super) fn rows(form: Form, detail: Detail, filled: &Filled, view: &View) -> Vec<Vec<Value>> {
    let mut rows = plain_rows(form, filled, view);
    if detail == Detail::Plus {
        rows.iter_mut().for_each(|row| row.extend(more_cells(form, row)));
    }
    rows
}

fn plain_rows(form: Form, filled: &Filled, view: &View) -> Vec<Vec<Value>> {
    match form {
        Form::Databases14 | Form::Databases15 | Form::Databases16 | Form::Databases17 => databases(form, filled, view),
        Form::Relations => relations(filled, view),
        Form::Indexes => indexes(filled, view),
        Form::Schemas => schemas(filled),
        Form::Complete(names) => complete::rows(names, filled, view),
        Form::CompleteQuoted(names) => complete::quoted_rows(names, filled, view),
        Form::DescribeFind => find(filled, view),
        Form::DescribeRelation => describe_relation(filled, view),
        Form::DescribeColumns => describe_columns(filled, view),
        Form::DescribeIndexes | Form::DescribeIndexes18 => describe_indexes(form, filled, view),
        Form::DescribeIndexColumns => describe_index_columns(filled, view),
        Form::DescribeIndex14 | Form::DescribeIndex15 => describe_index(form, filled, view),
        // Nothing has any of these, because none can be made.
        Form::SchemaPublications
        | Form::DescribePolicies
        | Form::DescribeStatistics
        | Form::DescribePublications14
        | Form::DescribePublications15
        | Form::DescribeParents
        | Form::DescribeChildren => Vec::new(),
    }
}

fn databases(form: Form, filled: &Filled, view: &View) -> Vec<Vec<Value>> {
    let row = |name: &String| {
        let mut row = vec![text(name), text(OWNER), text("UTF8")];
        // Strings are compared byte by byte, which is what Postgres calls C.
        match form {
            Form::Databases14 => row.extend([text("C"), text("C")]),
            Form::Databases15 => row.extend([text("C"), text("C"), Value::Null, text("libc")]),
            _ => row.extend([text("libc"), text("C"), text("C"), Value::Null, Value::Null]),
        }
        row.push(Value::Null);
        row
    };
    let names: BTreeSet<&String> = view.databases.iter().filter(|name| fits_name(filled, name)).collect();
    names.into_iter().map(row).collect()
}

fn relations(filled: &Filled, view: &View) -> Vec<Vec<Value>> {
    let mut rows: Vec<[String; 3]> = Vec::new();
    if fits_schema(filled) {
        if is_of_kind(filled, "r") {
            rows.extend(view.tables.iter().map(|t| [t.name.clone(), "table".to_owned(), String::new()]));
        }
        if is_of_kind(filled, "i") {
            rows.extend(view.tables.iter().map(|t| [t.primary_key_name.clone(), "index".to_owned(), t.name.clone()]));
        }
    }
    rows.retain(|[name, ..]| fits_name(filled, name));
    rows.sort();
    rows.iter().map(|[name, kind, _]| vec![text(SCHEMA), text(name), text(kind), text(OWNER)]).collect()
}

fn indexes(filled: &Filled, view: &View) -> Vec<Vec<Value>> {
    let table_of = |name: &Value| {
        let table = view.tables.iter().find(|t| text(&t.primary_key_name) == *name);
        table.map_or(Value::Null, |t| text(&t.name))
    };
    let with_table = |mut row: Vec<Value>| {
        let table = if row[2] == text("index") { table_of(&row[1]) } else { Value::Null };
        row.push(table);
        row
    };
    relations(filled, view).into_iter().map(with_table).collect()
}

fn schemas(filled: &Filled) -> Vec<Vec<Value>> {
    if fits_schema(filled) { vec![vec![text(SCHEMA), text(OWNER)]] } else { Vec::new() }
}

/// Tables and indexes by name; psql asks for the details of each.
fn find(filled: &Filled, view: &View) -> Vec<Vec<Value>> {
    let mut found: Vec<(&str, u32)> = view
        .tables
        .iter()
        .flat_map(|t| [(t.name.as_str(), table_oid(t.id)), (t.primary_key_name.as_str(), index_oid(t.id))])
        .filter(|(name, _)| fits_schema(filled) && fits_name(filled, name))
        .collect();
    found.sort();
    found.into_iter().map(|(name, oid)| vec![Value::Int8(i64::from(oid)), text(SCHEMA), text(name)]).collect()
}

fn describe_relation(filled: &Filled, view: &View) -> Vec<Vec<Value>> {
    let row = |kind: &str, has_index: bool, access: &str| {
        let mut row = vec![Value::Int2(0), text(kind), Value::Bool(has_index)];
        row.extend(std::iter::repeat_n(Value::Bool(false), 6));
        row.extend([text(""), Value::Int8(0), text(""), text("p"), text("d"), text(access)]);
        row
    };
    if table(filled, view).is_some() {
        vec![row("r", true, "heap")]
    } else if index(filled, view).is_some() {
        vec![row("i", false, "btree")]
    } else {
        Vec::new()
    }
}

fn describe_columns(filled: &Filled, view: &View) -> Vec<Vec<Value>> {
    let Some(table) = table(filled, view) else { return Vec::new() };
    let row = |column: &ColumnDescriptor| {
        vec![
            text(&column.name),
            text(&column.type_name()),
            column.default.as_deref().map_or(Value::Null, text),
            Value::Bool(column.not_null || table.primary_key.contains(&column.id)),
            Value::Null,
            text(""),
            text(""),
        ]
    };
    table.columns.iter().map(row).collect()
}

fn describe_indexes(form: Form, filled: &Filled, view: &View) -> Vec<Vec<Value>> {
    let Some(table) = table(filled, view) else { return Vec::new() };
    let columns: Vec<String> = key_columns(table).map(|c| quote(&c.name)).collect();
    let columns = columns.join(", ");
    let definition = format!(
        "CREATE UNIQUE INDEX {} ON {SCHEMA}.{} USING btree ({columns})",
        quote(&table.primary_key_name),
        quote(&table.name)
    );
    let mut row = vec![
        text(&table.primary_key_name),
        Value::Bool(true),
        Value::Bool(true),
        Value::Bool(false),
        Value::Bool(true),
        text(&definition),
        text(&format!("PRIMARY KEY ({columns})")),
        text("p"),
        Value::Bool(false),
        Value::Bool(false),
        Value::Bool(false),
        Value::Int8(0),
    ];
    if form == Form::DescribeIndexes18 {
        row.push(Value::Bool(false));
    }
    vec![row]
}

fn describe_index_columns(filled: &Filled, view: &View) -> Vec<Vec<Value>> {
    let Some(table) = index(filled, view) else { return Vec::new() };
    let row = |column: &ColumnDescriptor| {
        vec![text(&column.name), text(&column.type_name()), text("yes"), text(&quote(&column.name))]
    };
    key_columns(table).map(row).collect()
}

fn describe_index(form: Form, filled: &Filled, view: &View) -> Vec<Vec<Value>> {
    let Some(table) = index(filled, view) else { return Vec::new() };
    let mut row: Vec<Value> = [true, true, false, true, false, false, false].map(Value::Bool).into();
    if form == Form::DescribeIndex15 {
        row.push(Value::Bool(false));
    }
    row.extend([text("btree"), text(&table.name), Value::Null]);
    vec![row]
}

fn table<'a>(filled: &Filled, view: &'a View) -> Option<&'a TableDescriptor> {
    view.tables.iter().find(|t| Some(table_oid(t.id)) == filled.oid)
}

/// The table whose primary key's index it is.
fn index<'a>(filled: &Filled, view: &'a View) -> Option<&'a TableDescriptor> {
    view.tables.iter().find(|t| Some(index_oid(t.id)) == filled.oid)
}

fn key_columns(table: &TableDescriptor) -> impl Iterator<Item = &ColumnDescriptor> {
    table.key_positions().into_iter().map(|at| &table.columns[at])
}

pub(super) fn is_of_kind(filled: &Filled, kind: &str) -> bool {
    filled.kinds.as_ref().is_none_or(|kinds| kinds.is_empty() || kinds.iter().any(|asked| asked == kind))
}

fn fits_name(filled: &Filled, name: &str) -> bool {
    filled.name.as_ref().is_none_or(|pattern| pattern.matches(name))
}

fn fits_schema(filled: &Filled) -> bool {
    filled.schema.as_ref().is_none_or(|pattern| pattern.matches(SCHEMA))
}

/// An identifier as one would write it in SQL. (Keywords are not known here and stay bare.)
pub(super) fn quote(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let bare = name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty();
    if bare { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

pub(super) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}
