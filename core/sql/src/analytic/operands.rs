//! Operands as Postgres compares them, in the places that DataFusion's planner shows to no hook. Done on the plan, before
//! DataFusion's own coercion of types.
//!
//! - A literal in quotes takes the type of what it meets in IN, BETWEEN, CASE, COALESCE and IS DISTINCT FROM; DataFusion would read it
//!   by its own rules, or make text of the other side. (Beside an operator `arithmetic` does it, because there types choose the
//!   operator.)
//! - IN with a column in its list is a chain of OR: DataFusion takes a CASE there for a constant NULL (COALESCE and NULLIF are CASE).
//! - Floats are compared, sorted, grouped and joined with -0 equal to 0 and one NaN above everything; Arrow tells all bits apart.
//!   What is shown keeps its sign, but for a group's key. DISTINCT and set operations still see two zeros.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, JoinConstraint, LogicalPlan, Operator};
use tenet_types::SqlType;

use super::convert::sql_type;
use super::own::{cast_to, one_zero};

pub fn settle(plan: LogicalPlan) -> Result<LogicalPlan> {
    let settled = plan.transform_up_with_subqueries(|node| {
        let mut schema = merge_schema(&node.inputs());
        if let LogicalPlan::TableScan(scan) = &node {
            schema.merge(&scan.projected_schema);
        }
        // A node's own expressions by which rows are told apart.
        let keys = match &node {
            LogicalPlan::Sort(_) | LogicalPlan::Aggregate(_) => true,
            LogicalPlan::Join(join) => join.join_constraint != JoinConstraint::Using,
            _ => false,
        };
        let named = !matches!(&node, LogicalPlan::Sort(_));
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let mut settled = expr.transform_up(|expr| Ok(settle_expr(expr, &schema)))?;
            let aggregate = matches!(&settled.data, Expr::AggregateFunction(_));
            if keys && !aggregate {
                settled.transformed |= compare_by_value(&mut settled.data, &schema);
            }
            Ok(if named { settled.update_data(|expr| name.restore(expr)) } else { settled })
        })
    });
    Ok(settled?.data)
}

fn settle_expr(mut expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let changed = match &mut expr {
        Expr::InList(list) => {
            let mut operands: Vec<_> = std::iter::once(list.expr.as_mut()).chain(&mut list.list).collect();
            let changed = unify(&mut operands, schema) | by_value(operands, schema);
            if list.list.iter().any(Expr::any_column_refs) {
                let any = any_equal(&list.expr, std::mem::take(&mut list.list));
                return Transformed::yes(if list.negated { Expr::Not(Box::new(any)) } else { any });
            }
            changed
        }
        Expr::Between(between) => {
            let mut operands = vec![between.expr.as_mut(), between.low.as_mut(), between.high.as_mut()];
            unify(&mut operands, schema) | by_value(operands, schema)
        }
        Expr::Case(case) => {
            let (mut compared, mut results) = (Vec::new(), Vec::new());
            for (when, then) in &mut case.when_then_expr {
                compared.push(when.as_mut());
                results.push(then.as_mut());
            }
            results.extend(case.else_expr.as_deref_mut());
            let compared = case.expr.as_deref_mut().is_some_and(|operand| {
                compared.push(operand);
                unify(&mut compared, schema) | by_value(compared, schema)
            });
            unify(&mut results, schema) | compared
        }
        Expr::BinaryExpr(binary) if is_comparison(binary.op) => {
            let mut operands = vec![binary.left.as_mut(), binary.right.as_mut()];
            let by_hook = !matches!(binary.op, Operator::IsDistinctFrom | Operator::IsNotDistinctFrom);
            (!by_hook && unify(&mut operands, schema)) | by_value(operands, schema)
        }
        Expr::ScalarFunction(call) if call.name() == "coalesce" => {
            unify(&mut call.args.iter_mut().collect::<Vec<_>>(), schema)
        }
        Expr::AggregateFunction(call) if matches!(call.func.name(), "min" | "max") => {
            by_value(call.params.args.iter_mut().collect(), schema)
        }
        Expr::WindowFunction(call) => {
            let sorts = call.params.order_by.iter_mut().map(|sort| &mut sort.expr);
            by_value(call.params.partition_by.iter_mut().chain(sorts).collect(), schema)
        }
        _ => false,
    };
    Transformed::new_transformed(expr, changed)
}

/// `operand = first OR operand = second OR …`, as a tree of little depth.
fn any_equal(operand: &Expr, mut list: Vec<Expr>) -> Expr {
    let half = list.split_off(list.len().div_ceil(2));
    match (list.pop(), half.is_empty()) {
        (Some(only), true) => operand.clone().eq(only),
        (Some(last), false) => {
            list.push(last);
            any_equal(operand, list).or(any_equal(operand, half))
        }
        (None, _) => Expr::Literal(ScalarValue::Boolean(Some(false)), None),
    }
}

fn is_comparison(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Casts the literals among operands to the type of the first that has one, if that is not text; says whether there were any.
fn unify(operands: &mut [&mut Expr], schema: &DFSchema) -> bool {
    let is_literal = |expr: &Expr| matches!(expr, Expr::Literal(ScalarValue::Utf8(Some(_)), _));
    let typed = operands.iter().filter(|operand| !is_literal(operand));
    let types = typed.filter_map(|operand| operand.get_type(schema).ok()).filter(|t| *t != DataType::Null);
    let Some(common) = types.filter_map(|t| sql_type(&t).ok()).next() else { return false };
    if common == SqlType::Text {
        return false;
    }
    let mut changed = false;
    for literal in operands.iter_mut().filter(|operand| is_literal(operand)) {
        **literal = cast_to(std::mem::take(*literal), common);
        changed = true;
    }
    changed
}

fn by_value(operands: Vec<&mut Expr>, schema: &DFSchema) -> bool {
    operands.into_iter().fold(false, |changed, operand| changed | compare_by_value(operand, schema))
}

/// Makes one zero and one NaN of a float; says whether it was one.
fn compare_by_value(operand: &mut Expr, schema: &DFSchema) -> bool {
    let float = operand.get_type(schema).is_ok_and(|t| t == DataType::Float64);
    let plain =
        matches!(operand, Expr::Literal(ScalarValue::Float64(v), _) if v.is_none_or(|v| v != 0.0 && !v.is_nan()));
    if float && !plain {
        *operand = one_zero(std::mem::take(operand));
    }
    float && !plain
}
