//! SELECT by our own evaluator: rows by key or by scan, page by page; perhaps sorted, or aggregated into one.
//!
//! Rows stream, so a result may be larger than memory. Only a sort holds rows, and those that LIMIT asks for at most.

use std::cmp::Ordering;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream;
use tenet_types::Value;

use crate::aggregate::{Accumulator, Aggregate};
use crate::analytic::Batches;
use crate::error::{SqlError, SqlState};
use crate::exec::{Rows, Run, project, value_bytes};
use crate::plan::{OrderKey, OrderSource, SelectPlan};
use crate::scalar::{Env, Scalar};
use crate::session::Failure;

/// Rows beyond those asked for that a sort collects before it drops what cannot be among them.
const SORT_SLACK_ROWS: usize = 1024;

/// A SELECT under way.
struct Selection {
    env: Arc<Env>,
    rows: Rows,
    /// These three as in the plan, folded.
    aggregates: Vec<Aggregate>,
    projection: Vec<Scalar>,
    order: Vec<OrderKey>,
    /// Rows that OFFSET still passes over, and rows that LIMIT still lets through.
    skip: usize,
    left: usize,
    /// Whether no rows are left to be read.
    read: bool,
    memory_bytes_max: usize,
}

/// Runs a plan. The first rows have been computed when this returns, so that a change of the catalog shows while the statement can
/// still be planned again, and so that the snapshot is known. An error ends the rows.
pub(crate) async fn select(plan: &SelectPlan, run: Run<'_>) -> Result<Batches, Failure> {
    let env = run.env.clone();
    let limit = count(plan.limit.as_ref(), &env, "LIMIT", SqlState::INVALID_ROW_COUNT_IN_LIMIT)?;
    let skip = count(plan.offset.as_ref(), &env, "OFFSET", SqlState::INVALID_ROW_COUNT_IN_OFFSET)?.unwrap_or(0);
    let left = limit.unwrap_or(usize::MAX);
    let mut rows = Rows::open(&plan.rows, plan.filter.as_ref(), &run).await?;
    if plan.filter.is_none() && plan.aggregates.is_empty() && plan.order.is_empty() {
        rows.read_at_most(skip.saturating_add(left));
    }
    let folded = |scalar: &Scalar| scalar.folded(&env);
    let aggregates = plan.aggregates.iter().map(|a| Aggregate { argument: a.argument.as_ref().map(folded), ..*a });
    let order = plan.order.iter().map(|key| match &key.source {
        OrderSource::Output(_) => key.clone(),
        OrderSource::Input(scalar) => OrderKey { source: OrderSource::Input(folded(scalar)), ..*key },
    });
    let mut selection = Selection {
        aggregates: aggregates.collect(),
        projection: plan.projection.scalars.iter().map(folded).collect(),
        order: order.collect(),
        rows,
        skip,
        left,
        read: false,
        memory_bytes_max: run.memory_bytes_max,
        env,
    };
    let first = selection.next().await?;
    if selection.is_over() {
        return Ok(stream::iter(first.map(Ok)).boxed());
    }
    let rest = stream::try_unfold(selection, |mut selection| async move {
        let batch = selection.next().await.map_err(SqlError::from)?;
        Ok(batch.map(|batch| (batch, selection)))
    });
    Ok(stream::iter(first.map(Ok)).chain(rest).boxed())
}

impl Selection {
    /// More of the result; `None` at its end.
    async fn next(&mut self) -> Result<Option<Vec<Vec<Value>>>, Failure> {
        while !self.is_over() {
            let output = match (self.aggregates.as_slice(), self.order.as_slice()) {
                ([], []) => self.page().await?,
                ([], _) => self.sorted().await?,
                // Of no rows there is one result as well.
                _ => self.aggregated().await?,
            };
            self.read = self.rows.is_over();
            if !output.is_empty() {
                return Ok(Some(output));
            }
        }
        Ok(None)
    }

    fn is_over(&self) -> bool {
        self.left == 0 || self.read
    }

    async fn page(&mut self) -> Result<Vec<Vec<Value>>, Failure> {
        let Some(rows) = self.rows.next(&self.env).await? else { return Ok(Vec::new()) };
        // What comes after the last row wanted is not computed, so that it cannot fail.
        let wanted = rows.iter().take(self.skip.saturating_add(self.left));
        let output = wanted.map(|(_, row)| project(&self.projection, row, &self.env)).collect::<Result<_, _>>()?;
        Ok(self.cut(output))
    }

    async fn sorted(&mut self) -> Result<Vec<Vec<Value>>, Failure> {
        let wanted = self.skip.saturating_add(self.left);
        let order = std::mem::take(&mut self.order);
        let mut kept: Vec<(Vec<Value>, Vec<Value>)> = Vec::new();
        let mut kept_bytes = 0;
        let sort = |kept: &mut Vec<(Vec<Value>, Vec<Value>)>| {
            kept.sort_by(|(a, _), (b, _)| compare(&order, a, b));
            kept.truncate(wanted);
        };
        while let Some(rows) = self.rows.next(&self.env).await? {
            for (_, row) in rows {
                let output = project(&self.projection, &row, &self.env)?;
                let keys = order_values(&order, &row, &output, &self.env)?;
                kept_bytes += keys.iter().chain(&output).map(value_bytes).sum::<usize>();
                kept.push((keys, output));
            }
            if kept.len() > wanted.saturating_add(SORT_SLACK_ROWS) || kept_bytes > self.memory_bytes_max {
                sort(&mut kept);
                kept_bytes = kept.iter().flat_map(|(keys, output)| keys.iter().chain(output)).map(value_bytes).sum();
            }
            if kept_bytes > self.memory_bytes_max {
                return Err(SqlError::memory_exceeded()
                    .detail(format!("A sort holds more than {} bytes.", self.memory_bytes_max))
                    .into());
            }
        }
        sort(&mut kept);
        Ok(self.cut(kept.into_iter().map(|(_, output)| output).collect()))
    }

    async fn aggregated(&mut self) -> Result<Vec<Vec<Value>>, Failure> {
        let mut accumulators: Vec<_> = self.aggregates.iter().map(|a| Accumulator::new(a.kind)).collect();
        while let Some(rows) = self.rows.next(&self.env).await? {
            for (_, row) in rows {
                for (aggregate, accumulator) in self.aggregates.iter().zip(&mut accumulators) {
                    accumulator.add(aggregate, &row, &self.env)?;
                }
            }
        }
        let row = accumulators.into_iter().map(Accumulator::finish).collect::<Result<Vec<_>, _>>()?;
        let output = project(&self.projection, &row, &self.env)?;
        Ok(self.cut(vec![output]))
    }

    /// OFFSET and LIMIT.
    fn cut(&mut self, mut rows: Vec<Vec<Value>>) -> Vec<Vec<Value>> {
        let skipped = self.skip.min(rows.len());
        rows.drain(..skipped);
        rows.truncate(self.left);
        self.skip -= skipped;
        self.left -= rows.len();
        rows
    }
}

/// The value of LIMIT or OFFSET; `None` for NULL.
fn count(scalar: Option<&Scalar>, env: &Env, clause: &str, state: SqlState) -> Result<Option<usize>, SqlError> {
    let Some(scalar) = scalar else { return Ok(None) };
    match scalar.eval(&[], env)?.as_int() {
        None => Ok(None),
        Some(n) => match usize::try_from(n) {
            Ok(n) => Ok(Some(n)),
            Err(_) => Err(SqlError::new(state, format!("{clause} must not be negative"))),
        },
    }
}

fn order_values(keys: &[OrderKey], row: &[Value], output: &[Value], env: &Env) -> Result<Vec<Value>, SqlError> {
    keys.iter()
        .map(|key| match &key.source {
            OrderSource::Output(at) => Ok(output[*at].clone()),
            OrderSource::Input(scalar) => scalar.eval(row, env),
        })
        .collect()
}

fn compare(keys: &[OrderKey], a: &[Value], b: &[Value]) -> Ordering {
    keys.iter()
        .zip(a.iter().zip(b))
        .map(|(key, (a, b))| match (a.is_null(), b.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) if key.nulls_first => Ordering::Less,
            (false, true) if key.nulls_first => Ordering::Greater,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) if key.descending => b.cmp(a),
            (false, false) => a.cmp(b),
        })
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}
