//! The extended protocol, one message at a time: statements are parsed once and named, portals bind values to them.
//!
//! ```text
//! Parse ─▶ Statement ─ Bind ─▶ Portal: Bound ─ Execute ─▶ Rows ⇄ suspended at a row limit ─▶ Done
//!                                           └──────────▶ Done (no rows)
//! ```
//! Statements live until they are closed, portals until their transaction ends.

use std::sync::Arc;

use tenet_sql::{Prepared, SqlError, SqlState};
use tenet_types::{Value, mark};

use crate::connection::{Connection, Sent, Trouble, abandonable, interruptible};
use crate::encode::{self, Formats};
use crate::message::{Bind, Format, Target, WireError};
use crate::outcome::{RowSource, check_columns};
use crate::value;

/// Most statements, and most portals, that one connection may have open. No driver's cache comes near.
const OPEN_MAX: usize = 10_000;
/// The wire counts parameters in two bytes.
const PARAMETERS_MAX: usize = 65_535;

pub(crate) struct Statement {
    /// `None` is the empty query.
    prepared: Option<Prepared>,
    /// As the client declared them, or as they were inferred.
    parameter_oids: Vec<u32>,
}

pub(crate) struct Portal {
    statement: Arc<Statement>,
    formats: Formats,
    state: State,
}

enum State {
    Bound(Vec<Value>),
    /// Suspended at a row limit.
    Rows(RowSource),
    Done,
}

impl Connection {
    pub(crate) async fn on_parse(&mut self, name: String, sql: &str, oids: &[u32]) -> Result<(), Trouble> {
        if name.is_empty() {
            self.statements.remove("");
        } else if self.statements.contains_key(&name) {
            let state = SqlState("42P05");
            return Err(SqlError::new(state, format!("prepared statement \"{name}\" already exists")).into());
        }
        check_open(self.statements.len(), "prepared statements")?;
        let mut parsed = self.session.parse(sql)?;
        if parsed.len() > 1 {
            let message = "cannot insert multiple commands into a prepared statement";
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, message).into());
        }
        let hints = oids.iter().map(|oid| value::declared(*oid)).collect::<Result<Vec<_>, WireError>>()?;
        let statement = match parsed.pop() {
            None => Statement { prepared: None, parameter_oids: Vec::new() },
            Some(parsed) => {
                let (session, interrupt, _) = self.parts();
                let prepared = abandonable(interrupt, session.prepare(parsed, &hints)).await?;
                if prepared.params.len() > PARAMETERS_MAX {
                    let message = format!("statements can have at most {PARAMETERS_MAX} parameters");
                    return Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message).into());
                }
                check_columns(prepared.columns.as_deref().unwrap_or_default())?;
                let parameter_oids = prepared.params.iter().enumerate().map(|(index, sql_type)| {
                    // A declared varchar stays one, though it is a text to us.
                    let declared = oids.get(index).filter(|oid| matches!(value::declared(**oid), Ok(Some(_))));
                    declared.copied().unwrap_or_else(|| value::oid(*sql_type))
                });
                Statement { parameter_oids: parameter_oids.collect(), prepared: Some(prepared) }
            }
        };
        self.statements.insert(name, Arc::new(statement));
        encode::parse_complete(&mut self.out);
        Ok(())
    }

    pub(crate) fn on_bind(&mut self, bind: Bind) -> Result<(), Trouble> {
        let statement = self.statement(&bind.statement)?.clone();
        if bind.portal.is_empty() {
            self.portals.remove("");
        } else if self.portals.contains_key(&bind.portal) {
            let state = SqlState("42P03");
            return Err(SqlError::new(state, format!("cursor \"{}\" already exists", bind.portal)).into());
        }
        check_open(self.portals.len(), "portals")?;
        let (given, formats) = (bind.parameters.len(), bind.parameter_formats.len());
        if formats > 1 && formats != given {
            let message = format!("bind message has {formats} parameter formats but {given} parameters");
            return Err(SqlError::new(SqlState::PROTOCOL_VIOLATION, message).into());
        }
        let expected = statement.parameter_oids.len();
        if given != expected {
            let message = format!(
                "bind message supplies {given} parameters, but prepared statement \"{}\" requires {expected}",
                bind.statement
            );
            return Err(SqlError::new(SqlState::PROTOCOL_VIOLATION, message).into());
        }
        let format_of = |index: usize| match bind.parameter_formats[..] {
            [] => Format::Text,
            [all] => all,
            ref each => each[index],
        };
        let text = self.session.formats();
        let types = statement.prepared.as_ref().map_or(&[][..], |prepared| &prepared.params);
        let values = types.iter().zip(&bind.parameters).enumerate().map(|(index, (sql_type, bytes))| {
            value::decode(*sql_type, format_of(index), bytes.as_deref(), index + 1, text)
        });
        let values = values.collect::<Result<Vec<Value>, SqlError>>()?;
        let columns = statement.prepared.as_ref().and_then(|p| p.columns.as_ref()).map_or(0, Vec::len);
        let asked = bind.result_formats.len();
        let formats = Formats::new(bind.result_formats, columns).ok_or_else(|| {
            let message = format!("bind message has {asked} result formats but query has {columns} columns");
            SqlError::new(SqlState::PROTOCOL_VIOLATION, message)
        })?;
        self.portals.insert(bind.portal, Portal { statement, formats, state: State::Bound(values) });
        encode::bind_complete(&mut self.out);
        Ok(())
    }

    pub(crate) fn on_describe(&mut self, target: Target, name: &str) -> Result<(), Trouble> {
        let (statement, formats) = match target {
            Target::Statement => {
                let statement = self.statement(name)?.clone();
                encode::parameter_description(&mut self.out, &statement.parameter_oids);
                (statement, Formats::Text)
            }
            Target::Portal => {
                let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
                (portal.statement.clone(), portal.formats.clone())
            }
        };
        match statement.prepared.as_ref().and_then(|prepared| prepared.columns.as_ref()) {
            Some(columns) => encode::row_description(&mut self.out, columns, &formats),
            None => encode::no_data(&mut self.out),
        }
        Ok(())
    }

    pub(crate) async fn on_execute(&mut self, name: String, rows_max: u64) -> Result<(), Trouble> {
        // Taken out while it runs: an error forgets it, as the end of its transaction does.
        let mut portal = self.portals.remove(&name).ok_or_else(|| no_portal(&name))?;
        let Some(prepared) = &portal.statement.prepared else {
            encode::empty_query_response(&mut self.out);
            self.portals.insert(name, portal);
            return Ok(());
        };
        let rows = match std::mem::replace(&mut portal.state, State::Done) {
            State::Bound(values) => {
                // A statement that Sync follows at once is a transaction of its own, and commits before the client hears of it.
                // Otherwise it shares one with the rest of the pipeline, committed at Sync.
                if !self.sync_follows().await? {
                    mark!("front: pipeline in one implicit transaction");
                    self.begin_implicit().await;
                }
                let (session, interrupt, cancel) = self.parts();
                let outcome = interruptible(interrupt, cancel, session.execute(prepared, values)).await?;
                self.begin_outcome(outcome)?
            }
            State::Rows(rows) => Some(rows),
            State::Done if prepared.columns.is_some() => {
                encode::command_complete(&mut self.out, "SELECT 0");
                None
            }
            State::Done => {
                let state = SqlState("55000");
                return Err(SqlError::new(state, format!("portal \"{name}\" cannot be run")).into());
            }
        };
        if let Some(mut rows) = rows
            && self.send_rows(&mut rows, &portal.formats, rows_max).await? == Sent::Suspended
        {
            portal.state = State::Rows(rows);
        }
        self.portals.insert(name, portal);
        self.forget_portals_of_ended();
        Ok(())
    }

    pub(crate) fn on_close(&mut self, target: Target, name: &str) {
        // Closing what does not exist is no error.
        match target {
            Target::Statement => drop(self.statements.remove(name)),
            Target::Portal => drop(self.portals.remove(name)),
        }
        encode::close_complete(&mut self.out);
    }

    fn statement(&self, name: &str) -> Result<&Arc<Statement>, SqlError> {
        self.statements.get(name).ok_or_else(|| {
            let message = match name {
                "" => "unnamed prepared statement does not exist".to_owned(),
                name => format!("prepared statement \"{name}\" does not exist"),
            };
            SqlError::new(SqlState::INVALID_SQL_STATEMENT_NAME, message)
        })
    }
}

fn no_portal(name: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_CURSOR_NAME, format!("portal \"{name}\" does not exist"))
}

fn check_open(open: usize, what: &str) -> Result<(), SqlError> {
    if open < OPEN_MAX {
        return Ok(());
    }
    let message = format!("a connection can have at most {OPEN_MAX} {what}");
    Err(SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message))
}
