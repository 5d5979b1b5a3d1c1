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
