//! SELECT: from one table by key or by scan, from nothing, or the analytic way.

use sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, LimitClause, OrderBy, OrderByKind, Query,
    Select, SelectFlavor, SelectItem, SetExpr, TableFactor, Value,
};
use tenet_types::SqlType;

use crate::aggregate::Aggregate;
use crate::analytic;
use crate::bind::{Binder, Parameters, Refusal, Scope, fold_ident};
use crate::cast::Context;
use crate::error::{SqlError, SqlState};
use crate::plan::{
    Plan, PlanContext, Projection, RowSource, foreign_clause, plan_projection, resolve_table, split_name,
};
use crate::scalar::Scalar;

#[derive(Debug)]
pub(crate) struct SelectPlan {
    pub rows: RowSource,
    pub filter: Option<Scalar>,
    /// If there are any, the result is one row, of expressions on these.
    pub aggregates: Vec<Aggregate>,
    pub projection: Projection,
    /// Empty when rows come in that order by themselves.
    pub order: Vec<OrderKey>,
    /// bigint; NULL is no limit.
    pub limit: Option<Scalar>,
    pub offset: Option<Scalar>,
}

#[derive(Clone, Debug)]
pub(crate) struct OrderKey {
    pub source: OrderSource,
    pub descending: bool,
    pub nulls_first: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum OrderSource {
    /// Position in the select list.
    Output(usize),
    /// On the row that was fetched.
    Input(Scalar),
}

pub(crate) fn plan_query(
    query: &Query,
    context: PlanContext<'_>,
    parameters: &mut Parameters,
) -> Result<Plan, SqlError> {
    refuse_foreign_clauses(query)?;
    if let Some(seconds) = plan_sleep(query, context, parameters)? {
        return Ok(Plan::Sleep(seconds));
    }
    if context.own_plans {
        let mut tried = parameters.clone();
        match plan_own(query, context, &mut tried) {
            Ok(Some(plan)) => {
                *parameters = tried;
                return Ok(Plan::Select(plan));
            }
            Ok(None) | Err(Refusal::Elsewhere(_)) => {}
            Err(Refusal::Wrong(error)) => return Err(error),
        }
    }
    Ok(Plan::Analytic(analytic::prepare(query, context, context.hints)?))
}

/// `SELECT pg_sleep(seconds)` and nothing beside it: waiting is not something that an expression can do.
fn plan_sleep(
    query: &Query,
    context: PlanContext<'_>,
    parameters: &mut Parameters,
) -> Result<Option<Scalar>, SqlError> {
    let SetExpr::Select(select) = query.body.as_ref() else { return Ok(None) };
    let ([SelectItem::UnnamedExpr(Expr::Function(function))], [], None) =
        (select.projection.as_slice(), select.from.as_slice(), &select.selection)
    else {
        return Ok(None);
    };
    let FunctionArguments::List(list) = &function.args else { return Ok(None) };
    let [FunctionArg::Unnamed(FunctionArgExpr::Expr(seconds))] = list.args.as_slice() else { return Ok(None) };
    if !function.name.to_string().eq_ignore_ascii_case("pg_sleep") {
        return Ok(None);
    }
    let scope = Scope { table: None };
    let mut binder = Binder::new(context.source, scope, parameters, context.formats);
    let typed = binder.bind(seconds).map_err(Refusal::into_error)?;
    match binder.coerce(typed, SqlType::Float8, Context::Implicit)? {
        Some(typed) => Ok(Some(typed.scalar)),
        None => Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, "no such function pg_sleep")),
    }
}

/// `None` when the query is of another kind; [`Refusal::Elsewhere`] when an expression is.
fn plan_own(
    query: &Query,
    context: PlanContext<'_>,
    parameters: &mut Parameters,
) -> Result<Option<SelectPlan>, Refusal> {
    let SetExpr::Select(select) = query.body.as_ref() else { return Ok(None) };
    if query.with.is_some() || query.fetch.is_some() || !query.locks.is_empty() || !is_simple(select) {
        return Ok(None);
    }
    let named;
    let table = match select.from.as_slice() {
        [] => None,
        [from] if from.joins.is_empty() => {
            let Some((name, alias)) = plain_table(&from.relation)? else { return Ok(None) };
            named = (resolve_table(context.catalog, name, context.source)?, alias);
            Some(&named)
        }
        _ => return Ok(None),
    };
    let scope = Scope { table: table.map(|(table, alias)| (table.as_ref(), alias.as_str())) };
    let mut binder = Binder::new(context.source, scope, parameters, context.formats);
    let filter = select.selection.as_ref().map(|e| binder.bind_bool(e, "WHERE")).transpose()?;
    let rows = table.map_or(RowSource::Nothing, |(table, _)| RowSource::of(table, filter.as_ref(), true));
    binder.aggregates = Some(Vec::new());
    let projection = plan_projection(&mut binder, &select.projection)?;
    let mut order = plan_order(&mut binder, query.order_by.as_ref(), &projection)?;
    let aggregates = binder.aggregates.take().unwrap_or_default();
    if !aggregates.is_empty() {
        let of_a_row = |scalar: &Scalar| scalar.contains(&|part| matches!(part, Scalar::Column(_)));
        let keys = order.iter().filter_map(|key| match &key.source {
            OrderSource::Output(_) => None,
            OrderSource::Input(scalar) => Some(scalar),
        });
        if projection.scalars.iter().chain(keys).any(of_a_row) {
            return Err(Refusal::Elsewhere("a column beside an aggregate".to_owned()));
        }
    }
    if !aggregates.is_empty() || comes_in_order(&rows, &projection, &order) {
        order.clear();
    }
    binder.scope = Scope { table: None };
    let (limit, offset) = match &query.limit_clause {
        None => (None, None),
        Some(LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => (
            limit.as_ref().map(|e| plan_count(&mut binder, e, "LIMIT")).transpose()?,
            offset.as_ref().map(|o| plan_count(&mut binder, &o.value, "OFFSET")).transpose()?,
        ),
        Some(LimitClause::LimitOffset { .. } | LimitClause::OffsetCommaLimit { .. }) => {
            return Err(foreign_clause("LIMIT #,#").into());
        }
    };
    Ok(Some(SelectPlan { rows, filter, aggregates, projection, order, limit, offset }))
}

/// Clauses that Postgres does not have and that must not be ignored.
pub(crate) fn refuse_foreign_clauses(query: &Query) -> Result<(), SqlError> {
    let foreign = [
        (query.for_clause.is_some(), "FOR XML"),
        (query.settings.is_some(), "SETTINGS"),
        (query.format_clause.is_some(), "FORMAT"),
        (!query.pipe_operators.is_empty(), "|>"),
        (matches!(query.limit_clause, Some(LimitClause::OffsetCommaLimit { .. })), "LIMIT #,#"),
    ];
    if let Some((_, clause)) = foreign.iter().find(|(present, _)| *present) {
        return Err(foreign_clause(clause));
    }
    if let Some(lock) = query.locks.first() {
        return Err(SqlError::unsupported(format!("SELECT {lock}"))
            .hint("Transactions are serializable: a row that was read and changed by another makes COMMIT fail."));
    }
    match query.body.as_ref() {
        SetExpr::Select(select) => refuse_foreign_select(select),
        _ => Ok(()),
    }
}

fn refuse_foreign_select(select: &Select) -> Result<(), SqlError> {
    let foreign = [
        (select.top.is_some(), "TOP"),
        (select.exclude.is_some(), "EXCLUDE"),
        (!select.lateral_views.is_empty(), "LATERAL VIEW"),
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.cluster_by.is_empty(), "CLUSTER BY"),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
        (!select.sort_by.is_empty(), "SORT BY"),
        (select.qualify.is_some(), "QUALIFY"),
        (select.value_table_mode.is_some(), "AS VALUE"),
        (select.flavor != SelectFlavor::Standard, "FROM before SELECT"),
        (matches!(select.group_by, GroupByExpr::All(_)), "GROUP BY ALL"),
    ];
    if let Some((_, clause)) = foreign.iter().find(|(present, _)| *present) {
        return Err(foreign_clause(clause));
    }
    match &select.into {
        Some(_) => Err(SqlError::unsupported("SELECT INTO")),
        None => Ok(()),
    }
}

/// Neither grouped nor windowed nor made distinct.
fn is_simple(select: &Select) -> bool {
    let ungrouped = match &select.group_by {
        GroupByExpr::Expressions(exprs, modifiers) => exprs.is_empty() && modifiers.is_empty(),
        GroupByExpr::All(_) => false,
    };
    ungrouped && select.distinct.is_none() && select.having.is_none() && select.named_window.is_empty()
}

/// Name and alias of a table that stands alone.
pub(crate) fn plain_table(factor: &TableFactor) -> Result<Option<(&sqlparser::ast::ObjectName, String)>, SqlError> {
    match factor {
        TableFactor::Table {
            name,
            alias,
            args: None,
            with_hints,
            version: None,
            with_ordinality: false,
            partitions,
            json_path: None,
            sample: None,
            index_hints,
        } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
            let alias = match alias {
                None => split_name(name)?.1,
                Some(alias) if alias.columns.is_empty() && alias.at.is_none() => fold_ident(&alias.name),
                Some(_) => return Ok(None),
            };
            Ok(Some((name, alias)))
        }
        _ => Ok(None),
    }
}

fn plan_order(
    binder: &mut Binder<'_>,
    order_by: Option<&OrderBy>,
    projection: &Projection,
) -> Result<Vec<OrderKey>, Refusal> {
    let Some(order_by) = order_by else { return Ok(Vec::new()) };
    let OrderByKind::Expressions(exprs) = &order_by.kind else { return Err(foreign_clause("ORDER BY ALL").into()) };
    let mut order = Vec::new();
    for item in exprs {
        if item.with_fill.is_some() {
            return Err(foreign_clause("WITH FILL").into());
        }
        let by_name = match &item.expr {
            Expr::Identifier(name) => {
                let name = fold_ident(name);
                projection.columns.iter().position(|column| column.name == name)
            }
            Expr::Value(value) => match &value.value {
                Value::Number(digits, _) => {
                    let at = digits.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
                    let at = at.filter(|at| *at < projection.columns.len()).ok_or_else(|| {
                        let message = format!("ORDER BY position {digits} is not in select list");
                        SqlError::new(SqlState::INVALID_COLUMN_REFERENCE, message)
                            .at(binder.source.position(value.span.start))
                    })?;
                    Some(at)
                }
                _ => {
                    return Err(SqlError::new(SqlState::SYNTAX_ERROR, "non-integer constant in ORDER BY")
                        .at(binder.source.position(value.span.start))
                        .into());
                }
            },
            _ => None,
        };
        let source = match by_name {
            Some(at) => OrderSource::Output(at),
            None => {
                let typed = binder.bind(&item.expr)?;
                OrderSource::Input(binder.settle_text(typed)?.scalar)
            }
        };
        let descending = item.options.asc == Some(false);
        // As if NULL were greater than everything.
        let nulls_first = item.options.nulls_first.unwrap_or(descending);
        order.push(OrderKey { source, descending, nulls_first });
    }
    Ok(order)
}

/// LIMIT and OFFSET.
fn plan_count(binder: &mut Binder<'_>, expr: &Expr, clause: &str) -> Result<Scalar, Refusal> {
    let typed = binder.bind(expr)?;
    let (name, place) = (typed.sql_type.map_or("unknown", SqlType::name), typed.place);
    match binder.coerce(typed, SqlType::Int8, Context::Assignment)? {
        Some(typed) => Ok(typed.scalar),
        None => {
            let message = format!("argument of {clause} must be type bigint, not type {name}");
            Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message).at(binder.source.position(place)).into())
        }
    }
}

/// Whether the order is that of the primary key, in which keys and scans give rows.
fn comes_in_order(rows: &RowSource, projection: &Projection, order: &[OrderKey]) -> bool {
    let Some(table) = rows.table() else { return false };
    let mut left = table.key_positions().into_iter();
    order.iter().all(|key| {
        let scalar = match &key.source {
            OrderSource::Output(at) => &projection.scalars[*at],
            OrderSource::Input(scalar) => scalar,
        };
        // Once the whole key has been compared, no two rows are left to be ordered.
        left.next().is_none_or(|at| !key.descending && matches!(scalar, Scalar::Column(column) if *column == at))
    })
}
