//! One connection's session: its transaction, its settings, its statements.
//!
//! ```text
//!          BEGIN                       error
//!   Idle ─────────▶ Open ───────────────────────────▶ Failed
//!     ◀── COMMIT ────┘ ◀── (only COMMIT and ROLLBACK are heard) │
//!     ◀──────────────── ROLLBACK, COMMIT (rolls back) ──────────┘
//! ```
//! Outside of a block each statement is a transaction of its own. A query string of several statements is one *implicit* block,
//! which BEGIN turns into a real one.
//!
//! Invariants
//!  N1  In autocommit a write's outcome is told after its commit is known.
//!  N2  A commit that was sent is neither cancelled nor timed out nor sent again.
//!  N3  A statement is planned again under a newer catalog only while its transaction has read and returned nothing, or, in
//!      autocommit, when its commit was refused: then nothing of it happened.

mod command;
mod run;
mod stop;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream::BoxStream;
use sqlparser::ast::Statement;
use tenet_catalog::Catalog;
use tenet_seam::Moment;
use tenet_shard::ShardError;
use tenet_txn::{Reader, Transaction, TxnError};
use tenet_types::{CatalogVersion, RequestId, SqlType, Timestamp, Value};

use crate::engine::{DatabaseHandle, Engine};
use crate::error::{Notice, SqlError, SqlState};
use crate::exec;
use crate::parse::Parsed;
use crate::plan::{Column, Planned};
use crate::settings::Settings;
use crate::text::Formats;

pub use stop::CancelHandle;

/// Most times that a statement is planned again because the catalog changed under it.
const REPLANS_MAX: usize = 5;

/// Where a session is between statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionStatus {
    Idle,
    Open,
    /// Everything but COMMIT and ROLLBACK is answered with 25P02.
    Failed,
}

/// A statement with its types settled. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// $1 first.
    pub params: Vec<SqlType>,
    /// `None`: it returns no rows.
    pub columns: Option<Vec<Column>>,
    pub(crate) parsed: Parsed,
    pub(crate) planned: Arc<Planned>,
    /// The catalog that the plan is good for; `None` if it was one that is not committed.
    pub(crate) version: Option<CatalogVersion>,
}

/// What a statement did.
pub enum Outcome {
    Rows {
        columns: Vec<Column>,
        /// After an error in it, [`Session::fail`] must be called.
        rows: BoxStream<'static, Result<Vec<Vec<Value>>, SqlError>>,
        tag: RowsTag,
    },
    Done {
        /// The command tag: `INSERT 0 1`. Empty for an empty statement.
        tag: String,
        notices: Vec<Notice>,
    },
}

/// The command tag of a statement that returns rows; most of them count the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsTag {
    Select,
    Insert,
    Update,
    Delete,
    Show,
    Explain,
}

impl RowsTag {
    /// The tag when so many rows were sent.
    pub fn text(self, rows: u64) -> String {
        match self {
            RowsTag::Select => format!("SELECT {rows}"),
            RowsTag::Insert => format!("INSERT 0 {rows}"),
            RowsTag::Update => format!("UPDATE {rows}"),
            RowsTag::Delete => format!("DELETE {rows}"),
            RowsTag::Show => "SHOW".to_owned(),
            RowsTag::Explain => "EXPLAIN".to_owned(),
        }
    }
}

/// Why a statement stopped, inside.
#[derive(Debug)]
pub(crate) enum Failure {
    Sql(SqlError),
    /// It may be planned again (N3).
    CatalogChanged,
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Failure {
        Failure::Sql(error)
    }
}

impl From<TxnError> for Failure {
    fn from(error: TxnError) -> Failure {
        if exec::is_catalog_change(&error) { Failure::CatalogChanged } else { Failure::Sql(error.into()) }
    }
}

impl From<Failure> for SqlError {
    fn from(failure: Failure) -> SqlError {
        match failure {
            Failure::Sql(error) => error,
            Failure::CatalogChanged => ShardError::CatalogChanged.into(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    /// Each statement commits by itself.
    None,
    /// Until the end of the query string.
    Implicit,
    /// Until COMMIT or ROLLBACK.
    Explicit,
}

/// A transaction that has begun.
struct Active {
    transaction: Transaction,
    /// As the transaction sees it: its own DDL included.
    catalog: Arc<Catalog>,
    /// Whether the catalog holds DDL that is not committed.
    changed: bool,
    now_us: i64,
}

/// Settings as they go back at the end of a block.
struct Saved {
    on_rollback: Settings,
    /// Without what SET LOCAL did.
    on_commit: Settings,
}

/// One connection's.
pub struct Session {
    engine: Arc<Engine>,
    database: DatabaseHandle,
    user: String,
    settings: Settings,
    saved: Option<Saved>,
    block: Block,
    failed: bool,
    read_only: bool,
    /// When the block began.
    began_us: Option<i64>,
    active: Option<Active>,
    id: u128,
    sequence: u64,
    cancel: CancelHandle,
    last_reader: Option<Reader>,
    last_commit: Option<Timestamp>,
    /// What the client knows of the settings.
    told: BTreeMap<String, String>,
}

impl Session {
    pub(crate) fn new(
        engine: Arc<Engine>,
        database: DatabaseHandle,
        user: &str,
        options: &[(String, String)],
        id: u128,
    ) -> Result<Session, SqlError> {
        let mut settings = Settings::new(user);
        for (name, value) in options {
            settings.start(name, value)?;
        }
        let told = settings.reported();
        let read_only = settings.default_read_only();
        Ok(Session {
            engine,
            database,
            user: user.to_owned(),
            settings,
            saved: None,
            block: Block::None,
            failed: false,
            read_only,
            began_us: None,
            active: None,
            id,
            sequence: 0,
            cancel: CancelHandle::default(),
            last_reader: None,
            last_commit: None,
            told,
        })
    }

    pub fn status(&self) -> TransactionStatus {
        match (self.block, self.failed) {
            (Block::None | Block::Implicit, _) => TransactionStatus::Idle,
            (Block::Explicit, false) => TransactionStatus::Open,
            (Block::Explicit, true) => TransactionStatus::Failed,
        }
    }

    /// The database's name.
    pub fn database(&self) -> &str {
        &self.database.name
    }

    /// Stops whatever statement is running, at the next point where nothing is left half done.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone()
    }

    /// How values look as text.
    pub fn formats(&self) -> &Formats {
        self.settings.formats()
    }

    /// Every setting that a client is told at the start.
    pub fn parameters(&self) -> Vec<(String, String)> {
        self.settings.reported().into_iter().collect()
    }

    /// Those that have changed since they were told.
    pub fn parameter_changes(&mut self) -> Vec<(String, String)> {
        let now = self.settings.reported();
        let changed = now.iter().filter(|(name, value)| self.told.get(*name) != Some(*value));
        let changed = changed.map(|(name, value)| (name.clone(), value.clone())).collect();
        self.told = now;
        changed
    }

    /// Splits and parses a query string. An error leaves nothing executed; the empty string has no statements.
    pub fn parse(&self, sql: &str) -> Result<Vec<Parsed>, SqlError> {
        self.engine.parse(sql).map(|parsed| parsed.to_vec())
    }

    /// Types the statement's parameters and columns. `hints`: types that the client gave, $1 first; `None` is to be inferred.
    pub async fn prepare(&mut self, statement: Parsed, hints: &[Option<SqlType>]) -> Result<Prepared, SqlError> {
        let result = self.try_prepare(statement, hints).await;
        if result.is_err() {
            self.fail();
        }
        result
    }

    async fn try_prepare(&mut self, parsed: Parsed, hints: &[Option<SqlType>]) -> Result<Prepared, SqlError> {
        self.check_not_failed(&parsed)?;
        if let Some(columns) = self.command_columns(&parsed)? {
            let planned = Arc::new(Planned { plan: crate::plan::Plan::Command, params: Vec::new(), columns });
            let columns = planned.columns.clone();
            return Ok(Prepared { params: Vec::new(), columns, parsed, planned, version: None });
        }
        let (planned, version) = self.plan(&parsed, hints).await?;
        let (params, columns) = (planned.params.clone(), planned.columns.clone());
        Ok(Prepared { params, columns, parsed, planned, version })
    }

    /// Runs a statement. In autocommit a write has been committed when this returns (N1); the rows of a query may still stream.
    ///
    /// To stop it use [`Session::cancel_handle`]. Dropping the future is for a connection that is gone: whether a commit that was
    /// under way happens is then not known to anybody.
    pub async fn execute(&mut self, prepared: &Prepared, params: Vec<Value>) -> Result<Outcome, SqlError> {
        self.cancel.reset();
        let result = self.try_execute(prepared, params).await;
        if result.is_err() {
            self.fail();
        }
        result
    }

    async fn try_execute(&mut self, prepared: &Prepared, params: Vec<Value>) -> Result<Outcome, SqlError> {
        self.check_not_failed(&prepared.parsed)?;
        if params.len() < prepared.params.len() {
            let message = format!("there is no parameter ${}", params.len() + 1);
            return Err(SqlError::new(SqlState::UNDEFINED_PARAMETER, message));
        }
        match self.run_command(&prepared.parsed).await? {
            Some(outcome) => Ok(outcome),
            None => self.run_statement(prepared, params).await,
        }
    }

    /// The statements that follow are one transaction, until [`Session::end_implicit`] or their own BEGIN and COMMIT.
    pub async fn begin_implicit(&mut self) {
        if self.block == Block::None {
            self.begin_block(Block::Implicit);
        }
    }

    /// Ends what [`Session::begin_implicit`] began: commits, or rolls back if a statement failed. A block that was begun by BEGIN
    /// stays as it is.
    pub async fn end_implicit(&mut self, failed: bool) -> Result<(), SqlError> {
        if self.block != Block::Implicit {
            return Ok(());
        }
        if failed || self.failed { self.end_block(false).await } else { self.end_block(true).await }
    }

    /// After an error that was not one of [`Session::execute`]'s: an open transaction is now a failed one.
    pub fn fail(&mut self) {
        self.active = None;
        self.failed = self.block != Block::None;
    }

    fn check_not_failed(&self, parsed: &Parsed) -> Result<(), SqlError> {
        let ends =
            matches!(parsed.statement(), Some(Statement::Commit { .. } | Statement::Rollback { savepoint: None, .. }));
        if !self.failed || ends {
            return Ok(());
        }
        Err(SqlError::new(
            SqlState::IN_FAILED_SQL_TRANSACTION,
            "current transaction is aborted, commands ignored until end of transaction block",
        ))
    }

    fn wall_us(&self) -> i64 {
        i64::try_from(self.engine.seam.clock.wall_us()).unwrap_or(i64::MAX)
    }

    /// When the running statement must end.
    fn deadline(&self) -> Option<Moment> {
        self.settings.statement_timeout().map(|timeout| self.engine.seam.clock.now().plus(timeout))
    }

    fn begin_block(&mut self, block: Block) {
        self.block = block;
        self.failed = false;
        self.began_us = Some(self.wall_us());
        self.read_only = self.settings.default_read_only();
    }

    /// Commits or rolls back the block; in any case it is over.
    async fn end_block(&mut self, commit: bool) -> Result<(), SqlError> {
        let result = match self.active.take() {
            Some(active) if commit => self.commit(active).await.map_err(SqlError::from),
            _ => Ok(()),
        };
        if let Some(saved) = self.saved.take() {
            self.settings = if commit && result.is_ok() { saved.on_commit } else { saved.on_rollback };
        }
        self.block = Block::None;
        self.failed = false;
        self.began_us = None;
        self.read_only = self.settings.default_read_only();
        result
    }

    /// Nothing stops this once it has begun (N2).
    async fn commit(&mut self, active: Active) -> Result<(), Failure> {
        let Active { transaction, catalog, changed, .. } = active;
        if let Some(at) = transaction.commit().await? {
            self.last_commit = Some(at);
            if changed {
                self.engine.install(self.database.tenant, catalog);
            }
        }
        Ok(())
    }

    /// The transaction that statements now run in; begins one if there is none.
    async fn active(&mut self) -> Result<&mut Active, SqlError> {
        if self.active.is_none() {
            let (catalog, _) = self.engine.catalog(&self.database).await?;
            self.begin_transaction(catalog);
        }
        Ok(self.active.as_mut().expect("begun just now"))
    }

    fn begin_transaction(&mut self, catalog: Arc<Catalog>) {
        self.sequence += 1;
        let request = RequestId { session: self.id, sequence: self.sequence };
        let target = self.database.target(Some(catalog.version));
        let transaction = Transaction::begin(self.engine.client.clone(), target, request);
        self.last_reader = Some(transaction.reader());
        let now_us = self.began_us.unwrap_or_else(|| self.wall_us());
        self.active = Some(Active { transaction, catalog, changed: false, now_us });
    }

    /// Whether the transaction could begin anew without anybody noticing (N3).
    fn is_untouched(&self) -> bool {
        self.active.as_ref().is_none_or(|active| {
            active.transaction.snapshot().is_none() && !active.transaction.has_writes() && !active.changed
        })
    }
}
