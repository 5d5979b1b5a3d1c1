//! The analytic way: queries that are more than a lookup by key.
//!
//! The boundary: [`prepare`] settles types of parameters and columns of a query against a catalog, [`execute`] runs it over a
//! transaction's reads and streams rows, [`explain`] shows how. Nothing else of this module is seen outside.
//!
//! What stands behind the boundary does not yet: queries that come here are answered with 0A000.

use std::sync::Arc;

use futures::stream::BoxStream;
use sqlparser::ast::Query;
use tenet_catalog::Catalog;
use tenet_seam::Seam;
use tenet_txn::Reader;
use tenet_types::{SqlType, Value};

use crate::error::SqlError;
use crate::plan::{Column, PlanContext};
use crate::scalar::Env;
use crate::session::Failure;

/// A query that has been looked at. Kept and shared as plans are (P1).
#[derive(Clone, Debug)]
pub(crate) struct AnalyticPlan {
    pub params: Vec<SqlType>,
    pub columns: Vec<Column>,
    pub query: Arc<Query>,
}

/// What a run needs beside the plan.
pub(crate) struct AnalyticRun {
    pub seam: Seam,
    /// The one that the plan was made with.
    pub catalog: Arc<Catalog>,
    /// Everything is read through it, so that it is in the transaction's read set.
    pub reader: Reader,
    pub env: Env,
    /// Beyond it the statement fails with 53200.
    pub memory_bytes_max: usize,
}

pub(crate) type Batches = BoxStream<'static, Result<Vec<Vec<Value>>, SqlError>>;

/// Types parameters (`hints` win) and columns. Names that do not exist and types that do not fit are errors here.
pub(crate) async fn prepare(
    query: &Query,
    _context: PlanContext<'_>,
    _hints: &[Option<SqlType>],
) -> Result<AnalyticPlan, SqlError> {
    Err(not_yet(query))
}

/// Rows in batches. The first batch has been computed when this returns, so that a change of the catalog shows
/// ([`Failure::CatalogChanged`]) while the statement can still be planned again, and so that the snapshot is known.
pub(crate) async fn execute(plan: &AnalyticPlan, _run: AnalyticRun) -> Result<Batches, Failure> {
    Err(not_yet(&plan.query).into())
}

/// The lines of EXPLAIN.
pub(crate) async fn explain(plan: &AnalyticPlan, _run: AnalyticRun) -> Result<Vec<String>, SqlError> {
    Err(not_yet(&plan.query))
}

fn not_yet(query: &Query) -> SqlError {
    SqlError::unsupported(format!("the query {query}")).detail("Only lookups by primary key are possible so far.")
}
