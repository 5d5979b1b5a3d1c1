//! Statements that need a transaction: planning, running, committing, and doing so again when the catalog changed.

use std::sync::Arc;

use futures::StreamExt;
use sqlparser::ast::{ObjectType, Statement};
use tenet_catalog::CatalogError;
use tenet_types::{CatalogVersion, Key, SqlType, Value};

use crate::analytic::AnalyticRun;
use crate::ddl;
use crate::engine::PlanKey;
use crate::error::{Notice, SqlError, SqlState};
use crate::exec::{self, Run, Written};
use crate::explain;
use crate::parse::Parsed;
use crate::plan::{self, Column, Plan, PlanContext, Planned, Projection, split_name};
use crate::psql::View;
use crate::scalar::Env;
use crate::session::stop::Stop;
use crate::session::{Active, Block, Failure, Outcome, Prepared, REPLANS_MAX, RowsTag, Session};

impl Session {
    /// Plans with the catalog that the session sees now. An error is told only if the newest catalog gives it too (E1).
    pub(crate) async fn plan(
        &mut self,
        parsed: &Parsed,
        hints: &[Option<SqlType>],
    ) -> Result<(Arc<Planned>, Option<CatalogVersion>), SqlError> {
        let catalog = match &self.active {
            Some(active) => active.catalog.clone(),
            None => self.engine.catalog(&self.database).await?.0,
        };
        let committed = self.active.as_ref().is_none_or(|active| !active.changed);
        let version = committed.then_some(catalog.version);
        let key = PlanKey {
            text: parsed.source.text().to_owned(),
            ordinal: parsed.ordinal,
            hints: hints.to_vec(),
            zone: self.settings.formats().zone.name.clone(),
        };
        if let Some(version) = version
            && let Some(planned) = self.engine.plan(self.database.tenant, version, &key)
        {
            return Ok((planned, Some(version)));
        }
        let (engine, formats) = (self.engine.clone(), self.settings.formats().clone());
        let context = PlanContext {
            catalog: &catalog,
            source: &parsed.source,
            formats: &formats,
            hints,
            analytic: &engine.analytic,
            own_plans: engine.options.own_plans,
        };
        let planned = match plan::plan(parsed, context) {
            Ok(planned) => Arc::new(planned),
            Err(error) if self.is_untouched() => {
                match self.engine.newer(&self.database, catalog.version).await {
                    Ok(Some(newer)) => {
                        // The transaction, if there is one, begins anew under the newer catalog (N3).
                        if self.active.is_some() {
                            self.begin_transaction(newer.clone());
                        }
                        let planned = plan::plan(parsed, PlanContext { catalog: &newer, ..context })?;
                        return Ok((Arc::new(planned), Some(newer.version)));
                    }
                    Ok(None) => return Err(error),
                    Err(failure) => return Err(failure.into()),
                }
            }
            Err(error) => return Err(error),
        };
        if let Some(version) = version {
            self.engine.keep_plan(self.database.tenant, version, key, &planned);
        }
        Ok((planned, version))
    }

    /// Everything but commands.
    pub(crate) async fn run_statement(&mut self, prepared: &Prepared, params: Vec<Value>) -> Result<Outcome, SqlError> {
        let stop = Stop { cancel: self.cancel.clone(), seam: self.engine.seam.clone(), deadline: self.deadline() };
        let autocommit = self.block == Block::None;
        for _ in 0..=REPLANS_MAX {
            let failure = match stop.unless(self.attempt(prepared, &params, &stop)).await {
                Ok(outcome) if autocommit => {
                    let active = self.active.take().expect("an attempt begins a transaction");
                    match self.commit(active).await {
                        Ok(()) => return Ok(outcome),
                        // Refused, so nothing happened, and nothing was returned.
                        Err(failure) => failure,
                    }
                }
                Ok(outcome) => return Ok(outcome),
                Err(failure) => failure,
            };
            match failure {
                Failure::CatalogChanged if self.is_untouched() || autocommit => {
                    self.active = None;
                    stop.unless(self.engine.refresh(&self.database)).await?;
                }
                failure => return Err(failure.into()),
            }
        }
        Err(Failure::CatalogChanged.into())
    }

    /// Runs the statement in the transaction. May be dropped at any await: it commits nothing.
    async fn attempt(&mut self, prepared: &Prepared, params: &[Value], stop: &Stop) -> Result<Outcome, Failure> {
        self.active().await?;
        let planned = self.current_plan(prepared).await?;
        self.check_writable(&prepared.parsed)?;
        if let Plan::Command = planned.plan {
            return self.run_ddl(&prepared.parsed).await;
        }
        let active = self.active.as_mut().expect("begun above");
        let env = Arc::new(Env {
            params: params.to_vec(),
            now_us: active.now_us,
            database: self.database.name.clone(),
            user: self.user.clone(),
            formats: self.settings.formats().clone(),
        });
        let engine = self.engine.clone();
        let memory_bytes_max = engine.options.statement_memory_bytes_max;
        let analytic =
            |reader| AnalyticRun { analytic: engine.analytic.clone(), reader, env: env.clone(), memory_bytes_max };
        let run = Run { transaction: &mut active.transaction, env: &env, memory_bytes_max, analytic: &analytic };
        let columns = || planned.columns.clone().unwrap_or_default();
        match &planned.plan {
            Plan::Select(plan) => {
                let rows = stop.clone().guard(exec::select(plan, run).await?);
                Ok(Outcome::Rows { columns: columns(), rows, tag: RowsTag::Select })
            }
            Plan::Analytic(plan) => {
                let rows = stop.clone().guard(exec::query(plan, run).await?);
                Ok(Outcome::Rows { columns: columns(), rows, tag: RowsTag::Select })
            }
            Plan::Insert(plan) => Ok(written(exec::insert(plan, run).await?, plan.returning.as_ref(), RowsTag::Insert)),
            Plan::Update(plan) => Ok(written(exec::update(plan, run).await?, plan.returning.as_ref(), RowsTag::Update)),
            Plan::Delete(plan) => Ok(written(exec::delete(plan, run).await?, plan.returning.as_ref(), RowsTag::Delete)),
            Plan::Sleep(seconds) => {
                let duration = exec::sleep_duration(seconds, &env)?;
                self.engine.seam.sleep(duration).await;
                Ok(rows_outcome(columns(), vec![vec![Value::Text(String::new())]], RowsTag::Select))
            }
            Plan::Catalog(query) => {
                // As with DDL: what the catalog says must be so at the snapshot.
                active.transaction.get(&[Key::catalog_version()]).await?;
                let databases = if query.needs_databases() { engine.databases.list().await? } else { Vec::new() };
                let tables = active.catalog.tables().map(|table| table.as_ref().clone()).collect();
                let answer = query.answer(&View { databases, tables });
                Ok(rows_outcome(answer.columns, answer.rows, RowsTag::Select))
            }
            Plan::Explain(inner) => {
                let lines = explain::lines(inner, run).await?;
                let rows = lines.into_iter().map(|line| vec![Value::Text(line)]).collect();
                Ok(rows_outcome(columns(), rows, RowsTag::Explain))
            }
            Plan::Command => Err(SqlError::internal("a command was run as a plan").into()),
        }
    }

    /// The prepared plan, if it is good for the catalog; otherwise a new one with the same result.
    async fn current_plan(&mut self, prepared: &Prepared) -> Result<Arc<Planned>, Failure> {
        let active = self.active.as_ref().expect("the caller began it");
        if !active.changed && prepared.version == Some(active.catalog.version) {
            return Ok(prepared.planned.clone());
        }
        let hints: Vec<Option<SqlType>> = prepared.params.iter().copied().map(Some).collect();
        let (planned, _) = self.plan(&prepared.parsed, &hints).await?;
        let types = |columns: &Option<Vec<Column>>| {
            columns.as_ref().map(|all| all.iter().map(|c| (c.name.clone(), c.sql_type)).collect::<Vec<_>>())
        };
        if types(&planned.columns) != types(&prepared.columns) {
            return Err(
                SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "cached plan must not change result type").into()
            );
        }
        Ok(planned)
    }

    fn check_writable(&self, parsed: &Parsed) -> Result<(), SqlError> {
        let verb = match parsed.statement() {
            Some(Statement::Insert(_)) => "INSERT",
            Some(Statement::Update(_)) => "UPDATE",
            Some(Statement::Delete(_)) => "DELETE",
            Some(Statement::CreateTable(_)) => "CREATE TABLE",
            Some(Statement::Drop { .. }) => "DROP TABLE",
            _ => return Ok(()),
        };
        if !self.read_only {
            return Ok(());
        }
        let message = format!("cannot execute {verb} in a read-only transaction");
        Err(SqlError::new(SqlState::READ_ONLY_SQL_TRANSACTION, message))
    }

    async fn run_ddl(&mut self, parsed: &Parsed) -> Result<Outcome, Failure> {
        let formats = self.settings.formats().clone();
        let active = self.active.as_mut().expect("the caller began it");
        // What IF EXISTS finds must be so at the snapshot, whether or not anything is then written.
        active.transaction.get(&[Key::catalog_version()]).await?;
        let mut notices = Vec::new();
        let tag = match parsed.statement() {
            Some(Statement::CreateTable(create)) => {
                let table = ddl::table_of(create, &parsed.source, &formats)?;
                let name = table.name.clone();
                match active.change(|catalog| catalog.create_table(table).map(|(_, writes)| writes)) {
                    Err(Failure::Sql(error)) if error.state == SqlState::DUPLICATE_TABLE && create.if_not_exists => {
                        let message = format!("relation \"{name}\" already exists, skipping");
                        notices.push(Notice::remark(SqlState::DUPLICATE_TABLE, message));
                    }
                    result => result?,
                }
                "CREATE TABLE"
            }
            Some(Statement::Drop {
                object_type: ObjectType::Table,
                if_exists,
                names,
                cascade,
                purge,
                temporary,
                ..
            }) => {
                if *cascade || *purge || *temporary {
                    return Err(SqlError::unsupported("DROP TABLE … CASCADE").into());
                }
                for name in names {
                    let (schema, table, place) = split_name(name)?;
                    let known = schema.as_deref().is_none_or(|schema| schema == "public");
                    let absent = || CatalogError::Absent(table.clone());
                    let dropped = match known {
                        true => active.change(|catalog| catalog.drop_table(&table)),
                        false => Err(SqlError::from(absent()).into()),
                    };
                    match dropped {
                        Err(Failure::Sql(error)) if error.state == SqlState::UNDEFINED_TABLE && *if_exists => {
                            let message = format!("table \"{table}\" does not exist, skipping");
                            notices.push(Notice::remark(SqlState::SUCCESSFUL_COMPLETION, message));
                        }
                        Err(Failure::Sql(error)) => return Err(error.at(parsed.source.position(place)).into()),
                        result => result?,
                    }
                }
                "DROP TABLE"
            }
            _ => return Err(SqlError::internal("a command that is neither CREATE nor DROP TABLE").into()),
        };
        Ok(Outcome::Done { tag: tag.to_owned(), notices })
    }
}

impl Active {
    /// Changes the transaction's catalog; the first change raises its version (C1).
    fn change(
        &mut self,
        change: impl FnOnce(&mut tenet_catalog::Catalog) -> Result<Vec<tenet_types::Write>, CatalogError>,
    ) -> Result<(), Failure> {
        let mut catalog = (*self.catalog).clone();
        if !self.changed {
            catalog.raise();
        }
        let writes = change(&mut catalog).map_err(SqlError::from)?;
        self.transaction.apply(writes)?;
        self.catalog = Arc::new(catalog);
        self.changed = true;
        Ok(())
    }
}

fn rows_outcome(columns: Vec<Column>, rows: Vec<Vec<Value>>, tag: RowsTag) -> Outcome {
    let batches = if rows.is_empty() { Vec::new() } else { vec![Ok(rows)] };
    Outcome::Rows { columns, rows: futures::stream::iter(batches).boxed(), tag }
}

fn written(written: Written, returning: Option<&Projection>, tag: RowsTag) -> Outcome {
    match returning {
        Some(projection) => rows_outcome(projection.columns.clone(), written.returned, tag),
        None => Outcome::Done { tag: tag.text(written.count), notices: Vec::new() },
    }
}

/// The first words of a statement, which name it.
pub(crate) fn command_name(statement: &Statement) -> String {
    let text = statement.to_string();
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    let two = matches!(words.first(), Some(&("CREATE" | "DROP" | "ALTER" | "SHOW" | "SET" | "LOCK" | "COMMENT")));
    words.into_iter().take(if two { 2 } else { 1 }).collect::<Vec<_>>().join(" ")
}
