//! What people and machines get wrong: each is told what and where, with a code that scripts can see, and nobody else suffers.

use std::process::Child;

use tenet_server::seam::EXIT_HALT;

use super::*;

fn with(cluster: &Cluster, node: u64, change: impl FnOnce(&mut Vec<String>)) -> Vec<String> {
    let mut arguments = cluster.arguments(node);
    change(&mut arguments);
    arguments
}

fn replace(arguments: &mut [String], option: &str, value: &str) {
    let at = arguments.iter().position(|argument| argument == option).unwrap();
    arguments[at + 1] = value.to_owned();
}

/// The node starts again on its folder and serves.
async fn serves(cluster: &mut Cluster) {
    if !cluster.is_running(1) {
        cluster.start(1).unwrap();
        cluster.wait_until_ready(WITHIN).await.unwrap();
    }
    let mut client = connect(cluster, "postgres").await;
    assert_eq!(only_int(&mut client, "SELECT 41 + 1 AS answer").await, 42);
}

#[test]
fn unknown_options_are_named() {
    for arguments in
        [&["start", "--dat", "x"][..], &["strat"], &["start"], &["start", "--data", "x", "--log-format", "xml"]]
    {
        let (code, said) = tenet(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        assert!(said.contains("error:") && said.contains("--help"), "{arguments:?}: {said}");
    }
    let level = refused(&["start", "--data", "/dev/null/x", "--log-level", "a=b=c"].map(str::to_owned), 1);
    assert!(level.contains("--log-level"), "{level}");
}

#[test]
fn listening_beyond_this_machine_has_to_be_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let said = refused(&["start", "--data", &data, "--listen", "0.0.0.0:0"].map(str::to_owned), 1);
    assert!(said.contains("--listen 0.0.0.0:0") && said.contains("--insecure"), "{said}");
    assert!(!folder.path().join("data").exists(), "refused before anything is made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_or_port_in_use_is_named() {
    let (mut cluster, folder) = cluster(1).await;
    let other = folder.path().join("other").display().to_string();
    let said = refused(&with(&cluster, 1, |arguments| replace(arguments, "--listen", "127.0.0.1:0")), 1);
    let holder = format!("in use by another process (process {})", cluster.pid(1).unwrap());
    assert!(said.contains(&holder) && said.contains("node-1"), "{said}");

    let said = refused(&with(&cluster, 1, |arguments| replace(arguments, "--data", &other)), 1);
    let sql = &cluster.member(1).sql;
    assert!(last_line(&said).contains(&format!("--listen: cannot listen on {sql}")), "{said}");
    assert!(last_line(&said).contains("choose another address"), "{said}");

    let said = refused(
        &with(&cluster, 1, |arguments| {
            replace(arguments, "--data", &other);
            replace(arguments, "--listen", "127.0.0.1:0");
        }),
        1,
    );
    assert!(last_line(&said).contains("--admin-listen: cannot listen on"), "{said}");
    serves(&mut cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_another_node_or_cluster_is_refused() {
    let (mut cluster, _folder) = cluster(3).await;
    cluster.kill(2).unwrap();
    let said = refused(&with(&cluster, 2, |arguments| replace(arguments, "--node", "3")), 1);
    assert!(last_line(&said).contains("belongs to node 2, this is started as node 3"), "{said}");
    let fewer = |arguments: &mut Vec<String>| {
        let at = arguments.iter().position(|argument| argument == "--peers").unwrap();
        let kept: Vec<&str> = arguments[at + 1].split(',').take(2).collect();
        arguments[at + 1] = kept.join(",");
    };
    let said = refused(&with(&cluster, 2, fewer), 1);
    assert!(last_line(&said).contains("belongs to a cluster of nodes 1, 2, 3, --peers lists 1, 2"), "{said}");
    cluster.start(2).unwrap();
    cluster.wait_until_ready(WITHIN).await.unwrap();
}

/// A folder of another cluster with the same numbers: only what the nodes say to each other shows it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_under_a_members_number_does_not_get_in() {
    let (mut cluster, _folder) = cluster(3).await;
    let (mut others, _other_folder) = super::cluster(3).await;
    cluster.kill(2).unwrap();
    others.kill(2).unwrap();
    let own = cluster.data(2);
    std::fs::rename(&own, own.with_extension("kept")).unwrap();
    std::fs::rename(others.data(2), &own).unwrap();
    cluster.start(2).unwrap();
    let mut client = connect(&cluster, "postgres").await;
    run(&mut client, "CREATE TABLE t (id bigint PRIMARY KEY)").await.expect("the others serve");
    for node in [1, 3] {
        let health = cluster.health(node).await.unwrap();
        assert!(!health.connected.contains(&2), "node {node} talks to the stranger");
    }
    cluster.kill(2).unwrap();
    std::fs::remove_dir_all(&own).unwrap();
    std::fs::rename(own.with_extension("kept"), &own).unwrap();
    cluster.start(2).unwrap();
    cluster.wait_until_caught_up(2, WITHIN).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_another_version_is_refused() {
    let (mut cluster, _folder) = cluster(1).await;
    cluster.terminate(1).await.unwrap();
    let identity = cluster.data(1).join("identity");
    let text = std::fs::read_to_string(&identity).unwrap();
    std::fs::write(&identity, text.replacen("format 1", "format 9", 1)).unwrap();
    let said = refused(&cluster.arguments(1), 1);
    assert!(last_line(&said).contains("format 9") && last_line(&said).contains("reads format 1"), "{said}");
    std::fs::write(&identity, text).unwrap();
    serves(&mut cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_are_refused_and_named() {
    let (mut cluster, _folder) = cluster(1).await;
    let mut client = connect(&cluster, "postgres").await;
    run(&mut client, "CREATE TABLE t (id bigint PRIMARY KEY)").await.unwrap();
    run(&mut client, "INSERT INTO t VALUES (1)").await.unwrap();
    cluster.terminate(1).await.unwrap();

    let data = cluster.data(1);
    let intact = |path: &Path| std::fs::read(path).unwrap();
    let identity = data.join("identity");
    let before = intact(&identity);
    overwrite(&identity, 40, b"xx");
    let said = refused(&cluster.arguments(1), 1);
    assert!(last_line(&said).contains("\"identity\""), "{said}");
    std::fs::write(&identity, before).unwrap();

    // The middle of the log: acknowledged writes stand there and after it, so that it is no torn tail.
    let segment = first_file(&data.join("wal"));
    let before = intact(&segment);
    let end = before.iter().rposition(|byte| *byte != 0).unwrap();
    overwrite(&segment, end / 2, &[0x55; 64]);
    let said = refused(&cluster.arguments(1), 1);
    assert!(last_line(&said).contains(&name_of(&segment)), "{said}");
    std::fs::write(&segment, before).unwrap();

    // A store's head: without it nothing can be found.
    let store = first_file(&data.join("shards"));
    let before = intact(&store);
    overwrite(&store, 0, &[0x55; 256]);
    let arguments = cluster.arguments(1);
    let (code, said) = tenet(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(code.is_some_and(|code| code != 0), "{code:?}: {said}");
    assert!(said.contains(&name_of(&store)), "{said}");
    std::fs::write(&store, before).unwrap();
    serves(&mut cluster).await;
    let mut client = connect(&cluster, "postgres").await;
    assert_eq!(only_int(&mut client, "SELECT count(*) FROM t").await, 1);
}

/// Node 1 with a limit on the size of its files, which the kernel treats as a disk does that is full.
fn start_limited(cluster: &Cluster, file_kb: u64, log: &Path) -> Child {
    // The shell counts in 512 bytes.
    let script = format!("ulimit -f {}; exec \"$0\" \"$@\"", file_kb * 2);
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(executable()).args(cluster.arguments(1));
    command.args(["--die-with-parent", &std::process::id().to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(std::fs::File::create(log).unwrap()).spawn().unwrap()
}

/// Its exit code and what it said, when it has ended.
async fn end_of(mut child: Child, log: &Path) -> (Option<i32>, String) {
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > WITHIN {
            child.kill().unwrap();
            panic!("the node goes on: {}", std::fs::read_to_string(log).unwrap());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    (status.code(), std::fs::read_to_string(log).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_the_node_and_loses_nothing() {
    let (mut cluster, folder) = cluster(1).await;
    let mut client = connect(&cluster, "postgres").await;
    run(&mut client, "CREATE TABLE t (id bigint PRIMARY KEY, value text)").await.unwrap();
    cluster.terminate(1).await.unwrap();

    let log = folder.path().join("limited.log");
    let child = start_limited(&cluster, 6 << 10, &log);
    let mut client = connect(&cluster, "postgres").await;
    let large = "x".repeat(100 << 10);
    let mut acknowledged = 0;
    let refused = loop {
        match client.execute("INSERT INTO t VALUES ($1, $2)", &[acknowledged.into(), large.as_str().into()]).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 1000, "a hundred megabytes went into files of six");
    };
    assert!(refused.lost, "{refused}");
    let (code, said) = end_of(child, &log).await;
    assert_eq!(code, Some(EXIT_HALT), "{said}");
    let told = last_line(&said);
    assert!(told.contains("disk is full") && told.contains("make room and start the node again"), "{told}");
    assert!(told.contains(&cluster.data(1).display().to_string()), "{told}");

    // Room is made. All that was acknowledged is there; what was not may be.
    serves(&mut cluster).await;
    let mut client = connect(&cluster, "postgres").await;
    assert!(acknowledged > 10, "{acknowledged}");
    let all = format!("SELECT count(*) FROM t WHERE id < {acknowledged} AND value = '{large}'");
    assert_eq!(only_int(&mut client, &all).await, acknowledged);
    run(&mut client, "INSERT INTO t VALUES (-1, 'room')").await.unwrap();
}

/// Not even the files of an empty node fit.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_at_the_start_is_told_and_nothing_is_half_made() {
    let (mut cluster, folder) = cluster(1).await;
    cluster.terminate(1).await.unwrap();
    std::fs::remove_dir_all(cluster.data(1)).unwrap();
    let log = folder.path().join("limited.log");
    let (code, said) = end_of(start_limited(&cluster, 20, &log), &log).await;
    assert!(code.is_some_and(|code| code != 0), "{code:?}: {said}");
    let told = last_line(&said);
    assert!(told.contains("disk is full") && told.contains("make room and start the node again"), "{told}");
    assert!(told.contains(&cluster.data(1).display().to_string()), "{told}");
    serves(&mut cluster).await;
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn first_file(folder: &Path) -> PathBuf {
    let mut names: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names.into_iter().next().expect("a file")
}

async fn fails(client: &mut PgClient, sql: &str, sqlstate: &str, told: &str) {
    let error = run(client, sql).await.unwrap_err();
    assert_eq!(error.sqlstate.as_deref(), Some(sqlstate), "{sql}: {error}");
    assert!(error.message.contains(told), "{sql}: {error}");
    assert!(!error.lost, "{sql}: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_cannot_be_run_say_why() {
    let (cluster, _folder) = cluster(1).await;
    let mut client = connect(&cluster, "postgres").await;
    fails(&mut client, "SELEC 1", "42601", "SELEC").await;
    fails(&mut client, "CREATE TRIGGER x BEFORE INSERT ON t EXECUTE FUNCTION f()", "0A000", "CREATE TRIGGER").await;
    fails(&mut client, "SELECT * FROM nowhere", "42P01", "nowhere").await;
    fails(&mut client, "SELECT 1 / 0", "22012", "division by zero").await;
    assert_eq!(only_int(&mut client, "SELECT 41 + 1 AS answer").await, 42, "the connection serves");
    let mut absent = PgClient::new(vec![cluster.member(1).sql.clone()], 0, "absent");
    let error = absent.reconnect().await.unwrap_err();
    assert_eq!(error.sqlstate.as_deref(), Some("3D000"), "{error}");
    assert!(error.message.contains("absent"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_over_its_bound_is_refused_whole() {
    let (cluster, _folder) = cluster(1).await;
    let mut client = connect(&cluster, "postgres").await;
    run(&mut client, "CREATE TABLE t (id bigint PRIMARY KEY, value text)").await.unwrap();
    let large = "x".repeat(100 << 10);
    run(&mut client, "BEGIN").await.unwrap();
    let mut refused = None;
    for id in 0..1000i64 {
        let insert = client.execute("INSERT INTO t VALUES ($1, $2)", &[id.into(), large.as_str().into()]).await;
        if let Err(error) = insert {
            refused = Some(error);
            break;
        }
    }
    let error = match refused {
        Some(error) => error,
        None => run(&mut client, "COMMIT").await.expect_err("a hundred megabytes in one transaction"),
    };
    assert_eq!(error.sqlstate.as_deref(), Some("54000"), "{error}");
    run(&mut client, "ROLLBACK").await.unwrap();
    assert_eq!(only_int(&mut client, "SELECT count(*) FROM t").await, 0);
    run(&mut client, "INSERT INTO t VALUES (1, 'small')").await.expect("the node serves");
}

/// 2000 rows of a kilobyte.
async fn fill(client: &mut PgClient) {
    run(client, "CREATE TABLE t (id bigint PRIMARY KEY, value text)").await.unwrap();
    let kilobyte = "x".repeat(1000);
    for hundred in 0..20 {
        let rows: Vec<String> = (0..100).map(|row| format!("({}, '{kilobyte}')", hundred * 100 + row)).collect();
        run(client, &format!("INSERT INTO t VALUES {}", rows.join(", "))).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_over_its_memory_limit_is_refused_alone() {
    let (cluster, _folder) = cluster(1).await;
    let mut client = connect(&cluster, "postgres").await;
    fill(&mut client).await;
    let mut other = connect(&cluster, "postgres").await;
    run(&mut other, "BEGIN").await.unwrap();
    // To sort 4 GB they would have to be held.
    fails(&mut client, "SELECT a.value FROM t a CROSS JOIN t b ORDER BY a.value, b.id", "53200", "memory").await;
    assert_eq!(only_int(&mut client, "SELECT count(*) FROM t").await, 2000, "the connection serves");
    run(&mut other, "INSERT INTO t VALUES (5000, 'other')").await.unwrap();
    run(&mut other, "COMMIT").await.expect("another client's transaction is untouched");
}

/// Rows leave as they are made: a result of a size that no buffer here holds arrives whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_result_streams() {
    let (cluster, _folder) = cluster(1).await;
    let mut client = connect(&cluster, "postgres").await;
    fill(&mut client).await;
    // 2000 × 200 rows of a kilobyte: 400 MB.
    let before = resident_mb(&cluster);
    let sql = "SELECT a.value FROM t a CROSS JOIN (SELECT id FROM t WHERE id < 200) b";
    let driver = client.driver().unwrap();
    let rows = driver.query_raw(sql, Vec::<i64>::new()).await.unwrap();
    futures::pin_mut!(rows);
    let mut count = 0;
    let mut most = before;
    while let Some(row) = futures::TryStreamExt::try_next(&mut rows).await.unwrap() {
        assert_eq!(row.get::<_, &str>(0).len(), 1000);
        if count % 10_000 == 0 {
            most = most.max(resident_mb(&cluster));
        }
        count += 1;
    }
    assert_eq!(count, 400_000);
    assert!(most < before + 200, "{before} MB before, {most} MB while 400 MB were sent");
}

fn resident_mb(cluster: &Cluster) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", cluster.pid(1).unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}
