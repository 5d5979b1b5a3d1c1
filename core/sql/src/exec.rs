//! Running plans in a transaction.
//!
//! Invariants
//!  X1  A statement reads through a reader made before its first write: it never sees its own effects.
//!  X2  A write is in the buffer only after every check on its row. A statement that failed leaves a transaction that can only be
//!      rolled back, so what it had written before does not matter.

mod select;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use tenet_catalog::TableDescriptor;
use tenet_shard::ShardError;
use tenet_txn::{PageLimit, Reader, Transaction, TxnError};
use tenet_types::{KEY_BYTES_MAX, Key, Row, Span, TXN_BYTES_MAX, Value};

use crate::analytic::{self, AnalyticPlan, AnalyticRun, Batches};
use crate::error::{SqlError, SqlState};
use crate::plan::{DeletePlan, InsertPlan, InsertSource, Projection, RowSource, UpdatePlan};
use crate::scalar::{Env, Scalar, is_true};
use crate::session::Failure;
use crate::text;

pub(crate) use select::select;

/// Rows that are checked against the shard in one request.
const INSERT_BATCH_ROWS: usize = 64;

/// Keys whose rows are read in one request.
const KEYS_PAGE: usize = 64;

/// Most bytes of rows that one RETURNING keeps, beyond which it is 53200: they are kept until the commit is known.
const RETURNING_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Longest `pg_sleep`, in seconds (a year).
const SLEEP_SECONDS_MAX: f64 = 31_536_000.0;

/// What a statement runs with.
pub(crate) struct Run<'a> {
    pub transaction: &'a mut Transaction,
    pub env: &'a Arc<Env>,
    /// What a statement's own sort may hold; 53200 beyond.
    pub memory_bytes_max: usize,
    /// Makes what an analytic part needs.
    pub analytic: &'a (dyn Fn(Reader) -> AnalyticRun + Send + Sync),
}

/// What a write did.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub count: u64,
    pub returned: Vec<Vec<Value>>,
}

/// Rows kept for RETURNING.
struct Returning<'a> {
    projection: Option<&'a Projection>,
    written: Written,
    bytes: usize,
}

impl<'a> Returning<'a> {
    fn new(projection: Option<&'a Projection>) -> Returning<'a> {
        Returning { projection, written: Written::default(), bytes: 0 }
    }

    fn add(&mut self, row: &[Value], env: &Env) -> Result<(), SqlError> {
        self.written.count += 1;
        let Some(projection) = self.projection else { return Ok(()) };
        let row = project(&projection.scalars, row, env)?;
        self.bytes += row.iter().map(value_bytes).sum::<usize>();
        if self.bytes > RETURNING_BYTES_MAX {
            return Err(SqlError::new(SqlState::OUT_OF_MEMORY, "out of memory")
                .detail(format!("RETURNING keeps at most {RETURNING_BYTES_MAX} bytes.")));
        }
        self.written.returned.push(row);
        Ok(())
    }
}

fn value_bytes(value: &Value) -> usize {
    let text = if let Value::Text(text) = value { text.len() } else { 0 };
    std::mem::size_of::<Value>() + text
}

fn project(scalars: &[Scalar], row: &[Value], env: &Env) -> Result<Vec<Value>, SqlError> {
    scalars.iter().map(|scalar| scalar.eval(row, env)).collect()
}

fn holds(filter: Option<&Scalar>, row: &[Value], env: &Env) -> Result<bool, SqlError> {
    filter.map_or(Ok(true), |filter| filter.eval(row, env).map(|value| is_true(&value)))
}

fn decode(table: &TableDescriptor, key: &Key, bytes: &[u8]) -> Result<Vec<Value>, SqlError> {
    Ok(table.values_of(&Row::decode(key, bytes)?))
}

/// How long `pg_sleep` waits: not at all for NULL, and not for ever.
pub(crate) fn sleep_duration(seconds: &Scalar, env: &Env) -> Result<Duration, SqlError> {
    match seconds.eval(&[], env)? {
        Value::Float8(seconds) if seconds > 0.0 => Ok(Duration::from_secs_f64(seconds.min(SLEEP_SECONDS_MAX))),
        _ => Ok(Duration::ZERO),
    }
}

/// Every query that is not ours. The stream reads as it is polled.
pub(crate) async fn query(plan: &AnalyticPlan, run: Run<'_>) -> Result<Batches, Failure> {
    analytic::execute(plan, (run.analytic)(run.transaction.reader())).await
}

pub(crate) async fn insert(plan: &InsertPlan, run: Run<'_>) -> Result<Written, Failure> {
    let Run { transaction, env, analytic, .. } = run;
    let mut returning = Returning::new(plan.returning.as_ref());
    match &plan.source {
        InsertSource::Values(rows) => {
            for batch in rows.chunks(INSERT_BATCH_ROWS) {
                let rows = batch.iter().map(|row| project(row, &[], env)).collect::<Result<_, _>>()?;
                insert_batch(plan, rows, transaction, env, &mut returning).await?;
            }
        }
        InsertSource::Query(query, scalars) => {
            // X1: the query's reader is older than the writes.
            let mut batches = analytic::execute(query, analytic(transaction.reader())).await?;
            while let Some(batch) = batches.try_next().await? {
                for batch in batch.chunks(INSERT_BATCH_ROWS) {
                    let rows = batch.iter().map(|row| project(scalars, row, env)).collect::<Result<_, _>>()?;
                    insert_batch(plan, rows, transaction, env, &mut returning).await?;
                }
            }
        }
    }
    Ok(returning.written)
}

async fn insert_batch(
    plan: &InsertPlan,
    rows: Vec<Vec<Value>>,
    transaction: &mut Transaction,
    env: &Env,
    returning: &mut Returning<'_>,
) -> Result<(), Failure> {
    let table = &plan.table;
    let mut keys = Vec::with_capacity(rows.len());
    for row in &rows {
        check_not_null(table, row)?;
        keys.push(key_of(table, row)?);
    }
    let present = transaction.get(&keys).await?;
    let mut taken = BTreeSet::new();
    for ((row, key), present) in rows.iter().zip(&keys).zip(present) {
        if present.is_some() || taken.contains(key) {
            if plan.skip_conflicts {
                continue;
            }
            return Err(duplicate(table, row, env).into());
        }
        returning.add(row, env)?;
        transaction.put(key.clone(), table.row_of(row).encode(key))?;
        taken.insert(key);
    }
    Ok(())
}

pub(crate) async fn update(plan: &UpdatePlan, run: Run<'_>) -> Result<Written, Failure> {
    let table = &plan.table;
    let mut returning = Returning::new(plan.returning.as_ref());
    let moves_keys = plan.assignments.iter().any(|(at, _)| table.primary_key.contains(&table.columns[*at].id));
    // Rows that change their key: all leave before the first arrives, so that keys may be exchanged.
    let mut moved: Vec<(Key, Vec<Value>)> = Vec::new();
    let mut moved_bytes = 0;
    let mut rows = Rows::open(&plan.rows, plan.filter.as_ref(), &run).await?;
    let Run { transaction, env, .. } = run;
    while let Some(batch) = rows.next(env).await? {
        for (old_key, old) in batch {
            let mut row = old[..table.columns.len()].to_vec();
            for (at, scalar) in &plan.assignments {
                row[*at] = scalar.eval(&old, env)?;
            }
            check_not_null(table, &row)?;
            let key = if moves_keys { key_of(table, &row)? } else { old_key.clone() };
            if key == old_key {
                transaction.put(key.clone(), table.row_of(&row).encode(&key))?;
                returning.add(&row, env)?;
                continue;
            }
            moved_bytes += row.iter().map(value_bytes).sum::<usize>();
            if moved_bytes > TXN_BYTES_MAX {
                return Err(TxnError::TooLarge.into());
            }
            transaction.delete(old_key)?;
            moved.push((key, row));
        }
    }
    let mut taken = BTreeSet::new();
    for page in moved.chunks(KEYS_PAGE) {
        let keys: Vec<Key> = page.iter().map(|(key, _)| key.clone()).collect();
        for ((key, row), present) in page.iter().zip(transaction.get(&keys).await?) {
            if present.is_some() || !taken.insert(key) {
                return Err(duplicate(table, row, env).into());
            }
        }
    }
    for (key, row) in moved {
        transaction.put(key.clone(), table.row_of(&row).encode(&key))?;
        returning.add(&row, env)?;
    }
    Ok(returning.written)
}

pub(crate) async fn delete(plan: &DeletePlan, run: Run<'_>) -> Result<Written, Failure> {
    let mut returning = Returning::new(plan.returning.as_ref());
    let mut rows = Rows::open(&plan.rows, plan.filter.as_ref(), &run).await?;
    let Run { transaction, env, .. } = run;
    while let Some(batch) = rows.next(env).await? {
        for (key, row) in batch {
            transaction.delete(key)?;
            returning.add(&row, env)?;
        }
    }
    Ok(returning.written)
}

/// The rows that a statement is about, batch by batch, as they were before it (X1). Owns what it needs, so that they can stream.
struct Rows {
    table: Option<Arc<TableDescriptor>>,
    filter: Option<Scalar>,
    reader: Reader,
    left: Left,
    /// Most rows of a page, if not all will be wanted.
    rows_max: usize,
}

/// What is still to be read.
enum Left {
    /// One row without columns.
    Unit,
    Keys(Vec<Key>),
    Spans(VecDeque<Span>),
    Query(Batches),
    Nothing,
}

impl Rows {
    async fn open(source: &RowSource, filter: Option<&Scalar>, run: &Run<'_>) -> Result<Rows, Failure> {
        let reader = run.transaction.reader();
        let filter = filter.map(|filter| filter.folded(run.env));
        let left = match source {
            // What no row can pass is not read.
            _ if matches!(&filter, Some(Scalar::Constant(value)) if !is_true(value)) => Left::Nothing,
            RowSource::Nothing => Left::Unit,
            RowSource::Keys(table, keys) => Left::Keys(keys.keys(table, run.env)?),
            RowSource::Scan(table, scan) => Left::Spans(scan.spans(table, run.env)?.into()),
            RowSource::Query(_, plan) => Left::Query(analytic::execute(plan, (run.analytic)(reader.clone())).await?),
        };
        Ok(Rows { table: source.table().cloned(), filter, reader, left, rows_max: usize::MAX })
    }

    /// So many will do.
    fn read_at_most(&mut self, rows_max: usize) {
        self.rows_max = rows_max;
    }

    fn is_over(&self) -> bool {
        match &self.left {
            Left::Nothing => true,
            Left::Spans(spans) => spans.is_empty(),
            Left::Unit | Left::Keys(_) | Left::Query(_) => false,
        }
    }

    /// Keys and rows that pass the filter; may be empty before the end. A row without a table has no key either.
    async fn next(&mut self, env: &Env) -> Result<Option<Vec<(Key, Vec<Value>)>>, Failure> {
        let stored: Vec<(Key, Vec<u8>)> = match std::mem::replace(&mut self.left, Left::Nothing) {
            Left::Nothing => return Ok(None),
            Left::Unit => {
                let holds = holds(self.filter.as_ref(), &[], env)?;
                return Ok(Some(holds.then(Default::default).into_iter().collect()));
            }
            Left::Keys(mut keys) => {
                let rest = keys.split_off(keys.len().min(KEYS_PAGE));
                if !rest.is_empty() {
                    self.left = Left::Keys(rest);
                }
                let values = self.reader.get(&keys).await?;
                keys.into_iter().zip(values).filter_map(|(key, value)| Some((key, value?))).collect()
            }
            Left::Spans(mut spans) => {
                let Some(span) = spans.pop_front() else { return Ok(None) };
                let usual = PageLimit::default();
                let limit = PageLimit { rows: usual.rows.min(self.rows_max), ..usual };
                let page = self.reader.scan(&span, limit).await?;
                if let Some(start) = page.resume {
                    spans.push_front(Span { start, end: span.end });
                }
                self.left = Left::Spans(spans);
                page.rows
            }
            Left::Query(mut batches) => {
                let Some(batch) = batches.try_next().await? else { return Ok(None) };
                self.left = Left::Query(batches);
                let table = self.table()?;
                let width = table.columns.len();
                return Ok(Some(batch.into_iter().map(|row| (table.key_of(&row[..width]), row)).collect()));
            }
        };
        let table = self.table()?;
        let mut batch = Vec::with_capacity(stored.len());
        for (key, bytes) in stored {
            let row = decode(table, &key, &bytes)?;
            if holds(self.filter.as_ref(), &row, env)? {
                batch.push((key, row));
            }
        }
        Ok(Some(batch))
    }

    fn table(&self) -> Result<&TableDescriptor, SqlError> {
        self.table.as_deref().ok_or_else(|| SqlError::internal("stored rows of no table"))
    }
}

fn check_not_null(table: &TableDescriptor, row: &[Value]) -> Result<(), SqlError> {
    let missing = table.columns.iter().zip(row).find(|(column, value)| column.not_null && value.is_null());
    let Some((column, _)) = missing else { return Ok(()) };
    let message =
        format!("null value in column \"{}\" of relation \"{}\" violates not-null constraint", column.name, table.name);
    let shown: Vec<String> = row.iter().map(|value| shown(value, &Default::default())).collect();
    Err(SqlError::new(SqlState::NOT_NULL_VIOLATION, message)
        .detail(format!("Failing row contains ({}).", shown.join(", ")))
        .about_table(&table.name)
        .about_column(&column.name))
}

/// A value in a message.
fn shown(value: &Value, formats: &text::Formats) -> String {
    if value.is_null() { "null".to_owned() } else { text::output(value, formats) }
}

fn key_of(table: &TableDescriptor, row: &[Value]) -> Result<Key, SqlError> {
    let key = table.key_of(row);
    if key.0.len() > KEY_BYTES_MAX {
        let message = format!(
            "index row size {} exceeds maximum {KEY_BYTES_MAX} for index \"{}\"",
            key.0.len(),
            table.primary_key_name
        );
        return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message));
    }
    Ok(key)
}

fn duplicate(table: &TableDescriptor, row: &[Value], env: &Env) -> SqlError {
    let positions = table.key_positions();
    let names: Vec<&str> = positions.iter().map(|at| table.columns[*at].name.as_str()).collect();
    let values: Vec<String> = positions.iter().map(|at| shown(&row[*at], &env.formats)).collect();
    let message = format!("duplicate key value violates unique constraint \"{}\"", table.primary_key_name);
    SqlError::new(SqlState::UNIQUE_VIOLATION, message)
        .detail(format!("Key ({})=({}) already exists.", names.join(", "), values.join(", ")))
        .about_table(&table.name)
        .about_constraint(&table.primary_key_name)
}

/// Whether a failed statement may be planned again, because only the catalog was another.
pub(crate) fn is_catalog_change(error: &TxnError) -> bool {
    matches!(error, TxnError::Shard(ShardError::CatalogChanged))
}
