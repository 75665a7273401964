//! What an operator may know about the cryptography of a process: algorithms, hardware, protection of secrets. No secrets.

use serde::Serialize;

use crate::kem::KemAlgorithm;
use crate::keyfile::key_passphrase;
use crate::level::SecurityLevel;
use crate::memory::{self, MemoryLock};

/// The cryptography of a level on this machine and in this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// `lattice_dimension`; 0 for classical.
    pub level: u32,
    /// Algorithm of votes and headers.
    pub signatures: &'static str,
    /// Algorithm that authenticates links.
    pub link_signatures: &'static str,
    /// Algorithm of application encryption, if the level has one.
    pub encryption: Option<&'static str>,
    /// Hash of blocks and identifiers.
    pub hash: &'static str,
    /// How many families of mathematics an attacker must break to forge a vote.
    pub families: u8,
    /// Instruction sets that the processor offers and the libraries use where they have code for them. They choose at run time and do not
    /// say what they chose.
    pub cpu_features: Vec<&'static str>,
    /// `locked`, `not asked` or `refused`.
    pub memory_lock: &'static str,
    /// Why locking was refused and what to change.
    pub memory_lock_reason: Option<String>,
    /// Whether key files that this process writes are sealed with a passphrase.
    pub key_files_sealed: bool,
}

impl Report {
    /// The report of this process for `level`.
    pub fn of(level: SecurityLevel) -> Self {
        let (memory_lock, memory_lock_reason) = match memory::state() {
            MemoryLock::Locked => ("locked", None),
            MemoryLock::NotAsked => ("not asked", None),
            MemoryLock::Refused(why) => ("refused", Some(why)),
        };
        Self {
            level: level.dimension(),
            signatures: level.signature_algorithm().name(),
            link_signatures: level.link_signature_algorithm().name(),
            encryption: level.kem_algorithm().map(KemAlgorithm::name),
            hash: if level.hash_algorithm().digest_len() == 48 { "SHA-384" } else { "SHA-256" },
            families: if level == SecurityLevel::Level2048 { 2 } else { 1 },
            cpu_features: cpu_features(),
            memory_lock,
            memory_lock_reason,
            key_files_sealed: key_passphrase().is_some(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn cpu_features() -> Vec<&'static str> {
    use std::arch::is_x86_feature_detected as has;
    let known = [
        ("avx512f", has!("avx512f")),
        ("avx512ifma", has!("avx512ifma")),
        ("avx2", has!("avx2")),
        ("bmi2", has!("bmi2")),
        ("adx", has!("adx")),
        ("aes", has!("aes")),
        ("vaes", has!("vaes")),
        ("pclmulqdq", has!("pclmulqdq")),
        ("sha", has!("sha")),
    ];
    known.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}

#[cfg(target_arch = "aarch64")]
fn cpu_features() -> Vec<&'static str> {
    use std::arch::is_aarch64_feature_detected as has;
    let known = [("neon", has!("neon")), ("aes", has!("aes")), ("sha2", has!("sha2")), ("sha3", has!("sha3"))];
    known.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn cpu_features() -> Vec<&'static str> {
    Vec::new()
}
