//! Opens pages of `tenet-check --html` in a real browser: headless Chromium, without any network.
//!
//! One page of each kind is made from the corpus. Each is opened twice: as it is, for a picture in docs/; and with a script
//! at its end that uses the page as a person does (keys, search, clicks on bars and on words) and writes down what it says
//! then, which is compared with what it must say. Where there is no Chromium that is said, and nothing else happens: what
//! stands in a page is tested without it (`checker/tests/html.rs`).

use std::path::Path;
use std::process::Command;

use crate::{Stopped, cargo};

const BROWSER: &str = "chromium";

/// What it is called in docs/, the history, and what must be read after clicking.
const PAGES: &[(&str, &str, &[&str])] = &[
    (
        "cycle",
        "list-append/g_single_read_skew.jsonl",
        &["operation 0", "G-single (read skew)", "so 0 comes before 1", "key 1: 3 operations"],
    ),
    (
        "window",
        "register/new_then_old_during_write.jsonl",
        &["operation 2", "has to return, and cannot", "key 1: 3 operations"],
    ),
    (
        "valid",
        "register/unknown_write_takes_effect_late_valid.jsonl",
        &["it may have taken effect, or not", "in the order that proves it", "key 1: 4 operations"],
    ),
    ("total", "bank/lost_update_makes_money.jsonl", &["operation 2", "together 21, expected 20"]),
];

/// Uses the page; what it says then is put at its end, for [`PAGES`] to be looked for.
const CLICKS: &str = r#"<script>
(() => {
  const said = [];
  const say = (id) => said.push(document.getElementById(id).textContent);
  const key = (key) => document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  const canvas = document.getElementById("canvas");
  const click = (x, y) => {
    const at = { clientX: x, clientY: y, pointerId: 1, bubbles: true };
    canvas.setPointerCapture = () => {};
    for (const kind of ["pointermove", "pointerdown", "pointerup"]) canvas.dispatchEvent(new PointerEvent(kind, at));
  };
  say("explanation"); say("window"); say("steps");
  key("n"); say("operation");
  key("k"); say("following-title");
  key("Escape");
  // Some bar must be where the bars are.
  const box = canvas.getBoundingClientRect();
  let hits = 0;
  for (let x = box.left + 120; x < box.right; x += 20) {
    for (let y = box.top + 50; y < box.bottom - 30; y += 10) {
      click(x, y);
      if (/invoked/.test(document.getElementById("operation").textContent)) hits++;
    }
  }
  said.push(hits > 0 ? "bars were hit" : "no bar was hit");
  for (const button of document.querySelectorAll("header button")) button.click();
  const search = document.getElementById("search");
  search.value = "ok";
  search.dispatchEvent(new Event("input", { bubbles: true }));
  say("found");
  const out = document.createElement("pre");
  out.textContent = "SAID " + said.join(" | ") + " DIAS";
  document.body.append(out);
})();
</script>
"#;

pub fn browser() -> Result<(), Stopped> {
    if Command::new(BROWSER).arg("--version").output().is_err() {
        println!("browser: no `{BROWSER}` on the PATH, so no page was opened (Debian: apt install chromium)");
        return Ok(());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = std::env::temp_dir().join(format!("tenet-browser-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let done = PAGES.iter().try_for_each(|(name, history, expected)| {
        let page = folder.join(format!("{name}.html"));
        make(&root, history, &page)?;
        let clicked = folder.join(format!("{name}-clicked.html"));
        std::fs::write(&clicked, std::fs::read_to_string(&page)? + CLICKS)?;
        let text = open(&["--dump-dom"], &clicked)?;
        let said = text.split("SAID ").last().and_then(|rest| rest.split(" DIAS").next()).unwrap_or_default();
        for phrase in expected.iter().chain(&["bars were hit", "found"]) {
            if !said.contains(phrase) {
                return Err(format!("page {name}: expected `{phrase}` after clicking, it says: {said}").into());
            }
        }
        let picture = root.join("docs").join(format!("tenet-check-{name}.png"));
        open(&[&format!("--screenshot={}", picture.display()), "--window-size=1400,700"], &page)?;
        println!("page {name}: clicked, and a picture taken: docs/tenet-check-{name}.png");
        Ok(())
    });
    std::fs::remove_dir_all(&folder)?;
    done
}

/// Exit codes 0 and 1 are verdicts. The page says the history's name as it was given: from the top of the project.
fn make(root: &Path, history: &str, page: &Path) -> Result<(), Stopped> {
    let mut check = cargo();
    check.current_dir(root);
    check.args(["run", "--quiet", "--package", "tenet-checker", "--bin", "tenet-check", "--"]);
    check.arg(format!("histories/corpus/{history}")).arg("--html").arg(page);
    let output = check.output().map_err(|error| format!("cannot run {check:?}: {error}"))?;
    match output.status.code() {
        Some(0 | 1) if page.exists() => Ok(()),
        _ => Err(format!("{check:?} failed: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// What the browser prints. Names are resolved nowhere: a page that asks for anything outside gets nothing.
fn open(how: &[&str], page: &Path) -> Result<String, Stopped> {
    let mut browser = Command::new(BROWSER);
    browser
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
        .args(["--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=5000"])
        .args(["--no-first-run", "--disable-quic", "--disable-sync"])
        .args(["--disable-background-networking", "--disable-component-update"])
        .arg(format!("--user-data-dir={}", page.with_extension("profile").display()))
        .args(how)
        .arg(format!("file://{}", page.display()));
    let output = browser.output().map_err(|error| format!("cannot run {browser:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{browser:?} failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
