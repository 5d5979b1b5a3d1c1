//! What DataFusion forgets: which table a result's column came from, what `varchar(n)` it is, and where in the text a mistake is.

use std::any::Any;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan};
use sqlparser::ast::{self, Visit, Visitor};
use sqlparser::tokenizer::Location;
use tenet_catalog::{NO_MODIFIER, TableDescriptor};

use super::errors::{ambiguous_column, no_such_column, ungrouped_column};
use super::own::Own;
use super::table::Table;
use crate::SqlError;
use crate::bind::fold_ident;
use crate::parse::Source;
use crate::plan::{no_such_table, split_name};

/// What a column of a plan's result is.
pub enum Origin {
    Column(Arc<TableDescriptor>, usize),
    /// A text with this modifier.
    Cast(i32),
    Computed,
}

impl Origin {
    pub fn of(plan: &LogicalPlan, at: usize) -> Origin {
        match plan {
            LogicalPlan::Projection(projection) => Origin::of_expr(&projection.expr[at], &projection.input),
            LogicalPlan::Filter(filter) => Origin::of(&filter.input, at),
            LogicalPlan::Sort(sort) => Origin::of(&sort.input, at),
            LogicalPlan::Limit(limit) => Origin::of(&limit.input, at),
            LogicalPlan::SubqueryAlias(alias) => Origin::of(&alias.input, at),
            LogicalPlan::Distinct(Distinct::All(input)) => Origin::of(input, at),
            LogicalPlan::Aggregate(aggregate) => match aggregate.group_expr.get(at) {
                Some(expr) => Origin::of_expr(expr, &aggregate.input),
                None => Origin::Computed,
            },
            LogicalPlan::Join(join) => {
                let width = join.left.schema().fields().len();
                match join.join_type {
                    JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full if at < width => {
                        Origin::of(&join.left, at)
                    }
                    JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
                        Origin::of(&join.right, at - width)
                    }
                    JoinType::LeftSemi | JoinType::LeftAnti => Origin::of(&join.left, at),
                    JoinType::RightSemi | JoinType::RightAnti => Origin::of(&join.right, at),
                    JoinType::LeftMark | JoinType::RightMark => Origin::Computed,
                }
            }
            LogicalPlan::TableScan(scan) => {
                let at = scan.projection.as_ref().map_or(at, |projection| projection[at]);
                let table = source_as_provider(&scan.source).ok();
                let table = table.as_deref().and_then(|table| (table as &dyn Any).downcast_ref::<Table>());
                table.map_or(Origin::Computed, |table| Origin::Column(table.descriptor().clone(), at))
            }
            _ => Origin::Computed,
        }
    }

    fn of_expr(expr: &Expr, input: &LogicalPlan) -> Origin {
        match expr {
            Expr::Alias(alias) => Origin::of_expr(&alias.expr, input),
            Expr::Column(column) => match input.schema().maybe_index_of_column(column) {
                Some(at) => Origin::of(input, at),
                None => Origin::Computed,
            },
            Expr::ScalarFunction(call) => {
                let own = (call.func.inner().as_ref() as &dyn Any).downcast_ref::<Own>();
                own.and_then(Own::modifier).filter(|m| *m != NO_MODIFIER).map_or(Origin::Computed, Origin::Cast)
            }
            _ => Origin::Computed,
        }
    }
}

/// Gives an error about a name the place of the first such name in the query.
pub fn locate(error: SqlError, query: &ast::Query, source: &Source) -> SqlError {
    let mut names = Names { message: &error.message };
    match Visit::visit(query, &mut names) {
        ControlFlow::Break(place) => error.at(source.position(place)),
        ControlFlow::Continue(()) => error,
    }
}

/// Finds the name that the message would be said of.
struct Names<'a> {
    message: &'a str,
}

impl Names<'_> {
    fn check(&self, place: Location, messages: impl IntoIterator<Item = SqlError>) -> ControlFlow<Location> {
        match messages.into_iter().any(|said| said.message == self.message) {
            true => ControlFlow::Break(place),
            false => ControlFlow::Continue(()),
        }
    }
}

impl Visitor for Names<'_> {
    type Break = Location;

    fn pre_visit_relation(&mut self, relation: &ast::ObjectName) -> ControlFlow<Location> {
        match split_name(relation) {
            Ok((schema, table, place)) => self.check(place, [no_such_table(schema.as_deref(), &table)]),
            Err(_) => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &ast::Expr) -> ControlFlow<Location> {
        match expr {
            ast::Expr::Identifier(name) => {
                let folded = fold_ident(name);
                let said = [no_such_column(None, &folded), ambiguous_column(&folded)];
                self.check(name.span.start, said)?;
                // What is not grouped is named with its table, wherever it was written without.
                let ungrouped = self.message.split_once('.').and_then(|(table, _)| table.split_once('"'));
                let said = ungrouped.map(|(_, table)| ungrouped_column(&format!("{table}.{folded}")));
                self.check(name.span.start, said)
            }
            ast::Expr::CompoundIdentifier(parts) => {
                let [.., table, name] = parts.as_slice() else { return ControlFlow::Continue(()) };
                let (table, folded) = (fold_ident(table), fold_ident(name));
                let said = [no_such_column(Some(&table), &folded), ungrouped_column(&format!("{table}.{folded}"))];
                self.check(parts[0].span.start, said)
            }
            _ => ControlFlow::Continue(()),
        }
    }
}
