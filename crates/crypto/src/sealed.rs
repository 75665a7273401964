//! Secrets at rest under a passphrase: Argon2id (RFC 9106), then AES-256-GCM.

use std::fmt;
use std::path::Path;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::CryptoError;
use crate::keyfile::KeyFileError;
use crate::keyfile_disk as disk;
use crate::random;

/// How the protection calls itself in files.
pub(crate) const PROTECTION: &str = "argon2id+aes-256-gcm";
const SALT_LEN: usize = 16;
/// Bytes of the longest passphrase file.
const MAX_PASSPHRASE_LEN: usize = 4096;
/// What a file may ask of the reader's memory: more is refused, because whoever wrote it may not be a friend.
const MAX_MEMORY_KIB: u32 = 1024 * 1024;
const MAX_PASSES: u32 = 32;

/// A passphrase, erased when dropped.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl Passphrase {
    /// A passphrase from its bytes.
    ///
    /// # Errors
    /// [`CryptoError::PassphraseEmpty`].
    pub fn new(bytes: &[u8]) -> Result<Self, CryptoError> {
        if bytes.is_empty() {
            return Err(CryptoError::PassphraseEmpty);
        }
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }

    /// The first line of a file that only its owner can read (0600).
    ///
    /// # Errors
    /// [`KeyFileError`] as for key files; [`CryptoError::PassphraseEmpty`].
    pub fn from_file(path: &Path) -> Result<Self, KeyFileError> {
        let bytes = disk::read_up_to(path, MAX_PASSPHRASE_LEN)?;
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        Ok(Self::new(line.strip_suffix(b"\r").unwrap_or(line))?)
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase([secret])")
    }
}

/// What Argon2id costs whoever tries a passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argon2Cost {
    /// Memory in KiB, 8 to 1,048,576.
    pub memory_kib: u32,
    /// Passes over it, 1 to 32.
    pub passes: u32,
}

impl Argon2Cost {
    /// 64 MiB and 3 passes, RFC 9106's second recommendation with one lane.
    pub const DEFAULT: Self = Self { memory_kib: 64 * 1024, passes: 3 };
    /// As cheap as can be: for tests only.
    pub const TEST: Self = Self { memory_kib: 8, passes: 1 };
}

/// A sealed secret as it stands in files.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sealed {
    memory_kib: u32,
    passes: u32,
    salt: String,
    ciphertext: String,
}

impl Sealed {
    /// Seals `secret`; `context` is authenticated with it.
    pub(crate) fn seal(
        passphrase: &Passphrase,
        cost: Argon2Cost,
        context: &[u8],
        secret: &[u8],
    ) -> Result<Self, CryptoError> {
        let mut salt = [0; SALT_LEN];
        random::fill(&mut salt)?;
        let (key, nonce) = key_of(passphrase, cost, &salt)?;
        let mut ciphertext = Zeroizing::new(Vec::with_capacity(secret.len() + 16));
        ciphertext.extend_from_slice(secret);
        let sealed = key.seal_in_place_append_tag(nonce, Aad::from(context), &mut *ciphertext);
        sealed.map_err(|_| CryptoError::Library("encrypt"))?;
        let Argon2Cost { memory_kib, passes } = cost;
        Ok(Self { memory_kib, passes, salt: STANDARD.encode(salt), ciphertext: STANDARD.encode(ciphertext.as_slice()) })
    }

    /// The secret.
    pub(crate) fn open(&self, passphrase: &Passphrase, context: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let salt = STANDARD.decode(&self.salt).ok().and_then(|salt| <[u8; SALT_LEN]>::try_from(salt).ok());
        let salt = salt.ok_or(CryptoError::Sealed)?;
        let (key, nonce) = key_of(passphrase, Argon2Cost { memory_kib: self.memory_kib, passes: self.passes }, &salt)?;
        let mut bytes = Zeroizing::new(STANDARD.decode(&self.ciphertext).map_err(|_| CryptoError::Sealed)?);
        let len = key.open_in_place(nonce, Aad::from(context), &mut bytes).map_err(|_| CryptoError::Sealed)?.len();
        bytes.truncate(len);
        Ok(bytes)
    }
}

/// Key and nonce: both derived, and the salt is fresh each time, so a nonce never repeats under a key.
fn key_of(passphrase: &Passphrase, cost: Argon2Cost, salt: &[u8]) -> Result<(LessSafeKey, Nonce), CryptoError> {
    if cost.memory_kib > MAX_MEMORY_KIB || cost.passes > MAX_PASSES {
        return Err(CryptoError::SealedCost { memory_kib: cost.memory_kib, passes: cost.passes });
    }
    let mut material = Zeroizing::new([0; 32 + NONCE_LEN]);
    let params = Params::new(cost.memory_kib, cost.passes, 1, Some(material.len())).map_err(|_| CryptoError::Sealed)?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(&passphrase.0, salt, material.as_mut_slice())
        .map_err(|_| CryptoError::Sealed)?;
    let failed = |_| CryptoError::Library("make a cipher key");
    let key = UnboundKey::new(&AES_256_GCM, &material[..32]).map_err(failed)?;
    let nonce = Nonce::try_assume_unique_for_key(&material[32..]).map_err(failed)?;
    Ok((LessSafeKey::new(key), nonce))
}
