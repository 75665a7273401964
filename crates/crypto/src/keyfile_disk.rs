//! How a key file's bytes reach the disk safely, and come back only if no one else could touch them.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use zeroize::Zeroizing;

use crate::keyfile::{KeyFileError, MAX_FILE_LEN};
use crate::random;

/// Permission bits of the group and of all others.
const NOT_OWNER: u32 = 0o077;
const NOT_OWNER_WRITE: u32 = 0o022;
/// In a sticky directory only the owner of a file can replace it.
const STICKY: u32 = 0o1000;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum IfExists {
    Refuse,
    Replace,
}

/// Seconds since 1970, for the operator's eyes only.
pub(crate) fn unix_time_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> KeyFileError {
    let path = path.to_path_buf();
    move |source| KeyFileError::Io { action, path, source }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn check_directory(directory: &Path) -> Result<(), KeyFileError> {
    let mode = fs::metadata(directory).map_err(failed("look at the directory of", directory))?.mode() & 0o7777;
    if mode & NOT_OWNER_WRITE != 0 && mode & STICKY == 0 {
        return Err(KeyFileError::Directory { path: directory.to_path_buf(), mode });
    }
    Ok(())
}

/// Makes the directory of `path` (0700) unless it is there; refuses one that others can write to.
pub(crate) fn make_directory(path: &Path) -> Result<&Path, KeyFileError> {
    let directory = directory_of(path);
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed("make the directory of", path))?;
    check_directory(directory)?;
    Ok(directory)
}

/// Writes `bytes` to a temporary file beside `path`, syncs it, gives it its name and syncs the directory.
pub(crate) fn write(path: &Path, bytes: &[u8], if_exists: IfExists) -> Result<(), KeyFileError> {
    let directory = make_directory(path)?;
    if if_exists == IfExists::Refuse && path.symlink_metadata().is_ok() {
        return Err(KeyFileError::Exists(path.to_path_buf()));
    }
    let temporary = temporary_name(path)?;
    let result = write_new(&temporary, bytes)
        .map_err(failed("write", &temporary))
        .and_then(|()| publish(&temporary, path, if_exists));
    if result.is_err() {
        // The first error is the one to report; a temporary file that stays behind does no harm.
        let _ = fs::remove_file(&temporary);
    }
    result?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed("sync the directory of", path))
}

fn temporary_name(path: &Path) -> Result<PathBuf, KeyFileError> {
    let Some(file_name) = path.file_name() else {
        return Err(KeyFileError::NotAKeyFile { path: path.to_path_buf(), reason: "the path names no file" });
    };
    let mut name = OsString::from(".");
    name.push(file_name);
    name.push(format!(".{:016x}.tmp", random::u64()?));
    Ok(path.with_file_name(name))
}

fn write_new(temporary: &Path, bytes: &[u8]) -> io::Result<()> {
    // create_new follows no symbolic link.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(temporary)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn publish(temporary: &Path, path: &Path, if_exists: IfExists) -> Result<(), KeyFileError> {
    if if_exists == IfExists::Refuse {
        // A hard link, unlike a rename, never takes the place of a file that appeared in the meantime.
        match fs::hard_link(temporary, path) {
            Ok(()) => return fs::remove_file(temporary).map_err(failed("tidy up after", path)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(KeyFileError::Exists(path.to_path_buf()));
            }
            Err(_) => {} // a file system without hard links
        }
    }
    fs::rename(temporary, path).map_err(failed("rename", path))
}

/// Overwrites a file with zeros, durably, and removes it. What the file system or the disk keeps elsewhere is out of reach.
pub(crate) fn erase(path: &Path) -> Result<(), KeyFileError> {
    let len = fs::metadata(path).map_err(failed("look at", path))?.len().min(MAX_FILE_LEN as u64);
    let mut file = OpenOptions::new().write(true).open(path).map_err(failed("erase", path))?;
    file.write_all(&vec![0; len as usize]).and_then(|()| file.sync_all()).map_err(failed("erase", path))?;
    fs::remove_file(path).map_err(failed("remove", path))?;
    File::open(directory_of(path))
        .and_then(|directory| directory.sync_all())
        .map_err(failed("sync the directory of", path))
}

/// The bytes of a key file that only its owner can read.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    read_up_to(path, MAX_FILE_LEN)
}

/// The bytes of a file of at most `max_len` bytes that only its owner can read.
pub(crate) fn read_up_to(path: &Path, max_len: usize) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let refuse = |reason| KeyFileError::NotAKeyFile { path: path.to_path_buf(), reason };
    let directory = directory_of(path);
    let real = path.canonicalize().map_err(failed("find", path))?;
    let real_directory = directory.canonicalize().map_err(failed("find the directory of", path))?;
    // A link within the directory is how Kubernetes mounts secrets; a link out of it may be a trick.
    if !real.starts_with(&real_directory) {
        return Err(refuse("it is a symbolic link to another directory; put the key itself there"));
    }
    check_directory(directory)?;
    let expected = fs::symlink_metadata(&real).map_err(failed("look at", path))?;
    // Before opening, because opening a pipe would wait.
    if !expected.is_file() {
        return Err(refuse("it is not a regular file"));
    }
    let file = File::open(&real).map_err(failed("open", path))?;
    let metadata = file.metadata().map_err(failed("look at", path))?;
    if !metadata.is_file() || (metadata.dev(), metadata.ino()) != (expected.dev(), expected.ino()) {
        return Err(refuse("it changed while it was opened; try again"));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & NOT_OWNER != 0 {
        return Err(KeyFileError::Permissions { path: path.to_path_buf(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(max_len + 1));
    let limit = max_len as u64 + 1;
    file.take(limit).read_to_end(&mut bytes).map_err(failed("read", path))?;
    if bytes.len() > max_len {
        return Err(refuse("it is too long for a key file"));
    }
    Ok(bytes)
}
