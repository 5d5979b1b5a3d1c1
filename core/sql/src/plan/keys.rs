//! Where rows come from: by key, by scan, or from a query. Finds the primary key in a WHERE.

use std::collections::BTreeSet;
use std::sync::Arc;

use tenet_catalog::TableDescriptor;
use tenet_types::{KEY_BYTES_MAX, Key, KeyBuilder, Span, SqlType, Value};

use crate::analytic::AnalyticPlan;
use crate::cast::is_integer;
use crate::error::SqlError;
use crate::scalar::{Comparison, Env, Scalar};

/// Most keys of a point plan. Beyond it a scan is not worse.
const KEYS_MAX: usize = 1024;

/// Where a statement's rows come from.
#[derive(Debug)]
pub(crate) enum RowSource {
    /// One row without columns.
    Nothing,
    Keys(Arc<TableDescriptor>, KeyPlan),
    /// All rows whose key begins with these values.
    Scan(Arc<TableDescriptor>, Vec<Scalar>),
    /// The table's rows that the query returns, with further columns appended.
    Query(Arc<TableDescriptor>, Box<AnalyticPlan>),
}

/// For each column of the primary key, the expressions that it may equal.
#[derive(Debug)]
pub(crate) struct KeyPlan(Vec<Vec<Scalar>>);

impl RowSource {
    /// The narrowest for the WHERE, whose expressions are bound to the table's columns.
    pub(crate) fn of(table: &Arc<TableDescriptor>, filter: Option<&Scalar>, point_plans: bool) -> RowSource {
        let mut parts = Vec::new();
        let mut count = 1usize;
        if let Some(filter) = filter.filter(|_| point_plans) {
            for at in table.key_positions() {
                let Some(alternatives) = alternatives(filter, at, table.columns[at].sql_type) else { break };
                count = count.saturating_mul(alternatives.len());
                parts.push(alternatives);
            }
        }
        if parts.len() == table.primary_key.len() && count <= KEYS_MAX {
            return RowSource::Keys(table.clone(), KeyPlan(parts));
        }
        let single = |mut alternatives: Vec<Scalar>| match alternatives.len() {
            1 => alternatives.pop(),
            _ => None,
        };
        RowSource::Scan(table.clone(), parts.into_iter().map_while(single).collect())
    }
}

/// What the column must equal for the filter to hold; `None` if it may be anything.
fn alternatives(filter: &Scalar, column: usize, sql_type: SqlType) -> Option<Vec<Scalar>> {
    match filter {
        Scalar::And(all) => all.iter().find_map(|a| alternatives(a, column, sql_type)),
        // The binder casts the column when its type is not the comparison's, so a bare column means that keys compare alike.
        Scalar::Compare(Comparison::Equal, a, b) => match (a.as_ref(), b.as_ref()) {
            (Scalar::Column(at), value) | (value, Scalar::Column(at)) if *at == column && value.is_constant() => {
                Some(vec![value.clone()])
            }
            _ => None,
        },
        Scalar::In(a, list) => match a.as_ref() {
            Scalar::Column(at) if *at == column && list.iter().all(Scalar::is_constant) => Some(list.clone()),
            _ => None,
        },
        Scalar::Column(at) if *at == column && sql_type == SqlType::Bool => {
            Some(vec![Scalar::Constant(Value::Bool(true))])
        }
        _ => None,
    }
}

impl KeyPlan {
    /// The keys, in order. NULL equals nothing, and a key too long to be stored is not there.
    pub(crate) fn keys(&self, table: &TableDescriptor, env: &Env) -> Result<Vec<Key>, SqlError> {
        let mut prefixes: Vec<Vec<Value>> = vec![Vec::new()];
        for (alternatives, at) in self.0.iter().zip(table.key_positions()) {
            let mut values = BTreeSet::new();
            for alternative in alternatives {
                let value = alternative.eval(&[], env)?;
                if !value.is_null() {
                    debug_assert!(compares_as_key(&value, table.columns[at].sql_type));
                    values.insert(value);
                }
            }
            let extend = |prefix: &Vec<Value>| {
                values.iter().map(|v| prefix.iter().chain([v]).cloned().collect()).collect::<Vec<_>>()
            };
            prefixes = prefixes.iter().flat_map(extend).collect();
        }
        let key = |values: Vec<Value>| values.iter().fold(table.key_builder(), KeyBuilder::push).build();
        Ok(prefixes.into_iter().map(key).filter(|key| key.0.len() <= KEY_BYTES_MAX).collect())
    }

    pub(crate) fn parts(&self) -> &[Vec<Scalar>] {
        &self.0
    }
}

/// Whether a value's key bytes equal those of an equal value of the column's type.
fn compares_as_key(value: &Value, sql_type: SqlType) -> bool {
    value.sql_type().is_some_and(|t| t == sql_type || (is_integer(t) && is_integer(sql_type)))
}

/// The part of the table whose keys begin with the values; `None` when one is NULL, which no key is.
pub(crate) fn prefix_span(table: &TableDescriptor, prefix: &[Scalar], env: &Env) -> Result<Option<Span>, SqlError> {
    let mut key = table.key_builder();
    for scalar in prefix {
        let value = scalar.eval(&[], env)?;
        if value.is_null() {
            return Ok(None);
        }
        key = key.push(&value);
    }
    Ok(Some(Span::prefix(&key.build())))
}
