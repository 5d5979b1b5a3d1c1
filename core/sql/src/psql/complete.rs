//! The Tab key: names that begin with what was typed.
//!
//! psql 14 asks for names as one writes them in SQL (`quote_ident`) and compares them with what was typed, quotes included; later
//! ones ask for names as they are, by LIKE, and quote them themselves. Names come sorted: the query asks for no order.

use std::collections::BTreeSet;

use tenet_types::{SqlType, Value};

use super::answer::{SCHEMA, is_of_kind, named, quote, text};
use super::{Filled, View};
use crate::Column;
use crate::settings;

/// Whose names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// And schemas, which may stand before a relation.
    Relations,
    RelationsInSchema,
    Columns,
    Databases,
    Schemas,
    SettingsToSet,
    SettingsToShow,
}

/// What psql 14 adds to the settings.
const WORDS_AFTER_SET: [&str; 6] = ["constraints", "transaction", "session", "role", "tablespace", "all"];
const WORDS_AFTER_SHOW: [&str; 2] = ["session authorization", "all"];

/// What was typed, from the LIKE pattern that psql makes of it: `o\_` of `o\\_%`.
pub(super) fn typed(pattern: &str) -> Option<String> {
    let mut typed = String::new();
    let mut chars = pattern.strip_suffix('%')?.chars();
    while let Some(c) = chars.next() {
        typed.push(match c {
            '\\' => chars.next()?,
            '%' | '_' => return None,
            literal => literal,
        });
    }
    Some(typed)
}

pub(super) fn columns(names: Names) -> Vec<Column> {
    named(match names {
        Names::Relations => &[("relname", SqlType::Text), ("text", SqlType::Text)],
        Names::RelationsInSchema => &[("relname", SqlType::Text), ("nspname", SqlType::Text)],
        Names::Columns => &[("attname", SqlType::Text), ("text", SqlType::Text)],
        Names::Databases => &[("datname", SqlType::Text)],
        Names::Schemas => &[("nspname", SqlType::Text)],
        Names::SettingsToSet | Names::SettingsToShow => &[("lower", SqlType::Text)],
    })
}

pub(super) fn quoted_columns(names: Names) -> Vec<Column> {
    let setting = matches!(names, Names::SettingsToSet | Names::SettingsToShow);
    named(&[(if setting { "name" } else { "quote_ident" }, SqlType::Text)])
}

pub(super) fn rows(names: Names, filled: &Filled, view: &View) -> Vec<Vec<Value>> {
    let typed = filled.typed.as_deref().unwrap_or_default();
    let begun = |name: &&str| name.starts_with(typed);
    let alone = |name: &str| vec![text(name)];
    let rows: Vec<Vec<Value>> = match names {
        Names::Relations => {
            let relations = relations(filled, view).into_iter().filter(begun).map(|name| vec![text(name), Value::Null]);
            let schemas = [SCHEMA].into_iter().filter(begun).map(|name| vec![Value::Null, text(name)]);
            relations.chain(schemas).collect()
        }
        Names::RelationsInSchema if filled.in_schema.as_deref() != Some(SCHEMA) => Vec::new(),
        Names::RelationsInSchema => {
            relations(filled, view).into_iter().filter(begun).map(|name| vec![text(name), text(SCHEMA)]).collect()
        }
        Names::Columns => {
            let is_meant = |name: &str, asked: &str| name == asked;
            columns_of(filled, view, is_meant).into_iter().filter(begun).map(|n| vec![text(n), Value::Null]).collect()
        }
        Names::Databases => databases(view).into_iter().filter(begun).map(alone).collect(),
        Names::Schemas => [SCHEMA].into_iter().filter(begun).map(alone).collect(),
        Names::SettingsToSet | Names::SettingsToShow => {
            let typed = typed.to_lowercase();
            setting_names(names).iter().filter(|name| name.starts_with(&typed)).map(|name| alone(name)).collect()
        }
    };
    limited(rows, filled)
}

pub(super) fn quoted_rows(names: Names, filled: &Filled, view: &View) -> Vec<Vec<Value>> {
    let typed = filled.typed.as_deref().unwrap_or_default();
    let names: BTreeSet<String> = match names {
        // With one schema there is never more than one that fits, so it is not offered alone, but before each relation.
        Names::Relations | Names::RelationsInSchema => {
            let bare = relations(filled, view).into_iter().map(quote);
            bare.flat_map(|name| [format!("{SCHEMA}.{name}"), name]).collect()
        }
        Names::Columns => {
            let is_meant = |name: &str, asked: &str| quote(name) == asked || format!("\"{name}\"") == asked;
            columns_of(filled, view, is_meant).into_iter().map(quote).collect()
        }
        Names::Databases => databases(view).into_iter().map(quote).collect(),
        Names::Schemas => [quote(SCHEMA)].into(),
        Names::SettingsToSet => {
            let words = WORDS_AFTER_SET.map(str::to_owned);
            setting_names(names).into_iter().chain(words).collect()
        }
        Names::SettingsToShow => {
            let words = WORDS_AFTER_SHOW.map(str::to_owned);
            setting_names(names).into_iter().chain(words).collect()
        }
    };
    limited(names.iter().filter(|name| name.starts_with(typed)).map(|name| vec![text(name)]).collect(), filled)
}

fn relations<'a>(filled: &Filled, view: &'a View) -> BTreeSet<&'a str> {
    let tables = view.tables.iter().filter(|_| is_of_kind(filled, "r")).map(|t| t.name.as_str());
    let indexes = view.tables.iter().filter(|_| is_of_kind(filled, "i")).map(|t| t.primary_key_name.as_str());
    tables.chain(indexes).collect()
}

/// Columns of the table that is meant by the name asked for, and of its index, which has those of the key.
fn columns_of<'a>(filled: &Filled, view: &'a View, is_meant: impl Fn(&str, &str) -> bool) -> BTreeSet<&'a str> {
    let fits = |name: &str, asked: &Option<String>| asked.as_deref().is_none_or(|asked| is_meant(name, asked));
    if !fits(SCHEMA, &filled.in_schema) {
        return BTreeSet::new();
    }
    let mut names = BTreeSet::new();
    for table in &view.tables {
        if fits(&table.name, &filled.relation) {
            names.extend(table.columns.iter().map(|column| column.name.as_str()));
        }
        if fits(&table.primary_key_name, &filled.relation) {
            names.extend(table.key_positions().into_iter().map(|at| table.columns[at].name.as_str()));
        }
    }
    names
}

fn databases(view: &View) -> BTreeSet<&str> {
    view.databases.iter().map(String::as_str).collect()
}

fn setting_names(names: Names) -> Vec<String> {
    let offered = settings::names().filter(|(_, may_be_set)| *may_be_set || names == Names::SettingsToShow);
    let mut lower: Vec<String> = offered.map(|(name, _)| name.to_lowercase()).collect();
    lower.sort();
    lower
}

fn limited(mut rows: Vec<Vec<Value>>, filled: &Filled) -> Vec<Vec<Value>> {
    rows.truncate(filled.limit.unwrap_or(usize::MAX));
    rows
}
