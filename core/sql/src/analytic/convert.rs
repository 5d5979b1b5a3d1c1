//! Between our values and Arrow's arrays.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, Float64Builder, Int16Builder, Int32Builder, Int64Builder, RecordBatch,
    StringBuilder, TimestampMicrosecondBuilder,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Field, FieldRef, Float64Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use datafusion::common::ScalarValue;
use tenet_types::{SqlType, Value};

use super::errors;
use crate::SqlError;

const UTC: &str = "+00:00";

pub fn arrow_type(sql_type: SqlType) -> DataType {
    match sql_type {
        SqlType::Bool => DataType::Boolean,
        SqlType::Int2 => DataType::Int16,
        SqlType::Int4 => DataType::Int32,
        SqlType::Int8 => DataType::Int64,
        SqlType::Float8 => DataType::Float64,
        SqlType::Text => DataType::Utf8,
        SqlType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some(UTC.into())),
    }
}

/// A parameter's type, as the planner wants it.
pub fn field(sql_type: SqlType) -> FieldRef {
    Arc::new(Field::new("", arrow_type(sql_type), true))
}

/// The type that a client sees. Unsigned and narrow integers take the next type that holds them.
pub fn sql_type(arrow: &DataType) -> Result<SqlType, SqlError> {
    Ok(match arrow {
        DataType::Boolean => SqlType::Bool,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => SqlType::Int2,
        DataType::Int32 | DataType::UInt16 => SqlType::Int4,
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => SqlType::Int8,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => SqlType::Float8,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => SqlType::Text,
        DataType::Timestamp(_, _) => SqlType::Timestamptz,
        other => return Err(SqlError::unsupported(format!("a result of type {}", name(other)))),
    })
}

/// What Postgres would call it, for messages.
pub fn name(arrow: &DataType) -> String {
    match arrow {
        DataType::Date32 | DataType::Date64 => "date".to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "time".to_owned(),
        DataType::Interval(_) | DataType::Duration(_) => "interval".to_owned(),
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            "numeric".to_owned()
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "bytea".to_owned()
        }
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => "array".to_owned(),
        other => match sql_type(other) {
            Ok(known) => known.name().to_owned(),
            Err(_) => other.to_string(),
        },
    }
}

/// A parameter's value; NULL keeps the parameter's type.
pub fn scalar(value: &Value, sql_type: SqlType) -> ScalarValue {
    match value {
        Value::Null => ScalarValue::try_from(&arrow_type(sql_type)).expect("every type of ours has a null"),
        Value::Bool(v) => ScalarValue::Boolean(Some(*v)),
        Value::Int2(v) => ScalarValue::Int16(Some(*v)),
        Value::Int4(v) => ScalarValue::Int32(Some(*v)),
        Value::Int8(v) => ScalarValue::Int64(Some(*v)),
        Value::Float8(v) => ScalarValue::Float64(Some(*v)),
        Value::Text(v) => ScalarValue::Utf8(Some(v.clone())),
        Value::Timestamptz(v) => ScalarValue::TimestampMicrosecond(Some(*v), Some(UTC.into())),
    }
}

/// Collects one column of rows into an array.
pub enum ColumnBuilder {
    Bool(BooleanBuilder),
    Int2(Int16Builder),
    Int4(Int32Builder),
    Int8(Int64Builder),
    Float8(Float64Builder),
    Text(StringBuilder),
    Timestamptz(TimestampMicrosecondBuilder),
}

impl ColumnBuilder {
    pub fn new(sql_type: SqlType) -> ColumnBuilder {
        match sql_type {
            SqlType::Bool => ColumnBuilder::Bool(BooleanBuilder::new()),
            SqlType::Int2 => ColumnBuilder::Int2(Int16Builder::new()),
            SqlType::Int4 => ColumnBuilder::Int4(Int32Builder::new()),
            SqlType::Int8 => ColumnBuilder::Int8(Int64Builder::new()),
            SqlType::Float8 => ColumnBuilder::Float8(Float64Builder::new()),
            SqlType::Text => ColumnBuilder::Text(StringBuilder::new()),
            SqlType::Timestamptz => ColumnBuilder::Timestamptz(TimestampMicrosecondBuilder::new().with_timezone(UTC)),
        }
    }

    /// Fails if the value is of another type than the column.
    pub fn push(&mut self, value: &Value) -> Result<(), SqlError> {
        match (self, value) {
            (ColumnBuilder::Bool(b), Value::Bool(v)) => b.append_value(*v),
            (ColumnBuilder::Int2(b), Value::Int2(v)) => b.append_value(*v),
            (ColumnBuilder::Int4(b), Value::Int4(v)) => b.append_value(*v),
            (ColumnBuilder::Int8(b), Value::Int8(v)) => b.append_value(*v),
            (ColumnBuilder::Float8(b), Value::Float8(v)) => b.append_value(*v),
            (ColumnBuilder::Text(b), Value::Text(v)) => b.append_value(v),
            (ColumnBuilder::Timestamptz(b), Value::Timestamptz(v)) => b.append_value(*v),
            (ColumnBuilder::Bool(b), Value::Null) => b.append_null(),
            (ColumnBuilder::Int2(b), Value::Null) => b.append_null(),
            (ColumnBuilder::Int4(b), Value::Null) => b.append_null(),
            (ColumnBuilder::Int8(b), Value::Null) => b.append_null(),
            (ColumnBuilder::Float8(b), Value::Null) => b.append_null(),
            (ColumnBuilder::Text(b), Value::Null) => b.append_null(),
            (ColumnBuilder::Timestamptz(b), Value::Null) => b.append_null(),
            (_, value) => return Err(SqlError::internal(format!("a stored {value:?} in a column of another type"))),
        }
        Ok(())
    }

    pub fn finish(self) -> ArrayRef {
        match self {
            ColumnBuilder::Bool(mut b) => Arc::new(b.finish()),
            ColumnBuilder::Int2(mut b) => Arc::new(b.finish()),
            ColumnBuilder::Int4(mut b) => Arc::new(b.finish()),
            ColumnBuilder::Int8(mut b) => Arc::new(b.finish()),
            ColumnBuilder::Float8(mut b) => Arc::new(b.finish()),
            ColumnBuilder::Text(mut b) => Arc::new(b.finish()),
            ColumnBuilder::Timestamptz(mut b) => Arc::new(b.finish()),
        }
    }
}

/// A batch as rows of the announced types.
pub fn rows_of(batch: &RecordBatch, types: &[SqlType]) -> Result<Vec<Vec<Value>>, SqlError> {
    let columns = batch
        .columns()
        .iter()
        .zip(types)
        .map(|(array, sql_type)| values_of(array, *sql_type))
        .collect::<Result<Vec<_>, SqlError>>()?;
    let mut iters: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
    Ok((0..batch.num_rows())
        .map(|_| iters.iter_mut().map(|column| column.next().expect("columns are equally long")).collect())
        .collect())
}

pub fn values_of(array: &ArrayRef, sql_type: SqlType) -> Result<Vec<Value>, SqlError> {
    let wanted = arrow_type(sql_type);
    let array = if *array.data_type() == wanted {
        array.clone()
    } else {
        cast(array, &wanted).map_err(|error| errors::from_datafusion(error.into()))?
    };
    let each = |value: &dyn Fn(usize) -> Value| -> Vec<Value> {
        (0..array.len()).map(|n| if array.is_null(n) { Value::Null } else { value(n) }).collect()
    };
    Ok(match sql_type {
        SqlType::Bool => {
            let a = array.as_boolean();
            each(&|n| Value::Bool(a.value(n)))
        }
        SqlType::Int2 => {
            let a = array.as_primitive::<Int16Type>();
            each(&|n| Value::Int2(a.value(n)))
        }
        SqlType::Int4 => {
            let a = array.as_primitive::<Int32Type>();
            each(&|n| Value::Int4(a.value(n)))
        }
        SqlType::Int8 => {
            let a = array.as_primitive::<Int64Type>();
            each(&|n| Value::Int8(a.value(n)))
        }
        SqlType::Float8 => {
            let a = array.as_primitive::<Float64Type>();
            each(&|n| Value::Float8(a.value(n)))
        }
        SqlType::Text => {
            let a = array.as_string::<i32>();
            each(&|n| Value::Text(a.value(n).to_owned()))
        }
        SqlType::Timestamptz => {
            let a = array.as_primitive::<TimestampMicrosecondType>();
            each(&|n| Value::Timestamptz(a.value(n)))
        }
    })
}
