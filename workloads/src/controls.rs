//! Failing controls: clients that lie. A world that runs through one of them must be found invalid, by the oracle that the
//! lie is meant for; one that is not has proved nothing when it is found valid.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::{Client, ClientError, Luck, Param, Rows};

/// Answers a read outside of a block, now and then, with what the same read answered before.
///
/// To be found by `linearizable` (register); in other workloads by their oracles, if the old answer breaks a rule.
pub struct StaleReads<C> {
    inner: C,
    luck: Luck,
    percent: u64,
    in_block: bool,
    /// The answer before the last one, and the last, by statement and parameters.
    answers: BTreeMap<String, [Rows; 2]>,
}

impl<C: Client> StaleReads<C> {
    pub fn new(inner: C, luck: Luck, percent: u64) -> StaleReads<C> {
        StaleReads { inner, luck, percent, in_block: false, answers: BTreeMap::new() }
    }
}

#[async_trait]
impl<C: Client> Client for StaleReads<C> {
    async fn execute(&mut self, sql: &str, params: &[Param]) -> Result<Rows, ClientError> {
        let rows = self.inner.execute(sql, params).await?;
        match sql {
            "BEGIN" => self.in_block = true,
            "COMMIT" | "ROLLBACK" => self.in_block = false,
            _ => {}
        }
        if self.in_block || !sql.starts_with("SELECT") {
            return Ok(rows);
        }
        let read = format!("{sql} {params:?}");
        let Some([before, last]) = self.answers.get_mut(&read) else {
            self.answers.insert(read, [rows.clone(), rows.clone()]);
            return Ok(rows);
        };
        if *last != rows {
            *before = std::mem::replace(last, rows.clone());
        }
        Ok(if self.luck.chance(self.percent) { before.clone() } else { rows })
    }

    async fn reconnect(&mut self) -> Result<(), ClientError> {
        self.in_block = false;
        self.inner.reconnect().await
    }

    async fn enter(&mut self, database: Option<&str>) -> Result<(), ClientError> {
        self.inner.enter(database).await
    }
}

/// Acknowledges a write, now and then, that it never sends: an UPDATE outside of a block, or the COMMIT of a block, which it
/// rolls back.
///
/// To be found by `linearizable` (register) and `lists` (list-append). A bank keeps its total when whole transfers vanish.
pub struct LostWrites<C> {
    inner: C,
    luck: Luck,
    percent: u64,
    in_block: bool,
}

impl<C: Client> LostWrites<C> {
    pub fn new(inner: C, luck: Luck, percent: u64) -> LostWrites<C> {
        LostWrites { inner, luck, percent, in_block: false }
    }
}

#[async_trait]
impl<C: Client> Client for LostWrites<C> {
    async fn execute(&mut self, sql: &str, params: &[Param]) -> Result<Rows, ClientError> {
        match sql {
            "BEGIN" => self.in_block = true,
            "COMMIT" => {
                self.in_block = false;
                let sql = if self.luck.chance(self.percent) { "ROLLBACK" } else { sql };
                return self.inner.execute(sql, params).await;
            }
            "ROLLBACK" => self.in_block = false,
            _ if !self.in_block && sql.starts_with("UPDATE") && self.luck.chance(self.percent) => {
                return Ok(Rows { rows: Vec::new(), affected: 1 });
            }
            _ => {}
        }
        self.inner.execute(sql, params).await
    }

    async fn reconnect(&mut self) -> Result<(), ClientError> {
        self.in_block = false;
        self.inner.reconnect().await
    }

    async fn enter(&mut self, database: Option<&str>) -> Result<(), ClientError> {
        self.inner.enter(database).await
    }
}
