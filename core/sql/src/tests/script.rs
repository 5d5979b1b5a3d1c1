//! Runs scripts as a client with the simple protocol would, and draws what comes back.
//!
//! ```text
//!   \connect NAME DATABASE    opens or takes up a session; everything after is said by it
//!   \prepare NAME [TYPES] STATEMENT   \execute NAME [VALUES]     the extended protocol; NULL is NULL
//!   \requests                 shard requests since this was last asked
//!   \commit-answer ERROR      the shard's answer to the next commit: conflict, unknown, unavailable, changed
//!   \advance MS               lets time pass
//!   \own-plans off          for sessions to come (a new engine over the same shards)
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use futures::executor::block_on;
use tenet_shard::ShardError;
use tenet_types::{ShardId, SqlType, Value};

use super::fakes::{FakeClock, FakeDatabases, seam};
use super::memory::{Memory, Requests};
use crate::text::{self, Formats};
use crate::{
    Column, Engine, EngineOptions, Notice, NoticeSeverity, Outcome, Prepared, RowsTag, Session, SqlError,
    TransactionStatus,
};

/// The shard of database `postgres`.
pub const SHARD: ShardId = ShardId(2);

pub struct Script {
    pub clock: FakeClock,
    pub memory: Arc<Memory>,
    databases: Arc<FakeDatabases>,
    pub engine: Arc<Engine>,
    sessions: BTreeMap<String, Session>,
    prepared: BTreeMap<String, Prepared>,
    current: String,
}

impl Default for Script {
    fn default() -> Script {
        Script::new(EngineOptions::default())
    }
}

impl Script {
    pub fn new(options: EngineOptions) -> Script {
        let (clock, memory, databases) = (FakeClock::default(), Arc::default(), Arc::default());
        let engine = engine(&clock, &memory, &databases, options);
        let mut script = Script {
            clock,
            memory,
            databases,
            engine,
            sessions: BTreeMap::new(),
            prepared: BTreeMap::new(),
            current: String::new(),
        };
        script.connect("a", "postgres").unwrap();
        script
    }
}

fn engine(
    clock: &FakeClock,
    memory: &Arc<Memory>,
    databases: &Arc<FakeDatabases>,
    options: EngineOptions,
) -> Arc<Engine> {
    Engine::new(seam(clock), memory.clone(), databases.clone(), options)
}

/// What a statement gave, whole.
#[derive(Debug)]
pub enum Answer {
    Rows { columns: Vec<Column>, rows: Vec<Vec<Value>>, tag: String },
    Done { tag: String, notices: Vec<Notice> },
}

impl Script {
    fn connect(&mut self, name: &str, database: &str) -> Result<(), SqlError> {
        self.current = name.to_owned();
        if !self.sessions.contains_key(name) {
            let session = block_on(self.engine.connect(database, "ann", &[]))?;
            self.sessions.insert(name.to_owned(), session);
        }
        Ok(())
    }

    pub fn session(&mut self) -> &mut Session {
        self.sessions.get_mut(&self.current).expect("a session of that name")
    }

    /// A new engine, as another node would have, with its sessions.
    pub fn set_own_plans(&mut self, on: bool) {
        let options = EngineOptions { own_plans: on, ..self.engine.options.clone() };
        self.engine = engine(&self.clock, &self.memory, &self.databases, options);
        self.sessions.clear();
        self.connect("a", "postgres").unwrap();
    }

    pub fn run(&mut self, script: &str) -> String {
        let mut out = String::new();
        for paragraph in script.trim().split("\n\n") {
            let (comments, text): (Vec<&str>, Vec<&str>) = paragraph.lines().partition(|line| line.starts_with("--"));
            comments.iter().for_each(|line| writeln!(out, "{line}").unwrap());
            let text = text.join("\n");
            if text.is_empty() {
                continue;
            }
            text.lines().for_each(|line| writeln!(out, "> {line}").unwrap());
            match text.strip_prefix('\\') {
                Some(command) => self.command(command, &mut out),
                None => self.query(&text, &mut out),
            }
            let status = self.sessions.get(&self.current).map(|session| session.status());
            let mark = match status {
                Some(TransactionStatus::Open) => "  *",
                Some(TransactionStatus::Failed) => "  !",
                Some(TransactionStatus::Idle) | None => "",
            };
            if !mark.is_empty() {
                writeln!(out, "{mark}").unwrap();
            }
            out.push('\n');
        }
        out
    }

    fn query(&mut self, text: &str, out: &mut String) {
        let session = self.session();
        let (answers, result) = block_on(simple_query(session, text));
        answers.iter().for_each(|answer| draw(answer, session.formats(), out));
        if let Err(error) = result {
            draw_error(&error, out);
        }
        for (name, value) in self.session().parameter_changes() {
            writeln!(out, "({name} is now {value:?})").unwrap();
        }
    }

    fn command(&mut self, command: &str, out: &mut String) {
        let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
        match verb {
            "connect" => {
                let (name, database) = rest.split_once(' ').unwrap_or((rest, "postgres"));
                if let Err(error) = self.connect(name, database) {
                    draw_error(&error, out);
                }
            }
            "prepare" => {
                let (name, rest) = rest.split_once(' ').expect("a name");
                let (types, sql) = match rest.strip_prefix('(').and_then(|rest| rest.split_once(") ")) {
                    Some((types, sql)) => (types.split(',').map(|t| type_of(t.trim())).collect(), sql),
                    None => (Vec::new(), rest),
                };
                let session = self.session();
                let prepared = session.parse(sql).map(|mut all| all.remove(0));
                match prepared.and_then(|parsed| block_on(session.prepare(parsed, &types))) {
                    Ok(prepared) => {
                        writeln!(out, "params {:?}", prepared.params).unwrap();
                        if let Some(columns) = &prepared.columns {
                            writeln!(out, "{}", header(columns)).unwrap();
                        }
                        self.prepared.insert(name.to_owned(), prepared);
                    }
                    Err(error) => draw_error(&error, out),
                }
            }
            "execute" => {
                let mut words = rest.split(' ');
                let prepared = self.prepared[words.next().expect("a name")].clone();
                let session = self.session();
                let params: Vec<Value> = words
                    .zip(&prepared.params)
                    .map(|(word, t)| match word {
                        "NULL" => Value::Null,
                        word => text::input(*t, word, session.formats()).unwrap(),
                    })
                    .collect();
                match block_on(execute(session, &prepared, params)) {
                    Ok(answer) => draw(&answer, session.formats(), out),
                    Err(error) => draw_error(&error, out),
                }
            }
            "requests" => {
                let Requests { gets, scans, commits } =
                    self.memory.with(SHARD, |shard| std::mem::take(&mut shard.requests));
                writeln!(out, "gets {gets}, scans {scans}, commits {commits}").unwrap();
            }
            "commit-answer" => {
                let answer = match rest {
                    "conflict" => ShardError::Conflict,
                    "unknown" => ShardError::Unknown,
                    "unavailable" => ShardError::Unavailable("no leader for 5 s".to_owned()),
                    "changed" => ShardError::CatalogChanged,
                    "gone" => ShardError::Gone,
                    other => panic!("no such answer: {other}"),
                };
                self.memory.with(SHARD, |shard| shard.commit_answers.push(answer));
            }
            "advance" => self.clock.advance(Duration::from_millis(rest.parse().expect("milliseconds"))),
            "own-plans" => self.set_own_plans(rest == "on"),
            other => panic!("no such command: {other}"),
        }
    }
}

fn type_of(name: &str) -> Option<SqlType> {
    SqlType::ALL.into_iter().find(|t| t.name() == name)
}

/// As the front end serves a query string.
pub async fn simple_query(session: &mut Session, text: &str) -> (Vec<Answer>, Result<(), SqlError>) {
    let mut answers = Vec::new();
    let statements = match session.parse(text) {
        Ok(statements) => statements,
        Err(error) => {
            session.fail();
            return (answers, Err(error));
        }
    };
    let several = statements.len() > 1;
    if several {
        session.begin_implicit().await;
    }
    let mut result = Ok(());
    for statement in statements {
        result = match session.prepare(statement, &[]).await {
            Ok(prepared) => execute(session, &prepared, Vec::new()).await.map(|answer| answers.push(answer)),
            Err(error) => Err(error),
        };
        if result.is_err() {
            break;
        }
    }
    if several {
        let ended = session.end_implicit(result.is_err()).await;
        result = result.and(ended);
    }
    (answers, result)
}

pub async fn execute(session: &mut Session, prepared: &Prepared, params: Vec<Value>) -> Result<Answer, SqlError> {
    match session.execute(prepared, params).await? {
        Outcome::Done { tag, notices } => Ok(Answer::Done { tag, notices }),
        Outcome::Rows { columns, rows, tag } => match rows.try_concat().await {
            Ok(rows) => Ok(Answer::Rows { tag: RowsTag::text(tag, rows.len() as u64), columns, rows }),
            Err(error) => {
                session.fail();
                Err(error)
            }
        },
    }
}

fn header(columns: &[Column]) -> String {
    let names: Vec<String> = columns
        .iter()
        .map(|column| {
            let varchar = if column.type_modifier >= 0 { format!("({})", column.type_modifier) } else { String::new() };
            format!("{}:{}{varchar}", column.name, column.sql_type)
        })
        .collect();
    format!("[{}]", names.join(" | "))
}

fn draw(answer: &Answer, formats: &Formats, out: &mut String) {
    match answer {
        Answer::Rows { columns, rows, tag } => {
            writeln!(out, "{}", header(columns)).unwrap();
            for row in rows {
                assert_eq!(row.len(), columns.len());
                let cells: Vec<String> = row
                    .iter()
                    .zip(columns)
                    .map(|(value, column)| match value {
                        Value::Null => "∅".to_owned(),
                        value => {
                            assert_eq!(value.sql_type(), Some(column.sql_type), "a value of column {}", column.name);
                            text::output(value, formats)
                        }
                    })
                    .collect();
                writeln!(out, " {}", cells.join(" | ")).unwrap();
            }
            writeln!(out, "{tag}").unwrap();
        }
        Answer::Done { tag, notices } => {
            for notice in notices {
                let severity = match notice.severity {
                    NoticeSeverity::Notice => "NOTICE",
                    NoticeSeverity::Warning => "WARNING",
                };
                writeln!(out, "{severity} {}: {}", notice.state, notice.message).unwrap();
            }
            writeln!(out, "{tag}").unwrap();
        }
    }
}

fn draw_error(error: &SqlError, out: &mut String) {
    let position = error.position.map_or(String::new(), |at| format!(" @{at}"));
    writeln!(
        out,
        "{} {}: {}{position}",
        if error.severity == crate::Severity::Error { "ERROR" } else { "FATAL" },
        error.state,
        error.message
    )
    .unwrap();
    if let Some(detail) = &error.detail {
        writeln!(out, "  detail: {detail}").unwrap();
    }
    if let Some(hint) = &error.hint {
        writeln!(out, "  hint: {hint}").unwrap();
    }
}
