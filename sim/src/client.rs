//! The workloads' client over a simulated stream: the real `tokio-postgres`, statements prepared once per connection.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;

use async_trait::async_trait;
use bytes::BytesMut;
use futures::{TryStreamExt, pin_mut};
use tenet_seam::{Address, Seam, Task};
use tenet_workloads::{Cell, Client, ClientError, Param, Rows};
use tokio_postgres::error::Severity;
use tokio_postgres::types::{Format, IsNull, ToSql, Type};
use tokio_postgres::{Config, NoTls, Row, Statement};

/// One connection at a time, to one node after the other.
pub struct PgClient {
    seam: Seam,
    addresses: Vec<Address>,
    /// The node of the present connection, or of the last attempt.
    at: usize,
    /// Where `reconnect` goes next.
    next: usize,
    database: String,
    connection: Option<Connection>,
}

struct Connection {
    client: tokio_postgres::Client,
    /// What carries its bytes.
    driver: Task,
    prepared: BTreeMap<String, Statement>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl PgClient {
    /// Not connected yet. The first connection goes to the address numbered `first`, counted around.
    pub fn new(seam: Seam, addresses: Vec<Address>, first: usize, database: &str) -> PgClient {
        assert!(!addresses.is_empty(), "a client needs somewhere to connect");
        PgClient { seam, at: 0, next: first, addresses, database: database.to_owned(), connection: None }
    }
}

#[async_trait]
impl Client for PgClient {
    async fn execute(&mut self, sql: &str, params: &[Param]) -> Result<Rows, ClientError> {
        let Some(connection) = &mut self.connection else {
            return Err(ClientError::lost("not connected", false));
        };
        let result = connection.execute(sql, params).await;
        if let Err(error) = &result
            && error.lost
        {
            self.connection = None;
        }
        result
    }

    async fn reconnect(&mut self) -> Result<(), ClientError> {
        self.at = self.next % self.addresses.len();
        self.next += 1;
        self.enter(None).await
    }

    async fn enter(&mut self, database: Option<&str>) -> Result<(), ClientError> {
        self.connection = None;
        let address = &self.addresses[self.at];
        let stream = self.seam.net.connect(address).await;
        let stream =
            stream.map_err(|error| ClientError::lost(format!("cannot connect to {address}: {error}"), false))?;
        let mut config = Config::new();
        config.user("tenet").dbname(database.unwrap_or(&self.database));
        let (client, driver) =
            config.connect_raw(stream, NoTls).await.map_err(|error| from_postgres(&error, true, false))?;
        let driver = self.seam.spawn("driver", async move {
            // Whatever ends it is also told to the statement that waits.
            driver.await.ok();
        });
        self.connection = Some(Connection { client, driver, prepared: BTreeMap::new() });
        Ok(())
    }
}

impl Connection {
    async fn execute(&mut self, sql: &str, params: &[Param]) -> Result<Rows, ClientError> {
        let statement = match self.prepared.get(sql) {
            Some(statement) => statement.clone(),
            None => {
                // Nothing has run when this fails, so nothing was sent that could have had an effect.
                let prepared = self.client.prepare(sql).await;
                let closed = self.client.is_closed();
                let statement = prepared.map_err(|error| from_postgres(&error, closed, false))?;
                self.prepared.insert(sql.to_owned(), statement.clone());
                statement
            }
        };
        let params: Vec<SqlParam<'_>> = params.iter().map(SqlParam).collect();
        let rows = self.run(&statement, &params).await;
        let closed = self.client.is_closed();
        rows.map_err(|error| from_postgres(&error, closed, true))
    }

    async fn run(&self, statement: &Statement, params: &[SqlParam<'_>]) -> Result<Rows, tokio_postgres::Error> {
        let params = params.iter().map(|param| param as &(dyn ToSql + Sync));
        let stream = self.client.query_raw(statement, params).await?;
        pin_mut!(stream);
        let mut rows = Vec::new();
        while let Some(row) = stream.try_next().await? {
            rows.push(cells(&row)?);
        }
        Ok(Rows { rows, affected: stream.rows_affected().unwrap_or(0) })
    }
}

fn cells(row: &Row) -> Result<Vec<Cell>, tokio_postgres::Error> {
    let cell = |(index, column): (usize, &tokio_postgres::Column)| {
        let value = match *column.type_() {
            Type::BOOL => row.try_get::<_, Option<bool>>(index)?.map(Cell::Bool),
            Type::INT2 => row.try_get::<_, Option<i16>>(index)?.map(|int| Cell::Int(int.into())),
            Type::INT4 => row.try_get::<_, Option<i32>>(index)?.map(|int| Cell::Int(int.into())),
            Type::INT8 => row.try_get::<_, Option<i64>>(index)?.map(Cell::Int),
            Type::FLOAT8 => row.try_get::<_, Option<f64>>(index)?.map(Cell::Float),
            // Text, and what we do not know: the driver refuses the latter with the type's name.
            _ => row.try_get::<_, Option<String>>(index)?.map(Cell::Text),
        };
        Ok(value.unwrap_or(Cell::Null))
    };
    row.columns().iter().enumerate().map(cell).collect()
}

/// A value in the format of the type that the server asks for.
#[derive(Debug)]
struct SqlParam<'a>(&'a Param);

impl ToSql for SqlParam<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match (self.0, ty) {
            (Cell::Null, _) => Ok(IsNull::Yes),
            (Cell::Int(int), &Type::INT2) => i16::try_from(*int)?.to_sql(ty, out),
            (Cell::Int(int), &Type::INT4) => i32::try_from(*int)?.to_sql(ty, out),
            (Cell::Int(int), &Type::INT8) => int.to_sql(ty, out),
            (Cell::Bool(bool), &Type::BOOL) => bool.to_sql(ty, out),
            (Cell::Float(float), &Type::FLOAT8) => float.to_sql(ty, out),
            (Cell::Text(text), &Type::TEXT | &Type::VARCHAR) => text.to_sql(ty, out),
            (value, ty) => Err(format!("the server asks for {ty}, the workload gives {value:?}").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.to_sql(ty, out)
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Binary
    }
}

/// Lost is what no later statement can use. An error of the driver's own (a message that it cannot read) is not: it is
/// reported as it is, so that a fault of the front end is not taken for one of the network.
fn from_postgres(error: &tokio_postgres::Error, closed: bool, sent: bool) -> ClientError {
    if let Some(said) = error.as_db_error() {
        let fatal = matches!(said.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
        return ClientError {
            sqlstate: Some(said.code().code().to_owned()),
            message: said.message().to_owned(),
            lost: closed || fatal,
            sent,
        };
    }
    let broken = error.source().is_some_and(|source| source.is::<io::Error>());
    let message = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    ClientError { sqlstate: None, message, lost: closed || broken || error.is_closed(), sent }
}
