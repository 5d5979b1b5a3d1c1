//! Starting, ending, and being told apart.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_cleanly_and_a_new_start_has_everything() {
    let (mut cluster, _folder) = cluster(1).await;
    let mut client = connect(&cluster, "postgres").await;
    run(&mut client, "CREATE DATABASE acme").await.unwrap();
    let mut acme = connect(&cluster, "acme").await;
    run(&mut acme, "CREATE TABLE t (id bigint PRIMARY KEY, name text)").await.unwrap();
    run(&mut acme, "INSERT INTO t VALUES (1, 'one'), (2, NULL)").await.unwrap();

    let status = cluster.terminate(1).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
    cluster.start(1).unwrap();
    cluster.wait_until_ready(WITHIN).await.unwrap();
    acme.reconnect().await.unwrap();
    let rows = run(&mut acme, "SELECT id, name FROM t ORDER BY id").await.unwrap().rows;
    assert_eq!(rows, [[Cell::Int(1), "one".into()], [Cell::Int(2), Cell::Null]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_do_not_see_each_other() {
    let (cluster, _folder) = cluster(1).await;
    let mut client = connect(&cluster, "postgres").await;
    for tenant in ["acme", "globex"] {
        run(&mut client, &format!("CREATE DATABASE {tenant}")).await.unwrap();
        let mut own = connect(&cluster, tenant).await;
        run(&mut own, "CREATE TABLE secret (owner text PRIMARY KEY)").await.unwrap();
        run(&mut own, &format!("INSERT INTO secret VALUES ('{tenant}')")).await.unwrap();
    }
    for tenant in ["acme", "globex"] {
        let mut own = connect(&cluster, tenant).await;
        let rows = run(&mut own, "SELECT owner FROM secret").await.unwrap().rows;
        assert_eq!(rows, [[Cell::from(tenant)]]);
    }
    let error = run(&mut client, "SELECT owner FROM secret").await.unwrap_err();
    assert_eq!(error.sqlstate.as_deref(), Some("42P01"), "{error}");

    run(&mut client, "DROP DATABASE acme").await.unwrap();
    let mut gone = PgClient::new(vec![cluster.member(1).sql.clone()], 0, "acme");
    let error = gone.reconnect().await.unwrap_err();
    assert_eq!(error.sqlstate.as_deref(), Some("3D000"), "{error}");
}

/// The node ends before it has erased what it dropped: the next start does (M3), and the log is not held for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_dropped_just_before_kill_9_is_erased_by_the_next_start() {
    let (mut cluster, _folder) = cluster(1).await;
    let mut client = connect(&cluster, "postgres").await;
    let stores = |cluster: &Cluster| std::fs::read_dir(cluster.data(1).join("shards")).unwrap().count();
    let before = stores(&cluster);
    run(&mut client, "CREATE DATABASE acme").await.unwrap();
    assert_eq!(stores(&cluster), before + 1);
    run(&mut client, "DROP DATABASE acme").await.unwrap();
    cluster.kill(1).unwrap();

    cluster.start(1).unwrap();
    cluster.wait_until_ready(WITHIN).await.unwrap();
    let erased = async |cluster: &Cluster| (stores(cluster) == before).then_some(());
    cluster.wait("the end of what was dropped", WITHIN, erased).await.unwrap();
}

/// The same number with an empty folder is not the same node: what it had promised is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_member_is_refused_with_the_remedy() {
    let (mut cluster, _folder) = cluster(3).await;
    cluster.kill(2).unwrap();
    std::fs::remove_dir_all(cluster.data(2)).unwrap();
    let said = refused(&cluster.arguments(2), 1);
    assert!(last_line(&said).contains("node 2 lost its data folder"), "{said}");
    assert!(last_line(&said).contains("replace it"), "{said}");
    let mut client = connect(&cluster, "postgres").await;
    run(&mut client, "CREATE TABLE t (id bigint PRIMARY KEY)").await.expect("the others serve");
}

/// Neither its clients nor its operator are left in the dark.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_waits_for_the_others_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new(executable(), folder.path().to_owned(), 3).unwrap();
    cluster.start(1).unwrap();
    let mut early = PgClient::new(vec![cluster.member(1).sql.clone()], 0, "postgres");
    let start = Instant::now();
    let error = loop {
        match early.reconnect().await.unwrap_err() {
            error if error.sqlstate.is_some() => break error,
            error => assert!(start.elapsed() < WITHIN, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(error.sqlstate.as_deref(), Some("57P03"), "{error}");
    assert!(error.message.contains("the node is starting"), "{error}");
    let has = |node: u64, said: &'static str| {
        async move |cluster: &Cluster| std::fs::read_to_string(cluster.log(node)).unwrap().contains(said).then_some(())
    };
    let waits = "waiting until all its nodes have met others=\"2, 3\"";
    cluster.wait("word of the others", WITHIN, has(1, waits)).await.unwrap();

    cluster.start(2).unwrap();
    cluster.start(3).unwrap();
    cluster.wait_until_ready(WITHIN).await.unwrap();
    drop(connect(&cluster, "postgres").await);
    cluster.kill(3).unwrap();
    let lost = "the connection to a peer has ended peer=3";
    cluster.wait("word of the lost peer", WITHIN, has(1, lost)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_ends_with_the_process_that_wanted_it() {
    let (mut cluster, _folder) = cluster(1).await;
    cluster.kill(1).unwrap();
    // A shell in between, which is then killed and so cannot end its child.
    let arguments = cluster.arguments(1).join(" ");
    let script = format!("{} {arguments} --die-with-parent $$ & echo $!; wait", executable().display());
    let mut shell = Command::new("sh")
        .args(["-c", &script])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let served = async |cluster: &Cluster| cluster.health(1).await.map(|_| ());
    cluster.wait("the node", WITHIN, served).await.unwrap();
    shell.kill().unwrap();
    shell.wait().unwrap();
    let gone = async |cluster: &Cluster| cluster.health(1).await.is_none().then_some(());
    cluster.wait("the end of the node", WITHIN, gone).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_are_served() {
    let (cluster, _folder) = cluster(3).await;
    let health = cluster.health(1).await.unwrap();
    assert_eq!(health.status, "ok");
    let metrics = cluster.ask(1, "/metrics").await.unwrap();
    assert!(metrics.contains("# TYPE tenet_wal_batches_total counter"), "{metrics}");
    assert!(cluster.ask(1, "/nothing").await.unwrap().contains("/health"));
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_json_when_asked() {
    let (mut cluster, _folder) = cluster(1).await;
    cluster.terminate(1).await.unwrap();
    let mut arguments = cluster.arguments(1);
    arguments.extend(["--log-format", "json", "--log-level", "debug", "--insecure"].map(str::to_owned));
    let log = cluster.folder().join("json.log");
    let mut child =
        Command::new(executable()).args(&arguments).stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
    let served = async |cluster: &Cluster| cluster.health(1).await.map(|_| ());
    cluster.wait("the node", WITHIN, served).await.unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ready = lines.iter().find(|line| line["message"] == "ready for clients").expect("it says when it is ready");
    assert_eq!(ready["level"], "INFO");
    assert_eq!(ready["sql"], serde_json::json!(cluster.member(1).sql));
}

/// What a simulated world answers, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_answers_as_postgres_does() {
    let (cluster, _folder) = cluster(1).await;
    drop(connect(&cluster, "postgres").await);
    let stream = tokio::net::TcpStream::connect(&cluster.member(1).sql).await.unwrap();
    let mut conversation = answers::Conversation::open(stream, "postgres").await.unwrap();
    answers::check(&conversation.ask().await.unwrap());
}
