//! The data folder: positioned reads and writes, and syncs that mean it.
//!
//! A quota that is used up, and a limit on the size of files (`ulimit -f`), are a full disk by another name: a caller can do the
//! same about each, so all three are [`io::ErrorKind::StorageFull`].

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FlockOperation;
use tenet_seam::{Disk, File, Open};

/// Held with `flock` while a process uses the folder; holds that process's id for the message. Core never sees it.
const LOCK_NAME: &str = "LOCK";

/// Why a data folder could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("cannot use the data folder {path}: {source}")]
    Io { path: String, source: io::Error },
    #[error(
        "the data folder {path} is in use by another process{holder}; stop it first, or choose another folder with --data"
    )]
    Locked { path: String, holder: String },
    #[error("cannot read random numbers from the operating system: {0}")]
    Entropy(io::Error),
}

pub struct DataFolder {
    root: PathBuf,
    /// Its lock ends with the process (P2).
    _lock: fs::File,
}

impl DataFolder {
    pub fn open(root: &Path) -> Result<DataFolder, FolderError> {
        let failed = |source| FolderError::Io { path: root.display().to_string(), source };
        create_durably(root).map_err(failed)?;
        let root = root.canonicalize().map_err(failed)?;
        let lock = take_lock(&root)?;
        Ok(DataFolder { root, _lock: lock })
    }

    fn resolve(&self, path: &str) -> io::Result<PathBuf> {
        let stays_inside = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        if !stays_inside || path == LOCK_NAME {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("not a path in the data folder: {path:?}"),
            ));
        }
        Ok(self.root.join(path))
    }
}

impl Disk for DataFolder {
    fn open(&self, path: &str, how: Open) -> io::Result<Arc<dyn File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(how == Open::New);
        Ok(Arc::new(FolderFile(options.open(self.resolve(path)?).map_err(as_full)?)))
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        fs::create_dir_all(self.resolve(path)?).map_err(as_full)
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.resolve(path)?)? {
            match entry?.file_name().into_string() {
                Ok(name) if path.is_empty() && name == LOCK_NAME => {}
                Ok(name) => names.push(name),
                Err(name) => {
                    let what = format!("a name that is not UTF-8 in the data folder: {name:?}");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                }
            }
        }
        names.sort();
        Ok(names)
    }

    fn exists(&self, path: &str) -> io::Result<bool> {
        self.resolve(path)?.try_exists()
    }

    fn rename(&self, source: &str, target: &str) -> io::Result<()> {
        fs::rename(self.resolve(source)?, self.resolve(target)?).map_err(as_full)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.resolve(path)?)
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        sync_folder(&self.resolve(path)?)
    }
}

struct FolderFile(fs::File);

impl File for FolderFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset).map_err(as_full)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len).map_err(as_full)
    }

    fn sync(&self) -> io::Result<()> {
        // File systems that reserve late find out here.
        self.0.sync_data().map_err(as_full)
    }
}

fn as_full(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => io::Error::new(io::ErrorKind::StorageFull, error),
        _ => error,
    }
}

/// Makes the folder and those above it, so that after a power loss either all or none of what is later synced is there.
fn create_durably(path: &Path) -> io::Result<()> {
    let above = match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    if path.is_dir() {
        // Whoever made it may have ended before its name was durable. Folders that others own need not let us look.
        return sync_folder(above).or(Ok(()));
    }
    create_durably(above)?;
    fs::create_dir(path)?;
    sync_folder(above)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

fn take_lock(root: &Path) -> Result<fs::File, FolderError> {
    let path = root.join(LOCK_NAME);
    let failed = |source| FolderError::Io { path: path.display().to_string(), source };
    let mut lock =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            // The id may be missing if the other process has only just begun: it is for people, nothing decides by it.
            let mut id = String::new();
            lock.read_to_string(&mut id).map_err(failed)?;
            let holder = if id.is_empty() { String::new() } else { format!(" (process {})", id.trim()) };
            return Err(FolderError::Locked { path: root.display().to_string(), holder });
        }
        Err(error) => return Err(failed(error.into())),
    }
    lock.set_len(0).map_err(failed)?;
    writeln!(lock, "{}", std::process::id()).map_err(failed)?;
    Ok(lock)
}
