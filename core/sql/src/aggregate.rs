//! Aggregates over all rows of a statement: `count`, `sum`, `min` and `max` of our own evaluator.
//!
//! Types and errors are those of the analytic way, which sums with the same arithmetic. Not here: GROUP BY, DISTINCT, FILTER and
//! the other aggregates (see `analytic`).

use tenet_types::{SqlType, Value};

use crate::cast::{self, is_integer};
use crate::error::SqlError;
use crate::scalar::{Arithmetic, Env, Scalar, float_arithmetic};

/// What is computed of all rows.
#[derive(Clone, Debug)]
pub(crate) struct Aggregate {
    pub kind: AggregateKind,
    /// `None`: of the row itself, as in `count(*)`.
    pub argument: Option<Scalar>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AggregateKind {
    Count,
    SumOfIntegers,
    SumOfFloats,
    Min,
    Max,
}

impl AggregateKind {
    /// The aggregate of that name for an argument of that type, and its result's type.
    pub(crate) fn named(name: &str, argument: SqlType) -> Option<(AggregateKind, SqlType)> {
        match name {
            "count" => Some((AggregateKind::Count, SqlType::Int8)),
            // Postgres widens sum(bigint) to numeric, which is not here yet.
            "sum" if is_integer(argument) => Some((AggregateKind::SumOfIntegers, SqlType::Int8)),
            "sum" if argument == SqlType::Float8 => Some((AggregateKind::SumOfFloats, SqlType::Float8)),
            "min" if argument != SqlType::Bool => Some((AggregateKind::Min, argument)),
            "max" if argument != SqlType::Bool => Some((AggregateKind::Max, argument)),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            AggregateKind::Count => "count",
            AggregateKind::SumOfIntegers | AggregateKind::SumOfFloats => "sum",
            AggregateKind::Min => "min",
            AggregateKind::Max => "max",
        }
    }
}

/// An aggregate of the rows so far. NULL counts nowhere; of no values at all, all but `count` are NULL.
#[derive(Debug)]
pub(crate) enum Accumulator {
    Count(i64),
    SumOfIntegers(IntegerSum),
    SumOfFloats(FloatSum),
    Min(Value),
    Max(Value),
}

impl Accumulator {
    pub(crate) fn new(kind: AggregateKind) -> Accumulator {
        match kind {
            AggregateKind::Count => Accumulator::Count(0),
            AggregateKind::SumOfIntegers => Accumulator::SumOfIntegers(IntegerSum::default()),
            AggregateKind::SumOfFloats => Accumulator::SumOfFloats(FloatSum::default()),
            AggregateKind::Min => Accumulator::Min(Value::Null),
            AggregateKind::Max => Accumulator::Max(Value::Null),
        }
    }

    /// Takes a row in.
    pub(crate) fn add(&mut self, aggregate: &Aggregate, row: &[Value], env: &Env) -> Result<(), SqlError> {
        let value = match &aggregate.argument {
            None => Value::Bool(true),
            Some(argument) => argument.eval(row, env)?,
        };
        match (self, value) {
            (_, Value::Null) => {}
            (Accumulator::Count(count), _) => *count += 1,
            (Accumulator::SumOfIntegers(sum), value) => match value.as_int() {
                Some(v) => sum.add(v),
                None => return Err(unbound()),
            },
            (Accumulator::SumOfFloats(sum), Value::Float8(v)) => sum.add(v)?,
            (Accumulator::SumOfFloats(_), _) => return Err(unbound()),
            // Of equal ones the last, as in Postgres: 0 and -0 are equal and not the same.
            (Accumulator::Min(least), value) if least.is_null() || value <= *least => *least = value,
            (Accumulator::Max(most), value) if most.is_null() || value >= *most => *most = value,
            (Accumulator::Min(_) | Accumulator::Max(_), _) => {}
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Value, SqlError> {
        Ok(match self {
            Accumulator::Count(count) => Value::Int8(count),
            Accumulator::SumOfIntegers(sum) => sum.total()?.map_or(Value::Null, Value::Int8),
            Accumulator::SumOfFloats(sum) => sum.total().map_or(Value::Null, Value::Float8),
            Accumulator::Min(value) | Accumulator::Max(value) => value,
        })
    }
}

fn unbound() -> SqlError {
    SqlError::internal("sum met a value of a type that it was not planned for")
}

/// 128 bits hold the sum of as many 64-bit numbers as there can be rows, so only the result can be out of range (22003).
#[derive(Debug, Default)]
pub(crate) struct IntegerSum {
    pub sum: i128,
    pub count: i64,
}

impl IntegerSum {
    pub(crate) fn add(&mut self, v: i64) {
        self.sum += i128::from(v);
        self.count += 1;
    }

    pub(crate) fn remove(&mut self, v: i64) {
        self.sum -= i128::from(v);
        self.count -= 1;
    }

    /// `None` of nothing.
    pub(crate) fn total(&self) -> Result<Option<i64>, SqlError> {
        let total = i64::try_from(self.sum).map_err(|_| cast::out_of_range(SqlType::Int8))?;
        Ok((self.count > 0).then_some(total))
    }
}

/// In the order of the rows; 22003 when finite numbers have an infinite sum.
#[derive(Debug, Default)]
pub(crate) struct FloatSum {
    pub sum: f64,
    pub count: i64,
}

impl FloatSum {
    pub(crate) fn add(&mut self, v: f64) -> Result<(), SqlError> {
        // Not from 0, which would make a sum of -0 alone into 0.
        self.sum = if self.count == 0 { v } else { float_arithmetic(Arithmetic::Add, self.sum, v)? };
        self.count += 1;
        Ok(())
    }

    /// `None` of nothing.
    pub(crate) fn total(&self) -> Option<f64> {
        (self.count > 0).then_some(self.sum)
    }
}
