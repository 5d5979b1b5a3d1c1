//! What must be said differently to DataFusion than to Postgres, done on the syntax tree before planning.
//!
//! - A cast to one of our types, and a minus sign, is a call of our own function (`own`).
//! - `= ANY (SELECT …)` is IN; the subquery of any other ANY or ALL gets names that nobody has: DataFusion makes a join of it, in
//!   which a column of the outer query would be taken for one of the same name within.
//! - A scalar subquery may be NULL, whatever its column (DataFusion: only if that may), because it may be empty.
//! - ROUND of one argument is our own: half of a float8 goes to the even.
//! - NULLIF is the CASE that it stands for, and has its type.
//! - VALUES with a subquery is a union of SELECTs: DataFusion computes VALUES while it plans.
//! - Long chains of AND and OR become trees of little depth; what is still too deep is refused.
//! - An integer literal is int4 if it fits, else int8 (DataFusion: always int8). Ordinals of ORDER BY and GROUP BY, LIMIT and
//!   OFFSET, and the bounds of window frames stay bare.
//! - Result columns may share a name (DataFusion: not). Items of the outermost SELECT get names of their own, and the names that
//!   Postgres would give are returned beside the query.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use sqlparser::ast::{
    self, BinaryOperator, DataType, Expr, GroupByExpr, LimitClause, OrderByKind, Query, SelectItem, SetExpr,
    SetOperator, SetQuantifier, Spanned, UnaryOperator, Value as Literal, ValueWithSpan, Visit, VisitMut, Visitor,
    VisitorMut,
};

use super::own;
use crate::bind::{fold_ident, label};
use crate::types;
use crate::{SqlError, SqlState};

/// Ends the part of a column's name that Postgres would show; what follows only makes it unique.
pub const UNIQUE_MARK: char = '\u{1}';

/// Deepest tree that DataFusion is given. It walks trees on the stack, about 25 KB a level in a build that is not optimised, and a
/// thread has 2 MB.
const DEPTH_MAX: usize = 48;

/// The query for DataFusion, and a name per item of its outermost SELECT (`None`: a wildcard).
pub fn rewrite(query: &Query) -> Result<(Query, Vec<Option<String>>), SqlError> {
    let mut query = query.clone();
    // Names first: the casts that follow have none.
    let mut labels = Labels::default();
    let names = labels.name_items(&mut query.body);
    labels.name_order(&mut query);
    let rewritten = VisitMut::visit(&mut query, &mut Rewriter::default());
    let deep = rewritten.is_continue().then(|| Visit::visit(&query, &mut Depth::default()));
    match deep.unwrap_or(rewritten) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok((query, names)),
    }
}

/// Measures how deep DataFusion will have to walk.
#[derive(Default)]
struct Depth(usize);

impl Depth {
    fn check(&self) -> ControlFlow<SqlError> {
        if self.0 <= DEPTH_MAX {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(
            SqlError::new(SqlState::STATEMENT_TOO_COMPLEX, "the statement is too complex")
                .detail(format!("An expression or a chain of set operations or joins is more than {DEPTH_MAX} deep.")),
        )
    }
}

impl Visitor for Depth {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<SqlError> {
        self.0 += 1;
        self.check()
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<SqlError> {
        self.0 -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<SqlError> {
        self.0 += chain_length(&query.body);
        self.check()
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<SqlError> {
        self.0 -= chain_length(&query.body);
        ControlFlow::Continue(())
    }
}

/// Set operations and joins are trees that lean to the left.
fn chain_length(body: &SetExpr) -> usize {
    let (mut length, mut body) = (1, body);
    while let SetExpr::SetOperation { left, .. } = body {
        length += 1;
        body = left;
    }
    match body {
        SetExpr::Select(select) => length + select.from.iter().map(|from| 1 + from.joins.len()).sum::<usize>(),
        _ => length,
    }
}

/// `a AND b AND c …` as a tree of little depth; the order of operands stays.
fn balance(expr: &mut Expr) {
    let Expr::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or), .. } = &*expr else { return };
    let op = op.clone();
    let mut operands = Vec::new();
    let mut rest = std::mem::replace(expr, Expr::value(Literal::Null));
    loop {
        match rest {
            Expr::BinaryOp { left, op: inner, right } if inner == op => {
                operands.push(*right);
                rest = *left;
            }
            first => {
                operands.push(first);
                break;
            }
        }
    }
    operands.reverse();
    *expr = tree(&op, operands);
}

fn tree(op: &BinaryOperator, mut operands: Vec<Expr>) -> Expr {
    if operands.len() == 1 {
        return operands.pop().expect("one is left");
    }
    let right = operands.split_off(operands.len() / 2);
    let (left, right) = (Box::new(tree(op, operands)), Box::new(tree(op, right)));
    // Operands of a chain are no such chains themselves, unless in parentheses that no longer matter.
    Expr::BinaryOp { left, op: op.clone(), right }
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

#[derive(Default)]
struct Rewriter {
    /// Subqueries of ANY and ALL so far: each gets a name of its own.
    compared: usize,
}

impl VisitorMut for Rewriter {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        balance(expr);
        self.rename_compared(expr);
        // The sign belongs to the literal: the least number has no positive.
        if let Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner } = &*expr
            && let Expr::Value(value) = inner.as_ref()
            && let Literal::Number(digits, long) = &value.value
        {
            let value = Literal::Number(format!("-{digits}"), *long);
            *expr = Expr::Value(ValueWithSpan { value, span: inner.span() });
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let own = match &*expr {
            // A parameter takes its type from the cast.
            Expr::Cast { kind: ast::CastKind::Cast | ast::CastKind::DoubleColon, expr: inner, data_type, .. }
                if !is_placeholder(inner) =>
            {
                match types::sql_type(data_type) {
                    Ok((to, modifier)) => Some((own::cast_name(to, modifier), inner.as_ref())),
                    // DataFusion may know the type; its planner says if not.
                    Err(error) if error.state == SqlState::FEATURE_NOT_SUPPORTED => None,
                    Err(error) => return ControlFlow::Break(error),
                }
            }
            Expr::UnaryOp { op: UnaryOperator::Minus, expr: inner }
                if !is_placeholder(inner) && !matches!(inner.as_ref(), Expr::Interval(_)) =>
            {
                Some((own::negate_name(), inner.as_ref()))
            }
            _ => one_argument(expr, "round").map(|inner| (own::round_name(), inner)),
        };
        if let Some((name, inner)) = own {
            *expr = call(name, inner.clone());
            return ControlFlow::Continue(());
        }
        match expr {
            Expr::Subquery(_) => *expr = call(own::nullable_name(), expr.clone()),
            Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => bare_subquery(right),
            Expr::Function(function) => {
                if let Some(ast::WindowType::WindowSpec(window)) = &mut function.over {
                    bare_frame(window);
                }
            }
            _ => {}
        }
        if let Some((a, b)) = nullif(expr) {
            *expr = case_of_nullif(a, b);
            return ControlFlow::Continue(());
        }
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
        if let SetExpr::Values(values) = query.body.as_mut()
            && values.rows.iter().flat_map(|row| &row.content).any(has_subquery)
        {
            let rows = std::mem::take(&mut values.rows).into_iter().map(|row| select_of(row.content));
            let union = rows.reduce(|left, right| SetExpr::SetOperation {
                left: Box::new(left),
                op: SetOperator::Union,
                set_quantifier: SetQuantifier::All,
                right: Box::new(right),
            });
            *query.body = union.expect("the grammar has no VALUES without rows");
        }
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
        for ast::NamedWindowDefinition(_, window) in &mut select.named_window {
            if let ast::NamedWindowExpr::WindowSpec(window) = window {
                bare_frame(window);
            }
        }
        ControlFlow::Continue(())
    }
}

impl Rewriter {
    fn rename_compared(&mut self, expr: &mut Expr) {
        match expr {
            Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } => {
                if let Expr::Subquery(subquery) = right.as_ref() {
                    *expr = Expr::InSubquery { expr: left.clone(), subquery: subquery.clone(), negated: false };
                }
            }
            Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => {
                if let Expr::Subquery(subquery) = right.as_ref() {
                    *expr = Expr::InSubquery { expr: left.clone(), subquery: subquery.clone(), negated: true };
                }
            }
            Expr::AnyOp { right, .. } | Expr::AllOp { right, .. } => {
                if let Expr::Subquery(subquery) = right.as_mut() {
                    self.compared += 1;
                    rename(subquery, self.compared);
                }
            }
            _ => {}
        }
    }
}

/// Gives the column a name that no query can write: where it is made, or around the subquery if it cannot be given there.
fn rename(subquery: &mut Query, number: usize) {
    let name = |name: &str| ast::Ident::with_quote('"', format!("{UNIQUE_MARK}{name}{number}"));
    let ordered = subquery.order_by.is_some();
    if let Some(item) = only_item(&mut subquery.body, ordered) {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = &*item {
            *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: name("column") };
        }
        return;
    }
    let alias = ast::TableAlias {
        explicit: true,
        name: name("compared"),
        columns: vec![ast::TableAliasColumnDef { name: name("column"), data_type: None }],
        at: None,
    };
    let mut outer = Query { with: None, order_by: None, limit_clause: None, fetch: None, ..subquery.clone() };
    let mut select = bare_select(vec![SelectItem::UnnamedExpr(Expr::Identifier(name("column")))]);
    let inner = Box::new(subquery.clone());
    let relation = ast::TableFactor::Derived { lateral: false, subquery: inner, alias: Some(alias), sample: None };
    select.from = vec![ast::TableWithJoins { relation, joins: Vec::new() }];
    *outer.body = SetExpr::Select(Box::new(select));
    *subquery = outer;
}

/// The only item of what names a query's columns, if it is an expression and nothing refers to the name that it has.
fn only_item(body: &mut SetExpr, ordered: bool) -> Option<&mut SelectItem> {
    match body {
        SetExpr::Select(select) => {
            let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(items, _) if items.is_empty());
            match select.projection.as_mut_slice() {
                [item @ SelectItem::UnnamedExpr(_)] => Some(item),
                [item @ SelectItem::ExprWithAlias { .. }] if !ordered && !grouped => Some(item),
                _ => None,
            }
        }
        SetExpr::SetOperation { left, .. } if !ordered => only_item(left, ordered),
        _ => None,
    }
}

/// Takes back what was put around a subquery that is no value.
fn bare_subquery(expr: &mut Expr) {
    if let Some(inner @ Expr::Subquery(_)) = one_argument(expr, &own::nullable_name()) {
        *expr = inner.clone();
    }
}

fn bare_frame(window: &mut ast::WindowSpec) {
    let Some(frame) = &mut window.window_frame else { return };
    for bound in std::iter::once(&mut frame.start_bound).chain(&mut frame.end_bound) {
        match bound {
            ast::WindowFrameBound::Preceding(Some(offset)) | ast::WindowFrameBound::Following(Some(offset)) => {
                bare(offset);
            }
            ast::WindowFrameBound::Preceding(None)
            | ast::WindowFrameBound::Following(None)
            | ast::WindowFrameBound::CurrentRow => {}
        }
    }
}

/// The only argument of a call of that function.
fn one_argument<'a>(expr: &'a Expr, name: &str) -> Option<&'a Expr> {
    let Expr::Function(function) = expr else { return None };
    let [ast::ObjectNamePart::Identifier(called)] = function.name.0.as_slice() else { return None };
    match &function.args {
        ast::FunctionArguments::List(list) if called.value.eq_ignore_ascii_case(name) => match list.args.as_slice() {
            [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(argument))] => Some(argument),
            _ => None,
        },
        _ => None,
    }
}

/// The arguments of NULLIF, whose type is that of the first in Postgres, and the wider of both in DataFusion.
fn nullif(expr: &Expr) -> Option<(Expr, Expr)> {
    let Expr::Function(function) = expr else { return None };
    let (ast::FunctionArguments::List(list), true) =
        (&function.args, function.name.to_string().eq_ignore_ascii_case("nullif"))
    else {
        return None;
    };
    match list.args.as_slice() {
        [
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(a)),
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(b)),
        ] => Some((a.clone(), b.clone())),
        _ => None,
    }
}

fn case_of_nullif(a: Expr, b: Expr) -> Expr {
    let token = ast::helpers::attached_token::AttachedToken::empty;
    let equal = Expr::BinaryOp { left: Box::new(a.clone()), op: BinaryOperator::Eq, right: Box::new(b) };
    let null = ast::CaseWhen { condition: equal, result: Expr::value(Literal::Null) };
    Expr::Case {
        case_token: token(),
        end_token: token(),
        operand: None,
        conditions: vec![null],
        else_result: Some(Box::new(a)),
    }
}

fn is_placeholder(expr: &Expr) -> bool {
    match expr {
        Expr::Value(value) => matches!(value.value, Literal::Placeholder(_)),
        Expr::Nested(inner) => is_placeholder(inner),
        _ => false,
    }
}

fn call(name: String, arg: Expr) -> Expr {
    let list = ast::FunctionArgumentList {
        duplicate_treatment: None,
        args: vec![ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(arg))],
        clauses: Vec::new(),
    };
    Expr::Function(ast::Function {
        name: ast::ObjectName::from(vec![ast::Ident::with_quote('"', name)]),
        uses_odbc_syntax: false,
        parameters: ast::FunctionArguments::None,
        args: ast::FunctionArguments::List(list),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn has_subquery(expr: &Expr) -> bool {
    struct Finds;
    impl Visitor for Finds {
        type Break = ();

        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    Visit::visit(expr, &mut Finds).is_break()
}

/// `SELECT row[0] AS column1, …`, as VALUES names them.
fn select_of(row: Vec<Expr>) -> SetExpr {
    let item = |(n, expr)| SelectItem::ExprWithAlias { expr, alias: ast::Ident::new(format!("column{}", n + 1)) };
    let projection = row.into_iter().enumerate().map(item).collect();
    SetExpr::Select(Box::new(bare_select(projection)))
}

/// A SELECT of these items and nothing else.
pub fn bare_select(projection: Vec<SelectItem>) -> ast::Select {
    ast::Select {
        select_token: ast::helpers::attached_token::AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection,
        exclude: None,
        into: None,
        from: Vec::new(),
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: ast::SelectFlavor::Standard,
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

/// Names of the outermost SELECT's items while they are given.
#[derive(Default)]
struct Labels {
    taken: BTreeSet<String>,
    /// Whether there is a wildcard, whose names are not known here.
    starred: bool,
    /// What an item would be called, and the name that it has instead.
    renamed: BTreeMap<String, String>,
}

impl Labels {
    /// Gives items of the outermost SELECT names of their own.
    fn name_items(&mut self, body: &mut SetExpr) -> Vec<Option<String>> {
        match body {
            SetExpr::Select(select) => {
                let star =
                    |item: &SelectItem| matches!(item, SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_));
                self.starred = select.projection.iter().any(star);
                select.projection.iter_mut().map(|item| self.name_item(item)).collect()
            }
            SetExpr::Query(query) => self.name_items(&mut query.body),
            SetExpr::SetOperation { left, .. } => self.name_items(left),
            SetExpr::Values(values) => {
                let width = values.rows.first().map_or(0, |row| row.content.len());
                (1..=width).map(|n| Some(format!("column{n}"))).collect()
            }
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) | SetExpr::Table(_) => {
                vec![None]
            }
        }
    }

    /// A label that nobody wrote is no name in the query: `ORDER BY a + 1` means a column even beside the item `a::text`.
    fn name_item(&mut self, item: &mut SelectItem) -> Option<String> {
        let (name, expr, written) = match item {
            SelectItem::UnnamedExpr(expr) => (label(expr), expr, false),
            SelectItem::ExprWithAlias { expr, alias } => (fold_ident(alias), expr, true),
            SelectItem::ExprWithAliases { .. } | SelectItem::QualifiedWildcard(..) | SelectItem::Wildcard(_) => {
                return None;
            }
        };
        let plain = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        let first = self.taken.insert(name.clone());
        if first && plain && !written && !self.starred {
            return Some(name);
        }
        let unique = if first && written { name.clone() } else { format!("{name}{UNIQUE_MARK}{}", self.taken.len()) };
        if first {
            self.renamed.insert(name.clone(), unique.clone());
        }
        self.taken.insert(unique.clone());
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: ast::Ident::with_quote('"', unique) };
        Some(name)
    }

    /// Alone in ORDER BY, a label is the item.
    fn name_order(&self, query: &mut Query) {
        let Some(order) = &mut query.order_by else { return };
        let OrderByKind::Expressions(items) = &mut order.kind else { return };
        for item in items {
            if let Expr::Identifier(name) = &mut item.expr
                && let Some(unique) = self.renamed.get(&fold_ident(name))
            {
                *name = ast::Ident { value: unique.clone(), quote_style: Some('"'), span: name.span };
            }
        }
    }
}
