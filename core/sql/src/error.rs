//! What goes wrong, as clients see it. Every SQLSTATE that this database answers is chosen in this file, or named by its
//! constant where the mistake is found.

use std::fmt;

use tenet_catalog::CatalogError;
use tenet_shard::ShardError;
use tenet_txn::TxnError;
use tenet_types::CodecError;

/// Five characters that say what kind of thing happened (Postgres, appendix A).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SqlState(pub &'static str);

macro_rules! states {
    ($($name:ident = $code:literal),* $(,)?) => {
        impl SqlState {
            $(pub const $name: SqlState = SqlState($code);)*
        }
    };
}

states! {
    SUCCESSFUL_COMPLETION = "00000",
    WARNING = "01000",
    PROTOCOL_VIOLATION = "08P01",
    TRANSACTION_RESOLUTION_UNKNOWN = "08007",
    FEATURE_NOT_SUPPORTED = "0A000",
    STRING_DATA_RIGHT_TRUNCATION = "22001",
    NUMERIC_VALUE_OUT_OF_RANGE = "22003",
    INVALID_DATETIME_FORMAT = "22007",
    DATETIME_FIELD_OVERFLOW = "22008",
    INVALID_TIME_ZONE_DISPLACEMENT = "22009",
    DIVISION_BY_ZERO = "22012",
    INVALID_PARAMETER_VALUE = "22023",
    INVALID_ESCAPE_SEQUENCE = "22025",
    INVALID_ARGUMENT_FOR_LOGARITHM = "2201E",
    INVALID_ARGUMENT_FOR_POWER = "2201F",
    INVALID_ROW_COUNT_IN_LIMIT = "2201W",
    INVALID_ROW_COUNT_IN_OFFSET = "2201X",
    CHARACTER_NOT_IN_REPERTOIRE = "22021",
    INVALID_TEXT_REPRESENTATION = "22P02",
    INVALID_BINARY_REPRESENTATION = "22P03",
    NOT_NULL_VIOLATION = "23502",
    UNIQUE_VIOLATION = "23505",
    ACTIVE_SQL_TRANSACTION = "25001",
    READ_ONLY_SQL_TRANSACTION = "25006",
    NO_ACTIVE_SQL_TRANSACTION = "25P01",
    IN_FAILED_SQL_TRANSACTION = "25P02",
    INVALID_SQL_STATEMENT_NAME = "26000",
    INVALID_CURSOR_NAME = "34000",
    INVALID_CATALOG_NAME = "3D000",
    INVALID_SCHEMA_NAME = "3F000",
    SERIALIZATION_FAILURE = "40001",
    SYNTAX_ERROR = "42601",
    DUPLICATE_COLUMN = "42701",
    AMBIGUOUS_COLUMN = "42702",
    UNDEFINED_COLUMN = "42703",
    UNDEFINED_OBJECT = "42704",
    GROUPING_ERROR = "42803",
    DATATYPE_MISMATCH = "42804",
    WRONG_OBJECT_TYPE = "42809",
    CANNOT_COERCE = "42846",
    UNDEFINED_FUNCTION = "42883",
    AMBIGUOUS_FUNCTION = "42725",
    UNDEFINED_TABLE = "42P01",
    UNDEFINED_PARAMETER = "42P02",
    DUPLICATE_DATABASE = "42P04",
    DUPLICATE_TABLE = "42P07",
    AMBIGUOUS_PARAMETER = "42P08",
    INVALID_COLUMN_REFERENCE = "42P10",
    INVALID_TABLE_DEFINITION = "42P16",
    WINDOWING_ERROR = "42P20",
    INDETERMINATE_DATATYPE = "42P18",
    INSUFFICIENT_RESOURCES = "53000",
    OUT_OF_MEMORY = "53200",
    TOO_MANY_CONNECTIONS = "53300",
    PROGRAM_LIMIT_EXCEEDED = "54000",
    STATEMENT_TOO_COMPLEX = "54001",
    TOO_MANY_COLUMNS = "54011",
    OBJECT_IN_USE = "55006",
    CANT_CHANGE_RUNTIME_PARAM = "55P02",
    QUERY_CANCELED = "57014",
    ADMIN_SHUTDOWN = "57P01",
    CANNOT_CONNECT_NOW = "57P03",
    SNAPSHOT_TOO_OLD = "72000",
    INTERNAL_ERROR = "XX000",
    DATA_CORRUPTED = "XX001",
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The session ends too.
    Fatal,
}

/// A statement's failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlError {
    pub severity: Severity,
    pub state: SqlState,
    /// Worded as Postgres words it.
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// Where in the query string, in characters from 1.
    pub position: Option<usize>,
    /// What the error is about, for drivers that ask: a constraint's or a column's name, with its table's.
    pub about: About,
}

/// The objects that an error names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    pub table: Option<String>,
    pub column: Option<String>,
    pub constraint: Option<String>,
}

/// Said beside a success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub severity: NoticeSeverity,
    pub state: SqlState,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeSeverity {
    Notice,
    Warning,
}

impl Notice {
    pub(crate) fn remark(state: SqlState, message: impl Into<String>) -> Notice {
        Notice { severity: NoticeSeverity::Notice, state, message: message.into() }
    }

    pub(crate) fn warning(state: SqlState, message: impl Into<String>) -> Notice {
        Notice { severity: NoticeSeverity::Warning, state, message: message.into() }
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.state)
    }
}

impl std::error::Error for SqlError {}

impl SqlError {
    pub fn new(state: SqlState, message: impl Into<String>) -> SqlError {
        SqlError {
            severity: Severity::Error,
            state,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            about: About::default(),
        }
    }

    /// What was asked for does not exist here (yet). `what` is the subject: "type numeric", "SAVEPOINT".
    pub fn unsupported(what: impl fmt::Display) -> SqlError {
        SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{what} is not supported"))
    }

    pub fn internal(message: impl Into<String>) -> SqlError {
        SqlError::new(SqlState::INTERNAL_ERROR, message)
    }

    pub fn fatal(mut self) -> SqlError {
        self.severity = Severity::Fatal;
        self
    }

    pub fn detail(mut self, detail: impl Into<String>) -> SqlError {
        self.detail = Some(detail.into());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> SqlError {
        self.hint = Some(hint.into());
        self
    }

    /// Keeps a position that is known already: it is nearer to the mistake.
    pub fn at(mut self, position: Option<usize>) -> SqlError {
        self.position = self.position.or(position);
        self
    }

    pub fn about_table(mut self, table: &str) -> SqlError {
        self.about.table = Some(table.to_owned());
        self
    }

    pub fn about_column(mut self, column: &str) -> SqlError {
        self.about.column = Some(column.to_owned());
        self
    }

    pub fn about_constraint(mut self, constraint: &str) -> SqlError {
        self.about.constraint = Some(constraint.to_owned());
        self
    }

    /// The statement was stopped by the client.
    pub fn canceled() -> SqlError {
        SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request")
    }

    /// The statement was stopped by `statement_timeout`.
    pub fn timed_out() -> SqlError {
        SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to statement timeout")
    }

    /// 53200.
    pub fn memory_exceeded() -> SqlError {
        SqlError::new(SqlState::OUT_OF_MEMORY, "the statement exceeds its memory limit")
    }

    pub fn no_database(name: &str) -> SqlError {
        SqlError::new(SqlState::INVALID_CATALOG_NAME, format!("database \"{name}\" does not exist"))
    }

    pub fn database_exists(name: &str) -> SqlError {
        SqlError::new(SqlState::DUPLICATE_DATABASE, format!("database \"{name}\" already exists"))
    }

    /// 40001, in the words that drivers know.
    pub fn conflict() -> SqlError {
        SqlError::new(SqlState::SERIALIZATION_FAILURE, "could not serialize access due to concurrent update")
            .hint("The transaction might succeed if retried.")
    }
}

impl From<ShardError> for SqlError {
    fn from(error: ShardError) -> SqlError {
        match error {
            ShardError::Conflict => SqlError::conflict(),
            ShardError::CatalogChanged => SqlError::conflict().detail("The schema was changed by another transaction."),
            ShardError::Unknown => SqlError::new(
                SqlState::TRANSACTION_RESOLUTION_UNKNOWN,
                "the outcome of the transaction is not known: the connection to the shard's leader was lost during commit",
            )
            .hint("The transaction may or may not have been committed; look before retrying."),
            ShardError::Unavailable(why) => {
                SqlError::new(SqlState::CANNOT_CONNECT_NOW, format!("the shard is not available: {why}"))
            }
            ShardError::TooLarge => too_large(),
            ShardError::Gone => {
                SqlError::new(SqlState::INVALID_CATALOG_NAME, "the database was dropped").fatal()
            }
            ShardError::BelowGc => SqlError::new(SqlState::SNAPSHOT_TOO_OLD, "snapshot too old"),
            ShardError::Damaged(what) => SqlError::new(SqlState::DATA_CORRUPTED, format!("damaged data: {what}")),
            ShardError::Busy => SqlError::new(
                SqlState::INSUFFICIENT_RESOURCES,
                "too much is asked of this database at once",
            )
            .hint("Nothing was changed; try again."),
        }
    }
}

impl From<TxnError> for SqlError {
    fn from(error: TxnError) -> SqlError {
        match error {
            TxnError::TooLarge => too_large(),
            TxnError::Shard(error) => error.into(),
        }
    }
}

impl From<CatalogError> for SqlError {
    fn from(error: CatalogError) -> SqlError {
        let state = match &error {
            CatalogError::Exists(_) => SqlState::DUPLICATE_TABLE,
            CatalogError::Absent(_) => SqlState::UNDEFINED_TABLE,
        };
        SqlError::new(state, error.to_string())
    }
}

/// A stored row or descriptor that does not decode.
impl From<CodecError> for SqlError {
    fn from(error: CodecError) -> SqlError {
        SqlError::new(SqlState::DATA_CORRUPTED, format!("damaged data: {error}"))
    }
}

fn too_large() -> SqlError {
    SqlError::new(
        SqlState::PROGRAM_LIMIT_EXCEEDED,
        format!("the transaction's writes exceed {} bytes", tenet_types::TXN_BYTES_MAX),
    )
}
