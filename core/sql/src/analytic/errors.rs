//! DataFusion's errors as SQLSTATEs. What is ours inside of it comes out unchanged.

use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};

use crate::bind::NO_FUNCTION_HINT;
use crate::{SqlError, SqlState};

pub fn from_datafusion(error: DataFusionError) -> SqlError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => from_datafusion(*inner),
        DataFusionError::Collection(mut errors) if !errors.is_empty() => from_datafusion(errors.swap_remove(0)),
        DataFusionError::External(inner) => match inner.downcast::<SqlError>() {
            Ok(ours) => *ours,
            Err(other) => match other.downcast::<DataFusionError>() {
                Ok(nested) => from_datafusion(*nested),
                Err(other) => SqlError::internal(other.to_string()),
            },
        },
        // Not ours alone, so it can only be looked at.
        DataFusionError::Shared(inner) => match inner.find_root() {
            DataFusionError::External(inner) => match inner.downcast_ref::<SqlError>() {
                Some(ours) => ours.clone(),
                None => SqlError::internal(inner.to_string()),
            },
            DataFusionError::Execution(text) => executing(text),
            DataFusionError::Plan(text) => planning(text),
            DataFusionError::NotImplemented(what) => not_implemented(what),
            DataFusionError::ResourcesExhausted(what) => SqlError::memory_exceeded().detail(what),
            other => executing(&other.strip_backtrace()),
        },
        DataFusionError::ArrowError(inner, _) => from_arrow(*inner),
        DataFusionError::SchemaError(inner, _) => from_schema(*inner),
        DataFusionError::NotImplemented(what) => not_implemented(&what),
        DataFusionError::ResourcesExhausted(what) => SqlError::memory_exceeded().detail(what),
        DataFusionError::SQL(inner, _) => SqlError::new(SqlState::SYNTAX_ERROR, inner.to_string()),
        DataFusionError::Plan(text) => planning(&text),
        DataFusionError::Execution(text) => executing(&text),
        other => SqlError::internal(other.strip_backtrace()),
    }
}

/// Postgres' words for what Arrow's kernels refuse.
fn from_arrow(error: ArrowError) -> SqlError {
    match error {
        ArrowError::DivideByZero => SqlError::new(SqlState::DIVISION_BY_ZERO, "division by zero"),
        ArrowError::ArithmeticOverflow(text) => {
            // "Overflow happened on: 1 + 2" does not say the type.
            SqlError::new(SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "integer out of range").detail(text)
        }
        ArrowError::CastError(text) => {
            let state = if text.contains("timestamp") {
                SqlState::INVALID_DATETIME_FORMAT
            } else if text.contains("Cannot cast string") || text.contains("parse") {
                SqlState::INVALID_TEXT_REPRESENTATION
            } else {
                SqlState::NUMERIC_VALUE_OUT_OF_RANGE
            };
            SqlError::new(state, lower_first(&text))
        }
        ArrowError::ParseError(text) => {
            let time = text.contains("timestamp");
            let state = if time { SqlState::INVALID_DATETIME_FORMAT } else { SqlState::INVALID_TEXT_REPRESENTATION };
            SqlError::new(state, lower_first(&text))
        }
        ArrowError::ExternalError(inner) => match inner.downcast::<DataFusionError>() {
            Ok(inner) => from_datafusion(*inner),
            Err(other) => match other.downcast::<SqlError>() {
                Ok(ours) => *ours,
                Err(other) => SqlError::internal(other.to_string()),
            },
        },
        ArrowError::ComputeError(text) => executing(&text),
        other => SqlError::internal(other.to_string()),
    }
}

fn from_schema(error: SchemaError) -> SqlError {
    match error {
        SchemaError::FieldNotFound { field, .. } => {
            no_such_column(field.relation.as_ref().map(|relation| relation.table()), &field.name)
        }
        SchemaError::AmbiguousReference { field } => ambiguous_column(&field.name),
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            SqlError::new(SqlState::DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once"))
        }
    }
}

pub fn no_such_column(table: Option<&str>, name: &str) -> SqlError {
    let text = match table {
        Some(table) => format!("column {table}.{name} does not exist"),
        None => format!("column \"{name}\" does not exist"),
    };
    SqlError::new(SqlState::UNDEFINED_COLUMN, text)
}

pub fn ambiguous_column(name: &str) -> SqlError {
    SqlError::new(SqlState::AMBIGUOUS_COLUMN, format!("column reference \"{name}\" is ambiguous"))
}

pub fn ungrouped_column(column: &str) -> SqlError {
    let message = format!("column \"{column}\" must appear in the GROUP BY clause or be used in an aggregate function");
    SqlError::new(SqlState::GROUPING_ERROR, message)
}

fn not_implemented(what: &str) -> SqlError {
    if what.contains("ScalarSubquery") || what.contains("Exists") || what.contains("InSubquery") {
        return SqlError::unsupported("a correlated subquery of this kind").detail(lower_first(what));
    }
    if what.contains("WindowFunction(") {
        return SqlError::new(SqlState::WINDOWING_ERROR, "window functions are not allowed here");
    }
    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, lower_first(what))
}

/// What stands between two marks.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(found, _)| found)
}

/// DataFusion says most mistakes of a query in prose only.
fn planning(text: &str) -> SqlError {
    let has = |words: &str| text.contains(words);
    // An argument that a function of ours refuses comes back as prose.
    if let Some(refused) = between(text, "External error: ", " (42883)") {
        return SqlError::new(SqlState::UNDEFINED_FUNCTION, refused).hint(NO_FUNCTION_HINT);
    }
    if let Some(function) = between(text, "Invalid function '", "'") {
        return SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("function {function} does not exist"))
            .hint(NO_FUNCTION_HINT);
    }
    if let Some(column) = between(text, "column \"", "\" must appear in the GROUP BY") {
        return ungrouped_column(column);
    }
    if let Some(operands) =
        between(text, "Cannot infer common argument type for comparison operation ", "\n").or_else(|| {
            text.split_once("Cannot infer common argument type for comparison operation ").map(|(_, rest)| rest)
        })
    {
        return SqlError::new(SqlState::UNDEFINED_FUNCTION, format!("operator does not exist: {operands}"));
    }
    if has("Correlated scalar subquery must be aggregated") {
        return SqlError::unsupported("a correlated subquery of this kind").detail(lower_first(text));
    }
    if has("Aggregate functions are not allowed in the WHERE") {
        return SqlError::new(SqlState::GROUPING_ERROR, "aggregate functions are not allowed in WHERE");
    }
    if has("Aggregate function calls cannot be nested") {
        return SqlError::new(SqlState::GROUPING_ERROR, "aggregate function calls cannot be nested");
    }
    if has("LIMIT must be >= 0") {
        return SqlError::new(SqlState::INVALID_ROW_COUNT_IN_LIMIT, "LIMIT must not be negative");
    }
    if has("OFFSET must be >=0") || has("OFFSET must be >= 0") {
        return SqlError::new(SqlState::INVALID_ROW_COUNT_IN_OFFSET, "OFFSET must not be negative");
    }
    let state = if has("No function matches") || has("does not support") {
        SqlState::UNDEFINED_FUNCTION
    } else if has("must be in GROUP BY") || has("appear in the GROUP BY") {
        SqlState::GROUPING_ERROR
    } else if has("ambiguous") {
        SqlState::AMBIGUOUS_COLUMN
    } else if has("Cannot coerce") || has("cannot coerce") || has("comparison") || has("type_coercion") {
        SqlState::UNDEFINED_FUNCTION
    } else if has("Placeholder type") {
        SqlState::INDETERMINATE_DATATYPE
    } else {
        SqlState::SYNTAX_ERROR
    };
    SqlError::new(state, lower_first(text))
}

fn executing(text: &str) -> SqlError {
    if text.contains("more than one row") {
        return SqlError::new(SqlState("21000"), "more than one row returned by a subquery used as an expression");
    }
    if text.contains("square root of a negative number") {
        let state = SqlState::INVALID_ARGUMENT_FOR_POWER;
        return SqlError::new(state, "cannot take square root of a negative number");
    }
    let overflow = text.contains("Overflow") || text.contains("overflow");
    let state = if overflow { SqlState::NUMERIC_VALUE_OUT_OF_RANGE } else { SqlState::INTERNAL_ERROR };
    SqlError::new(state, lower_first(text))
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}
