//! Where rows come from: by key, by scan, or from a query. Finds the primary key in a WHERE.
//!
//! Keys only narrow where to look (P2), so whatever is not understood here costs reads, not rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use tenet_catalog::TableDescriptor;
use tenet_types::{KEY_BYTES_MAX, Key, KeyBuilder, Span, SqlType, Value};

use crate::analytic::AnalyticPlan;
use crate::cast::is_integer;
use crate::error::SqlError;
use crate::scalar::{Comparison, Env, Scalar};

/// Most keys of a point plan, and most parts of a scan. Beyond it a wider scan is not worse.
const KEYS_MAX: usize = 1024;

/// Where a statement's rows come from.
#[derive(Debug)]
pub(crate) enum RowSource {
    /// One row without columns.
    Nothing,
    /// The rows with these values in their whole key.
    Keys(Arc<TableDescriptor>, KeyPlan),
    Scan(Arc<TableDescriptor>, ScanPlan),
    /// The table's rows that the query returns, with further columns appended.
    Query(Arc<TableDescriptor>, Box<AnalyticPlan>),
}

/// For leading columns of the primary key, the expressions that each may equal.
#[derive(Debug, Default)]
pub(crate) struct KeyPlan(Vec<Vec<Scalar>>);

/// All rows whose key begins with one of these, and whose next column lies within bounds.
#[derive(Debug, Default)]
pub(crate) struct ScanPlan {
    pub prefix: KeyPlan,
    pub low: Option<Bound>,
    pub high: Option<Bound>,
}

/// What a column is compared with: `>` and `>=` for a low bound, `<` and `<=` for a high one.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub value: Scalar,
    pub inclusive: bool,
}

impl RowSource {
    /// The narrowest for the WHERE, whose expressions are bound to the table's columns.
    pub(crate) fn of(table: &Arc<TableDescriptor>, filter: Option<&Scalar>, own_plans: bool) -> RowSource {
        let Some(filter) = filter.filter(|_| own_plans) else {
            return RowSource::Scan(table.clone(), ScanPlan::default());
        };
        let mut parts = Vec::new();
        let mut count = 1usize;
        for at in table.key_positions() {
            let Some(alternatives) = alternatives(filter, at, table.columns[at].sql_type) else {
                let (low, high) = (bound(filter, at, true), bound(filter, at, false));
                return RowSource::Scan(table.clone(), ScanPlan { prefix: KeyPlan(parts), low, high });
            };
            count = count.saturating_mul(alternatives.len());
            if count > KEYS_MAX {
                return RowSource::Scan(table.clone(), ScanPlan { prefix: KeyPlan(parts), low: None, high: None });
            }
            parts.push(alternatives);
        }
        RowSource::Keys(table.clone(), KeyPlan(parts))
    }

    /// `None` where there is no table.
    pub(crate) fn table(&self) -> Option<&Arc<TableDescriptor>> {
        match self {
            RowSource::Nothing => None,
            RowSource::Keys(table, _) | RowSource::Scan(table, _) | RowSource::Query(table, _) => Some(table),
        }
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

/// A bound that the column must keep for the filter to hold: the first that is found.
fn bound(filter: &Scalar, column: usize, low: bool) -> Option<Bound> {
    match filter {
        Scalar::And(all) => all.iter().find_map(|a| bound(a, column, low)),
        Scalar::Compare(comparison, a, b) => {
            let (comparison, value) = match (a.as_ref(), b.as_ref()) {
                (Scalar::Column(at), value) if *at == column => (*comparison, value),
                (value, Scalar::Column(at)) if *at == column => (comparison.flipped(), value),
                _ => return None,
            };
            let inclusive = match comparison {
                Comparison::Greater if low => false,
                Comparison::GreaterEqual if low => true,
                Comparison::Less if !low => false,
                Comparison::LessEqual if !low => true,
                _ => return None,
            };
            value.is_constant().then(|| Bound { value: value.clone(), inclusive })
        }
        _ => None,
    }
}

impl KeyPlan {
    /// The keys, in order. NULL equals nothing, and a key too long to be stored is not there.
    pub(crate) fn keys(&self, table: &TableDescriptor, env: &Env) -> Result<Vec<Key>, SqlError> {
        let keys = self.values(table, env)?.into_iter().map(|values| key(table, &values));
        Ok(keys.filter(|key| key.0.len() <= KEY_BYTES_MAX).collect())
    }

    /// The same as values, in order.
    fn values(&self, table: &TableDescriptor, env: &Env) -> Result<Vec<Vec<Value>>, SqlError> {
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
        Ok(prefixes)
    }

    pub(crate) fn parts(&self) -> &[Vec<Scalar>] {
        &self.0
    }
}

impl ScanPlan {
    /// The parts of the table, in order and disjoint. There is none when a value is NULL, which compares with nothing.
    pub(crate) fn spans(&self, table: &TableDescriptor, env: &Env) -> Result<Vec<Span>, SqlError> {
        let value = |bound: &Option<Bound>| bound.as_ref().map(|bound| bound.value.eval(&[], env)).transpose();
        let (low, high) = (value(&self.low)?, value(&self.high)?);
        if [&low, &high].into_iter().flatten().any(Value::is_null) {
            return Ok(Vec::new());
        }
        let mut spans = Vec::new();
        for prefix in self.prefix.values(table, env)? {
            let start = key(table, &prefix);
            if start.0.len() > KEY_BYTES_MAX {
                continue;
            }
            let mut span = Span::prefix(&start);
            // A bound too long to be a key is left to the filter.
            let limit = |value: &Option<Value>| {
                let key = key(table, &[prefix.as_slice(), std::slice::from_ref(value.as_ref()?)].concat());
                (key.0.len() <= KEY_BYTES_MAX).then(|| Span::prefix(&key))
            };
            if let (Some(bound), Some(limit)) = (&self.low, limit(&low)) {
                span.start = if bound.inclusive { limit.start } else { limit.end };
            }
            if let (Some(bound), Some(limit)) = (&self.high, limit(&high)) {
                span.end = if bound.inclusive { limit.end } else { limit.start };
            }
            if !span.is_empty() {
                spans.push(span);
            }
        }
        Ok(spans)
    }
}

fn key(table: &TableDescriptor, values: &[Value]) -> Key {
    values.iter().fold(table.key_builder(), KeyBuilder::push).build()
}

/// Whether a value's key bytes equal those of an equal value of the column's type.
fn compares_as_key(value: &Value, sql_type: SqlType) -> bool {
    value.sql_type().is_some_and(|t| t == sql_type || (is_integer(t) && is_integer(sql_type)))
}
