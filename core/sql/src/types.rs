//! Names of types as written, and what they are here.

use sqlparser::ast::{CharacterLength, DataType, ExactNumberInfo, ObjectName, TimezoneInfo};
use tenet_catalog::{NO_MODIFIER, UNBOUNDED_VARCHAR};
use tenet_types::SqlType;

use crate::error::{SqlError, SqlState};

/// Longest varchar(n) (Postgres: 10 MB).
const VARCHAR_LENGTH_MAX: u64 = 10_485_760;

/// Types that Postgres has and we do not, by their names in `DataType::Custom`.
const KNOWN_ELSEWHERE: [&str; 27] = [
    "bigserial",
    "bpchar",
    "box",
    "char",
    "cidr",
    "circle",
    "hstore",
    "inet",
    "line",
    "lseg",
    "macaddr",
    "money",
    "name",
    "oid",
    "path",
    "pg_lsn",
    "point",
    "polygon",
    "regclass",
    "regproc",
    "regtype",
    "serial",
    "serial2",
    "serial4",
    "serial8",
    "smallserial",
    "xml",
];

/// The type and its modifier. 0A000 for types that Postgres has; 42704 for what is no type at all.
pub(crate) fn sql_type(data_type: &DataType) -> Result<(SqlType, i32), SqlError> {
    let plain = |sql_type| Ok((sql_type, NO_MODIFIER));
    match data_type {
        DataType::Bool | DataType::Boolean => plain(SqlType::Bool),
        DataType::SmallInt(None) | DataType::Int2(None) => plain(SqlType::Int2),
        DataType::Int(None) | DataType::Integer(None) | DataType::Int4(None) => plain(SqlType::Int4),
        DataType::BigInt(None) | DataType::Int8(None) => plain(SqlType::Int8),
        DataType::Float8 | DataType::DoublePrecision | DataType::Float(ExactNumberInfo::None) => plain(SqlType::Float8),
        DataType::Float(ExactNumberInfo::Precision(25..=53)) => plain(SqlType::Float8),
        DataType::Text => plain(SqlType::Text),
        DataType::Varchar(length) | DataType::CharacterVarying(length) | DataType::CharVarying(length) => {
            Ok((SqlType::Text, varchar_modifier(length.as_ref())?))
        }
        DataType::Timestamp(None, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => plain(SqlType::Timestamptz),
        DataType::Custom(name, _) if !KNOWN_ELSEWHERE.contains(&last_part(name).as_str()) => Err(unknown(data_type)),
        DataType::Datetime(_)
        | DataType::TinyInt(_)
        | DataType::MediumInt(_)
        | DataType::TinyText
        | DataType::MediumText
        | DataType::LongText
        | DataType::Blob(_)
        | DataType::Binary(_)
        | DataType::Varbinary(_)
        | DataType::Double(_)
        | DataType::Nvarchar(_)
        | DataType::Clob(_)
        | DataType::Unsigned
        | DataType::Signed
        | DataType::String(_) => Err(unknown(data_type)),
        _ => Err(SqlError::unsupported(format!("type {}", written(data_type)))),
    }
}

fn varchar_modifier(length: Option<&CharacterLength>) -> Result<i32, SqlError> {
    let invalid = |message: &str| Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message));
    match length {
        None => Ok(UNBOUNDED_VARCHAR),
        Some(CharacterLength::IntegerLength { length: 0, .. }) => invalid("length for type varchar must be at least 1"),
        Some(CharacterLength::IntegerLength { length, unit: None }) if *length <= VARCHAR_LENGTH_MAX => {
            Ok(i32::try_from(length + 4).expect("bounded just now"))
        }
        Some(CharacterLength::IntegerLength { unit: None, .. }) => {
            invalid("length for type varchar cannot exceed 10485760")
        }
        Some(_) => Err(SqlError::new(SqlState::SYNTAX_ERROR, "syntax error in the length of varchar")),
    }
}

/// As Postgres would repeat it in a message.
fn written(data_type: &DataType) -> String {
    match data_type {
        DataType::Timestamp(precision, zone) => {
            let precision = precision.map_or(String::new(), |p| format!("({p})"));
            let zone = match zone {
                TimezoneInfo::Tz | TimezoneInfo::WithTimeZone => "with",
                TimezoneInfo::None | TimezoneInfo::WithoutTimeZone => "without",
            };
            format!("timestamp{precision} {zone} time zone")
        }
        DataType::Float4 => "real".to_owned(),
        DataType::Decimal(_) | DataType::Dec(_) => "numeric".to_owned(),
        DataType::Char(_) => "character".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}

fn unknown(data_type: &DataType) -> SqlError {
    let name = data_type.to_string().to_lowercase();
    SqlError::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))
}

fn last_part(name: &ObjectName) -> String {
    let last = name.0.last().and_then(|part| part.as_ident());
    last.map(|ident| ident.value.to_ascii_lowercase()).unwrap_or_default()
}

/// Postgres' short name of the type, which labels a column that is a cast.
pub(crate) fn short_name(sql_type: SqlType, modifier: i32) -> &'static str {
    match sql_type {
        SqlType::Bool => "bool",
        SqlType::Int2 => "int2",
        SqlType::Int4 => "int4",
        SqlType::Int8 => "int8",
        SqlType::Float8 => "float8",
        SqlType::Text if modifier == NO_MODIFIER => "text",
        SqlType::Text => "varchar",
        SqlType::Timestamptz => "timestamptz",
    }
}

/// Postgres' object id, size and modifier of a type, as a row description carries them.
pub(crate) fn wire_type(sql_type: SqlType, modifier: i32) -> (u32, i16, i32) {
    match sql_type {
        SqlType::Bool => (16, 1, -1),
        SqlType::Int2 => (21, 2, -1),
        SqlType::Int4 => (23, 4, -1),
        SqlType::Int8 => (20, 8, -1),
        SqlType::Float8 => (701, 8, -1),
        SqlType::Text if modifier == NO_MODIFIER => (25, -1, -1),
        SqlType::Text if modifier == UNBOUNDED_VARCHAR => (1043, -1, -1),
        SqlType::Text => (1043, -1, modifier),
        SqlType::Timestamptz => (1184, 8, -1),
    }
}
