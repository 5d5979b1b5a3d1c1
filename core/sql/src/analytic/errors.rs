//! DataFusion's errors as SQLSTATEs. What is ours inside of it comes out unchanged.

use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};

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
        DataFusionError::Shared(inner) => match inner.find_root() {
            DataFusionError::External(inner) => match inner.downcast_ref::<SqlError>() {
                Some(ours) => ours.clone(),
                None => SqlError::internal(inner.to_string()),
            },
            other => planning(other.strip_backtrace()),
        },
        DataFusionError::ArrowError(inner, _) => from_arrow(*inner),
        DataFusionError::SchemaError(inner, _) => from_schema(*inner),
        DataFusionError::NotImplemented(what) => SqlError::unsupported(what),
        DataFusionError::ResourcesExhausted(what) => {
            SqlError::new(SqlState::OUT_OF_MEMORY, "the statement exceeds its memory limit").detail(what)
        }
        DataFusionError::SQL(inner, _) => SqlError::new(SqlState::SYNTAX_ERROR, inner.to_string()),
        DataFusionError::Plan(text) => planning(text),
        DataFusionError::Execution(text) => executing(text),
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
            let state = if text.contains("Cannot cast string") || text.contains("parse") {
                SqlState::INVALID_TEXT_REPRESENTATION
            } else {
                SqlState::NUMERIC_VALUE_OUT_OF_RANGE
            };
            SqlError::new(state, lower_first(&text))
        }
        ArrowError::ParseError(text) => SqlError::new(SqlState::INVALID_TEXT_REPRESENTATION, lower_first(&text)),
        ArrowError::ExternalError(inner) => match inner.downcast::<DataFusionError>() {
            Ok(inner) => from_datafusion(*inner),
            Err(other) => match other.downcast::<SqlError>() {
                Ok(ours) => *ours,
                Err(other) => SqlError::internal(other.to_string()),
            },
        },
        other => SqlError::internal(other.to_string()),
    }
}

fn from_schema(error: SchemaError) -> SqlError {
    match error {
        SchemaError::FieldNotFound { field, .. } => {
            let text = match &field.relation {
                Some(relation) => format!("column {}.{} does not exist", relation.table(), field.name),
                None => format!("column \"{}\" does not exist", field.name),
            };
            SqlError::new(SqlState::UNDEFINED_COLUMN, text)
        }
        SchemaError::AmbiguousReference { field } => {
            let text = format!("column reference \"{}\" is ambiguous", field.name);
            SqlError::new(SqlState::AMBIGUOUS_COLUMN, text)
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            SqlError::new(SqlState::DUPLICATE_COLUMN, format!("column \"{name}\" specified more than once"))
        }
    }
}

/// DataFusion says most mistakes of a query in prose only.
fn planning(text: String) -> SqlError {
    let has = |words: &str| text.contains(words);
    let state = if has("Invalid function") || has("No function matches") || has("does not support") {
        SqlState::UNDEFINED_FUNCTION
    } else if has("must appear in the GROUP BY") || has("must be in GROUP BY") || has("appear in the GROUP BY") {
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
    SqlError::new(state, lower_first(&text))
}

fn executing(text: String) -> SqlError {
    let state = if text.contains("more than one row") {
        SqlState("21000")
    } else if text.contains("Overflow") || text.contains("overflow") {
        SqlState::NUMERIC_VALUE_OUT_OF_RANGE
    } else {
        SqlState::INTERNAL_ERROR
    };
    SqlError::new(state, lower_first(&text))
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_lowercase().chain(chars).collect(),
        None => String::new(),
    }
}
