//! The second way through SQL: DataFusion, for everything that our own evaluator does not do.
//!
//! ```text
//!  query (AST) ─ rewrite ─▶ SqlToRel ─▶ operands ─▶ LogicalPlan ── types of parameters and columns  (prepare)
//!                                          │ values put in
//!                                          ▼
//!                           optimize ─▶ physical plan, one partition ─▶ batches ─▶ rows (run)
//!                                          ▲
//!                               scans read the transaction's snapshot
//! ```
//! Plans never spawn: one target partition, and `serial` replaces the operators that would (measured: everything else works
//! without a tokio runtime). So the same plan runs in production and in the simulator. Nothing spills: a statement beyond
//! its memory limit is refused (53200).
//!
//! Invariants
//!  A1  Everything read from a table goes through the transaction's [`Reader`], which records the spans (predicate reads are
//!      validated like point reads).
//!  A2  Integer arithmetic is checked as in Postgres: overflow is 22003, division by zero 22012 (`arithmetic`).
//!  A3  Types are Postgres': an integer literal that fits is int4, not int8 (`rewrite`).
//!  A4  A plan knows nothing of the session or the moment: `now()`, `current_user` and their like are put in with the parameters.
//!
//! The boundary: [`prepare`], [`execute`], [`explain`]. Nothing else of this module is seen outside.
//!
//! Known differences from Postgres: there is no `numeric`, so sum(int8) stays int8 and avg is float8.

mod arithmetic;
mod calendar;
mod convert;
mod errors;
mod fields;
mod operands;
mod origin;
mod own;
mod rewrite;
mod serial;
mod source;
mod table;

use std::any::Any;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::execution::TaskContext;
use datafusion::execution::context::{SessionConfig, SessionState};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::{ExecutionPlan, displayable, execute_stream};
use datafusion::sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use sqlparser::ast;
use tenet_txn::Reader;
use tenet_types::{SqlType, Value};

use crate::plan::{Column, PlanContext};
use crate::scalar::Env;
use crate::session::Failure;
use crate::{SqlError, SqlState};

use self::calendar::Calendar;
use self::convert::{rows_of, scalar, sql_type};
use self::origin::{Origin, locate};
use self::own::Own;
use self::source::{Fact, Source};
use self::table::Snapshot;

/// Rows of one batch between operators.
const BATCH_ROWS: usize = 1024;

/// Most parameters of one statement, as on the wire.
const PARAMETERS_MAX: usize = u16::MAX as usize;

pub(crate) use self::rewrite::bare_select;

pub(crate) type Batches = BoxStream<'static, Result<Vec<Vec<Value>>, SqlError>>;

/// What all plans are built with; one per engine.
pub(crate) struct Analytic {
    base: SessionState,
}

/// A query with its types known. Kept and shared as plans are (P1).
#[derive(Clone, Debug)]
pub(crate) struct AnalyticPlan {
    plan: LogicalPlan,
    /// The same optimized, once it has been: good for a run that puts nothing in.
    optimized: OnceLock<LogicalPlan>,
    /// Types of $1, $2, …
    pub params: Vec<SqlType>,
    pub columns: Vec<Column>,
}

/// What a run needs beside the plan.
pub(crate) struct AnalyticRun {
    pub analytic: Arc<Analytic>,
    /// Everything is read through it, so that it is in the transaction's read set.
    pub reader: Reader,
    pub env: Arc<Env>,
    /// What the statement's operators may hold in memory; 53200 beyond.
    pub memory_bytes_max: usize,
}

impl Default for Analytic {
    fn default() -> Analytic {
        let mut config = SessionConfig::new()
            .with_target_partitions(1)
            .with_batch_size(BATCH_ROWS)
            .with_information_schema(false)
            .with_repartition_joins(false)
            .with_repartition_aggregations(false)
            .with_repartition_windows(false)
            .with_repartition_sorts(false);
        let options: &mut ConfigOptions = config.options_mut();
        options.sql_parser.map_string_types_to_utf8view = false;
        options.optimizer.expand_views_at_output = false;
        options.sql_parser.default_null_ordering = "nulls_max".to_owned();
        let base = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime())
            .with_default_features()
            .with_physical_optimizer_rule(Arc::new(serial::OnePartition))
            .build();
        Analytic { base }
    }
}

/// Types a query. `hints` are the parameter types that the client gave, $1 first.
pub(crate) fn prepare(
    query: &ast::Query,
    context: PlanContext<'_>,
    hints: &[Option<SqlType>],
) -> Result<AnalyticPlan, SqlError> {
    let base = &context.analytic.base;
    let written = query;
    let (query, names) = rewrite::rewrite(written)?;
    let count = rewrite::parameter_count(&query)?.max(hints.len());
    if count > PARAMETERS_MAX {
        return Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, format!("there is no parameter ${count}")));
    }
    let fields = (0..count).map(|n| hints.get(n).copied().flatten().map(convert::field)).collect();
    let source = Source::new(base, context.catalog);
    let options = ParserOptions::from(&base.config().options().sql_parser);
    let mut planning = PlannerContext::new().with_prepare_param_data_types(fields);
    let statement = ast::Statement::Query(Box::new(query));
    let plan = SqlToRel::new_with_options(&source, options)
        .sql_statement_to_plan_with_context(statement, &mut planning)
        .and_then(operands::settle)
        .and_then(|plan| base.analyzer().execute_and_check(plan, base.config_options(), |_, _| {}))
        .map_err(|error| locate(errors::from_datafusion(error), written, context.source))?;
    let params = parameters(&plan, hints, count)?;
    let columns = columns_of(&plan, names)?;
    Ok(AnalyticPlan { plan, optimized: OnceLock::new(), params, columns })
}

/// Runs a planned query. The first batch has been computed when this returns, so that a change of the catalog shows while the
/// statement can still be planned again, and so that the snapshot is known. An error ends the rows.
pub(crate) async fn execute(plan: &AnalyticPlan, run: AnalyticRun) -> Result<Batches, Failure> {
    let snapshot = Snapshot::new(run.reader);
    let changed = snapshot.catalog_changed.clone();
    let physical = run.analytic.physical(plan, &run.env).await?;
    let task = run.analytic.task(snapshot, run.memory_bytes_max);
    let batches = execute_stream(physical, task).map_err(errors::from_datafusion)?;
    let types: Vec<SqlType> = plan.columns.iter().map(|column| column.sql_type).collect();
    let mut rows = batches.map(move |batch| rows_of(&batch.map_err(errors::from_datafusion)?, &types)).boxed();
    let first = match rows.next().await {
        Some(Err(_)) if changed.load(Ordering::Relaxed) => return Err(Failure::CatalogChanged),
        Some(Err(error)) => return Err(error.into()),
        Some(Ok(batch)) => Some(Ok(batch)),
        None => None,
    };
    Ok(stream::iter(first).chain(rows).boxed())
}

/// DataFusion's own account of how it would run, a line each.
pub(crate) async fn explain(plan: &AnalyticPlan, run: AnalyticRun) -> Result<Vec<String>, SqlError> {
    let physical = run.analytic.physical(plan, &run.env).await?;
    let text = format!("{}", displayable(physical.as_ref()).indent(false));
    Ok(text.replace(rewrite::UNIQUE_MARK, "#").lines().map(str::to_owned).collect())
}

impl Analytic {
    /// What DataFusion will run. Made anew for each run, because operators have state.
    async fn physical(&self, plan: &AnalyticPlan, env: &Env) -> Result<Arc<dyn ExecutionPlan>, SqlError> {
        let bound = bind(plan, env)?;
        let optimize = |bound| self.base.optimize(bound).map_err(errors::from_datafusion);
        let optimized = match plan.optimized.get().filter(|_| !bound.transformed) {
            Some(kept) => kept.clone(),
            None if bound.transformed => optimize(&bound.data)?,
            None => {
                let optimized = optimize(&bound.data)?;
                plan.optimized.get_or_init(|| optimized).clone()
            }
        };
        let planner = self.base.query_planner();
        planner.create_physical_plan(&optimized, &self.base).await.map_err(errors::from_datafusion)
    }

    /// What operators are given when they run: this statement's reader and memory. They were given their functions when they were
    /// planned.
    fn task(&self, snapshot: Snapshot, memory_bytes: usize) -> Arc<TaskContext> {
        let config = self.base.config().clone().with_extension(Arc::new(snapshot));
        let memory_pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(memory_bytes));
        let runtime = Arc::new(RuntimeEnv { memory_pool, ..self.base.runtime_env().as_ref().clone() });
        let id = self.base.session_id().to_owned();
        let (scalar, higher_order, aggregate, window) = Default::default();
        Arc::new(TaskContext::new(None, id, config, scalar, higher_order, aggregate, window, runtime))
    }
}

fn parameters(plan: &LogicalPlan, hints: &[Option<SqlType>], count: usize) -> Result<Vec<SqlType>, SqlError> {
    let mut found = plan.get_parameter_types().map_err(errors::from_datafusion)?;
    (0..count)
        .map(|n| {
            let inferred = found.remove(&format!("${}", n + 1)).flatten();
            match (hints.get(n).copied().flatten(), inferred) {
                (Some(hint), _) => Ok(hint),
                (None, Some(inferred)) => sql_type(&inferred),
                // As in Postgres: what nothing says anything about is text.
                (None, None) => Ok(SqlType::Text),
            }
        })
        .collect()
}

/// Puts in the parameters and what the session knows (A4); says whether there was anything to put in.
fn bind(planned: &AnalyticPlan, env: &Env) -> Result<Transformed<LogicalPlan>, SqlError> {
    if env.params.len() < planned.params.len() {
        let text = format!("the statement has {} parameters, {} were given", planned.params.len(), env.params.len());
        return Err(SqlError::new(SqlState::PROTOCOL_VIOLATION, text));
    }
    let mut plan = planned.plan.clone();
    if !planned.params.is_empty() {
        let scalars: Vec<ScalarValue> = env.params.iter().zip(&planned.params).map(|(v, t)| scalar(v, *t)).collect();
        plan = plan.replace_params_with_values(&ParamValues::from(scalars)).map_err(errors::from_datafusion)?;
    }
    let facts = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_up(|expr| Ok(replace_fact(expr, env)))?.update_data(|expr| name.restore(expr)))
        })
    });
    let mut bound = facts.map_err(errors::from_datafusion)?;
    bound.transformed |= !planned.params.is_empty();
    Ok(bound)
}

fn replace_fact(expr: Expr, env: &Env) -> Transformed<Expr> {
    let Expr::ScalarFunction(call) = &expr else { return Transformed::no(expr) };
    let function = call.func.inner().as_ref() as &dyn Any;
    if let Some(fact) = function.downcast_ref::<Fact>() {
        return Transformed::yes(Expr::Literal(fact.value(env), None));
    }
    if let Some(calendar) = function.downcast_ref::<Calendar>() {
        if calendar.has_zone(&env.formats.zone) {
            return Transformed::no(expr);
        }
        let func = calendar.with_zone(&env.formats.zone);
        return Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args: call.args.clone() }));
    }
    match function.downcast_ref::<Own>() {
        Some(own) if !own.has_formats(&env.formats) => {
            let func = own.with_formats(&env.formats);
            Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args: call.args.clone() }))
        }
        Some(_) | None => Transformed::no(expr),
    }
}

fn runtime() -> Arc<RuntimeEnv> {
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    RuntimeEnvBuilder::new()
        .with_disk_manager_builder(disk)
        .build_arc()
        .expect("a runtime without a disk has nothing that could fail")
}

/// Names as Postgres gives them, where the rewrite could tell; types as they come out of the plan.
fn columns_of(plan: &LogicalPlan, names: Vec<Option<String>>) -> Result<Vec<Column>, SqlError> {
    let fields = plan.schema().fields();
    let named = rewrite::spread(names, fields.len());
    fields
        .iter()
        .zip(named)
        .enumerate()
        .map(|(at, (field, name))| {
            let name = name.unwrap_or_else(|| plain_name(field.name()));
            let computed = Column::new(name.clone(), sql_type(field.data_type())?);
            Ok(match Origin::of(plan, at) {
                Origin::Column(table, at) => Column { name, ..Column::of_table(&table, at) },
                Origin::Cast(type_modifier) => Column { type_modifier, ..computed },
                Origin::Computed => computed,
            })
        })
        .collect()
}

fn plain_name(name: &str) -> String {
    name.split(rewrite::UNIQUE_MARK).next().unwrap_or_default().to_owned()
}
