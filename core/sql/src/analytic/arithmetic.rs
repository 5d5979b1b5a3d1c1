//! Arithmetic as Postgres does it: checked, in the wider of the two types.
//!
//! DataFusion's own `+` wraps around and its `sum` does too; a database must not. The planner hook [`Checked`] replaces
//! operators between numbers by functions over Arrow's checked kernels, and [`sum`] takes the place of DataFusion's. The same hook
//! gives a literal in quotes the type of what it meets, and refuses operators that Postgres does not have between two types.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::numeric;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Field, FieldRef, Float64Type, Int64Type};
use datafusion::arrow::error::ArrowError;
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, not_impl_err, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use sqlparser::ast::BinaryOperator;

use tenet_types::SqlType;

use super::convert::{name, sql_type};
use super::own::cast_to;
use crate::aggregate::{FloatSum, IntegerSum};
use crate::bind::NO_OPERATOR_HINT;
use crate::cast::is_number;
use crate::{SqlError, SqlState};

/// Plans `+ - * / %` between numbers as checked functions.
#[derive(Debug)]
pub struct Checked;

impl ExprPlanner for Checked {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, mut left, mut right } = expr;
        settle_literal(&mut left, &right, &op, schema)?;
        settle_literal(&mut right, &left, &op, schema)?;
        let (left_type, right_type) = (type_of(&left, schema)?, type_of(&right, schema)?);
        check_operator(&op, left_type.as_ref(), right_type.as_ref())?;
        let operation = match op {
            BinaryOperator::Plus => Operation::Add,
            BinaryOperator::Minus => Operation::Subtract,
            BinaryOperator::Multiply => Operation::Multiply,
            BinaryOperator::Divide => Operation::Divide,
            BinaryOperator::Modulo => Operation::Modulo,
            BinaryOperator::StringConcat => {
                let texts = [(&mut left, left_type), (&mut right, right_type)];
                for (side, data_type) in texts {
                    if ours(data_type.as_ref()).is_some_and(|t| t != SqlType::Text) {
                        *side = cast_to(std::mem::take(side), SqlType::Text);
                    }
                }
                return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
            }
            _ => return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right })),
        };
        // A parameter of unknown type takes the type of the other side.
        adopt(&mut left, right_type.as_ref());
        adopt(&mut right, left_type.as_ref());
        let numeric = [&left_type, &right_type].into_iter().flatten().all(|t| rank(t).is_some());
        if !numeric || (left_type.is_none() && right_type.is_none()) {
            return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
        }
        let func = Arc::new(ScalarUDF::new_from_impl(Arithmetic {
            operation,
            signature: Signature::user_defined(Volatility::Immutable),
        }));
        Ok(PlannerResult::Planned(Expr::ScalarFunction(ScalarFunction { func, args: vec![left, right] })))
    }
}

/// The type, if it is one of ours and not that of a bare NULL.
fn ours(data_type: Option<&DataType>) -> Option<SqlType> {
    data_type.filter(|t| **t != DataType::Null).and_then(|t| sql_type(t).ok())
}

fn is_comparison(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

/// A literal in quotes has no type until it meets another.
fn settle_literal(side: &mut Expr, other: &Expr, op: &BinaryOperator, schema: &DFSchema) -> Result<()> {
    let arithmetic = matches!(
        op,
        BinaryOperator::Plus
            | BinaryOperator::Minus
            | BinaryOperator::Multiply
            | BinaryOperator::Divide
            | BinaryOperator::Modulo
    );
    if !matches!(side, Expr::Literal(ScalarValue::Utf8(Some(_)), _)) || !(arithmetic || is_comparison(op)) {
        return Ok(());
    }
    match ours(type_of(other, schema)?.as_ref()) {
        Some(t) if t != SqlType::Text && (is_comparison(op) || is_number(t)) => {
            *side = cast_to(std::mem::take(side), t);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Operators that DataFusion would make work by casting to text, and Postgres does not have.
fn check_operator(op: &BinaryOperator, left: Option<&DataType>, right: Option<&DataType>) -> Result<()> {
    let (Some(a), Some(b)) = (ours(left), ours(right)) else { return Ok(()) };
    let numbers = is_number(a) && is_number(b);
    let exists = match op {
        op if is_comparison(op) => a == b || numbers,
        BinaryOperator::Plus | BinaryOperator::Minus | BinaryOperator::Multiply | BinaryOperator::Divide => {
            numbers || a == SqlType::Timestamptz || b == SqlType::Timestamptz
        }
        BinaryOperator::Modulo => numbers && a != SqlType::Float8 && b != SqlType::Float8,
        BinaryOperator::StringConcat => a == SqlType::Text || b == SqlType::Text,
        _ => true,
    };
    if exists {
        return Ok(());
    }
    let error = SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {a} {op} {b}"));
    Err(DataFusionError::External(Box::new(error.hint(NO_OPERATOR_HINT))))
}

/// `None` for a parameter without a type.
fn type_of(expr: &Expr, schema: &DFSchema) -> Result<Option<DataType>> {
    match expr {
        Expr::Placeholder(parameter) => Ok(parameter.field.as_ref().map(|field| field.data_type().clone())),
        expr => expr.get_type(schema).map(Some),
    }
}

fn adopt(expr: &mut Expr, other: Option<&DataType>) {
    if let (Expr::Placeholder(parameter), Some(other)) = (expr, other)
        && parameter.field.is_none()
        && rank(other).is_some()
    {
        parameter.field = Some(Arc::new(Field::new("", other.clone(), true)));
    }
}

/// The order in which numbers widen; `None` for what is not a number.
fn rank(data_type: &DataType) -> Option<u8> {
    Some(match data_type {
        DataType::Null => 0,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => 1,
        DataType::Int32 | DataType::UInt16 => 2,
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => 3,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => 4,
        _ => return None,
    })
}

fn wider(types: &[DataType]) -> Result<DataType> {
    let widest = types.iter().map(rank).collect::<Option<Vec<u8>>>().and_then(|ranks| ranks.into_iter().max());
    Ok(match widest {
        Some(1) => DataType::Int16,
        Some(0 | 2) => DataType::Int32,
        Some(3) => DataType::Int64,
        Some(4) => DataType::Float64,
        _ => return plan_err!("arithmetic between {types:?}"),
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Arithmetic {
    operation: Operation,
    signature: Signature,
}

impl ScalarUDFImpl for Arithmetic {
    fn name(&self) -> &str {
        match self.operation {
            Operation::Add => "+",
            Operation::Subtract => "-",
            Operation::Multiply => "*",
            Operation::Divide => "/",
            Operation::Modulo => "%",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let both = wider(types)?;
        Ok(vec![both.clone(), both])
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        wider(types)
    }

    /// NULL with a NULL operand, whatever the other would do (see [`crate::scalar::Scalar::folded`]).
    fn simplify(&self, args: Vec<Expr>, _: &SimplifyContext) -> Result<ExprSimplifyResult> {
        let null = args.iter().find(|arg| matches!(arg, Expr::Literal(value, _) if value.is_null())).cloned();
        Ok(null.map_or(ExprSimplifyResult::Original(args), ExprSimplifyResult::Simplified))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [left, right] = &arrays[..] else { return plan_err!("arithmetic of {} operands", arrays.len()) };
        Ok(ColumnarValue::Array(self.operation.apply(left, right)?))
    }
}

fn external<T>(error: SqlError) -> Result<T> {
    Err(DataFusionError::External(Box::new(error)))
}

fn fail<T>(state: SqlState, text: &str) -> Result<T> {
    external(SqlError::new(state, text))
}

impl Operation {
    fn apply(self, left: &ArrayRef, right: &ArrayRef) -> Result<ArrayRef> {
        let float = *left.data_type() == DataType::Float64;
        if float && matches!(self, Operation::Divide | Operation::Modulo) {
            let (l, r) = (left.as_primitive::<Float64Type>(), right.as_primitive::<Float64Type>());
            let by_zero = |n| r.value(n) == 0.0 && !l.value(n).is_nan();
            if (0..l.len()).any(|n| l.is_valid(n) && r.is_valid(n) && by_zero(n)) {
                return fail(SqlState::DIVISION_BY_ZERO, "division by zero");
            }
        }
        let computed = match self {
            Operation::Add => numeric::add(left, right),
            Operation::Subtract => numeric::sub(left, right),
            Operation::Multiply => numeric::mul(left, right),
            Operation::Divide => numeric::div(left, right),
            Operation::Modulo => numeric::rem(left, right),
        };
        let result = match computed {
            Err(ArrowError::ArithmeticOverflow(_)) => {
                return fail(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, &format!("{} out of range", name(left.data_type())));
            }
            computed => computed?,
        };
        if float {
            let (l, r) = (left.as_primitive::<Float64Type>(), right.as_primitive::<Float64Type>());
            let values = result.as_primitive::<Float64Type>();
            let overflowed =
                |n: usize| values.value(n).is_infinite() && l.value(n).is_finite() && r.value(n).is_finite();
            if (0..values.len()).any(|n| values.is_valid(n) && overflowed(n)) {
                return fail(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: overflow");
            }
            let underflowed = |n: usize| {
                let from_nothing = match self {
                    Operation::Multiply => l.value(n) == 0.0 || r.value(n) == 0.0,
                    Operation::Divide => l.value(n) == 0.0 || r.value(n).is_infinite(),
                    Operation::Add | Operation::Subtract | Operation::Modulo => true,
                };
                values.value(n) == 0.0 && !from_nothing
            };
            if (0..values.len()).any(|n| values.is_valid(n) && underflowed(n)) {
                return fail(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "value out of range: underflow");
            }
        }
        Ok(result)
    }
}

/// `sum` that says so when the result does not fit (Postgres widens to `numeric`, which is not here yet).
pub fn sum() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(Sum { signature: Signature::user_defined(Volatility::Immutable) }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Sum {
    signature: Signature,
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        "sum"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [one] => match rank(one) {
                Some(4) => Ok(vec![DataType::Float64]),
                Some(_) => Ok(vec![DataType::Int64]),
                None => {
                    let text = format!("function sum({}) does not exist", super::convert::name(one));
                    fail(SqlState::UNDEFINED_FUNCTION, &text)
                }
            },
            _ => fail(SqlState::UNDEFINED_FUNCTION, "function sum takes one argument"),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(self.coerce_types(types)?.swap_remove(0))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return not_impl_err!("sum(DISTINCT ...) beside another aggregate");
        }
        Ok(match args.return_field.data_type() {
            DataType::Float64 => Box::new(FloatSum::default()),
            _ => Box::new(IntegerSum::default()),
        })
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let total = match args.return_field.data_type() {
            DataType::Float64 => DataType::Float64,
            _ => DataType::Decimal128(38, 0),
        };
        let field = |name: &str, data_type| Arc::new(Field::new(format!("{}[{name}]", args.name), data_type, true));
        Ok(vec![field("sum", total), field("count", DataType::Int64)])
    }
}

impl Accumulator for IntegerSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        values[0].as_primitive::<Int64Type>().iter().flatten().for_each(|value| self.add(value));
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        values[0].as_primitive::<Int64Type>().iter().flatten().for_each(|value| self.remove(value));
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.total().map(ScalarValue::Int64).or_else(external)
    }

    fn size(&self) -> usize {
        size_of::<IntegerSum>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Decimal128(Some(self.sum), 38, 0), ScalarValue::Int64(Some(self.count))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let totals = states[0].as_primitive::<Decimal128Type>();
        self.sum += totals.iter().flatten().sum::<i128>();
        self.count += cast(&states[1], &DataType::Int64)?.as_primitive::<Int64Type>().iter().flatten().sum::<i64>();
        Ok(())
    }
}

impl Accumulator for FloatSum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        values[0].as_primitive::<Float64Type>().iter().flatten().try_for_each(|value| self.add(value)).or_else(external)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.total()))
    }

    fn size(&self) -> usize {
        size_of::<FloatSum>()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Float64(Some(self.sum)), ScalarValue::Int64(Some(self.count))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (sums, counts) = (states[0].as_primitive::<Float64Type>(), states[1].as_primitive::<Int64Type>());
        for (sum, count) in sums.iter().flatten().zip(counts.iter().flatten()).filter(|(_, count)| *count > 0) {
            self.add(sum).or_else(external)?;
            self.count += count - 1;
        }
        Ok(())
    }
}
