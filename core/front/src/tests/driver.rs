//! A driver that was not written for us: tokio-postgres over the same streams.

use std::time::{Duration, SystemTime};

use futures::future::try_join_all;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use super::{PIPE_BYTES, Server};

impl Server {
    async fn driver(&self) -> Client {
        let mut config = Config::new();
        config.user("postgres").dbname("postgres").application_name("driver");
        let (client, connection) = config.connect_raw(self.door.connect(PIPE_BYTES), NoTls).await.unwrap();
        self.world.seam().spawn("driver", async move { connection.await.unwrap() });
        client
    }
}

#[test]
fn queries_with_types() {
    let server = Server::start();
    server.run(async {
        let client = server.driver().await;
        client
            .batch_execute(
                "CREATE TABLE a (id int8 PRIMARY KEY, b bool, s int2, i int4, f float8, t text, c varchar(5), z timestamptz)",
            )
            .await
            .unwrap();
        let insert = client.prepare("INSERT INTO a VALUES ($1, $2, $3, $4, $5, $6, $7, $8)").await.unwrap();
        let expected = [Type::INT8, Type::BOOL, Type::INT2, Type::INT4, Type::FLOAT8, Type::TEXT];
        assert_eq!(insert.params()[..6], expected);
        let z = SystemTime::UNIX_EPOCH + Duration::from_micros(1_709_208_000_500_000);
        let values: [&(dyn ToSql + Sync); 8] = [&1i64, &true, &-5i16, &7i32, &2.5f64, &"text", &"char", &z];
        assert_eq!(client.execute(&insert, &values).await.unwrap(), 1);
        let none = None::<bool>;
        let nulls: [&(dyn ToSql + Sync); 8] = [&2i64, &none, &None::<i16>, &None::<i32>, &None::<f64>, &None::<&str>, &None::<&str>, &None::<SystemTime>];
        assert_eq!(client.execute(&insert, &nulls).await.unwrap(), 1);
        let rows = client.query("SELECT * FROM a WHERE id IN ($1, $2)", &[&1i64, &2i64]).await.unwrap();
        let row = &rows[0];
        assert_eq!(row.get::<_, i64>("id"), 1);
        assert!(row.get::<_, bool>(1));
        assert_eq!(row.get::<_, i16>(2), -5);
        assert_eq!(row.get::<_, i32>(3), 7);
        assert_eq!(row.get::<_, f64>(4), 2.5);
        assert_eq!(row.get::<_, &str>(5), "text");
        assert_eq!(row.get::<_, &str>(6), "char");
        assert_eq!(row.columns()[6].type_(), &Type::VARCHAR);
        assert_eq!(row.get::<_, SystemTime>(7), z);
        assert_eq!(rows[1].get::<_, Option<&str>>(5), None);
        assert_eq!(rows.len(), 2);
        assert!(client.query_opt("SELECT 1 FROM a WHERE id = $1", &[&3i64]).await.unwrap().is_none());
    });
}

#[test]
fn simple_queries_and_errors() {
    let server = Server::start();
    server.run(async {
        let client = server.driver().await;
        let messages = client.simple_query("SELECT 1 AS one; SELECT 'x'").await.unwrap();
        let rows: Vec<&str> = messages
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            })
            .collect();
        assert_eq!(rows, ["1", "x"]);
        let error = client.query("SELECT * FROM nosuch", &[]).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code(), &SqlState::UNDEFINED_TABLE);
        assert_eq!(error.severity(), "ERROR");
        assert_eq!(error.message(), "relation \"nosuch\" does not exist");
        assert_eq!(error.position(), Some(&tokio_postgres::error::ErrorPosition::Original(15)));
        let error = client.batch_execute("CREATE TABLE u (id int PRIMARY KEY); INSERT INTO u VALUES (1), (1)").await;
        let error = error.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!((error.code(), error.constraint()), (&SqlState::UNIQUE_VIOLATION, Some("u_pkey")));
        assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
    });
}

#[test]
fn transactions_portals_and_pipelines() {
    let server = Server::start();
    server.run(async {
        let mut client = server.driver().await;
        client.batch_execute("CREATE TABLE t (id int PRIMARY KEY, v text)").await.unwrap();
        let transaction = client.transaction().await.unwrap();
        for id in 1..=10i32 {
            transaction.execute("INSERT INTO t VALUES ($1, 'x')", &[&id]).await.unwrap();
        }
        let portal = transaction.bind("SELECT id FROM t ORDER BY id", &[]).await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..4 {
            let rows = transaction.query_portal(&portal, 4).await.unwrap();
            seen.push(rows.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>());
        }
        assert_eq!(seen, [vec![1, 2, 3, 4], vec![5, 6, 7, 8], vec![9, 10], vec![]]);
        transaction.commit().await.unwrap();

        let transaction = client.transaction().await.unwrap();
        transaction.execute("DELETE FROM t WHERE id > 0", &[]).await.unwrap();
        transaction.rollback().await.unwrap();

        // Many at once on one connection.
        let statement = client.prepare("SELECT id FROM t WHERE id = $1").await.unwrap();
        let (client, statement) = (&client, &statement);
        let all = (1..=10i32).map(|id| async move { client.query_one(statement, &[&id]).await });
        let rows = try_join_all(all).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    });
}

#[test]
fn the_driver_cancels() {
    let server = Server::start();
    server.run(async {
        let client = server.driver().await;
        let token = client.cancel_token();
        let sleeping = client.query("SELECT pg_sleep(60)", &[]);
        let cancelling = async {
            // After the statement has begun.
            server.world.seam().sleep(Duration::from_secs(1)).await;
            token.cancel_query_raw(server.door.connect(PIPE_BYTES), NoTls).await.unwrap();
        };
        let (slept, ()) = futures::join!(sleeping, cancelling);
        assert_eq!(slept.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
        assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
    });
}
