//! The command as people run it: what it prints, word for word, and its exit codes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value as Json;
use tenet_checker::generate;
use tenet_histories::{Format, Value, WriteOptions, write_as};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../histories/corpus")
}

/// In the corpus's folder, so that what is printed does not depend on where that is.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tenet-check"));
    command.args(arguments).current_dir(corpus()).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn run_with(arguments: &[&str], input: &str) -> Output {
    let mut child =
        command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may have refused its arguments before it read anything.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    child.wait_with_output().unwrap()
}

/// Exit code, standard output, standard error.
fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let code = output.status.code().unwrap();
    let mut told = format!("exit {code}\n");
    for (name, text) in [("out", out), ("err", err)] {
        text.lines().for_each(|line| told.push_str(&format!("{name} | {line}\n")));
    }
    told
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

const REGISTER: &str = "\
{:type :invoke, :f :write, :value 1, :process 0}
{:type :ok, :f :write, :value 1, :process 0}
{:type :invoke, :f :read, :value nil, :process 1}
{:type :ok, :f :read, :value 1, :process 1}
";

fn stale() -> String {
    REGISTER.replace(":ok, :f :read, :value 1", ":ok, :f :read, :value 2")
}

#[test]
fn each_verdict_has_its_words_and_its_code() {
    insta::assert_snapshot!("register_invalid", told(&run(&["register/read_of_overwritten_value.jsonl"])));
    insta::assert_snapshot!("register_valid", told(&run(&["register/keys_are_independent_valid.jsonl"])));
    insta::assert_snapshot!("cycle", told(&run(&["list-append/g_single_read_skew.jsonl"])));
    insta::assert_snapshot!(
        "valid_at_a_lower_level",
        told(&run(&["list-append/g2_write_skew.jsonl", "--level", "snapshot-isolation"]))
    );
    insta::assert_snapshot!("bank", told(&run(&["bank/lost_update_makes_money.jsonl"])));
    insta::assert_snapshot!("alarm", told(&run(&["register/alarm_internal_error.jsonl"])));
    insta::assert_snapshot!("timestamps", told(&run(&["list-append/timestamps_commit_twice.jsonl"])));
    insta::assert_snapshot!("json", told(&run(&["register/read_of_overwritten_value.jsonl", "--json"])));
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    let broken = format!("{REGISTER}{{:type :invoke, :f :read, :process 1x}}\n{REGISTER}");
    insta::assert_snapshot!("bad_line", told(&run_with(&[], &broken)));
    let cut = &REGISTER[..REGISTER.len() - 12];
    insta::assert_snapshot!("cut_short", told(&run_with(&[], cut)));
    insta::assert_snapshot!("cut_short_at_once", told(&run_with(&[], &REGISTER[..30])));
    insta::assert_snapshot!("no_history", told(&run_with(&[], "hello\n")));
    insta::assert_snapshot!("no_file", told(&run(&["no_such_file.edn"])));
    let unpaired = ":process 1, :type :ok, :f :read, :value 1";
    insta::assert_snapshot!("unpaired", told(&run_with(&["--model", "register"], &format!("{{{unpaired}}}\n"))));
}

#[test]
fn models_are_recognised_or_refused_with_the_candidates() {
    let queue = "{:type :invoke, :f :enqueue, :value 1, :process 0}\n{:type :ok, :f :enqueue, :value 1, :process 0}\n";
    insta::assert_snapshot!("ambiguous_model", told(&run_with(&[], queue)));
    assert_eq!(code(&run_with(&["--model", "queue"], queue)), 0);
    insta::assert_snapshot!("strange_functions", told(&run_with(&[], &queue.replace("enqueue", "fly"))));
    insta::assert_snapshot!("no_such_model", told(&run_with(&["--model", "registers"], REGISTER)));
    insta::assert_snapshot!("level_of_a_register", told(&run_with(&["--level", "serializable"], REGISTER)));
    assert_eq!(code(&run_with(&["--level", "very-isolated"], REGISTER)), 2);
}

/// Jepsen's `independent`: a completion repeats its pair, or has the answer in it.
#[test]
fn values_in_pairs_with_their_keys_are_judged_key_by_key() {
    let text = |read: &str| {
        format!(
            "{{:type :invoke, :f :write, :value [1 5], :process 0}}
{{:type :ok, :f :write, :value [1 5], :process 0}}
{{:type :invoke, :f :read, :value [1 nil], :process 1}}
{{:type :ok, :f :read, :value {read}, :process 1}}
"
        )
    };
    assert_eq!(code(&run_with(&[], &text("[1 5]"))), 0);
    // Here the whole answer repeats what was asked: it read nil.
    assert_eq!(code(&run_with(&[], &text("[1 nil]"))), 1);
    assert_eq!(code(&run_with(&[], &text("[2 5]"))), 2);
    let add = "{:type :invoke, :f :add, :value [1 5], :process 0}\n{:type :ok, :f :add, :value [1 5], :process 0}\n";
    let read = |read: &str| {
        format!(
            "{{:type :invoke, :f :read, :value [1 nil], :process 1}}\n{{:type :ok, :f :read, :value {read}, :process 1}}\n"
        )
    };
    let full = ["--model", "set-full"];
    assert_eq!(code(&run_with(&full, &format!("{add}{}{}", read("[1 #{5}]"), read("[1 #{5}]")))), 0);
    assert_eq!(code(&run_with(&full, &format!("{add}{}{}", read("[1 #{5}]"), read("[1 #{}]")))), 1);
    assert_eq!(code(&run_with(&full, &format!("{add}{}", read("[2 #{5}]")))), 2);
    assert_eq!(code(&run_with(&full, &format!("{add}{}", read("5")))), 2);
}

/// What nobody heeds is refused, not passed over.
#[test]
fn facts_have_names_and_kinds() {
    let set = "set-full/added_and_read_valid.jsonl";
    let bank = "bank/transfers_valid.jsonl";
    let refused = |arguments: &[&str], expected: &str| {
        let out = run(arguments);
        assert_eq!(code(&out), 2, "{}", told(&out));
        assert!(told(&out).contains(expected), "{}", told(&out));
    };
    let known = "model set-full has no fact `linearisable`, expected one of linearizable, pairs, real_time";
    refused(&[set, "--fact", "linearisable=true"], known);
    refused(&[set, "--fact", "linearizable=yes"], "fact linearizable: \"yes\", expected true or false");
    refused(&[bank, "--fact", "total=abc"], "fact total: \"abc\", expected a whole number");
    let named = ["leases/lease_run_out_valid.jsonl"];
    refused(
        &[&named[..], &["--fact", "lease_ns=5ms"]].concat(),
        "fact lease_ns: \"5ms\", expected a whole number from 0",
    );
    refused(&[&named[..], &["--fact", "lease_ns=-5"]].concat(), "fact lease_ns: -5, expected a whole number from 0");
    assert_eq!(code(&run(&[set, "--fact", "linearizable=true"])), 0);
    // The same of a header, but that it may have facts of which nobody knows.
    let headed = |facts: &str| {
        let add = r#"{"time_ns":1,"type":"invoke","process":0,"f":"add","value":1}"#;
        format!("{{\"tenet-history\":2,\"workload\":\"set-full\",\"facts\":{{{facts}}}}}\n{add}\n")
    };
    assert_eq!(code(&run_with(&[], &headed(r#""linearizable":1"#))), 2);
    assert_eq!(code(&run_with(&[], &headed(r#""linearizable":true,"color":"red""#))), 0);
    // A wrong kind does not make another model the only candidate.
    let counter = ["--fact", "initial=abc"];
    let add = "{:type :invoke, :f :inc, :value 1, :process 0}\n";
    assert_eq!(code(&run_with(&counter, add)), 2);
}

/// Sessions that share no time.
#[test]
fn without_real_time_nothing_is_said_of_it() {
    let polysi = "w(1,1,0,0)\nr(1,0,1,1)\n";
    let out = run_with(&[], polysi);
    assert!(told(&out).contains("(rw-register at strong-session-serializable, 2 operations)"), "{}", told(&out));
    let out = run_with(&["--model", "multi-register"], polysi);
    assert_eq!(code(&out), 2, "{}", told(&out));
    assert!(told(&out).contains("model multi-register needs the order of operations in real time"), "{}", told(&out));
    assert!(told(&out).contains("judge it by list-append, rw-register, "), "{}", told(&out));
    assert_eq!(code(&run_with(&["--model", "staleness", "--fact", "versions_max=1"], polysi)), 2);
    let out = run_with(&["--level", "strict-serializable"], polysi);
    assert_eq!(code(&out), 2, "{}", told(&out));
    assert!(told(&out).contains("judge it by strong-session-serializable or a weaker level"), "{}", told(&out));
    assert_eq!(code(&run_with(&["--level", "serializable"], polysi)), 0);
    // In the order of its lines the read is stale.
    assert_eq!(code(&run_with(&["--fact", "real_time=true"], polysi)), 1);
}

#[test]
fn a_guess_is_said_where_something_else_may_be_meant() {
    let lock = "{:type :invoke, :f :acquire, :process 0}\n{:type :ok, :f :acquire, :value TOKEN, :process 0}
{:type :invoke, :f :release, :process 0}\n{:type :ok, :f :release, :process 0}
{:type :invoke, :f :acquire, :process 1}\n{:type :ok, :f :acquire, :value TOKEN, :process 1}\n";
    let out = run_with(&[], &lock.replace("TOKEN", "5"));
    assert_eq!(code(&out), 2, "{}", told(&out));
    assert!(told(&out).contains("could be any of the models mutex, fenced-mutex: say which"), "{}", told(&out));
    assert_eq!(code(&run_with(&["--model", "fenced-mutex"], &lock.replace("TOKEN", "5"))), 1);
    assert_eq!(code(&run_with(&[], &lock.replace("TOKEN", "nil"))), 0);
    let set = "{:type :invoke, :f :add, :value 1, :process 0}\n{:type :ok, :f :add, :value 1, :process 0}
{:type :invoke, :f :read, :process 0}\n{:type :ok, :f :read, :value #{1}, :process 0}\n";
    let line = "judged as set, which was guessed; set-full judges another promise over the same operations";
    assert!(told(&run_with(&[], set)).contains(line), "{}", told(&run_with(&[], set)));
    let json = |arguments: &[&str]| {
        let out = run_with(&[arguments, &["--json"]].concat(), set);
        serde_json::from_slice::<Json>(&out.stdout).unwrap()
    };
    assert_eq!(json(&[])["guessed"], true);
    assert!(json(&["--model", "set"])["guessed"].is_null());
    assert!(!told(&run_with(&["--model", "set"], set)).contains("guessed"));
}

/// A complaint about the order of events says where to look.
#[test]
fn operations_that_do_not_pair_have_a_line() {
    let invoke = "{:type :invoke, :f :read, :process 0}";
    for (text, line) in [
        (format!("{invoke}\n\n; again\n{invoke}\n"), 4),
        (format!("{}{{:type :ok, :f :read, :process 7}}\n", REGISTER.repeat(600)), 2401),
    ] {
        let out = run_with(&["--model", "register"], &text);
        assert_eq!(code(&out), 2, "{}", told(&out));
        assert!(told(&out).contains(&format!("standard input:{line}: cannot be read as register")), "{}", told(&out));
    }
    let other = format!("{invoke}\n{{:type :ok, :f :write, :value 1, :process 0}}\n");
    let out = run_with(&[], &other);
    assert_eq!(code(&out), 2);
    assert!(
        told(&out).contains("standard input:2:16: the completion of a write, expected that of the read"),
        "{}",
        told(&out)
    );
}

/// By timestamps alone: transactions that read what was committed at their snapshots, in a stream.
#[test]
fn timestamps_alone_can_be_judged() {
    let transaction = |number: u64, read: u64| {
        let (time, before) = (number * 10, number - 1);
        format!(
            r#"{{"time_ns":{time},"type":"invoke","process":0,"f":"txn","value":[["r","x",null],["w","x",{number}]]}}
{{"time_ns":{time},"type":"ok","process":0,"value":[["r","x",{read}],["w","x",{number}]],"read_timestamp":{before},"commit_timestamp":{number}}}
"#
        )
    };
    let history = |stale: u64| {
        let transactions = (2..3000).map(|number| transaction(number, if number == stale { 1 } else { number - 1 }));
        let header = "{\"tenet-history\":2,\"workload\":\"\",\"facts\":{\"initial\":1}}\n".to_string();
        header + &transactions.collect::<String>()
    };
    let named = ["--model", "stamped", "--level", "snapshot-isolation"];
    let out = run_with(&named, &history(0));
    assert!(
        told(&out).contains("valid: standard input (stamped at snapshot-isolation, 2998 operations)"),
        "{}",
        told(&out)
    );
    let out = run_with(&named, &history(2500));
    assert_eq!(code(&out), 1, "{}", told(&out));
    assert!(told(&out).contains("timestamps: "), "{}", told(&out));
    assert_eq!(code(&run_with(&["--model", "stamped", "--fact", "lag=-1"], &history(0))), 2);
    let minimized = run_with(&[&["minimize", "-"], &named[..]].concat(), &history(2500));
    assert_eq!(code(&minimized), 0, "{}", told(&minimized));
    // Without any there is nothing to go by.
    let out = run_with(&["--model", "stamped", "list-append/serial_valid.jsonl"], "");
    assert_eq!(code(&out), 3, "{}", told(&out));
}

#[test]
fn a_valid_history_has_its_order_for_machines() {
    let json: Json = serde_json::from_slice(&run_with(&["--json"], REGISTER).stdout).unwrap();
    assert_eq!(json["order"], serde_json::json!([{ "part": "", "operations": [0, 1] }]));
}

#[test]
fn the_first_value_can_be_given() {
    let read = "{:type :invoke, :f :read, :value nil, :process 1}\n{:type :ok, :f :read, :value 7, :process 1}\n";
    assert_eq!(code(&run_with(&["--model", "register"], read)), 1);
    assert_eq!(code(&run_with(&["--model", "register", "--init", "7"], read)), 0);
    let porcupine = "formats/porcupine-kv/three_clients.txt";
    // In Porcupine's model each text is empty at first.
    assert_eq!(code(&run(&[porcupine])), 0);
    assert_eq!(code(&run(&[porcupine, "--init", "x"])), 1);
}

#[test]
fn exit_codes_of_several_are_that_of_the_gravest() {
    let valid = "register/write_then_read_valid.jsonl";
    let invalid = "register/row_gone.jsonl";
    assert_eq!(code(&run(&[valid, valid])), 0);
    assert_eq!(code(&run(&[valid, invalid, "nowhere"])), 1);
    assert_eq!(code(&run(&[valid, "nowhere"])), 2);
    assert_eq!(code(&run_with(&[valid, "-", "--timeout", "300ms"], &endless())), 3);
    insta::assert_snapshot!(
        "table",
        told(&run(&["predicate-skew", "bank/lost_update_makes_money.jsonl", "README.md"]))
    );
    // In a folder there may be anything; what is named must be a history.
    assert_eq!(code(&run(&["predicate-skew/one_row_a_group_valid.jsonl"])), 0);
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(code(&run(&[empty.path().to_str().unwrap()])), 2);
    std::fs::write(empty.path().join("notes"), "no history").unwrap();
    std::fs::copy(corpus().join(valid), empty.path().join("one")).unwrap();
    assert_eq!(code(&run(&[empty.path().to_str().unwrap()])), 0);
}

/// What in a folder is no history is said; what must be one is a complaint.
#[test]
fn nothing_in_a_folder_is_passed_over_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let judge = || run(&[folder.path().to_str().unwrap()]);
    std::fs::write(path("good.edn"), REGISTER).unwrap();
    std::fs::write(path("notes"), "no history").unwrap();
    std::fs::write(path("old.edn.gz"), b"\x1f\x8b\x08\x00\x00").unwrap();
    std::fs::write(path("README.md"), "nobody takes this for a history").unwrap();
    let out = judge();
    assert_eq!(code(&out), 0, "{}", told(&out));
    assert!(told(&out).contains("not judged: 2 in folders: "), "{}", told(&out));
    assert!(told(&out).contains("notes (a file that begins with \"no history\"), "), "{}", told(&out));
    assert!(told(&out).contains("old.edn.gz (a file packed by gzip (unpack it first))"), "{}", told(&out));
    // These must be histories.
    for (name, text) in [("empty", ""), ("history.bin", "junk"), ("some.jsonl", "junk"), ("other.edn", "junk")] {
        std::fs::write(path(name), text).unwrap();
        assert_eq!(code(&judge()), 2, "{name}: {}", told(&judge()));
        std::fs::remove_file(path(name)).unwrap();
    }
    // A byte order mark is no part of it.
    std::fs::write(path("marked.edn"), format!("\u{feff}{}", stale())).unwrap();
    assert_eq!(code(&judge()), 1, "{}", told(&judge()));
}

#[cfg(unix)]
#[test]
fn what_jepsen_stores_beside_a_history_is_judged_once() {
    let folder = tempfile::tempdir().unwrap();
    let run_of = folder.path().join("etcd/20260101T000000");
    std::fs::create_dir_all(&run_of).unwrap();
    std::os::unix::fs::symlink("20260101T000000", folder.path().join("etcd/latest")).unwrap();
    std::os::unix::fs::symlink("etcd/20260101T000000", folder.path().join("latest")).unwrap();
    std::fs::write(run_of.join("history.edn"), REGISTER).unwrap();
    std::fs::write(run_of.join("history.txt"), "0\t:invoke\t:write\t1\n").unwrap();
    std::fs::write(run_of.join("results.edn"), "{:valid? true}\n").unwrap();
    std::fs::write(run_of.join("test.fressian"), "").unwrap();
    let log = "INFO  [jepsen worker 0] jepsen.util: 0\t:invoke\t:write\t1\n";
    std::fs::write(run_of.join("jepsen.log"), log).unwrap();
    let out = run(&[folder.path().to_str().unwrap(), "--json"]);
    assert_eq!(code(&out), 0, "{}", told(&out));
    assert_eq!(String::from_utf8_lossy(&out.stdout).lines().count(), 1);
    assert!(told(&out).contains("not judged: 6 in folders: "), "{}", told(&out));
    // Whoever names a link means it.
    assert_eq!(code(&run(&[folder.path().join("latest").to_str().unwrap()])), 0);
    let minimized = run(&["minimize", folder.path().to_str().unwrap()]);
    assert!(told(&minimized).contains("valid, so that"), "{}", told(&minimized));
}

/// Tens of thousands of writes at a time, and a read that none of them explains: no search comes to an end.
fn endless() -> String {
    let mut text = String::new();
    for process in 0..40 {
        text.push_str(&format!("{{:type :invoke, :f :add, :value {}, :process {process}}}\n", 1i64 << (process % 30)));
    }
    text.push_str(
        "{:type :invoke, :f :read, :value nil, :process 99}\n{:type :ok, :f :read, :value 999999999999, :process 99}\n",
    );
    text
}

#[test]
fn limits_end_in_unknown() {
    let out = run_with(&["--model", "counter", "--timeout", "300ms"], &endless());
    assert_eq!(code(&out), 3, "{}", told(&out));
    assert!(told(&out).contains("unknown: standard input"), "{}", told(&out));
    assert!(told(&out).contains("the time of 300ms is over"), "{}", told(&out));
    let out = run_with(&["--model", "counter", "--memory", "1M"], &endless());
    assert_eq!(code(&out), 3, "{}", told(&out));
    assert!(told(&out).contains("memory"), "{}", told(&out));
}

/// What was read is drawn, whoever ended the check.
#[test]
fn an_unknown_history_has_a_page_too() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    let name = page.to_str().unwrap();
    for limit in [["--timeout", "300ms"], ["--memory", "1M"], ["--timeout", "1ms"]] {
        let out = run_with(&[&["--model", "counter", "--html", name], &limit[..]].concat(), &endless());
        assert_eq!(code(&out), 3, "{}", told(&out));
        let text = std::fs::read_to_string(&page).unwrap();
        assert!(text.contains("unknown") && text.ends_with("</html>\n"));
        // In a millisecond nothing may have been read.
        assert!(text.contains("999999999999") || limit != ["--timeout", "300ms"]);
        std::fs::remove_file(&page).unwrap();
    }
}

#[test]
fn options_that_mean_nothing_are_refused() {
    assert_eq!(code(&run_with(&["--jobs", "0"], REGISTER)), 2);
    let version = run(&["--version"]);
    assert_eq!(String::from_utf8_lossy(&version.stdout), format!("tenet-check {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn json_has_an_object_for_each_history() {
    let out = run(&["predicate-skew", "--json"]);
    let text = String::from_utf8(out.stdout).unwrap();
    let all: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let files = std::fs::read_dir(corpus().join("predicate-skew")).unwrap();
    let files = files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|of| of == "jsonl"));
    assert_eq!(all.len(), files.count());
    assert!(all.iter().any(|one| one["verdict"] == "valid" && one["explanation"].is_null()));
    assert!(all.iter().filter(|one| one["verdict"] == "INVALID").all(|one| one["explanation"].is_string()));
}

#[test]
fn html_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("page.html");
    let name = path.to_str().unwrap();
    assert_eq!(code(&run(&["list-append/g0_write_cycle.jsonl", "--html", name])), 1);
    let page = std::fs::read_to_string(&path).unwrap();
    assert!(page.contains("G0 (write cycle)") && page.ends_with("</html>\n"));
    assert_eq!(code(&run(&["bank", "--html", name])), 2);
    let nowhere = folder.path().join("nowhere/page.html");
    assert_eq!(code(&run(&["bank/transfers_valid.jsonl", "--html", nowhere.to_str().unwrap()])), 2);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn minimize_keeps_the_anomaly_and_nothing_else() {
    insta::assert_snapshot!(
        "minimize",
        told(&run(&["minimize", "list-append/g_single_realtime_past_a_bystander.jsonl"]))
    );
    assert_eq!(code(&run(&["minimize", "register/write_then_read_valid.jsonl"])), 2);
    // A read of what nobody wrote is another anomaly: the write that was read stays.
    let stale_read = "register/read_of_overwritten_value.jsonl";
    let out = run(&["minimize", stale_read]);
    assert_eq!(String::from_utf8(out.stdout).unwrap().lines().count(), 1 + 6);
    let never_written = run_with(&["minimize", "-"], &stale());
    assert_eq!(String::from_utf8(never_written.stdout).unwrap().lines().count(), 1 + 2);
}

/// Of every invalid history of the corpus, whatever its model: without any single operation it is valid, or something else
/// is wrong with it.
#[test]
fn minimize_is_minimal_for_every_model() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("part.jsonl");
    let mut count = 0;
    for family in std::fs::read_dir(corpus()).unwrap() {
        let family = family.unwrap().path();
        // What formats can say is no anomaly; lists are minimized without the command (tests/minimize.rs).
        if !family.is_dir() || family.ends_with("formats") || family.ends_with("list-append") {
            continue;
        }
        for entry in std::fs::read_dir(family).unwrap() {
            let path = entry.unwrap().path();
            let name = path.to_str().unwrap();
            if path.extension().is_none_or(|extension| extension != "jsonl") || anomaly(&path).is_none() {
                continue;
            }
            let out = run(&["minimize", name, "-o", file.to_str().unwrap()]);
            if code(&out) == 2 {
                assert!(told(&out).contains("is not about operations alone"), "{}", told(&out));
                continue;
            }
            assert_eq!(code(&out), 0, "{name}: {}", told(&out));
            let wanted = anomaly(&path);
            assert_eq!(anomaly(&file), wanted, "{name}");
            let minimal = tenet_histories::read_file(&file).unwrap().history;
            for gone in minimal.operations().unwrap() {
                let completed = gone.completed.map(|completed| completed.event);
                let mut part = minimal.clone();
                let mut position = 0;
                part.events.retain(|_| {
                    position += 1;
                    position - 1 != gone.invoke_event && Some(position - 1) != completed
                });
                let smaller = folder.path().join("smaller.jsonl");
                tenet_histories::write_file(&part, &smaller).unwrap();
                assert_ne!(anomaly(&smaller), wanted, "{name}: operation {} could go", gone.index);
            }
            count += 1;
        }
    }
    assert!(count >= 10, "only {count} histories");
}

fn anomaly(path: &Path) -> Option<String> {
    let out = run(&[path.to_str().unwrap(), "--json"]);
    let json: Json = serde_json::from_slice(&out.stdout).unwrap_or_default();
    json["anomaly"].as_str().map(str::to_string)
}

#[test]
fn convert_loses_nothing_that_it_was_not_told_to() {
    let source = "list-append/g1c_circular_information_flow.jsonl";
    let out = run(&["convert", source, "--to", "jepsen-edn"]);
    assert_eq!(code(&out), 0);
    let edn = String::from_utf8(out.stdout).unwrap();
    assert!(edn.contains(":f :txn"));
    assert_eq!(code(&run_with(&[], &edn)), 1);
    insta::assert_snapshot!("refused_conversion", told(&run(&["convert", source, "--to", "jepsen-log"])));
    assert_eq!(code(&run(&["convert", source, "--to", "jepsen-log", "--lose", "header,time"])), 0);
    assert_eq!(code(&run(&["convert", source, "--to", "jepsen-log", "--lose", "everything"])), 2);
    // What was refused leaves nothing behind.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.log");
    assert_eq!(code(&run(&["convert", source, "--to", "jepsen-log", "-o", path.to_str().unwrap()])), 2);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn generated_histories_have_the_verdict_that_was_asked_for() {
    for (model, of) in [("list-append", generate::Model::Lists), ("rw-register", generate::Model::Registers)] {
        for name in generate::names(of) {
            let out = run(&["generate", "--model", model, "--anomaly", name, "--txns", "200", "--seed", "7"]);
            assert_eq!(code(&out), 0, "{}", told(&out));
            let text = String::from_utf8(out.stdout).unwrap();
            let json: Json = serde_json::from_slice(&run_with(&["--json"], &text).stdout).unwrap();
            assert_eq!(json["verdict"], "INVALID", "{model} {name}");
        }
        let valid = run(&["generate", "--model", model, "--txns", "200"]);
        assert_eq!(valid.stdout, run(&["generate", "--model", model, "--txns", "200"]).stdout);
        assert_eq!(code(&run_with(&[], std::str::from_utf8(&valid.stdout).unwrap())), 0);
    }
    insta::assert_snapshot!("no_such_anomaly", told(&run(&["generate", "--anomaly", "G3"])));
}

/// Transactions are judged while they are read, unless they are drawn afterwards.
#[test]
fn what_is_judged_while_it_is_read_gets_the_same_words() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    let mut count = 0;
    for entry in std::fs::read_dir(corpus().join("list-append")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let name = path.to_str().unwrap();
            let whole = run(&[name, "--html", page.to_str().unwrap()]);
            assert_eq!(told(&run(&[name])), told(&whole));
            count += 1;
        }
    }
    assert!(count > 30, "only {count}");
}

/// The same history in each format that can say it gives the same verdict.
#[test]
fn formats_are_recognised_and_do_not_change_the_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let mut formats = 0;
    for source in ["list-append/g_single_lost_update.jsonl", "register/read_of_overwritten_value.jsonl"] {
        let mut history = tenet_histories::read_file(&corpus().join(source)).unwrap().history;
        history.header.facts.insert("initial".to_string(), Value::Nil);
        for format in Format::ALL {
            let losses = vec![tenet_histories::Loss::Header, tenet_histories::Loss::Time];
            let options = WriteOptions { losses, concurrency: Some(10) };
            let path = folder.path().join(format.name());
            let mut text = Vec::new();
            if write_as(&history, format, &mut text, "here", &options).is_err() {
                continue;
            }
            std::fs::write(&path, text).unwrap();
            let out = run(&[path.to_str().unwrap(), "--init", "nil"]);
            assert_eq!(code(&out), 1, "{format}: {}", told(&out));
            formats += 1;
        }
    }
    assert!(formats >= 8, "only {formats}");
}
