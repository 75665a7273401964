//! Opens the directory of a durable store: makes it, or checks everything that it holds.

use crate::StoreError;
use crate::fjall_store::StoreOptions;
use crate::format::{self, Format, hex};
use crate::journal;
use crate::lock::Lock;
use crate::marker::Markers;
use crate::watermark::{self, Watermark};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Keyspace of the markers; table names cannot begin with an underscore.
const MARKER_TABLE: &str = "_marker";
/// Recent markers held in memory, bytes.
const MARKER_MEMTABLE_BYTES: u64 = 1 << 20;
/// Folder of the library inside the store's directory.
const DATA: &str = "data";
/// Exists while a store is being made, so that a crash then is no damage.
const CREATING: &str = "CREATING";
/// Least bound on journals that the library takes.
const MIN_JOURNAL_BYTES: u64 = 64 << 20;
/// Target size of a file of large values: small, so that pruned blocks give their space back soon.
const LARGE_FILE_BYTES: u64 = 16 << 20;
/// Cached file handles (the library wants at least 10).
const CACHED_FILES: usize = 64;

/// An open store.
pub(crate) struct Opened {
    /// The store's random name.
    pub id: String,
    pub lock: Lock,
    pub db: Database,
    pub marker_table: Keyspace,
    pub tables: Vec<Keyspace>,
    pub markers: Markers,
    pub watermark: Watermark,
    /// The latest commit, flushed.
    pub counter: u64,
}

/// Opens the store in `dir`, or makes it.
pub(crate) fn open(dir: &Path, names: &[&str], options: &StoreOptions) -> Result<Opened, StoreError> {
    format::check_tables(names)?;
    if options.journal_bytes < MIN_JOURNAL_BYTES {
        return Err(StoreError::BadOptions { what: format!("journal_bytes is less than {MIN_JOURNAL_BYTES}") });
    }
    fs::create_dir_all(dir).map_err(|e| StoreError::opening(dir, e))?;
    let lock = Lock::acquire(dir)?;
    match Format::read(dir)? {
        None => create(dir, lock, names, options),
        Some(format) if format.network == options.network => recover(dir, lock, names, options, format),
        Some(format) => {
            let (expected, found) = (hex(&options.network), hex(&format.network));
            Err(StoreError::OtherNetwork { dir: dir.to_owned(), expected, found })
        }
    }
}

fn create(dir: &Path, lock: Lock, names: &[&str], options: &StoreOptions) -> Result<Opened, StoreError> {
    let io = |e| StoreError::opening(dir, e);
    let (data, creating) = (dir.join(DATA), dir.join(CREATING));
    if creating.try_exists().map_err(io)? {
        if data.try_exists().map_err(io)? {
            fs::remove_dir_all(&data).map_err(io)?;
        }
    } else if data.try_exists().map_err(io)? || dir.join(watermark::FILE).try_exists().map_err(io)? {
        return Err(StoreError::damaged(dir, format!("its file `{}` is missing", format::FILE)));
    }
    fs::File::create(&creating).and_then(|f| f.sync_all()).map_err(io)?;
    format::sync_dir(dir).map_err(io)?;

    let format = Format::new(&options.network, names);
    let (db, (marker_table, tables)) = guarded(dir, || {
        let db = open_database(&data, options)?;
        let tables = open_tables(&db, names, options)?;
        Ok((db, tables))
    })?;
    let watermark = Watermark::create(dir).map_err(io)?;
    format.write(dir).map_err(io)?;
    fs::remove_file(&creating).map_err(io)?;
    format::sync_dir(dir).map_err(io)?;
    let markers = Markers::new(&format.store_id);
    Ok(Opened { id: hex(&format.store_id), lock, db, marker_table, tables, markers, watermark, counter: 0 })
}

fn recover(
    dir: &Path,
    lock: Lock,
    names: &[&str],
    options: &StoreOptions,
    mut format: Format,
) -> Result<Opened, StoreError> {
    let io = |e| StoreError::opening(dir, e);
    let damaged = |what: String| StoreError::damaged(dir, what);
    let creating = dir.join(CREATING);
    if creating.try_exists().map_err(io)? {
        fs::remove_file(&creating).map_err(io)?;
    }
    let (watermark, flushed) = Watermark::open(dir)?;
    let data = dir.join(DATA);
    // Without this file the library would make a new, empty database.
    if !data.join("version").try_exists().map_err(io)? {
        return Err(damaged(format!("its folder `{DATA}` is missing or incomplete")));
    }
    let markers = Markers::new(&format.store_id);
    let audit = journal::audit(dir, &data, &markers, flushed)?;
    if audit.flushed > flushed {
        // Kept before anything is cut, so that the next opening knows it too.
        watermark.set(audit.flushed).and_then(|()| watermark.sync()).map_err(io)?;
    }
    audit.cut_torn_tail().map_err(io)?;

    let (db, (marker_table, tables)) = guarded(dir, || {
        let db = open_database(&data, options)?;
        let present = db.list_keyspace_names();
        for name in format.tables.iter().map(String::as_str).chain([MARKER_TABLE]) {
            if !present.iter().any(|p| &**p == name) {
                return Err(Refusal::Damaged(format!("its table {name} is missing")));
            }
        }
        let tables = open_tables(&db, names, options)?;
        Ok((db, tables))
    })?;

    let found = marker_table.get(markers.key()).map_err(|e| damaged(e.to_string()))?;
    let marker = match found {
        None => None,
        Some(value) => {
            let undecodable = || damaged("its commit marker does not decode".to_owned());
            Some(markers.decode(&value).ok_or_else(undecodable)?)
        }
    };
    let counter = marker.map_or(0, |m| m.counter);
    if let Some(last) = audit.last.filter(|last| Some(*last) != marker) {
        let last = last.counter;
        return Err(damaged(format!("its journals end with commit {last}, its tables with commit {counter}")));
    }
    if counter < audit.flushed {
        let flushed = audit.flushed;
        return Err(damaged(format!("{flushed} commits were flushed to disk, only {counter} are left")));
    }
    // The library has flushed the journals while it opened.
    watermark.set(counter).map_err(io)?;
    let new: Vec<_> = names.iter().filter(|n| !format.tables.iter().any(|t| t == *n)).collect();
    if !new.is_empty() {
        format.tables.extend(new.into_iter().map(|&n| n.to_owned()));
        format.write(dir).map_err(io)?;
    }
    Ok(Opened { id: hex(&format.store_id), lock, db, marker_table, tables, markers, watermark, counter })
}

/// Why the library did not open.
enum Refusal {
    Library(fjall::Error),
    Damaged(String),
}

impl From<fjall::Error> for Refusal {
    fn from(error: fjall::Error) -> Self {
        Self::Library(error)
    }
}

/// Runs the library's opening; what it reports, and its panics over files that it finds broken, become our errors.
fn guarded<T>(dir: &Path, open: impl FnOnce() -> Result<T, Refusal>) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(Refusal::Damaged(what))) => Err(StoreError::damaged(dir, what)),
        Ok(Err(Refusal::Library(fjall::Error::Locked))) => {
            Err(StoreError::Locked { dir: dir.to_owned(), holder: "another process".to_owned() })
        }
        Ok(Err(Refusal::Library(error))) => Err(library_error(dir, error)),
        Err(_) => Err(StoreError::damaged(dir, "the library panicked over its files (see standard error)")),
    }
}

fn library_error(dir: &Path, error: fjall::Error) -> StoreError {
    use std::io::ErrorKind::{NotFound, PermissionDenied, StorageFull};
    match error {
        fjall::Error::Io(e) | fjall::Error::Storage(fjall::LsmError::Io(e)) => match e.kind() {
            PermissionDenied | StorageFull => StoreError::Open { dir: dir.to_owned(), source: e },
            NotFound => StoreError::damaged(dir, format!("a file is missing: {e}")),
            _ => StoreError::opening(dir, e),
        },
        other => StoreError::damaged(dir, other.to_string()),
    }
}

fn open_database(data: &Path, options: &StoreOptions) -> Result<Database, Refusal> {
    let builder = Database::builder(data)
        .cache_size(options.cache_bytes)
        .max_journaling_size(options.journal_bytes)
        .max_cached_files(Some(CACHED_FILES))
        .manual_journal_persist(true)
        .worker_threads(1);
    Ok(builder.open()?)
}

fn open_tables(db: &Database, names: &[&str], options: &StoreOptions) -> Result<(Keyspace, Vec<Keyspace>), Refusal> {
    let plain = || KeyspaceCreateOptions::default().manual_journal_persist(true);
    let marker_table = db.keyspace(MARKER_TABLE, || plain().max_memtable_size(MARKER_MEMTABLE_BYTES))?;
    let large = KvSeparationOptions::default()
        .separation_threshold(options.large_value_bytes)
        .age_cutoff(1.0)
        .file_target_size(LARGE_FILE_BYTES);
    let table = || plain().max_memtable_size(options.memtable_bytes).with_kv_separation(Some(large.clone()));
    let tables = names.iter().map(|name| db.keyspace(name, table)).collect::<Result<_, _>>()?;
    Ok((marker_table, tables))
}
