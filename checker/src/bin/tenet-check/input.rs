//! Where histories come from: files, folders of files, standard input.
//!
//! In a folder there may be anything. What is no history is passed over, and that is said; but what must be one, by its name
//! or because there is nothing in it that could be anything else, is a complaint if it cannot be read. Links within folders
//! are not followed: Jepsen's `latest` is the same history again.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tenet_histories::{Event, Format, HistoryError, Source};

use crate::Stopped;
use crate::watch::Signals;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Stdin,
    File(PathBuf),
    /// Found in a folder: it may be something else.
    Found(PathBuf),
    /// Found in a folder, and not looked at, for this reason.
    Passed(PathBuf, &'static str),
    /// Files that are one history together.
    Folder(PathBuf),
}

/// Files deeper below a folder are not looked for.
const DEPTH_MAX: usize = 16;

/// What stands beside histories and is none.
const NO_HISTORIES: [&str; 7] = ["expected", "md", "html", "svg", "png", "toml", "rs"];

/// What Jepsen writes besides `history.edn`, by the names up to the first dot.
const BESIDE_HISTORY: [&str; 4] = ["history", "results", "test", "jepsen"];

impl Input {
    pub fn name(&self) -> String {
        match self {
            Input::Stdin => "standard input".to_string(),
            Input::File(path) | Input::Found(path) | Input::Passed(path, _) | Input::Folder(path) => {
                path.display().to_string()
            }
        }
    }

    /// Whether it must be a history: it was named, or is called as one, or there is nothing in it that could be anything else.
    pub fn must_be_history(&self) -> bool {
        let Input::Found(path) = self else { return true };
        let is_empty = path.metadata().is_ok_and(|metadata| metadata.len() == 0);
        is_empty || stem(path) == "history" || matches!(extension(path).as_str(), "edn" | "jsonl")
    }

    /// Opens it, and tells how much is read.
    pub fn open(&self, format: Option<Format>, signals: &Arc<Signals>) -> Result<Box<dyn Source>, HistoryError> {
        let name = self.name();
        let (input, total): (Box<dyn Read>, u64) = match self {
            Input::Folder(path) => return tenet_histories::open(path),
            Input::Stdin => (Box::new(std::io::stdin()), 0),
            Input::File(path) | Input::Found(path) | Input::Passed(path, _) => {
                let cannot = |source| HistoryError::Io { file: name.clone(), action: "open the history", source };
                let file = File::open(path).map_err(cannot)?;
                let total = file.metadata().map_or(0, |metadata| metadata.len());
                (Box::new(file), total)
            }
        };
        let input = BufReader::with_capacity(1 << 16, Counted { input, done: 0, total, signals: signals.clone() });
        match format {
            Some(format) => format.source(input, &name),
            None => tenet_histories::source(input, &name),
        }
    }
}

struct Counted {
    input: Box<dyn Read>,
    done: u64,
    total: u64,
    signals: Arc<Signals>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.done += count as u64;
        self.signals.reading(self.done, self.total);
        Ok(count)
    }
}

/// What the arguments name: `-` is standard input, a folder all that is in it.
pub fn inputs(paths: &[PathBuf]) -> Result<Vec<Input>, Stopped> {
    let mut inputs = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            inputs.push(Input::Stdin);
        } else if path.is_dir() {
            let before = inputs.len();
            gather(path, 0, &mut inputs)?;
            if inputs.len() == before {
                return Err(format!("{}: no histories in this folder", path.display()).into());
            }
        } else {
            inputs.push(Input::File(path.clone()));
        }
    }
    Ok(inputs)
}

fn gather(folder: &Path, depth: usize, inputs: &mut Vec<Input>) -> Result<(), Stopped> {
    let cannot = |error| format!("{}: cannot list the folder: {error}", folder.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        paths.push(entry.map_err(cannot)?.path());
    }
    paths.sort();
    let is_of_jepsen = paths.iter().any(|path| path.ends_with("history.edn"));
    if paths.iter().any(|path| is_etcd_client(path)) {
        inputs.push(Input::Folder(folder.to_path_buf()));
        return Ok(());
    }
    for path in paths {
        let is_hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        let is_beside_history = is_of_jepsen && !path.ends_with("history.edn");
        if is_hidden || NO_HISTORIES.contains(&extension(&path).as_str()) {
            continue;
        } else if path.is_symlink() {
            inputs.push(Input::Passed(path, "a link"));
        } else if path.is_dir() && depth < DEPTH_MAX {
            gather(&path, depth + 1, inputs)?;
        } else if path.is_dir() {
            inputs.push(Input::Passed(path, "too deep"));
        } else if is_beside_history && BESIDE_HISTORY.contains(&stem(&path).as_str()) {
            inputs.push(Input::Passed(path, "beside history.edn"));
        } else if path.is_file() {
            inputs.push(Input::Found(path));
        }
    }
    Ok(())
}

/// The one history of a file that was named, or of a folder with nothing else.
pub fn only(path: &PathBuf) -> Result<Input, Stopped> {
    let mut all = inputs(std::slice::from_ref(path))?;
    all.retain(|input| !matches!(input, Input::Passed(..)));
    let [input] = <[Input; 1]>::try_from(all).map_err(|all| format!("expected one history, found {}", all.len()))?;
    Ok(input)
}

/// Up to the first dot.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.split('.').next().unwrap_or_default().to_string()
}

fn extension(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase()
}

/// One of the folders of etcd's robustness tests, which are one history together.
fn is_etcd_client(path: &Path) -> bool {
    let is_client = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("client-"));
    is_client && path.join("operations.json").is_file()
}

/// Events one by one, until there are no more or it is told to stop.
pub struct Events<'s> {
    pub source: Box<dyn Source>,
    signals: &'s Signals,
    /// How many there were.
    pub count: usize,
    /// The lines of those that were taken together.
    pub lines: Vec<Option<usize>>,
    /// How the file ends, if it was cut short.
    pub truncated: Option<String>,
}

pub enum NoEvent {
    Stopped,
    Error(HistoryError),
}

impl<'s> Events<'s> {
    pub fn new(source: Box<dyn Source>, signals: &'s Signals) -> Events<'s> {
        Events { source, signals, count: 0, lines: Vec::new(), truncated: None }
    }

    pub fn next(&mut self) -> Result<Option<Event>, NoEvent> {
        if self.signals.is_stopped() {
            return Err(NoEvent::Stopped);
        }
        if self.truncated.is_some() {
            return Ok(None);
        }
        match self.source.next_event() {
            Ok(event) => {
                self.count += usize::from(event.is_some());
                Ok(event)
            }
            Err(error) if error.is_cut_short() => {
                self.truncated = Some(error.to_string());
                Ok(None)
            }
            Err(error) => Err(NoEvent::Error(error)),
        }
    }

    /// So many more, or all that are left.
    pub fn take(&mut self, count: usize) -> Result<Vec<Event>, NoEvent> {
        let mut events = Vec::new();
        while events.len() < count
            && let Some(event) = self.next()?
        {
            events.push(event);
            self.lines.push(self.source.line());
        }
        Ok(events)
    }
}
