//! Statements that need no plan: transactions, settings, databases.

use sqlparser::ast::{
    ContextModifier, Expr, ObjectName, ObjectType, Reset, Set, Statement, TransactionAccessMode,
    TransactionIsolationLevel, TransactionMode, UnaryOperator, Value as Literal,
};
use tenet_types::{SqlType, Value};

use crate::bind::fold_ident;
use crate::engine::Databases;
use crate::error::{Notice, SqlError, SqlState};
use crate::parse::Parsed;
use crate::plan::Column;
use crate::session::run::command_name;
use crate::session::{Block, Outcome, RowsTag, Saved, Session};
use crate::settings::Settings;

/// Answered by the session itself, not by a setting: for those who check histories.
const READ_TIMESTAMP: &str = "tenet.read_timestamp";
const LAST_COMMIT_TIMESTAMP: &str = "tenet.last_commit_timestamp";

fn done(tag: &str) -> Outcome {
    noticed(tag, Vec::new())
}

fn noticed(tag: &str, notices: Vec<Notice>) -> Outcome {
    Outcome::Done { tag: tag.to_owned(), notices }
}

fn no_transaction() -> Notice {
    Notice::warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, "there is no transaction in progress")
}

impl Session {
    /// `None`: the statement is planned. Otherwise the columns of what the command returns, if it returns rows.
    pub(super) fn command_columns(&self, parsed: &Parsed) -> Result<Option<Option<Vec<Column>>>, SqlError> {
        let Some(statement) = parsed.statement() else { return Ok(None) };
        match statement {
            Statement::Query(_)
            | Statement::Insert(_)
            | Statement::Update(_)
            | Statement::Delete(_)
            | Statement::Explain { .. }
            | Statement::CreateTable(_)
            | Statement::Drop { object_type: ObjectType::Table, .. } => Ok(None),
            Statement::StartTransaction { .. }
            | Statement::Commit { .. }
            | Statement::Rollback { .. }
            | Statement::Set(_)
            | Statement::Reset(_)
            | Statement::CreateDatabase { .. }
            | Statement::Drop { object_type: ObjectType::Database, .. } => Ok(Some(None)),
            Statement::ShowVariable { variable } => {
                let words: Vec<String> = variable.iter().map(|word| word.value.clone()).collect();
                Ok(Some(Some(show_columns(&words))))
            }
            other => Err(SqlError::unsupported(command_name(other))),
        }
    }

    /// `None`: the statement is not a command.
    pub(super) async fn run_command(&mut self, parsed: &Parsed) -> Result<Option<Outcome>, SqlError> {
        let Some(statement) = parsed.statement() else { return Ok(None) };
        let outcome = match statement {
            Statement::StartTransaction { modes, begin, modifier: None, statements, exception: None, .. }
                if statements.is_empty() =>
            {
                self.start_transaction(modes, *begin)?
            }
            Statement::Commit { chain: false, modifier: None, .. } => self.commit_command().await?,
            Statement::Rollback { chain: false, savepoint: None } => self.rollback_command().await?,
            Statement::Commit { .. } => return Err(SqlError::unsupported("COMMIT AND CHAIN")),
            Statement::Rollback { savepoint: Some(_), .. } => {
                return Err(SqlError::unsupported("ROLLBACK TO SAVEPOINT"));
            }
            Statement::Rollback { .. } => return Err(SqlError::unsupported("ROLLBACK AND CHAIN")),
            Statement::Set(set) => self.set_command(set)?,
            Statement::Reset(reset) => {
                self.save_settings();
                match &reset.reset {
                    Reset::ALL => self.change_settings(false, |settings| {
                        settings.reset_all();
                        Ok(())
                    })?,
                    Reset::ConfigurationParameter(name) => {
                        let name = setting_name(name);
                        self.change_settings(false, |settings| settings.reset(&name))?;
                    }
                }
                done("RESET")
            }
            Statement::ShowVariable { variable } => {
                let words: Vec<String> = variable.iter().map(|word| word.value.clone()).collect();
                self.show_command(&words)?
            }
            Statement::CreateDatabase { .. } => self.create_database(statement).await?,
            Statement::Drop { object_type: ObjectType::Database, if_exists, names, cascade, .. } => {
                self.drop_database(*if_exists, names, *cascade).await?
            }
            _ => {
                self.command_columns(parsed)?;
                return Ok(None);
            }
        };
        Ok(Some(outcome))
    }

    fn start_transaction(&mut self, modes: &[TransactionMode], begin: bool) -> Result<Outcome, SqlError> {
        let tag = if begin { "BEGIN" } else { "START TRANSACTION" };
        let mut notices = Vec::new();
        match self.block {
            Block::None => self.begin_block(Block::Explicit),
            // What the string did so far becomes part of the block.
            Block::Implicit => self.block = Block::Explicit,
            Block::Explicit => notices
                .push(Notice::warning(SqlState::ACTIVE_SQL_TRANSACTION, "there is already a transaction in progress")),
        }
        self.set_modes(modes)?;
        Ok(noticed(tag, notices))
    }

    /// Weaker isolation is taken and runs as serializable; READ ONLY holds until the end of the block.
    fn set_modes(&mut self, modes: &[TransactionMode]) -> Result<(), SqlError> {
        for mode in modes {
            match mode {
                TransactionMode::AccessMode(TransactionAccessMode::ReadOnly) => self.read_only = true,
                TransactionMode::AccessMode(TransactionAccessMode::ReadWrite) => {
                    if self.read_only && !self.is_untouched() {
                        let message = "transaction read-write mode must be set before any query";
                        return Err(SqlError::new(SqlState::ACTIVE_SQL_TRANSACTION, message));
                    }
                    self.read_only = false;
                }
                TransactionMode::IsolationLevel(TransactionIsolationLevel::Snapshot) => {
                    return Err(SqlError::new(SqlState::SYNTAX_ERROR, "syntax error at or near \"SNAPSHOT\""));
                }
                TransactionMode::IsolationLevel(
                    TransactionIsolationLevel::Serializable
                    | TransactionIsolationLevel::RepeatableRead
                    | TransactionIsolationLevel::ReadCommitted
                    | TransactionIsolationLevel::ReadUncommitted,
                ) => {}
            }
        }
        Ok(())
    }

    async fn commit_command(&mut self) -> Result<Outcome, SqlError> {
        let notices = if self.block == Block::Explicit { Vec::new() } else { vec![no_transaction()] };
        let was_implicit = self.block == Block::Implicit;
        let tag = if self.failed { "ROLLBACK" } else { "COMMIT" };
        let result = self.end_block(!self.failed).await;
        if was_implicit {
            // The rest of the query string is a transaction of its own.
            self.begin_block(Block::Implicit);
        }
        result.map(|()| noticed(tag, notices))
    }

    async fn rollback_command(&mut self) -> Result<Outcome, SqlError> {
        let notices = if self.block == Block::Explicit { Vec::new() } else { vec![no_transaction()] };
        let was_implicit = self.block == Block::Implicit;
        self.end_block(false).await?;
        if was_implicit {
            self.begin_block(Block::Implicit);
        }
        Ok(noticed("ROLLBACK", notices))
    }

    fn set_command(&mut self, set: &Set) -> Result<Outcome, SqlError> {
        match set {
            Set::SingleAssignment { scope, hivevar: false, variable, values } => {
                let name = setting_name(variable);
                let local = is_local(scope.as_ref())?;
                let value = setting_value(&name, values)?;
                self.set_setting(&name, value.as_deref(), local)
            }
            Set::SetTimeZone { local, value } => {
                let value = setting_value("TimeZone", std::slice::from_ref(value))?;
                self.set_setting("TimeZone", value.as_deref(), *local)
            }
            Set::SetNames { charset_name, collation_name: None } => {
                self.set_setting("client_encoding", Some(&charset_name.value), false)
            }
            Set::SetNamesDefault {} => self.set_setting("client_encoding", None, false),
            Set::SetTransaction { modes, snapshot: None, session: false } => {
                let mut notices = Vec::new();
                match self.block {
                    Block::None => notices.push(Notice::warning(
                        SqlState::NO_ACTIVE_SQL_TRANSACTION,
                        "SET TRANSACTION can only be used in transaction blocks",
                    )),
                    Block::Implicit | Block::Explicit => self.set_modes(modes)?,
                }
                Ok(noticed("SET", notices))
            }
            Set::SetTransaction { modes, snapshot: None, session: true } => {
                for mode in modes {
                    if let TransactionMode::AccessMode(mode) = mode {
                        let value = if *mode == TransactionAccessMode::ReadOnly { "on" } else { "off" };
                        self.set_setting("default_transaction_read_only", Some(value), false)?;
                    }
                }
                Ok(done("SET"))
            }
            other => Err(SqlError::unsupported(other)),
        }
    }

    /// `None` resets.
    fn set_setting(&mut self, name: &str, value: Option<&str>, local: bool) -> Result<Outcome, SqlError> {
        let lower = name.to_ascii_lowercase();
        if lower == READ_TIMESTAMP || lower == LAST_COMMIT_TIMESTAMP {
            let message = format!("parameter \"{lower}\" cannot be changed");
            return Err(SqlError::new(SqlState::CANT_CHANGE_RUNTIME_PARAM, message));
        }
        if local && self.block == Block::None {
            let message = "SET LOCAL can only be used in transaction blocks";
            return Ok(noticed("SET", vec![Notice::warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, message)]));
        }
        self.save_settings();
        self.change_settings(local, |settings| match value {
            Some(value) => settings.set(name, value),
            None => settings.reset(name),
        })?;
        match lower.as_str() {
            "transaction_read_only" => {
                self.read_only = self.settings.get("transaction_read_only").as_deref() == Some("on");
            }
            "default_transaction_read_only" if self.block == Block::None => {
                self.read_only = self.settings.default_read_only();
            }
            _ => {}
        }
        Ok(done("SET"))
    }

    /// Before the first change in a block: ROLLBACK takes changes back, and COMMIT those of SET LOCAL.
    fn save_settings(&mut self) {
        if self.block != Block::None && self.saved.is_none() {
            self.saved = Some(Saved { on_rollback: self.settings.clone(), on_commit: self.settings.clone() });
        }
    }

    fn change_settings(
        &mut self,
        local: bool,
        change: impl Fn(&mut Settings) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        change(&mut self.settings)?;
        match &mut self.saved {
            Some(saved) if !local => change(&mut saved.on_commit),
            _ => Ok(()),
        }
    }

    fn show_command(&self, words: &[String]) -> Result<Outcome, SqlError> {
        let columns = show_columns(words);
        let text = |text: String| Value::Text(text);
        let rows = match show_name(words).as_str() {
            "all" => {
                let all = self.settings.show_all().into_iter();
                all.map(|(name, value, description)| vec![text(name), text(value), text(description)]).collect()
            }
            READ_TIMESTAMP => {
                let at = self.last_reader.as_ref().and_then(|reader| reader.snapshot());
                vec![vec![text(at.map_or(String::new(), |at| at.0.to_string()))]]
            }
            LAST_COMMIT_TIMESTAMP => vec![vec![text(self.last_commit.map_or(String::new(), |at| at.0.to_string()))]],
            "transaction_read_only" => vec![vec![text(if self.read_only { "on" } else { "off" }.to_owned())]],
            name => vec![vec![text(self.settings.show(name)?)]],
        };
        let rows = futures::stream::iter([Ok(rows)]);
        Ok(Outcome::Rows { columns, rows: Box::pin(rows), tag: RowsTag::Show })
    }

    /// 25001: it cannot be taken back.
    fn check_outside_block(&self, what: &str) -> Result<(), SqlError> {
        if self.block == Block::None {
            return Ok(());
        }
        let message = format!("{what} cannot run inside a transaction block");
        Err(SqlError::new(SqlState::ACTIVE_SQL_TRANSACTION, message))
    }

    async fn create_database(&mut self, statement: &Statement) -> Result<Outcome, SqlError> {
        let Statement::CreateDatabase { db_name, if_not_exists, .. } = statement else {
            return Err(SqlError::internal("not CREATE DATABASE"));
        };
        if *if_not_exists || !statement.to_string().eq(&format!("CREATE DATABASE {db_name}")) {
            return Err(SqlError::unsupported("an option of CREATE DATABASE"));
        }
        self.check_outside_block("CREATE DATABASE")?;
        self.engine.databases.create(&database_name(db_name)?).await?;
        Ok(done("CREATE DATABASE"))
    }

    async fn drop_database(
        &mut self,
        if_exists: bool,
        names: &[ObjectName],
        cascade: bool,
    ) -> Result<Outcome, SqlError> {
        let [name] = names else {
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, "syntax error: DROP DATABASE takes one name"));
        };
        if cascade {
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, "syntax error at or near \"CASCADE\""));
        }
        self.check_outside_block("DROP DATABASE")?;
        let name = database_name(name)?;
        if name == self.database.name {
            let message = "cannot drop the currently open database";
            return Err(SqlError::new(SqlState::OBJECT_IN_USE, message));
        }
        // By its path: methods called `drop` cannot be called otherwise.
        match Databases::drop(self.engine.databases.as_ref(), &name).await {
            Ok(()) => Ok(done("DROP DATABASE")),
            Err(error) if if_exists && error.state == SqlState::INVALID_CATALOG_NAME => {
                let message = format!("database \"{name}\" does not exist, skipping");
                Ok(noticed("DROP DATABASE", vec![Notice::remark(SqlState::SUCCESSFUL_COMPLETION, message)]))
            }
            Err(error) => Err(error),
        }
    }
}

fn database_name(name: &ObjectName) -> Result<String, SqlError> {
    match name.0.as_slice() {
        [part] => part.as_ident().map(fold_ident),
        _ => None,
    }
    .ok_or_else(|| SqlError::new(SqlState::SYNTAX_ERROR, format!("syntax error: \"{name}\" is no database's name")))
}

fn setting_name(name: &ObjectName) -> String {
    let parts: Vec<String> = name.0.iter().filter_map(|part| part.as_ident()).map(|i| i.value.clone()).collect();
    parts.join(".")
}

fn is_local(scope: Option<&ContextModifier>) -> Result<bool, SqlError> {
    match scope {
        None | Some(ContextModifier::Session) => Ok(false),
        Some(ContextModifier::Local) => Ok(true),
        Some(ContextModifier::Global) => {
            Err(SqlError::new(SqlState::SYNTAX_ERROR, "syntax error at or near \"GLOBAL\""))
        }
    }
}

/// What is written after TO; `None` for DEFAULT. A list is joined as SHOW prints it.
fn setting_value(name: &str, values: &[Expr]) -> Result<Option<String>, SqlError> {
    let one = |expr: &Expr| match expr {
        Expr::Identifier(word) => Ok(word.value.clone()),
        Expr::Value(value) => match &value.value {
            Literal::SingleQuotedString(text) | Literal::EscapedStringLiteral(text) => Ok(text.clone()),
            Literal::Number(number, _) => Ok(number.clone()),
            Literal::Boolean(v) => Ok(v.to_string()),
            other => Err(SqlError::unsupported(format!("the value {other} of parameter \"{name}\""))),
        },
        Expr::UnaryOp { op: op @ (UnaryOperator::Minus | UnaryOperator::Plus), expr } => Ok(format!("{op}{expr}")),
        Expr::TypedString(typed) => Ok(typed.value.to_string()),
        other => Err(SqlError::unsupported(format!("the value {other} of parameter \"{name}\""))),
    };
    if let [Expr::Identifier(word)] = values
        && word.quote_style.is_none()
        && word.value.eq_ignore_ascii_case("default")
    {
        return Ok(None);
    }
    let values = values.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(values.join(", ")))
}

/// The setting that SHOW asks for: words with spaces, or a name with dots.
fn show_name(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
    match words.join(" ").as_str() {
        "time zone" => "timezone".to_owned(),
        "transaction isolation level" => "transaction_isolation".to_owned(),
        "session authorization" => "session_authorization".to_owned(),
        _ => words.join("."),
    }
}

fn show_columns(words: &[String]) -> Vec<Column> {
    let names = match show_name(words).as_str() {
        "all" => vec!["name".to_owned(), "setting".to_owned(), "description".to_owned()],
        name => vec![Settings::spelling(name)],
    };
    names.into_iter().map(|name| Column::new(name, SqlType::Text)).collect()
}
