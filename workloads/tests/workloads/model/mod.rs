//! A database small enough to be believed: multi-version rows, optimistic transactions validated at commit, and just the SQL
//! that the workloads speak. Each [`Flaw`] leaves out one thing that a serializable database must do.
//!
//! Clients run interleaved by seed on one thread; every statement pauses before and after its effect.

pub mod executor;
mod sql;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tenet_workloads::{Cell, Client, ClientError, Luck, Param, Rows};

use executor::pause;
use sql::{Expression, Statement};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// Validates only that no row it wrote was written meanwhile.
    SnapshotIsolation,
    /// Each statement reads what is newest; nothing is validated.
    ReadCommitted,
    /// Validates the rows that a scan returned, and not what it covered.
    NoSpans,
    /// A transaction that writes nothing reads as of some commits ago.
    StaleSnapshots,
    /// Some commits are acknowledged and forgotten.
    ForgetsCommits,
    /// A commit's outcome is unknown to the client, who is told that it failed.
    FailsWhatHappened,
    /// Each write of a transaction is visible as soon as it is made.
    DirtyReads,
    /// All databases have the same tables.
    SharedTables,
    /// What comes to be under a name that was dropped finds what was there.
    DropsNothing,
}

/// Of a hundred statements, or commits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trouble {
    pub connection_lost_percent: u64,
    pub unknown_percent: u64,
    pub refused_percent: u64,
}

#[derive(Clone)]
pub struct Database(Arc<Mutex<State>>);

struct State {
    flaw: Flaw,
    trouble: Trouble,
    luck: Luck,
    /// The first database's, and after a number those of each that was made since.
    tables: BTreeMap<String, Table>,
    /// Those that were made and not dropped, by the prefix of their tables.
    databases: BTreeMap<String, String>,
    databases_made: u64,
    clock: u64,
    /// Commits that were answered with 08007 and may yet take effect.
    undecided: Vec<Transaction>,
}

struct Table {
    columns: Vec<String>,
    key: Vec<usize>,
    /// Versions in order of commit; None: deleted.
    rows: BTreeMap<Vec<i64>, Vec<(u64, Option<Vec<Cell>>)>>,
}

#[derive(Clone, Default)]
struct Transaction {
    snapshot: u64,
    writes: BTreeMap<(String, Vec<i64>), Option<Vec<Cell>>>,
    rows_read: BTreeSet<(String, Vec<i64>)>,
    tables_read: BTreeSet<String>,
}

pub struct Connection {
    database: Database,
    block: Option<Transaction>,
    connected: bool,
    /// The prefix of the database's tables.
    prefix: String,
    read_timestamp: u64,
    commit_timestamp: u64,
}

impl Database {
    pub fn new(flaw: Flaw, trouble: Trouble, seed: u64) -> Database {
        let luck = Luck::from_seed(seed);
        let state = State {
            flaw,
            trouble,
            luck,
            tables: BTreeMap::new(),
            databases: BTreeMap::new(),
            databases_made: 0,
            clock: 0,
            undecided: Vec::new(),
        };
        Database(Arc::new(Mutex::new(state)))
    }

    pub fn connection(&self) -> Connection {
        Connection {
            database: self.clone(),
            block: None,
            connected: false,
            prefix: String::new(),
            read_timestamp: 0,
            commit_timestamp: 0,
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }
}

#[async_trait]
impl Client for Connection {
    async fn execute(&mut self, sql: &str, params: &[Param]) -> Result<Rows, ClientError> {
        assert!(self.connected, "a statement on a lost connection: {sql}");
        let (before, after) = self.database.with(|state| (state.luck.below(4), state.luck.below(4)));
        pause(before).await;
        let result = self.run(sql, params);
        pause(after).await;
        if result.as_ref().is_err_and(|error| error.lost) {
            (self.connected, self.block) = (false, None);
        }
        result
    }

    async fn reconnect(&mut self) -> Result<(), ClientError> {
        pause(2).await;
        if self.database.with(|state| state.luck.chance(state.trouble.connection_lost_percent)) {
            return Err(ClientError::lost("connection refused", false));
        }
        (self.connected, self.block) = (true, None);
        self.prefix = String::new();
        Ok(())
    }

    async fn enter(&mut self, database: Option<&str>) -> Result<(), ClientError> {
        self.reconnect().await?;
        let Some(database) = database else { return Ok(()) };
        let prefix = self.database.with(|state| state.databases.get(database).cloned());
        self.prefix = prefix.ok_or_else(|| {
            self.connected = false;
            ClientError { lost: true, ..ClientError::server("3D000", format!("no database {database}")) }
        })?;
        Ok(())
    }
}

impl Connection {
    fn run(&mut self, sql: &str, params: &[Param]) -> Result<Rows, ClientError> {
        let database = self.database.clone();
        database.with(|state| {
            state.decide_some();
            if state.luck.chance(state.trouble.connection_lost_percent) {
                let arrived = state.luck.chance(50);
                if arrived {
                    // It takes effect, and nobody hears of it.
                    self.run_on(state, sql, params).ok();
                }
                return Err(ClientError::lost("connection reset", true));
            }
            if state.luck.chance(state.trouble.refused_percent) {
                let sqlstate = *state.luck.pick(&["40001", "57P03", "57014"]);
                return Err(self.fail(ClientError::server(sqlstate, "refused")));
            }
            self.run_on(state, sql, params).map_err(|error| self.fail(error))
        })
    }

    /// As in Postgres, an error ends the block; here it is forgotten at once, and ROLLBACK finds none.
    fn fail(&mut self, error: ClientError) -> ClientError {
        self.block = None;
        error
    }

    fn run_on(&mut self, state: &mut State, sql: &str, params: &[Param]) -> Result<Rows, ClientError> {
        match sql {
            "BEGIN" => {
                assert!(self.block.is_none(), "BEGIN within a block");
                self.block = Some(state.begin());
                return Ok(Rows::default());
            }
            "ROLLBACK" => {
                self.block = None;
                return Ok(Rows::default());
            }
            "COMMIT" => {
                let transaction = self.block.take().expect("COMMIT within a block");
                self.read_timestamp = transaction.snapshot;
                return self.commit(state, transaction).map(|()| Rows::default());
            }
            "SHOW tenet.read_timestamp" => {
                let timestamp = self.block.as_ref().map_or(self.read_timestamp, |transaction| transaction.snapshot);
                return Ok(Rows { rows: vec![vec![Cell::Text(timestamp.to_string())]], affected: 1 });
            }
            "SHOW tenet.last_commit_timestamp" => {
                return Ok(Rows { rows: vec![vec![Cell::Text(self.commit_timestamp.to_string())]], affected: 1 });
            }
            _ => {}
        }
        let words: Vec<&str> = sql.split_whitespace().collect();
        match words[..] {
            ["CREATE", "DATABASE", name] => return state.create_database(name),
            ["DROP", "DATABASE", name] => return state.drop_database(name),
            _ => {}
        }
        let prefix = if state.flaw == Flaw::SharedTables { "" } else { &self.prefix };
        let statement = sql::parse(sql, params).within(prefix);
        if !matches!(statement, Statement::Create { .. }) && !state.tables.contains_key(statement.table()) {
            return Err(ClientError::server("42P01", format!("no table {}", statement.table())));
        }
        let Some(transaction) = &mut self.block else {
            let mut transaction = state.begin();
            if state.flaw == Flaw::StaleSnapshots && matches!(statement, Statement::Select { .. }) {
                transaction.snapshot = transaction.snapshot.saturating_sub(state.luck.below(6));
            }
            let rows = state.run(&mut transaction, statement)?;
            self.read_timestamp = transaction.snapshot;
            self.commit(state, transaction)?;
            return Ok(rows);
        };
        if state.flaw == Flaw::ReadCommitted {
            transaction.snapshot = state.clock;
        }
        let rows = state.run(transaction, statement)?;
        if state.flaw == Flaw::DirtyReads && !transaction.writes.is_empty() {
            state.clock += 1;
            state.install(std::mem::take(&mut transaction.writes));
            transaction.snapshot = state.clock;
        }
        Ok(rows)
    }

    fn commit(&mut self, state: &mut State, transaction: Transaction) -> Result<(), ClientError> {
        if transaction.writes.is_empty() {
            return Ok(());
        }
        if state.luck.chance(state.trouble.unknown_percent) {
            match state.luck.below(3) {
                0 => {}
                1 => drop(state.commit(transaction)),
                _ => state.undecided.push(transaction),
            }
            let sqlstate = if state.flaw == Flaw::FailsWhatHappened { "40001" } else { "08007" };
            return Err(ClientError::server(sqlstate, "the outcome is not known"));
        }
        if state.flaw == Flaw::ForgetsCommits && state.luck.chance(3) {
            state.clock += 1;
            self.commit_timestamp = state.clock;
            return Ok(());
        }
        match state.commit(transaction) {
            Some(timestamp) => {
                self.commit_timestamp = timestamp;
                Ok(())
            }
            None => Err(ClientError::server("40001", "could not serialize access")),
        }
    }
}

impl State {
    fn create_database(&mut self, name: &str) -> Result<Rows, ClientError> {
        if self.databases.contains_key(name) {
            return Err(ClientError::server("42P04", format!("database {name} is there already")));
        }
        self.databases_made += 1;
        let prefix =
            if self.flaw == Flaw::DropsNothing { format!("{name}/") } else { format!("{}/", self.databases_made) };
        self.databases.insert(name.to_string(), prefix);
        Ok(Rows::default())
    }

    fn drop_database(&mut self, name: &str) -> Result<Rows, ClientError> {
        match self.databases.remove(name) {
            Some(_) => Ok(Rows::default()),
            None => Err(ClientError::server("3D000", format!("no database {name}"))),
        }
    }

    fn begin(&self) -> Transaction {
        Transaction { snapshot: self.clock, ..Transaction::default() }
    }

    /// Lets late commits happen.
    fn decide_some(&mut self) {
        if !self.undecided.is_empty() && self.luck.chance(10) {
            let transaction = self.undecided.remove(0);
            self.commit(transaction);
        }
    }

    /// None if validation fails.
    fn commit(&mut self, transaction: Transaction) -> Option<u64> {
        if !self.is_valid(&transaction) {
            return None;
        }
        self.clock += 1;
        self.install(transaction.writes);
        Some(self.clock)
    }

    fn install(&mut self, writes: BTreeMap<(String, Vec<i64>), Option<Vec<Cell>>>) {
        for ((table, key), row) in writes {
            self.tables.get_mut(&table).unwrap().rows.entry(key).or_default().push((self.clock, row));
        }
    }

    fn is_valid(&self, transaction: &Transaction) -> bool {
        let changed = |(table, key): &(String, Vec<i64>)| self.tables[table].changed_at(key) > transaction.snapshot;
        let rows_changed = || transaction.rows_read.iter().any(changed);
        let tables_changed = || {
            let mut tables = transaction.tables_read.iter().map(|table| &self.tables[table]);
            tables.any(|table| table.rows.keys().any(|key| table.changed_at(key) > transaction.snapshot))
        };
        match self.flaw {
            Flaw::ReadCommitted | Flaw::DirtyReads => true,
            Flaw::SnapshotIsolation => !transaction.writes.keys().any(changed),
            Flaw::NoSpans => !rows_changed(),
            Flaw::None
            | Flaw::StaleSnapshots
            | Flaw::ForgetsCommits
            | Flaw::FailsWhatHappened
            | Flaw::SharedTables
            | Flaw::DropsNothing => !rows_changed() && !tables_changed(),
        }
    }

    fn run(&mut self, transaction: &mut Transaction, statement: Statement) -> Result<Rows, ClientError> {
        Ok(match statement {
            Statement::Create { table, columns, key } => {
                self.tables.entry(table).or_insert(Table { columns, key, rows: BTreeMap::new() });
                Rows::default()
            }
            Statement::Insert { table, columns, values, or_nothing } => {
                let shape = &self.tables[&table];
                assert_eq!(columns, shape.columns, "columns in the order of the table");
                let key = shape.key_of(&values);
                transaction.rows_read.insert((table.clone(), key.clone()));
                if self.row(transaction, &table, &key).is_some() {
                    if !or_nothing {
                        // Seen by a later statement of the same transaction alone: that of a flaw.
                        assert!(matches!(self.flaw, Flaw::ReadCommitted | Flaw::DirtyReads), "row {key:?} is there");
                        return Err(ClientError::server("40001", "the row is there already"));
                    }
                    return Ok(Rows::default());
                }
                transaction.writes.insert((table, key), Some(values));
                Rows { rows: Vec::new(), affected: 1 }
            }
            Statement::Select { table, columns, filter } => {
                let rows = self.find(transaction, &table, &filter);
                let affected = rows.len() as u64;
                if columns == ["count(*)"] {
                    return Ok(Rows { rows: vec![vec![Cell::Int(affected as i64)]], affected: 1 });
                }
                let places: Vec<usize> = columns.iter().map(|column| self.tables[&table].place(column)).collect();
                let rows = rows.into_values().map(|row| places.iter().map(|place| row[*place].clone()).collect());
                Rows { rows: rows.collect(), affected }
            }
            Statement::Update { table, column, value, filter } => {
                let place = self.tables[&table].place(&column);
                let rows = self.find(transaction, &table, &filter);
                let affected = rows.len() as u64;
                for (key, mut row) in rows {
                    row[place] = match (&value, &row[place]) {
                        (Expression::Value(value), _) => value.clone(),
                        (Expression::Add(Cell::Int(more)), Cell::Int(before)) => Cell::Int(before + more),
                        (Expression::Concatenate(Cell::Text(more)), Cell::Text(before)) => {
                            Cell::Text(format!("{before}{more}"))
                        }
                        other => panic!("no such sum: {other:?}"),
                    };
                    transaction.writes.insert((table.clone(), key), Some(row));
                }
                Rows { rows: Vec::new(), affected }
            }
            Statement::Delete { table, filter } => {
                let rows = self.find(transaction, &table, &filter);
                let affected = rows.len() as u64;
                for key in rows.into_keys() {
                    transaction.writes.insert((table.clone(), key), None);
                }
                Rows { rows: Vec::new(), affected }
            }
        })
    }

    /// Rows that fit, by key; notes what was read.
    fn find(
        &self,
        transaction: &mut Transaction,
        table: &str,
        filter: &[(String, Cell)],
    ) -> BTreeMap<Vec<i64>, Vec<Cell>> {
        let shape = &self.tables[table];
        let filter: Vec<(usize, &Cell)> = filter.iter().map(|(column, cell)| (shape.place(column), cell)).collect();
        let point: Option<Vec<i64>> = shape.key.iter().map(|place| int_at(&filter, *place)).collect();
        let keys: Vec<Vec<i64>> = match point {
            Some(key) => vec![key],
            None => {
                transaction.tables_read.insert(table.to_string());
                let own = transaction.writes.keys().filter(|(other, _)| other == table).map(|(_, key)| key);
                let mut keys: Vec<Vec<i64>> = shape.rows.keys().chain(own).cloned().collect();
                keys.sort_unstable();
                keys.dedup();
                keys
            }
        };
        let mut found = BTreeMap::new();
        for key in keys {
            let row = self.row(transaction, table, &key);
            let fits = row.as_ref().is_some_and(|row| filter.iter().all(|(place, cell)| row[*place] == **cell));
            if fits || !transaction.tables_read.contains(table) {
                transaction.rows_read.insert((table.to_string(), key.clone()));
            }
            if let Some(row) = row.filter(|_| fits) {
                found.insert(key, row);
            }
        }
        found
    }

    fn row(&self, transaction: &Transaction, table: &str, key: &[i64]) -> Option<Vec<Cell>> {
        if let Some(row) = transaction.writes.get(&(table.to_string(), key.to_vec())) {
            return row.clone();
        }
        let versions = self.tables[table].rows.get(key)?;
        let version = versions.iter().rev().find(|(timestamp, _)| *timestamp <= transaction.snapshot)?;
        version.1.clone()
    }
}

impl Table {
    fn place(&self, column: &str) -> usize {
        self.columns.iter().position(|other| other == column).expect("a column of the table")
    }

    fn key_of(&self, row: &[Cell]) -> Vec<i64> {
        let cells = row.iter().enumerate().collect::<Vec<_>>();
        self.key.iter().map(|place| int_at(&cells, *place).expect("an integer key")).collect()
    }

    fn changed_at(&self, key: &[i64]) -> u64 {
        self.rows.get(key).and_then(|versions| versions.last()).map_or(0, |(timestamp, _)| *timestamp)
    }
}

fn int_at(cells: &[(usize, &Cell)], place: usize) -> Option<i64> {
    cells.iter().find(|(other, _)| *other == place).and_then(|(_, cell)| match cell {
        Cell::Int(int) => Some(*int),
        _ => None,
    })
}
