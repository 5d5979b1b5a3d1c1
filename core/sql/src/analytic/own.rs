//! Our own evaluator inside of DataFusion's plans: casts, the minus sign, `abs`, `round`, `ln` and zeros, row by row.
//!
//! These are the places where DataFusion computes something else than Postgres (other text of floats and times, other rounding,
//! silent overflow). Casts are put in by `rewrite` as calls of functions that no query can name.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, new_null_array};
use datafusion::arrow::compute::cast as arrow_cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use tenet_types::{SqlType, Value};

use super::convert::{ColumnBuilder, arrow_type, name, sql_type, values_of};
use crate::bind::length_max;
use crate::cast::{self, Context, castable, is_number};
use crate::scalar::{self, Function};
use crate::text::Formats;
use crate::{SqlError, SqlState};

/// Begins the names of functions that no query can write.
const MARK: char = '\u{1}';

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Cast(SqlType, i32),
    Negate,
    Abs,
    Round,
    Ln,
    /// Its argument, which may be NULL whatever DataFusion thinks of it.
    Nullable,
    /// -0 as 0, and one NaN: what is equal has the same bits.
    OneZero,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Own {
    kind: Kind,
    name: String,
    /// The session's, put in before the plan runs.
    formats: Formats,
    signature: Signature,
}

/// The name under which a cast is called in a rewritten query.
pub fn cast_name(to: SqlType, modifier: i32) -> String {
    format!("{MARK}cast {} {modifier}", to.tag())
}

/// The same for the minus sign.
pub fn negate_name() -> String {
    format!("{MARK}negate")
}

/// The same for `round` of one argument.
pub fn round_name() -> String {
    format!("{MARK}round")
}

/// The same for what may be NULL.
pub fn nullable_name() -> String {
    format!("{MARK}nullable")
}

/// The function of that name, if it is one of these.
pub fn named(name: &str) -> Option<Arc<ScalarUDF>> {
    let kind = match name.strip_prefix(MARK) {
        None if name == "abs" => Kind::Abs,
        None if name == "ln" => Kind::Ln,
        Some("negate") => Kind::Negate,
        Some("round") => Kind::Round,
        Some("nullable") => Kind::Nullable,
        Some(cast) => {
            let (tag, modifier) = cast.strip_prefix("cast ")?.split_once(' ')?;
            Kind::Cast(SqlType::from_tag(tag.parse().ok()?)?, modifier.parse().ok()?)
        }
        None => return None,
    };
    Some(function(kind, Formats::default()))
}

/// The expression, cast without a modifier.
pub fn cast_to(expr: Expr, to: SqlType) -> Expr {
    let func = function(Kind::Cast(to, tenet_catalog::NO_MODIFIER), Formats::default());
    Expr::ScalarFunction(ScalarFunction { func, args: vec![expr] })
}

/// A float for comparing.
pub fn one_zero(expr: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction { func: function(Kind::OneZero, Formats::default()), args: vec![expr] })
}

fn function(kind: Kind, formats: Formats) -> Arc<ScalarUDF> {
    let name = match &kind {
        Kind::Cast(to, modifier) => cast_name(*to, *modifier),
        Kind::Negate => negate_name(),
        Kind::Abs => "abs".to_owned(),
        Kind::Round => round_name(),
        Kind::Ln => "ln".to_owned(),
        Kind::Nullable => nullable_name(),
        Kind::OneZero => format!("{MARK}one zero"),
    };
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(Own { kind, name, formats, signature }))
}

fn external<T>(error: SqlError) -> Result<T> {
    Err(DataFusionError::External(Box::new(error)))
}

impl Own {
    /// Of the type that it casts to.
    pub fn modifier(&self) -> Option<i32> {
        match self.kind {
            Kind::Cast(_, modifier) => Some(modifier),
            Kind::Negate | Kind::Abs | Kind::Round | Kind::Ln | Kind::Nullable | Kind::OneZero => None,
        }
    }

    pub fn has_formats(&self, formats: &Formats) -> bool {
        self.formats == *formats
    }

    /// The same function for a session with these formats.
    pub fn with_formats(&self, formats: &Formats) -> Arc<ScalarUDF> {
        function(self.kind.clone(), formats.clone())
    }

    fn result_type(&self, from: &DataType) -> Result<DataType, SqlError> {
        let ours = if *from == DataType::Null { None } else { sql_type(from).ok() };
        match (&self.kind, ours) {
            (Kind::Cast(to, _), Some(from)) if !castable(from, *to, Context::Explicit) => {
                Err(SqlError::new(SqlState::CANNOT_COERCE, format!("cannot cast type {from} to {to}")))
            }
            (Kind::Cast(to, _), _) => Ok(arrow_type(*to)),
            (Kind::Nullable, _) => Ok(from.clone()),
            (Kind::OneZero, _) => Ok(DataType::Float64),
            (Kind::Negate | Kind::Abs, Some(number)) if is_number(number) => Ok(arrow_type(number)),
            (Kind::Round | Kind::Ln, Some(number)) if is_number(number) => Ok(DataType::Float64),
            (Kind::Negate | Kind::Abs | Kind::Round | Kind::Ln, None) if *from == DataType::Null => {
                Ok(DataType::Float64)
            }
            (Kind::Negate, _) => {
                let message = format!("operator does not exist: - {}", name(from));
                Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, message))
            }
            (Kind::Abs | Kind::Round | Kind::Ln, _) => {
                let called = self.name.trim_start_matches(MARK);
                let message = format!("function {called}({}) does not exist", name(from));
                Err(SqlError::new(SqlState::UNDEFINED_FUNCTION, message))
            }
        }
    }

    fn value(&self, value: Value) -> Result<Value, SqlError> {
        match self.kind {
            Kind::Cast(to, modifier) => {
                let value = cast::cast(value, to, &self.formats)?;
                length_max(modifier).map_or(Ok(value.clone()), |max| cast::limit_length(value, max, true))
            }
            Kind::Negate => scalar::negate(value),
            Kind::Abs => scalar::call(Function::Abs, value),
            Kind::Round | Kind::Ln => {
                let Value::Float8(x) = cast::cast(value, SqlType::Float8, &self.formats)? else {
                    return Err(SqlError::internal("a cast to float8 gave something else"));
                };
                if self.kind == Kind::Round {
                    return Ok(Value::Float8(x.round_ties_even()));
                }
                let refused = |what: &str| {
                    let state = SqlState::INVALID_ARGUMENT_FOR_LOGARITHM;
                    Err(SqlError::new(state, format!("cannot take logarithm of {what}")))
                };
                match x {
                    0.0 => refused("zero"),
                    negative if negative < 0.0 => refused("a negative number"),
                    x => Ok(Value::Float8(x.ln())),
                }
            }
            Kind::Nullable => Ok(value),
            Kind::OneZero => Ok(match value {
                // A pattern compares by value, so -0 is meant too.
                Value::Float8(0.0) => Value::Float8(0.0),
                Value::Float8(v) if v.is_nan() => Value::Float8(f64::NAN),
                value => value,
            }),
        }
    }

    fn apply(&self, array: &ArrayRef) -> Result<ArrayRef, SqlError> {
        let to = self.result_type(array.data_type())?;
        if self.kind == Kind::Nullable {
            return Ok(array.clone());
        }
        if *array.data_type() == DataType::Null {
            return Ok(new_null_array(&to, array.len()));
        }
        let internal = |error: &dyn std::fmt::Display| SqlError::internal(error.to_string());
        let (Ok(from), Ok(to_ours)) = (sql_type(array.data_type()), sql_type(&to)) else {
            // From a type that only DataFusion has: a date, an interval.
            return arrow_cast(array, &to).map_err(|error| internal(&error));
        };
        let mut builder = ColumnBuilder::new(to_ours);
        for value in values_of(array, from)? {
            builder.push(&if value.is_null() { Value::Null } else { self.value(value)? })?;
        }
        Ok(builder.finish())
    }
}

impl ScalarUDFImpl for Own {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [one] => Ok(vec![one.clone()]),
            _ => {
                let message = format!("function {} takes one argument", self.name.trim_start_matches(MARK));
                external(SqlError::new(SqlState::UNDEFINED_FUNCTION, message))
            }
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [one] => self.result_type(one).or_else(external),
            _ => plan_err!("one argument"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [array] = &arrays[..] else { return plan_err!("one argument") };
        self.apply(array).map(ColumnarValue::Array).or_else(external)
    }
}
