//! INSERT, UPDATE and DELETE.

use std::sync::Arc;

use sqlparser::ast::{
    self, Assignment, AssignmentTarget, ConflictTarget, Delete, Expr, FromTable, Ident, Insert, OnConflictAction,
    OnInsert, Query, SelectItem, SetExpr, Spanned, TableObject, TableWithJoins, Update,
};
use tenet_catalog::{ColumnDescriptor, TableDescriptor};
use tenet_types::{SqlType, Value};

use crate::analytic;
use crate::bind::{Binder, Parameters, Refusal, Scope, Typed, fold_ident, length_max};
use crate::cast::Context;
use crate::error::{SqlError, SqlState};
use crate::plan::select::plain_table;
use crate::plan::{PlanContext, Projection, RowSource, foreign_clause, plan_default, plan_projection, resolve_table};
use crate::scalar::Scalar;

#[derive(Debug)]
pub(crate) struct InsertPlan {
    pub table: Arc<TableDescriptor>,
    pub source: InsertSource,
    /// ON CONFLICT DO NOTHING on the primary key.
    pub skip_conflicts: bool,
    pub returning: Option<Projection>,
}

#[derive(Debug)]
pub(crate) enum InsertSource {
    /// Each row has an expression for every column of the table.
    Values(Vec<Vec<Scalar>>),
    /// The expressions are evaluated on each row of the query.
    Query(Box<analytic::AnalyticPlan>, Vec<Scalar>),
}

#[derive(Debug)]
pub(crate) struct UpdatePlan {
    pub table: Arc<TableDescriptor>,
    pub rows: RowSource,
    pub filter: Option<Scalar>,
    /// Position of the column, and its new value on the old row.
    pub assignments: Vec<(usize, Scalar)>,
    pub returning: Option<Projection>,
}

#[derive(Debug)]
pub(crate) struct DeletePlan {
    pub table: Arc<TableDescriptor>,
    pub rows: RowSource,
    pub filter: Option<Scalar>,
    pub returning: Option<Projection>,
}

pub(crate) fn plan_insert(
    insert: &Insert,
    context: PlanContext<'_>,
    parameters: &mut Parameters,
) -> Result<InsertPlan, SqlError> {
    refuse_foreign_insert(insert)?;
    let TableObject::TableName(name) = &insert.table else {
        return Err(foreign_clause("INSERT INTO a function or query"));
    };
    let table = resolve_table(context.catalog, name, context.source)?;
    let alias = match &insert.table_alias {
        Some(alias) => fold_ident(&alias.alias),
        None => table.name.clone(),
    };
    let targets = insert_targets(&table, &insert.columns, context)?;
    let skip_conflicts = plan_conflict(insert.on.as_ref(), &table, context)?;
    let defaults = Defaults { table: &table, context };
    let source = match insert.source.as_deref() {
        None => {
            let row = (0..table.columns.len()).map(|at| defaults.of(at)).collect::<Result<_, _>>()?;
            InsertSource::Values(vec![row])
        }
        Some(query) => {
            let explicit = !insert.columns.is_empty();
            match plan_values(query, &defaults, &targets, explicit, parameters) {
                Ok(Some(rows)) => InsertSource::Values(rows),
                Ok(None) | Err(Refusal::Elsewhere(_)) => {
                    plan_insert_query(query, &defaults, &targets, explicit, parameters)?
                }
                Err(Refusal::Wrong(error)) => return Err(error),
            }
        }
    };
    let returning = plan_returning(insert.returning.as_deref(), &table, &alias, context, parameters)?;
    Ok(InsertPlan { table, source, skip_conflicts, returning })
}

fn refuse_foreign_insert(insert: &Insert) -> Result<(), SqlError> {
    let foreign = [
        (insert.or.is_some(), "OR"),
        (insert.ignore, "IGNORE"),
        (!insert.into, "INSERT without INTO"),
        (insert.overwrite, "OVERWRITE"),
        (!insert.assignments.is_empty(), "INSERT … SET"),
        (insert.partitioned.is_some() || !insert.after_columns.is_empty(), "PARTITION"),
        (insert.has_table_keyword, "TABLE"),
        (insert.replace_into, "REPLACE"),
        (insert.priority.is_some(), "a priority"),
        (insert.insert_alias.is_some(), "an alias of the new row"),
        (insert.settings.is_some() || insert.format_clause.is_some(), "FORMAT"),
        (insert.output.is_some(), "OUTPUT"),
        (insert.multi_table_insert_type.is_some() || !insert.multi_table_into_clauses.is_empty(), "INSERT ALL"),
    ];
    match foreign.iter().find(|(present, _)| *present) {
        Some((_, clause)) => Err(foreign_clause(clause)),
        None => Ok(()),
    }
}

/// Positions of the columns that are inserted into, in the order of the list.
fn insert_targets(
    table: &TableDescriptor,
    columns: &[ast::ObjectName],
    context: PlanContext<'_>,
) -> Result<Vec<usize>, SqlError> {
    if columns.is_empty() {
        return Ok((0..table.columns.len()).collect());
    }
    let mut targets = Vec::new();
    for name in columns {
        let ident = match idents(name).as_deref() {
            Some([ident]) => *ident,
            _ => return Err(SqlError::unsupported(format!("assigning to {name}"))),
        };
        let at = find_column(table, ident, context)?;
        if targets.contains(&at) {
            let message = format!("column \"{}\" specified more than once", table.columns[at].name);
            return Err(
                SqlError::new(SqlState::DUPLICATE_COLUMN, message).at(context.source.position(ident.span.start))
            );
        }
        targets.push(at);
    }
    Ok(targets)
}

fn idents(name: &ast::ObjectName) -> Option<Vec<&Ident>> {
    name.0.iter().map(|part| part.as_ident()).collect()
}

fn find_column(table: &TableDescriptor, ident: &Ident, context: PlanContext<'_>) -> Result<usize, SqlError> {
    let name = fold_ident(ident);
    table.position(&name).ok_or_else(|| {
        let message = format!("column \"{name}\" of relation \"{}\" does not exist", table.name);
        SqlError::new(SqlState::UNDEFINED_COLUMN, message).at(context.source.position(ident.span.start))
    })
}

/// Whether ON CONFLICT DO NOTHING is there; its target must be the primary key.
fn plan_conflict(on: Option<&OnInsert>, table: &TableDescriptor, context: PlanContext<'_>) -> Result<bool, SqlError> {
    let conflict = match on {
        None => return Ok(false),
        Some(OnInsert::OnConflict(conflict)) => conflict,
        Some(_) => return Err(foreign_clause("ON DUPLICATE KEY UPDATE")),
    };
    match &conflict.conflict_target {
        None => {}
        Some(ConflictTarget::Columns(columns)) => {
            let mut wanted = columns.iter().map(|c| find_column(table, c, context)).collect::<Result<Vec<_>, _>>()?;
            let mut key = table.key_positions();
            wanted.sort_unstable();
            key.sort_unstable();
            if wanted != key {
                let message = "there is no unique or exclusion constraint matching the ON CONFLICT specification";
                return Err(SqlError::new(SqlState::INVALID_COLUMN_REFERENCE, message));
            }
        }
        Some(ConflictTarget::OnConstraint(name)) => {
            let wanted = idents(name).and_then(|idents| idents.last().map(|ident| fold_ident(ident)));
            if wanted.as_deref() != Some(table.primary_key_name.as_str()) {
                let message = format!("constraint \"{name}\" for table \"{}\" does not exist", table.name);
                return Err(SqlError::new(SqlState::UNDEFINED_OBJECT, message));
            }
        }
    }
    match conflict.action {
        OnConflictAction::DoNothing => Ok(true),
        OnConflictAction::DoUpdate(_) => Err(SqlError::unsupported("ON CONFLICT DO UPDATE")),
    }
}

/// The defaults of a table's columns.
struct Defaults<'a> {
    table: &'a Arc<TableDescriptor>,
    context: PlanContext<'a>,
}

impl Defaults<'_> {
    fn of(&self, at: usize) -> Result<Scalar, SqlError> {
        plan_default(&self.table.columns[at], self.context.formats)
    }
}

/// `None` when the source is a query of another kind than VALUES.
fn plan_values(
    query: &Query,
    defaults: &Defaults<'_>,
    targets: &[usize],
    explicit: bool,
    parameters: &mut Parameters,
) -> Result<Option<Vec<Vec<Scalar>>>, Refusal> {
    let SetExpr::Values(values) = query.body.as_ref() else { return Ok(None) };
    if query.with.is_some() || query.order_by.is_some() || query.limit_clause.is_some() || query.fetch.is_some() {
        return Ok(None);
    }
    if values.explicit_row || values.value_keyword {
        return Err(foreign_clause("VALUE or ROW").into());
    }
    let Defaults { table, context } = defaults;
    let width = values.rows.first().map_or(0, |row| row.content.len());
    let filled = (0..table.columns.len()).map(|at| defaults.of(at)).collect::<Result<Vec<_>, _>>()?;
    let mut binder = Binder::new(context.source, Scope { table: None }, parameters, context.formats);
    let mut rows = Vec::with_capacity(values.rows.len());
    for row in &values.rows {
        let row = &row.content;
        if row.len() != width {
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, "VALUES lists must all be the same length")
                .at(row.first().and_then(|e| context.source.position(e.span().start)))
                .into());
        }
        check_width(targets.len(), row.len(), explicit)
            .map_err(|e| e.at(row.get(targets.len()).and_then(|e| context.source.position(e.span().start))))?;
        let mut scalars = filled.clone();
        for (expr, at) in row.iter().zip(targets) {
            if !is_default(expr) {
                let typed = binder.bind(expr)?;
                scalars[*at] = assign(&mut binder, typed, &table.columns[*at])?;
            }
        }
        rows.push(scalars);
    }
    Ok(Some(rows))
}

fn check_width(targets: usize, given: usize, explicit: bool) -> Result<(), SqlError> {
    let syntax = |message| Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
    match given.cmp(&targets) {
        std::cmp::Ordering::Greater => syntax("INSERT has more expressions than target columns"),
        // Without a list of columns the last ones may be left out.
        std::cmp::Ordering::Less if explicit => syntax("INSERT has more target columns than expressions"),
        std::cmp::Ordering::Less | std::cmp::Ordering::Equal => Ok(()),
    }
}

/// The word DEFAULT as a value.
fn is_default(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(name) if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("default"))
}

fn plan_insert_query(
    query: &Query,
    defaults: &Defaults<'_>,
    targets: &[usize],
    explicit: bool,
    parameters: &mut Parameters,
) -> Result<InsertSource, SqlError> {
    let Defaults { table, context } = *defaults;
    let plan = analytic::prepare(query, context, context.hints)?;
    check_width(targets.len(), plan.columns.len(), explicit)?;
    let hints: Vec<Option<SqlType>> = plan.params.iter().copied().map(Some).collect();
    *parameters = Parameters::new(&hints);
    let mut scalars = (0..table.columns.len()).map(|at| defaults.of(at)).collect::<Result<Vec<_>, _>>()?;
    let mut binder = Binder::new(context.source, Scope { table: None }, parameters, context.formats);
    for ((at, column), target) in plan.columns.iter().enumerate().zip(targets) {
        let typed = Typed {
            scalar: Scalar::Column(at),
            sql_type: Some(column.sql_type),
            modifier: column.type_modifier,
            place: query.span().start,
        };
        scalars[*target] = assign(&mut binder, typed, &table.columns[*target])?;
    }
    Ok(InsertSource::Query(Box::new(plan), scalars))
}

pub(crate) fn plan_update(
    update: &Update,
    context: PlanContext<'_>,
    parameters: &mut Parameters,
) -> Result<UpdatePlan, SqlError> {
    if update.or.is_some() || update.output.is_some() || !update.order_by.is_empty() || update.limit.is_some() {
        return Err(foreign_clause("OR, OUTPUT, ORDER BY or LIMIT"));
    }
    if update.from.is_some() {
        return Err(SqlError::unsupported("UPDATE … FROM"));
    }
    let (table, alias) = target_table(&update.table, context)?;
    let targets = update_targets(&table, &update.assignments, context)?;
    let mut binder = Binder::new(context.source, Scope { table: Some((&table, &alias)) }, parameters, context.formats);
    // What our binder does not know becomes a further column of the query that finds the rows.
    let mut assignments = Vec::new();
    let mut asked: Vec<(usize, &Expr)> = Vec::new();
    for (at, expr) in targets {
        if is_default(expr) {
            assignments.push((at, plan_default(&table.columns[at], context.formats)?));
            continue;
        }
        match binder.bind(expr) {
            Ok(typed) => assignments.push((at, assign(&mut binder, typed, &table.columns[at])?)),
            Err(Refusal::Elsewhere(_)) => asked.push((at, expr)),
            Err(Refusal::Wrong(error)) => return Err(error),
        }
    }
    let (rows, filter, extra) =
        plan_rows(update.selection.as_ref(), &asked, &table, &alias, &update.table, context, parameters)?;
    assignments.extend(extra);
    let returning = plan_returning(update.returning.as_deref(), &table, &alias, context, parameters)?;
    Ok(UpdatePlan { table, rows, filter, assignments, returning })
}

/// Each column with its expression. `(a, b) = (x, y)` is two of them.
fn update_targets<'a>(
    table: &TableDescriptor,
    assignments: &'a [Assignment],
    context: PlanContext<'_>,
) -> Result<Vec<(usize, &'a Expr)>, SqlError> {
    let mut pairs: Vec<(&ast::ObjectName, &Expr)> = Vec::new();
    for assignment in assignments {
        match (&assignment.target, &assignment.value) {
            (AssignmentTarget::ColumnName(name), value) => pairs.push((name, value)),
            (AssignmentTarget::Tuple(names), Expr::Tuple(values)) if names.len() == values.len() => {
                pairs.extend(names.iter().zip(values));
            }
            (AssignmentTarget::Tuple(_), Expr::Tuple(_)) => {
                let message = "number of columns does not match number of values";
                return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
            }
            (AssignmentTarget::Tuple(_), _) => {
                return Err(SqlError::unsupported("UPDATE of several columns by a query"));
            }
        }
    }
    let mut targets: Vec<(usize, &Expr)> = Vec::new();
    for (name, value) in pairs {
        let at = match idents(name).as_deref() {
            Some([ident]) => find_column(table, ident, context)?,
            _ => return Err(SqlError::unsupported(format!("assigning to {name}"))),
        };
        if targets.iter().any(|(other, _)| *other == at) {
            let message = format!("multiple assignments to same column \"{}\"", table.columns[at].name);
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message));
        }
        targets.push((at, value));
    }
    Ok(targets)
}

pub(crate) fn plan_delete(
    delete: &Delete,
    context: PlanContext<'_>,
    parameters: &mut Parameters,
) -> Result<DeletePlan, SqlError> {
    if !delete.tables.is_empty() || delete.output.is_some() || !delete.order_by.is_empty() || delete.limit.is_some() {
        return Err(foreign_clause("a list of tables, OUTPUT, ORDER BY or LIMIT"));
    }
    if delete.using.is_some() {
        return Err(SqlError::unsupported("DELETE … USING"));
    }
    let from = match &delete.from {
        FromTable::WithFromKeyword(from) => from,
        FromTable::WithoutKeyword(_) => return Err(foreign_clause("DELETE without FROM")),
    };
    let [target] = from.as_slice() else { return Err(foreign_clause("a list of tables")) };
    let (table, alias) = target_table(target, context)?;
    let (rows, filter, _) = plan_rows(delete.selection.as_ref(), &[], &table, &alias, target, context, parameters)?;
    let returning = plan_returning(delete.returning.as_deref(), &table, &alias, context, parameters)?;
    Ok(DeletePlan { table, rows, filter, returning })
}

fn target_table(target: &TableWithJoins, context: PlanContext<'_>) -> Result<(Arc<TableDescriptor>, String), SqlError> {
    match plain_table(&target.relation)? {
        Some((name, alias)) if target.joins.is_empty() => {
            Ok((resolve_table(context.catalog, name, context.source)?, alias))
        }
        _ => Err(foreign_clause("anything but one table")),
    }
}

/// Where the rows to change come from, the filter on them, and the values of `asked`, if they come with the rows.
fn plan_rows(
    selection: Option<&Expr>,
    asked: &[(usize, &Expr)],
    table: &Arc<TableDescriptor>,
    alias: &str,
    written: &TableWithJoins,
    context: PlanContext<'_>,
    parameters: &mut Parameters,
) -> Result<(RowSource, Option<Scalar>, Vec<(usize, Scalar)>), SqlError> {
    let scope = Scope { table: Some((table, alias)) };
    let mut tried = parameters.clone();
    let mut binder = Binder::new(context.source, scope, &mut tried, context.formats);
    match selection.map(|e| binder.bind_bool(e, "WHERE")).transpose() {
        Ok(filter) if asked.is_empty() => {
            *parameters = tried;
            return Ok((RowSource::of(table, filter.as_ref(), context.own_plans), filter, Vec::new()));
        }
        Err(Refusal::Wrong(error)) => return Err(error),
        Ok(_) | Err(Refusal::Elsewhere(_)) => {}
    }
    // SELECT every column, asked … FROM table WHERE selection
    let qualified = |name: &str| {
        let quoted = |name: &str| Ident::with_quote('"', name);
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(vec![quoted(alias), quoted(name)]))
    };
    let items = table.columns.iter().map(|column| qualified(&column.name));
    let items = items.chain(asked.iter().map(|(_, expr)| SelectItem::UnnamedExpr((*expr).clone()))).collect();
    let query = query_of(items, written.clone(), selection.cloned());
    let hints = parameters.hints();
    let plan = analytic::prepare(&query, context, &hints)?;
    let known: Vec<Option<SqlType>> = plan.params.iter().copied().map(Some).collect();
    *parameters = Parameters::new(&known);
    let mut binder = Binder::new(context.source, scope, parameters, context.formats);
    let mut values = Vec::new();
    for (n, (at, expr)) in asked.iter().enumerate() {
        let position = table.columns.len() + n;
        let typed = Typed {
            scalar: Scalar::Column(position),
            sql_type: Some(plan.columns[position].sql_type),
            modifier: plan.columns[position].type_modifier,
            place: expr.span().start,
        };
        values.push((*at, assign(&mut binder, typed, &table.columns[*at])?));
    }
    Ok((RowSource::Query(table.clone(), Box::new(plan)), None, values))
}

fn query_of(projection: Vec<SelectItem>, from: TableWithJoins, selection: Option<Expr>) -> Query {
    let select = ast::Select { from: vec![from], selection, ..analytic::bare_select(projection) };
    Query {
        with: None,
        body: Box::new(SetExpr::Select(Box::new(select))),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}

fn plan_returning(
    items: Option<&[SelectItem]>,
    table: &TableDescriptor,
    alias: &str,
    context: PlanContext<'_>,
    parameters: &mut Parameters,
) -> Result<Option<Projection>, SqlError> {
    let Some(items) = items else { return Ok(None) };
    let scope = Scope { table: Some((table, alias)) };
    let mut binder = Binder::new(context.source, scope, parameters, context.formats);
    plan_projection(&mut binder, items).map(Some).map_err(Refusal::into_error)
}

/// Casts an expression to the column that it is assigned to.
pub(crate) fn assign(binder: &mut Binder<'_>, typed: Typed, column: &ColumnDescriptor) -> Result<Scalar, SqlError> {
    let (from, place, modifier) = (typed.sql_type, typed.place, typed.modifier);
    let is_null = matches!(typed.scalar, Scalar::Constant(Value::Null));
    let Some(cast) = binder.coerce(typed, column.sql_type, Context::Assignment)? else {
        let message = format!(
            "column \"{}\" is of type {} but expression is of type {}",
            column.name,
            column.type_name(),
            from.map_or("unknown", SqlType::name),
        );
        return Err(SqlError::new(SqlState::DATATYPE_MISMATCH, message)
            .hint("You will need to rewrite or cast the expression.")
            .at(binder.source.position(place)));
    };
    match length_max(column.type_modifier) {
        // A text that was already limited to this length needs no second look.
        Some(length_max) if !is_null && modifier != column.type_modifier => {
            Ok(Scalar::Limit { text: Box::new(cast.scalar), length_max, explicit: false })
        }
        _ => Ok(cast.scalar),
    }
}
