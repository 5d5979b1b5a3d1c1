//! What CI runs. Each phase once, the cheapest first; the first that fails ends it.

use std::io::{BufRead, BufReader, Write};
use std::process::Command;
use std::time::Instant;

use crate::{Stopped, cargo, floors, succeed};

pub fn check() -> Result<(), Stopped> {
    let start = Instant::now();
    phase("fmt", || succeed(cargo().args(["fmt", "--all", "--check"])))?;
    phase("clippy", || succeed(cargo().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])))?;
    phase("floors", floors::floors)?;
    println!("== test");
    let test = Instant::now();
    run_tests(cargo().args(["test", "--workspace"]), || {
        let (test, all) = (test.elapsed().as_secs(), start.elapsed().as_secs());
        format!("== test took {test} s, the whole check {all} s")
    })
}

fn phase(name: &str, run: impl FnOnce() -> Result<(), Stopped>) -> Result<(), Stopped> {
    println!("== {name}");
    let start = Instant::now();
    let result = run();
    println!("== {name} took {} s", start.elapsed().as_secs());
    result.map_err(|stopped| format!("{name}: {stopped}").into())
}

/// Runs the tests and passes on what they print, both streams in their order. A log is read from its end, where cargo's
/// results should stand; so the last of them is held back until `closing`, the time taken, has been said.
fn run_tests(test: &mut Command, closing: impl FnOnce() -> String) -> Result<(), Stopped> {
    let (reader, writer) = std::io::pipe()?;
    let mut child = test.stdout(writer.try_clone()?).stderr(writer).spawn()?;
    // The command keeps the pipe's other end, without which reading would never end.
    test.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut out = std::io::stdout();
    let held = pass_on(BufReader::new(reader), &mut out)?;
    let status = child.wait()?;
    writeln!(out, "{}", closing())?;
    out.write_all(&held)?;
    out.flush()?;
    if status.success() { Ok(()) } else { Err(format!("test: cargo test failed: {status}").into()) }
}

/// Copies lines as they come, except that a result line (and blank ones after it) waits for the next line: what waits when
/// the input ends is returned.
fn pass_on(mut lines: impl BufRead, out: &mut impl Write) -> std::io::Result<Vec<u8>> {
    let mut held = Vec::new();
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let result = line.starts_with(b"test result:");
        let blank_after_result = !held.is_empty() && line.trim_ascii().is_empty();
        if !blank_after_result {
            out.write_all(&held)?;
            held.clear();
        }
        if result || blank_after_result {
            held.append(&mut line);
        } else {
            out.write_all(&line)?;
            line.clear();
        }
        out.flush()?;
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::pass_on;

    #[test]
    fn only_the_last_result_is_held_back() {
        let log = "a\ntest result: ok. 1\n\n     Running b\nb\n\ntest result: ok. 2\n\n";
        let mut out = Vec::new();
        let held = pass_on(log.as_bytes(), &mut out).unwrap();
        assert_eq!(String::from_utf8(held).unwrap(), "test result: ok. 2\n\n");
        assert_eq!(String::from_utf8(out).unwrap(), "a\ntest result: ok. 1\n\n     Running b\nb\n\n");
    }

    #[test]
    fn a_failure_ends_with_its_own_words() {
        let mut out = Vec::new();
        let held = pass_on("test result: FAILED. 1\n\nerror: 1 target failed\n".as_bytes(), &mut out).unwrap();
        assert!(held.is_empty());
        assert!(String::from_utf8(out).unwrap().ends_with("error: 1 target failed\n"));
    }
}
