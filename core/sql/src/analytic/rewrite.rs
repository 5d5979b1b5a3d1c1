//! What must be said differently to DataFusion than to Postgres, done on the syntax tree before planning.
//!
//! - An integer literal is int4 if it fits, else int8 (DataFusion: always int8). Ordinals of ORDER BY and GROUP BY, and LIMIT
//!   and OFFSET, stay bare.
//! - Result columns may share a name (DataFusion: not). Items of the outermost SELECT get names of their own, and the names that
//!   Postgres would give are returned beside the query.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sqlparser::ast::{
    self, DataType, Expr, GroupByExpr, LimitClause, OrderByKind, Query, SelectItem, SetExpr, Value as Literal,
    ValueWithSpan, Visit, VisitMut, Visitor, VisitorMut,
};

use crate::bind::{fold_ident, label};
use crate::{SqlError, SqlState};

/// Ends the part of a column's name that Postgres would show; what follows only makes it unique.
pub const UNIQUE_MARK: char = '\u{1}';

/// The query for DataFusion, and a name per item of its outermost SELECT (`None`: a wildcard).
pub fn rewrite(query: &Query) -> Result<(Query, Vec<Option<String>>), SqlError> {
    let mut query = query.clone();
    // Names first: the casts that follow have none.
    let names = name_items(&mut query.body);
    match VisitMut::visit(&mut query, &mut Literals) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok((query, names)),
    }
}

/// One name per result column: the only wildcard takes what is left over; with several, names are left to the plan.
pub fn spread(names: Vec<Option<String>>, columns: usize) -> Vec<Option<String>> {
    let wildcards = names.iter().filter(|name| name.is_none()).count();
    let named = names.len() - wildcards;
    if wildcards > 1 || named > columns || (wildcards == 0 && named != columns) {
        return vec![None; columns];
    }
    let mut spread = Vec::with_capacity(columns);
    for name in names {
        match name {
            Some(name) => spread.push(Some(name)),
            None => spread.extend((0..columns - named).map(|_| None)),
        }
    }
    spread
}

/// The highest n of the query's $n.
pub fn parameter_count(query: &Query) -> Result<usize, SqlError> {
    struct Highest(usize);
    impl Visitor for Highest {
        type Break = SqlError;

        fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<SqlError> {
            if let Literal::Placeholder(name) = &value.value {
                match name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok()) {
                    Some(n) if n > 0 => self.0 = self.0.max(n),
                    _ => {
                        let text = format!("there is no parameter {name}");
                        return ControlFlow::Break(SqlError::new(SqlState::UNDEFINED_PARAMETER, text));
                    }
                }
            }
            ControlFlow::Continue(())
        }
    }
    let mut highest = Highest(0);
    match Visit::visit(query, &mut highest) {
        ControlFlow::Continue(()) => Ok(highest.0),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Literals;

impl VisitorMut for Literals {
    type Break = SqlError;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let Expr::Value(value) = &*expr else { return ControlFlow::Continue(()) };
        let Literal::Number(digits, _) = &value.value else { return ControlFlow::Continue(()) };
        let data_type = if digits.parse::<i32>().is_ok() {
            DataType::Integer(None)
        } else if digits.parse::<i64>().is_ok() {
            DataType::BigInt(None)
        } else {
            // A fraction or an exponent: numeric in Postgres, float8 here.
            return ControlFlow::Continue(());
        };
        let number = Box::new(expr.clone());
        *expr = Expr::Cast { kind: ast::CastKind::Cast, expr: number, data_type, array: false, format: None };
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        if let Some(order) = &mut query.order_by
            && let OrderByKind::Expressions(items) = &mut order.kind
        {
            items.iter_mut().for_each(|item| bare(&mut item.expr));
        }
        match &mut query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                limit.iter_mut().for_each(bare);
                offset.iter_mut().for_each(|offset| bare(&mut offset.value));
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => {
                bare(offset);
                bare(limit);
            }
            None => {}
        }
        if let Some(fetch) = &mut query.fetch {
            fetch.quantity.iter_mut().for_each(bare);
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &mut ast::Select) -> ControlFlow<SqlError> {
        if let GroupByExpr::Expressions(items, _) = &mut select.group_by {
            items.iter_mut().for_each(bare);
        }
        ControlFlow::Continue(())
    }
}

/// Takes back the cast around a literal that is not a value.
fn bare(expr: &mut Expr) {
    if let Expr::Cast { expr: inner, .. } = expr
        && let Expr::Value(value) = inner.as_ref()
        && matches!(value.value, Literal::Number(..))
    {
        *expr = inner.as_ref().clone();
    }
}

/// Gives items of the outermost SELECT names of their own.
fn name_items(body: &mut SetExpr) -> Vec<Option<String>> {
    match body {
        SetExpr::Select(select) => {
            let mut taken = BTreeSet::new();
            select.projection.iter_mut().map(|item| name_item(item, &mut taken)).collect()
        }
        SetExpr::Query(query) => name_items(&mut query.body),
        SetExpr::SetOperation { left, .. } => name_items(left),
        SetExpr::Values(values) => {
            let width = values.rows.first().map_or(0, |row| row.content.len());
            (1..=width).map(|n| Some(format!("column{n}"))).collect()
        }
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) | SetExpr::Table(_) => {
            vec![None]
        }
    }
}

fn name_item(item: &mut SelectItem, taken: &mut BTreeSet<String>) -> Option<String> {
    let (name, expr) = match item {
        SelectItem::UnnamedExpr(expr) => (label(expr), expr),
        SelectItem::ExprWithAlias { expr, alias } => (fold_ident(alias), expr),
        SelectItem::ExprWithAliases { .. } | SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => {
            return None;
        }
    };
    let first = taken.insert(name.clone());
    let plain = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
    if !first || !plain {
        let unique = if first { name.clone() } else { format!("{name}{UNIQUE_MARK}{}", taken.len()) };
        taken.insert(unique.clone());
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: ast::Ident::with_quote('"', unique) };
    }
    Some(name)
}
