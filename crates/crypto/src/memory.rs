//! Locking the process' memory, so that no secret is swapped to a disk.

use std::sync::{PoisonError, RwLock};

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, getrlimit};

/// Whether the memory of this process is locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemoryLock {
    /// Nobody has asked for it (security level `standard`).
    NotAsked,
    /// All of it, now and later.
    Locked,
    /// The system refuses; the reason says what to change.
    Refused(String),
}

static STATE: RwLock<MemoryLock> = RwLock::new(MemoryLock::NotAsked);

/// Locks all memory of this process, now and later, if the system allows, and remembers how that went.
///
/// Under a finite `RLIMIT_MEMLOCK` later allocations could fail, so a finite limit counts as a refusal unless the process is exempt from it.
pub fn lock() -> MemoryLock {
    let state = try_lock();
    STATE.write().unwrap_or_else(PoisonError::into_inner).clone_from(&state);
    state
}

/// How the last [`lock`] of this process went.
pub fn state() -> MemoryLock {
    STATE.read().unwrap_or_else(PoisonError::into_inner).clone()
}

fn try_lock() -> MemoryLock {
    let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    if let Some(limit) = getrlimit(Resource::Memlock).current
        && !is_exempt()
    {
        return MemoryLock::Refused(format!(
            "RLIMIT_MEMLOCK is {limit} bytes: start the process with an unlimited one (ulimit -l unlimited, systemd LimitMEMLOCK=infinity, \
             docker --ulimit memlock=-1), or turn swap off"
        ));
    }
    match mlockall(all) {
        Ok(()) => MemoryLock::Locked,
        Err(error) => MemoryLock::Refused(format!("the system refuses to lock memory: {error}; turn swap off instead")),
    }
}

/// Whether the process holds `CAP_IPC_LOCK`, for which the limit does not count.
fn is_exempt() -> bool {
    const CAP_IPC_LOCK: u32 = 14;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).is_some_and(|set| set >> CAP_IPC_LOCK & 1 == 1)
}
