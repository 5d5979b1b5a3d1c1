//! Plans: what a statement will do, settled before it runs.
//!
//! A statement on one table whose WHERE names the whole primary key takes a *point plan*: keys are computed, rows are fetched by
//! them, and our own evaluator does the rest. Without such a WHERE it takes a *scan plan*: the same evaluator on the rows of a part
//! of the table, read through the transaction, and perhaps their aggregates. Every other query goes the analytic way.
//!
//! Invariants
//!  P1  A plan depends on the text, the types of parameters, the catalog and the session's formats, on nothing else: it can
//!      be kept and shared under these.
//!  P2  The whole WHERE is evaluated again on each row that was fetched: keys only narrow where to look.
//!
//! Not here: joins, groups, subqueries (see `analytic`); costs.

mod keys;
mod select;
mod write;

use std::sync::Arc;

use sqlparser::ast::{self, Ident, ObjectName, SelectItem, SelectItemQualifiedWildcardKind, Spanned, Statement};
use sqlparser::tokenizer::Location;
use tenet_catalog::{Catalog, ColumnDescriptor, NO_MODIFIER, TableDescriptor};
use tenet_types::SqlType;

use crate::analytic::{Analytic, AnalyticPlan};
use crate::bind::{self, Binder, Parameters, Refusal, Scope, fold_ident};
use crate::error::{SqlError, SqlState};
use crate::parse::{Body, Parsed, Source};
use crate::psql::{self, CatalogQuery};
use crate::scalar::Scalar;
use crate::text::Formats;
use crate::types;

pub(crate) use keys::{KeyPlan, RowSource, ScanPlan};
pub(crate) use select::{OrderKey, OrderSource, SelectPlan};
pub(crate) use write::{DeletePlan, InsertPlan, InsertSource, UpdatePlan};

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub sql_type: SqlType,
    /// See [`ColumnDescriptor::type_modifier`]; [`Column::wire_type`] has Postgres' form.
    pub type_modifier: i32,
    /// Object id of the table and number of the column (from 1), if it is one of a table's.
    pub table: Option<(u32, i16)>,
}

impl Column {
    pub fn new(name: impl Into<String>, sql_type: SqlType) -> Column {
        Column { name: name.into(), sql_type, type_modifier: NO_MODIFIER, table: None }
    }

    /// Postgres' object id, size and modifier of the type, as a row description carries them.
    pub fn wire_type(&self) -> (u32, i16, i32) {
        types::wire_type(self.sql_type, self.type_modifier)
    }

    pub(crate) fn of_table(table: &TableDescriptor, at: usize) -> Column {
        let column = &table.columns[at];
        Column {
            name: column.name.clone(),
            sql_type: column.sql_type,
            type_modifier: column.type_modifier,
            table: Some((psql::table_oid(table.id), i16::try_from(at + 1).unwrap_or(0))),
        }
    }
}

/// What a plan is made from (P1).
#[derive(Clone, Copy)]
pub(crate) struct PlanContext<'a> {
    pub catalog: &'a Arc<Catalog>,
    pub source: &'a Source,
    pub formats: &'a Formats,
    /// Types of parameters that the client gave.
    pub hints: &'a [Option<SqlType>],
    pub analytic: &'a Analytic,
    /// Test hook: without them, every query goes the analytic way and writes scan.
    pub own_plans: bool,
}

#[derive(Debug)]
pub(crate) struct Planned {
    pub plan: Plan,
    pub params: Vec<SqlType>,
    /// `None`: it returns no rows.
    pub columns: Option<Vec<Column>>,
}

#[derive(Debug)]
pub(crate) enum Plan {
    Select(SelectPlan),
    Insert(InsertPlan),
    Update(UpdatePlan),
    Delete(DeletePlan),
    Analytic(AnalyticPlan),
    /// `SELECT pg_sleep(seconds)`.
    Sleep(Scalar),
    /// A question of psql's about the catalog.
    Catalog(CatalogQuery),
    /// Lines of text that say how the inner statement would run.
    Explain(Box<Planned>),
    /// Needs no plan: SET, BEGIN, CREATE TABLE and their like are read as they stand.
    Command,
}

/// Expressions to return, and the columns they make.
#[derive(Debug)]
pub(crate) struct Projection {
    pub scalars: Vec<Scalar>,
    pub columns: Vec<Column>,
}

/// Plans anything but commands.
pub(crate) fn plan(parsed: &Parsed, context: PlanContext<'_>) -> Result<Planned, SqlError> {
    match parsed.body.as_ref() {
        Body::Statement(statement) => plan_statement(statement, context),
        Body::Catalog(query) => {
            let columns = Some(query.columns());
            Ok(Planned { plan: Plan::Catalog(query.clone()), params: Vec::new(), columns })
        }
    }
}

fn plan_statement(statement: &Statement, context: PlanContext<'_>) -> Result<Planned, SqlError> {
    let mut parameters = Parameters::new(context.hints);
    let plan = match statement {
        Statement::Query(query) => select::plan_query(query, context, &mut parameters)?,
        Statement::Insert(insert) => Plan::Insert(write::plan_insert(insert, context, &mut parameters)?),
        Statement::Update(update) => Plan::Update(write::plan_update(update, context, &mut parameters)?),
        Statement::Delete(delete) => Plan::Delete(write::plan_delete(delete, context, &mut parameters)?),
        Statement::Explain { .. } => return plan_explain(statement, context),
        _ => Plan::Command,
    };
    let (params, columns) = match &plan {
        Plan::Analytic(plan) => (plan.params.clone(), Some(plan.columns.clone())),
        Plan::Select(plan) => (parameters.finish()?, Some(plan.projection.columns.clone())),
        Plan::Insert(InsertPlan { returning, .. })
        | Plan::Update(UpdatePlan { returning, .. })
        | Plan::Delete(DeletePlan { returning, .. }) => {
            (parameters.finish()?, returning.as_ref().map(|returning| returning.columns.clone()))
        }
        Plan::Sleep(_) => (parameters.finish()?, Some(vec![Column::new("pg_sleep", SqlType::Text)])),
        Plan::Explain(_) | Plan::Catalog(_) | Plan::Command => (Vec::new(), None),
    };
    Ok(Planned { plan, params, columns })
}

fn plan_explain(statement: &Statement, context: PlanContext<'_>) -> Result<Planned, SqlError> {
    let Statement::Explain { describe_alias, analyze, verbose, query_plan, estimate, statement, format, options } =
        statement
    else {
        return Err(SqlError::internal("not EXPLAIN"));
    };
    if *describe_alias != ast::DescribeAlias::Explain || *query_plan || *estimate {
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, "syntax error: DESCRIBE, QUERY PLAN or ESTIMATE"));
    }
    if *analyze {
        return Err(SqlError::unsupported("EXPLAIN ANALYZE"));
    }
    if *verbose || format.is_some() || options.is_some() {
        return Err(SqlError::unsupported("an option of EXPLAIN"));
    }
    let inner = plan_statement(statement, context)?;
    if matches!(inner.plan, Plan::Command | Plan::Explain(_)) {
        let message = "only queries, INSERT, UPDATE and DELETE can be explained";
        return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
    }
    let params = inner.params.clone();
    let columns = Some(vec![Column::new("QUERY PLAN", SqlType::Text)]);
    Ok(Planned { plan: Plan::Explain(Box::new(inner)), params, columns })
}

/// A default's expression, ready to be evaluated without a row.
pub(crate) fn plan_default(column: &ColumnDescriptor, formats: &Formats) -> Result<Scalar, SqlError> {
    let Some(text) = &column.default else { return Ok(Scalar::Constant(tenet_types::Value::Null)) };
    let damaged = || SqlError::internal(format!("the default of column \"{}\" does not parse", column.name));
    let parsed = crate::parse::parse(&format!("SELECT {text}"))?;
    let statement = parsed.first().ok_or_else(damaged)?;
    let Body::Statement(Statement::Query(query)) = statement.body.as_ref() else { return Err(damaged()) };
    let ast::SetExpr::Select(select) = query.body.as_ref() else { return Err(damaged()) };
    let [SelectItem::UnnamedExpr(expr)] = select.projection.as_slice() else { return Err(damaged()) };
    bind_default(expr, column, &statement.source, formats)
}

/// Binds a default's expression and casts it to the column.
pub(crate) fn bind_default(
    expr: &ast::Expr,
    column: &ColumnDescriptor,
    source: &Source,
    formats: &Formats,
) -> Result<Scalar, SqlError> {
    let mut parameters = Parameters::default();
    let mut binder = Binder::new(source, Scope { table: None }, &mut parameters, formats);
    let typed = binder.bind(expr).map_err(Refusal::into_error)?;
    write::assign(&mut binder, typed, column).map_err(|error| match error.state {
        SqlState::DATATYPE_MISMATCH => {
            SqlError { message: error.message.replacen(" but expression", " but default expression", 1), ..error }
        }
        _ => error,
    })
}

/// The table that a name means: schema `public`, or none.
pub(crate) fn resolve_table(
    catalog: &Catalog,
    name: &ObjectName,
    source: &Source,
) -> Result<Arc<TableDescriptor>, SqlError> {
    let (schema, table, place) = split_name(name)?;
    if let Some(found) = schema.as_deref().is_none_or(|s| s == "public").then(|| catalog.table(&table)).flatten() {
        return Ok(found.clone());
    }
    Err(no_such_table(schema.as_deref(), &table).at(source.position(place)))
}

/// 42P01, or 0A000 for the system's own tables, which an empty answer would lie about.
pub(crate) fn no_such_table(schema: Option<&str>, table: &str) -> SqlError {
    let shown = schema.map_or_else(|| table.to_owned(), |schema| format!("{schema}.{table}"));
    let of_system =
        matches!(schema, Some("pg_catalog" | "information_schema")) || (schema.is_none() && table.starts_with("pg_"));
    if of_system {
        return SqlError::unsupported(format!("the system catalog {shown}"));
    }
    SqlError::new(SqlState::UNDEFINED_TABLE, format!("relation \"{shown}\" does not exist"))
}

/// Schema and table.
pub(crate) fn split_name(name: &ObjectName) -> Result<(Option<String>, String, Location), SqlError> {
    let parts: Option<Vec<&Ident>> = name.0.iter().map(|part| part.as_ident()).collect();
    match parts.as_deref() {
        Some([table]) => Ok((None, fold_ident(table), table.span.start)),
        Some([schema, table]) => Ok((Some(fold_ident(schema)), fold_ident(table), schema.span.start)),
        _ => Err(SqlError::unsupported(format!("the name {name}"))),
    }
}

/// A select list or RETURNING.
fn plan_projection(binder: &mut Binder<'_>, items: &[SelectItem]) -> Result<Projection, Refusal> {
    let mut projection = Projection { scalars: Vec::new(), columns: Vec::new() };
    for item in items {
        match item {
            SelectItem::UnnamedExpr(expr) => plan_item(binder, expr, bind::label(expr), &mut projection)?,
            SelectItem::ExprWithAlias { expr, alias } => {
                plan_item(binder, expr, fold_ident(alias), &mut projection)?;
            }
            SelectItem::Wildcard(options) if is_plain(options) => match binder.scope.table {
                Some((table, _)) => all_columns(table, &mut projection),
                None => {
                    let message = "SELECT * with no tables specified is not valid";
                    return Err(SqlError::new(SqlState::SYNTAX_ERROR, message)
                        .at(binder.source.position(item.span().start))
                        .into());
                }
            },
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options)
                if is_plain(options) =>
            {
                let (_, qualifier, place) = split_name(name)?;
                match binder.scope.table {
                    Some((table, alias)) if qualifier == alias => all_columns(table, &mut projection),
                    _ => {
                        let message = format!("missing FROM-clause entry for table \"{qualifier}\"");
                        return Err(SqlError::new(SqlState::UNDEFINED_TABLE, message)
                            .at(binder.source.position(place))
                            .into());
                    }
                }
            }
            other => return Err(Refusal::Elsewhere(format!("the select item {other}"))),
        }
    }
    Ok(projection)
}

/// Other databases' EXCLUDE, REPLACE and so on.
fn is_plain(options: &ast::WildcardAdditionalOptions) -> bool {
    options.opt_ilike.is_none()
        && options.opt_exclude.is_none()
        && options.opt_except.is_none()
        && options.opt_replace.is_none()
        && options.opt_rename.is_none()
        && options.opt_alias.is_none()
}

fn plan_item(
    binder: &mut Binder<'_>,
    expr: &ast::Expr,
    name: String,
    projection: &mut Projection,
) -> Result<(), Refusal> {
    let typed = binder.bind(expr)?;
    let typed = binder.settle_text(typed)?;
    let table = match (&typed.scalar, binder.scope.table) {
        (Scalar::Column(at), Some((table, _))) => Column::of_table(table, *at).table,
        _ => None,
    };
    let sql_type = typed.sql_type.expect("settled just now");
    projection.columns.push(Column { name, sql_type, type_modifier: typed.modifier, table });
    projection.scalars.push(typed.scalar);
    Ok(())
}

fn all_columns(table: &TableDescriptor, projection: &mut Projection) {
    for at in 0..table.columns.len() {
        projection.scalars.push(Scalar::Column(at));
        projection.columns.push(Column::of_table(table, at));
    }
}

/// Another database's clause that our parser lets through.
fn foreign_clause(clause: &str) -> SqlError {
    SqlError::new(SqlState::SYNTAX_ERROR, format!("syntax error: {clause} is not a clause of this statement"))
}
