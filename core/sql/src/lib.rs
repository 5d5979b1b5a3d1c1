//! SQL: sessions, statements, plans, and the evaluator behind them.
//!
//! A session lives on the node that its client reached. It parses, plans, keeps the transaction's buffer, and sends shard
//! requests; SQL never crosses to another node. Names, results, types and errors are Postgres'.
//!
//! ```text
//!   text ──parse──▶ Parsed ──plan (catalog)──▶ Prepared ──execute (transaction)──▶ Outcome
//!                                 │ one table without grouping, or a write: our own evaluator (`scalar`, `exec`)
//!                                 └ everything else: `analytic`
//! ```
//! What is absent: savepoints, cursors, COPY, views, indexes other than the primary, ALTER, privileges, PREPARE as a
//! statement, LISTEN. Each is answered with 0A000 and its name.

mod aggregate;
mod analytic;
mod bind;
mod cast;
mod ddl;
mod engine;
mod error;
mod exec;
mod explain;
mod parse;
mod plan;
pub mod psql;
mod scalar;
mod session;
mod settings;
pub mod text;
mod types;
mod zone;

pub use engine::{DatabaseHandle, Databases, Engine, EngineOptions};
pub use error::{About, Notice, NoticeSeverity, Severity, SqlError, SqlState};
pub use parse::Parsed;
pub use plan::Column;
pub use session::{CancelHandle, Outcome, Prepared, RowsTag, Session, TransactionStatus};
pub use zone::Zone;

/// What `SELECT version()` answers. It begins as Postgres' does, because drivers look.
pub(crate) const VERSION_TEXT: &str = concat!("PostgreSQL 16.0 (Tenet ", env!("CARGO_PKG_VERSION"), ")");

#[cfg(test)]
mod tests;
