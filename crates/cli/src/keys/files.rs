//! Files in and out of key operations: streams, and results that appear only when they are complete.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};

/// Bytes of the longest signature file that is read.
const MAX_SIGNATURE_FILE: u64 = 128 * 1024;

/// Where the data comes from; `-` is standard input.
pub(super) fn source(path: &Path) -> Outcome<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(std::io::stdin().lock()));
    }
    let file = File::open(path);
    file.map(|file| Box::new(file) as Box<dyn Read>).map_err(|error| cannot("read", path, &error))
}

/// A short file.
pub(super) fn read_bounded(path: &Path) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_SIGNATURE_FILE + 1).read_to_end(&mut bytes));
    read.map_err(|error| cannot("read", path, &error))?;
    if bytes.len() as u64 > MAX_SIGNATURE_FILE {
        return Err(Failure::failed(format!("{} is too long for a signature", path.display())));
    }
    Ok(bytes)
}

/// Runs `act` from `input` to `out`. A file at `out` is made with mode 0600 and appears, synced, only if `act` succeeds; it never
/// replaces one that is there.
pub(super) fn through<T>(
    input: &Path,
    out: &Path,
    act: impl FnOnce(&mut Box<dyn Read>, &mut Box<dyn Write>) -> Outcome<T>,
) -> Outcome<T> {
    let mut source = source(input)?;
    if out == Path::new("-") {
        let mut target: Box<dyn Write> = Box::new(std::io::stdout().lock());
        let done = act(&mut source, &mut target)?;
        target.flush()?;
        return Ok(done);
    }
    refuse_existing(out)?;
    let part = part_of(out);
    let file = create(&part)?;
    let mut target: Box<dyn Write> = Box::new(file.try_clone().map_err(|error| cannot("write", out, &error))?);
    let done = act(&mut source, &mut target).and_then(|done| {
        file.sync_all().and_then(|()| std::fs::hard_link(&part, out)).map_err(|error| cannot("write", out, &error))?;
        Ok(done)
    });
    // Either it has its name by now, or it must go.
    let _ = std::fs::remove_file(&part);
    done
}

/// Writes a new file of mode 0600, or standard output for `-`.
pub(super) fn write_private(out: &Path, bytes: &[u8]) -> Outcome {
    if out == Path::new("-") {
        let mut stdout = std::io::stdout().lock();
        return Ok(stdout.write_all(bytes).and_then(|()| stdout.flush())?);
    }
    refuse_existing(out)?;
    let mut file = create(out)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| cannot("write", out, &error))
}

fn refuse_existing(out: &Path) -> Outcome {
    if out.symlink_metadata().is_ok() {
        return Err(Failure::failed(format!("{} exists already: nothing is overwritten", out.display())));
    }
    Ok(())
}

fn create(path: &Path) -> Outcome<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.map_err(|error| cannot("write", path, &error))
}

fn part_of(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    PathBuf::from(name)
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot {what} {}: {error}", path.display()))
}
