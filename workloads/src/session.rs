//! A client at work on one operation (each has a session of its own): statements, the transaction block, and what an error means.
//!
//! A workload's step says `invoke`, then runs statements with `?`, then hands the result to `complete`. The session knows at
//! each moment whether a failed statement may have taken effect (W2), so that workloads need not.
//!
//! ```text
//!   idle ──begin──▶ block ──read/write──▶ block ──commit/rollback──▶ idle
//!    │ read, write: transactions of their own
//! ```

use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use tenet_histories::{Alarm, Call, Completion, Outcome, Process, Recorder, Value};

use crate::{Cell, Class, Client, ClientError, Luck, Param, Rows, Stage, Surroundings, classify, ends_connection};

pub struct Session<'a> {
    client: &'a mut dyn Client,
    surroundings: &'a dyn Surroundings,
    recorder: &'a Recorder,
    pub luck: &'a mut Luck,
    process: Process,
    options: SessionOptions,
    block: Block,
    state: SessionState,
    meeting: Option<u64>,
    read_timestamp: Option<u64>,
    commit_timestamp: Option<u64>,
}

#[derive(Clone, Copy)]
pub(crate) struct SessionOptions {
    pub patience: Duration,
    pub timestamps: bool,
}

/// What the runner has to know after a step.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SessionState {
    pub last: Option<Outcome>,
    pub lost: bool,
    pub alarmed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Idle,
    /// `wrote`: a write was sent; `touched`: one changed a row.
    Open {
        wrote: bool,
        touched: bool,
    },
}

/// Why an operation came to nothing, as far as is known.
#[derive(Clone, Debug)]
pub struct Trouble {
    class: Class,
    sqlstate: Option<String>,
    message: String,
}

impl Trouble {
    /// An answer that no honest database gives: a missing row, a value of another type.
    pub fn alarm(message: impl Into<String>) -> Trouble {
        Trouble { class: Class::Alarm, sqlstate: None, message: message.into() }
    }

    /// The operation found that it has nothing to do.
    pub fn refused(message: impl Into<String>) -> Trouble {
        Trouble { class: Class::Fail, sqlstate: None, message: message.into() }
    }

    /// Whether the server gave one of these reasons.
    pub fn says(&self, sqlstates: &[&str]) -> bool {
        self.sqlstate.as_ref().is_some_and(|sqlstate| sqlstates.contains(&sqlstate.as_str()))
    }

    /// The same; but for these reasons a workload takes no for an answer: the operation has no effect.
    pub fn refused_by(self, sqlstates: &[&str]) -> Trouble {
        if self.says(sqlstates) { Trouble { class: Class::Fail, ..self } } else { self }
    }
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        client: &'a mut dyn Client,
        surroundings: &'a dyn Surroundings,
        recorder: &'a Recorder,
        luck: &'a mut Luck,
        process: Process,
        options: SessionOptions,
    ) -> Session<'a> {
        Session {
            client,
            surroundings,
            recorder,
            luck,
            process,
            options,
            block: Block::Idle,
            state: SessionState::default(),
            meeting: None,
            read_timestamp: None,
            commit_timestamp: None,
        }
    }

    /// One of so many keys: any, or the one for which those who begin at this moment meet.
    pub fn draw_key(&mut self, key_count: u64) -> i64 {
        let number = match self.meeting {
            Some(meeting) => meeting % key_count,
            None => self.luck.below(key_count),
        };
        number as i64
    }

    /// Records that an operation begins (W1).
    pub fn invoke(&mut self, function: &'static str, key: impl Into<Value>, value: impl Into<Value>) {
        assert!(self.block == Block::Idle, "an operation begins outside of a block");
        self.recorder.invoke(self.process, Call { function: function.into(), key: key.into(), value: value.into() });
    }

    /// Records how the operation ended (W1), and leaves the block if it is still open.
    pub async fn complete(&mut self, end: Result<Value, Trouble>) {
        let trouble = match end {
            Ok(value) => {
                self.finish(Completion::ok(value));
                assert!(self.block == Block::Idle, "an operation that is ok has left its block");
                return;
            }
            Err(trouble) => trouble,
        };
        if trouble.class == Class::Alarm {
            self.alarm(trouble.sqlstate.clone(), trouble.message.clone());
        }
        let outcome = if trouble.class == Class::Fail { Outcome::Fail } else { Outcome::Unknown };
        self.finish(Completion {
            sqlstate: trouble.sqlstate,
            error: Some(trouble.message),
            ..Completion::new(outcome)
        });
        if self.block != Block::Idle && !self.state.lost && self.rollback().await.is_err() {
            // A block that cannot be left can only be dropped, together with its connection.
            self.state.lost = true;
        }
        self.block = Block::Idle;
    }

    pub async fn begin(&mut self) -> Result<(), Trouble> {
        assert!(self.block == Block::Idle, "BEGIN outside of a block");
        self.call("BEGIN", &[], Stage::BeforeCommit).await?;
        self.block = Block::Open { wrote: false, touched: false };
        Ok(())
    }

    /// Leaves the connection for another, to the database of that name.
    pub async fn enter(&mut self, database: &str) -> Result<(), Trouble> {
        self.connect(Some(database)).await
    }

    /// Leaves the connection for another, to the database that nobody drops.
    pub async fn go_home(&mut self) -> Result<(), Trouble> {
        self.connect(None).await
    }

    async fn connect(&mut self, database: Option<&str>) -> Result<(), Trouble> {
        assert!(self.block == Block::Idle, "a connection is left outside of a block");
        let sleep = self.surroundings.sleep(self.options.patience);
        let result = match select(self.client.enter(database), sleep).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => Err(ClientError::lost("no connection in time", false)),
        };
        self.state.lost = result.is_err();
        result.map_err(|error| Trouble {
            class: classify(&error, Stage::BeforeCommit),
            sqlstate: error.sqlstate,
            message: format!("cannot connect: {}", error.message),
        })
    }

    /// A statement that makes ready what the operation then uses. Whether it took effect, nobody asks.
    pub async fn prepare(&mut self, sql: &str) -> Result<(), Trouble> {
        self.call(sql, &[], Stage::BeforeCommit).await.map(|_| ())
    }

    /// The server's timestamps are not recorded: those of several databases are not comparable.
    pub fn without_timestamps(&mut self) {
        self.options.timestamps = false;
    }

    /// A statement that only reads: in the block, or in a transaction of its own.
    pub async fn read(&mut self, sql: &str, params: &[Param]) -> Result<Vec<Vec<Cell>>, Trouble> {
        let rows = self.call(sql, params, Stage::BeforeCommit).await?;
        if self.block == Block::Idle {
            self.read_timestamp = self.timestamp("SHOW tenet.read_timestamp").await;
        }
        Ok(rows.rows)
    }

    /// A statement that writes, likewise; answers how many rows it touched.
    pub async fn write(&mut self, sql: &str, params: &[Param]) -> Result<u64, Trouble> {
        match &mut self.block {
            Block::Open { wrote, .. } => {
                *wrote = true;
                let affected = self.call(sql, params, Stage::BeforeCommit).await?.affected;
                if let Block::Open { touched, .. } = &mut self.block {
                    *touched |= affected > 0;
                }
                Ok(affected)
            }
            Block::Idle => {
                let affected = self.call(sql, params, Stage::Commit).await?.affected;
                // Nothing changed, nothing committed: the server's last commit is an older one.
                if affected > 0 {
                    self.commit_timestamp = self.timestamp("SHOW tenet.last_commit_timestamp").await;
                }
                Ok(affected)
            }
        }
    }

    pub async fn commit(&mut self) -> Result<(), Trouble> {
        let Block::Open { wrote, touched } = self.block else { panic!("COMMIT without a block") };
        if self.options.timestamps {
            // An error here has failed the block: a COMMIT would be answered, but with ROLLBACK.
            let rows = self.call("SHOW tenet.read_timestamp", &[], Stage::BeforeCommit).await?;
            self.read_timestamp = timestamp_in(&rows);
        }
        let stage = if wrote { Stage::Commit } else { Stage::BeforeCommit };
        // Whatever it answers, the block is over (Postgres ends it on a failed COMMIT too).
        self.block = Block::Idle;
        self.call("COMMIT", &[], stage).await?;
        if touched {
            self.commit_timestamp = self.timestamp("SHOW tenet.last_commit_timestamp").await;
        }
        Ok(())
    }

    pub async fn rollback(&mut self) -> Result<(), Trouble> {
        assert!(self.block != Block::Idle, "ROLLBACK within a block");
        self.block = Block::Idle;
        self.call("ROLLBACK", &[], Stage::BeforeCommit).await?;
        Ok(())
    }

    pub(crate) fn meet(&mut self, meeting: Option<u64>) {
        self.meeting = meeting;
    }

    pub(crate) fn state(&self) -> SessionState {
        self.state
    }

    pub(crate) async fn reconnect(&mut self) -> Result<(), ClientError> {
        let sleep = self.surroundings.sleep(self.options.patience);
        match select(pin!(self.client.reconnect()), sleep).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => Err(ClientError::lost("no connection in time", false)),
        }
    }

    pub(crate) fn alarm(&mut self, sqlstate: Option<String>, message: String) {
        self.state.alarmed = true;
        self.recorder.alarm(Alarm { process: Some(self.process), sqlstate, message });
    }

    async fn call(&mut self, sql: &str, params: &[Param], stage: Stage) -> Result<Rows, Trouble> {
        let sleep = self.surroundings.sleep(self.options.patience);
        let result = match select(pin!(self.client.execute(sql, params)), sleep).await {
            Either::Left((result, _)) => result,
            Either::Right(((), _)) => Err(ClientError::lost("no answer in time", true)),
        };
        result.map_err(|error| {
            let class = classify(&error, stage);
            self.state.lost |= ends_connection(&error);
            if class == Class::Alarm || error.lost {
                Trouble { class, sqlstate: error.sqlstate, message: format!("{}: {sql}", error.message) }
            } else {
                Trouble { class, sqlstate: error.sqlstate, message: error.message }
            }
        })
    }

    /// One of the server's own facts, if wanted, outside of a block: the operation has ended well, whatever this answers.
    async fn timestamp(&mut self, sql: &str) -> Option<u64> {
        if !self.options.timestamps {
            return None;
        }
        let rows = match self.call(sql, &[], Stage::BeforeCommit).await {
            Ok(rows) => rows,
            Err(trouble) => {
                if trouble.class == Class::Alarm {
                    self.alarm(trouble.sqlstate, trouble.message);
                }
                return None;
            }
        };
        timestamp_in(&rows)
    }

    fn finish(&mut self, completion: Completion) {
        self.state.last = Some(completion.outcome);
        self.recorder.complete(
            self.process,
            Completion { read_timestamp: self.read_timestamp, commit_timestamp: self.commit_timestamp, ..completion },
        );
    }
}

fn timestamp_in(rows: &Rows) -> Option<u64> {
    match rows.rows.first()?.first()? {
        Cell::Int(int) => u64::try_from(*int).ok(),
        Cell::Text(text) => text.parse().ok(),
        Cell::Null | Cell::Bool(_) | Cell::Float(_) => None,
    }
}

/// The only cell of each row.
pub(crate) fn column(rows: Vec<Vec<Cell>>) -> Result<Vec<Cell>, Trouble> {
    rows.into_iter()
        .map(|row| match <[Cell; 1]>::try_from(row) {
            Ok([cell]) => Ok(cell),
            Err(row) => Err(Trouble::alarm(format!("a row of {} columns, expected one", row.len()))),
        })
        .collect()
}

/// Two integers of each row.
pub(crate) fn int_pairs(rows: Vec<Vec<Cell>>) -> Result<Vec<(i64, i64)>, Trouble> {
    rows.into_iter()
        .map(|row| match row[..] {
            [Cell::Int(first), Cell::Int(second)] => Ok((first, second)),
            _ => Err(Trouble::alarm(format!("a row {row:?}, expected two integers"))),
        })
        .collect()
}

/// The only row's only cell; None if there is no row.
pub(crate) fn only(rows: Vec<Vec<Cell>>) -> Result<Option<Cell>, Trouble> {
    let mut cells = column(rows)?;
    if cells.len() > 1 {
        return Err(Trouble::alarm(format!("{} rows for one primary key", cells.len())));
    }
    Ok(cells.pop())
}

pub(crate) fn int(cell: Cell) -> Result<i64, Trouble> {
    if let Cell::Int(int) = cell { Ok(int) } else { Err(Trouble::alarm(format!("{cell:?}, expected an integer"))) }
}
