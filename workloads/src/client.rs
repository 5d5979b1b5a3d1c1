//! A connection to a SQL database, as a workload sees it.
//!
//! Over a Postgres driver: `sqlstate` is what the server's error says; without one the connection is `lost`, and so it is
//! after an error of severity FATAL or PANIC; `sent` is true but for a failed attempt to connect. `affected` is the number
//! in the command tag. An error of the client's own (a parameter that it cannot convert) has neither SQLSTATE nor `lost`,
//! and is an alarm.

use async_trait::async_trait;

/// One connection. Implemented over a Postgres driver, over a model, or around another client (`controls`).
#[async_trait]
pub trait Client: Send {
    /// Runs one statement, BEGIN and COMMIT included; parameters are `$1`, `$2`, .. .
    ///
    /// May be dropped half-way: the caller then takes the connection for lost. After an error with `lost` only `reconnect`
    /// is of use.
    async fn execute(&mut self, sql: &str, params: &[Param]) -> Result<Rows, ClientError>;

    /// Leaves the connection, if there is one, and opens another, to the database that the client was made for. To which node is
    /// the implementation's choice.
    async fn reconnect(&mut self) -> Result<(), ClientError>;

    /// Leaves the connection for one to another database of the same node; None: the one that the client was made for.
    async fn enter(&mut self, database: Option<&str>) -> Result<(), ClientError> {
        Err(ClientError::server("0A000", format!("this client knows one database, not {database:?}")))
    }
}

/// One value of a row. Integers of any width are `Int`.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Text(String),
    Float(f64),
}

/// A value for `$n`. The workloads' columns are `bigint`, `text` and `boolean`.
pub type Param = Cell;

impl From<i64> for Cell {
    fn from(int: i64) -> Cell {
        Cell::Int(int)
    }
}

impl From<bool> for Cell {
    fn from(bool: bool) -> Cell {
        Cell::Bool(bool)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_string())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

/// What a statement answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Empty for a statement that returns none.
    pub rows: Vec<Vec<Cell>>,
    /// The count in the command tag: `UPDATE 1`, `SELECT 3`; 0 where the tag has none.
    pub affected: u64,
}

/// A statement that gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}{}", .sqlstate.as_ref().map(|state| format!("{state}: ")).unwrap_or_default(), if *.lost { " (connection lost)" } else { "" })]
pub struct ClientError {
    /// What the server said, if it said anything.
    pub sqlstate: Option<String>,
    pub message: String,
    /// The connection is of no use any more.
    pub lost: bool,
    /// The statement may have reached the server. Say true when in doubt.
    pub sent: bool,
}

impl ClientError {
    /// An error that the server reported; the connection lives.
    pub fn server(sqlstate: &str, message: impl Into<String>) -> ClientError {
        ClientError { sqlstate: Some(sqlstate.to_string()), message: message.into(), lost: false, sent: true }
    }

    /// The connection broke, or never was, or nobody answered in time.
    pub fn lost(message: impl Into<String>, sent: bool) -> ClientError {
        ClientError { sqlstate: None, message: message.into(), lost: true, sent }
    }
}
