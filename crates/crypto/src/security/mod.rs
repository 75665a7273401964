//! Cryptography by name: a directory of own key pairs and of others' public keys, and what one does with them.
//!
//! | File | What |
//! |---|---|
//! | `NAME.pair.json` | an own pair: secret, mode 0600, sealed when a passphrase is set ([`crate::set_key_passphrase`]) |
//! | `NAME.gN.pair.json` | the pair's earlier generation N, kept to decrypt what was encrypted to it |
//! | `NAME.once.json`, `.leaf`, `.lock`, `.tree` | an own one-time pair |
//! | `NAME.pub.json` | public keys, own or imported |

mod backup;
mod error;
mod name;
mod pair;
mod public;
mod signed;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use backup::{BackupReport, RestoreReport};
pub use error::SecurityError;
pub use public::PublicKeys;
pub use signed::DetachedSignature;

use crate::container::{self, ContainerHeader};
use crate::digest::Digest;
use crate::hss::{HssHeights, TreeHeight};
use crate::identity::{IdentityKey, IdentityScheme};
use crate::kem::{EncapsulationKey, KemAlgorithm};
use crate::keyfile_disk::{self as disk, IfExists};
use crate::level::SecurityLevel;
use pair::Pair;

/// Bytes of the longest file in the directory.
pub(crate) const MAX_FILE_LEN: usize = 128 * 1024;
/// The most files of the directory that are looked at.
const MAX_FILES: usize = 10_000;
/// One leaf signs the public file, the next the message; a tree of this height is the smallest there is.
const ONE_TIME: HssHeights = HssHeights { top: TreeHeight::H5, lower: None };
const ONE_TIME_LEAF: u64 = 1;

/// A directory of keys. Cheap to make; it reads what it needs when it needs it.
#[derive(Debug, Clone)]
pub struct Security {
    root: PathBuf,
    level: SecurityLevel,
}

/// What [`Security::list`] says about a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// Whether the secret half is here.
    pub own: bool,
    /// Whether it is a one-time pair.
    pub one_time: bool,
    /// Whether a one-time pair has signed.
    pub used: bool,
    /// The security level, as `lattice_dimension`.
    pub level: u32,
    /// How often it was rotated.
    pub generation: u32,
    /// Algorithm of the signature key.
    pub signature: String,
    /// Algorithm of the encryption key, if there is one.
    pub encryption: Option<String>,
    /// What two people compare to make sure that they have the same keys.
    pub fingerprint: String,
    /// Seconds since 1970.
    pub created_unix_s: u64,
}

impl Security {
    /// The directory `root` (made with mode 0700), in which new pairs are of `level`.
    ///
    /// # Errors
    /// [`SecurityError::Level`] for the classical level; [`SecurityError::File`].
    pub fn open(root: impl Into<PathBuf>, level: SecurityLevel) -> Result<Self, SecurityError> {
        let root = root.into();
        if !level.is_post_quantum() {
            return Err(SecurityError::Level);
        }
        disk::make_directory(&root.join("x"))?;
        Ok(Self { root, level })
    }

    /// Where the keys are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes a pair for encryption and signatures.
    ///
    /// # Errors
    /// [`SecurityError::Exists`], [`SecurityError::Name`].
    pub fn generate_quantum_keypair(&self, name: &str) -> Result<PublicKeys, SecurityError> {
        self.refuse_taken(name)?;
        let pair = Pair::generate(name, self.level, None)?;
        self.adopt(pair, IfExists::Refuse)
    }

    /// Puts a pair that was made ahead ([`crate::pool`]) into the directory under `name`.
    ///
    /// # Errors
    /// As [`Security::generate_quantum_keypair`].
    pub fn generate_from(&self, name: &str, material: crate::pool::ReadyPair) -> Result<PublicKeys, SecurityError> {
        self.refuse_taken(name)?;
        let pair = Pair::from_material(name, material, None)?;
        self.adopt(pair, IfExists::Refuse)
    }

    fn adopt(&self, pair: Pair, if_exists: IfExists) -> Result<PublicKeys, SecurityError> {
        let public = pair.public().clone();
        pair.write(&self.pair_path(public.name()), if_exists)?;
        public.write(&self.public_path(public.name()), IfExists::Replace)?;
        Ok(public)
    }

    /// Makes a pair that signs one message and is erased by it (LMS).
    ///
    /// # Errors
    /// [`SecurityError::Exists`], [`SecurityError::Name`].
    pub fn generate_one_time_keypair(&self, name: &str) -> Result<PublicKeys, SecurityError> {
        self.refuse_taken(name)?;
        let key = IdentityKey::create(&self.once_path(name), name, IdentityScheme::Hss(ONE_TIME))?;
        let public = PublicKeys::one_time(name, self.level, &key)?;
        public.write(&self.public_path(name), IfExists::Replace)?;
        Ok(public)
    }

    /// Remembers someone's public keys (the text of [`Security::export`]) under their name, or under `rename`.
    ///
    /// A name that is known is updated only by keys that its known keys have signed (a rotation), unless `replace` is set.
    ///
    /// # Errors
    /// [`SecurityError::Own`], [`SecurityError::NoSuccession`], or what is wrong with the text.
    pub fn import(&self, text: &str, rename: Option<&str>, replace: bool) -> Result<PublicKeys, SecurityError> {
        let mut keys = PublicKeys::from_json(text)?;
        if let Some(name) = rename {
            keys.known_as(name);
        }
        let local = keys.local_name().to_owned();
        name::check(&local)?;
        if self.is_own(&local) {
            return Err(SecurityError::Own(local));
        }
        let path = self.public_path(&local);
        if path.exists() && !replace {
            let known = self.public(&local)?;
            if known.same_keys(&keys) {
                return Ok(known);
            }
            if keys.generation() <= known.generation() {
                return Err(SecurityError::Stale { name: local, known: known.generation(), given: keys.generation() });
            }
            if !keys.succeeds(&known) {
                return Err(SecurityError::NoSuccession(local));
            }
        }
        keys.write(&path, IfExists::Replace)?;
        Ok(keys)
    }

    /// Encrypts bytes to someone; see [`Security::encrypt_stream`] for more than fits in memory.
    ///
    /// # Errors
    /// [`SecurityError::Unknown`]; [`SecurityError::Container`].
    pub fn quantum_encrypt(&self, data: &[u8], recipient: &str) -> Result<Vec<u8>, SecurityError> {
        let mut out = Vec::with_capacity(data.len() + data.len() / 1024 + 32 * 1024);
        self.encrypt_stream(recipient, &[], &mut &*data, &mut out)?;
        Ok(out)
    }

    /// Encrypts a stream to someone, with associated data that is authenticated but not stored. Gives the bytes read.
    ///
    /// # Errors
    /// [`SecurityError::Unknown`], [`SecurityError::NoEncryption`], [`SecurityError::Container`].
    pub fn encrypt_stream(
        &self,
        recipient: &str,
        aad: &[u8],
        input: &mut impl Read,
        output: &mut impl Write,
    ) -> Result<u64, SecurityError> {
        let key = self.recipient(recipient)?;
        Ok(container::encrypt(&key, aad, input, output)?)
    }

    /// The parsed encryption key of a name, for callers that keep it.
    ///
    /// # Errors
    /// [`SecurityError::Unknown`], [`SecurityError::NoEncryption`].
    pub fn recipient(&self, name: &str) -> Result<EncapsulationKey, SecurityError> {
        self.public(name)?.encryption_key()?.ok_or_else(|| SecurityError::NoEncryption(name.to_owned()))
    }

    /// Decrypts bytes with whichever own pair they are encrypted to.
    ///
    /// # Errors
    /// As [`Security::decrypt_stream`]; nothing is given out unless everything is genuine.
    pub fn quantum_decrypt(&self, data: &[u8]) -> Result<Vec<u8>, SecurityError> {
        let mut out = Vec::with_capacity(data.len());
        self.decrypt_stream(&[], &mut &*data, &mut out)?;
        Ok(out)
    }

    /// Decrypts a stream with whichever own pair (or its kept earlier generation) it is encrypted to; gives that pair's name and the
    /// bytes written. What was written before an error is genuine but incomplete.
    ///
    /// # Errors
    /// [`SecurityError::NotForMe`], [`SecurityError::Container`].
    pub fn decrypt_stream(
        &self,
        aad: &[u8],
        input: &mut impl Read,
        output: &mut impl Write,
    ) -> Result<(String, u64), SecurityError> {
        let header = ContainerHeader::read(input)?;
        let pair = self.pair_of(header.algorithm(), header.key_id())?;
        let len = header.open(pair.decapsulation_key(), aad, input, output)?;
        Ok((pair.public().name().to_owned(), len))
    }

    fn pair_of(&self, algorithm: KemAlgorithm, id: Digest) -> Result<Pair, SecurityError> {
        for path in self.files(".pair.json")? {
            let public = Pair::read_public(&path)?;
            let key = public.encryption_key()?;
            if key.is_some_and(|key| key.algorithm() == algorithm && key.id() == id) {
                return Pair::read(&path);
            }
        }
        Err(SecurityError::NotForMe(id))
    }

    /// Signs bytes with an own pair; a one-time pair is erased by it. The signature is [`DetachedSignature::to_bytes`].
    ///
    /// # Errors
    /// As [`Security::sign_stream`].
    pub fn quantum_sign(&self, message: &[u8], key: &str) -> Result<Vec<u8>, SecurityError> {
        self.sign_stream(&mut &*message, key)
    }

    /// Signs a stream.
    ///
    /// # Errors
    /// [`SecurityError::NoSecret`], [`SecurityError::Used`], [`SecurityError::Unknown`].
    pub fn sign_stream(&self, message: &mut impl Read, key: &str) -> Result<Vec<u8>, SecurityError> {
        name::check(key)?;
        if self.pair_path(key).exists() {
            let pair = Pair::read(&self.pair_path(key))?;
            let digest = signed::digest(message)?;
            let signature = pair.signing_key().sign(signed::DOMAIN, digest.as_bytes())?;
            return Ok(DetachedSignature::new(&pair.signing_key().public_key(), signature).to_bytes());
        }
        let once = self.once_path(key);
        if once.exists() {
            return sign_once(&once, message);
        }
        if once.with_extension("leaf").exists() {
            return Err(SecurityError::Used(key.to_owned()));
        }
        self.public(key)?;
        Err(SecurityError::NoSecret(key.to_owned()))
    }

    /// Checks a signature over bytes against the keys known as `signer`.
    ///
    /// # Errors
    /// As [`Security::verify_stream`].
    pub fn quantum_verify(&self, message: &[u8], signature: &[u8], signer: &str) -> Result<(), SecurityError> {
        self.verify_stream(&mut &*message, signature, signer)
    }

    /// Checks a signature over a stream against the keys known as `signer`.
    ///
    /// # Errors
    /// [`SecurityError::Unknown`], [`SecurityError::SignatureFormat`], [`SecurityError::OtherSigner`],
    /// [`SecurityError::SignatureInvalid`].
    pub fn verify_stream(&self, message: &mut impl Read, signature: &[u8], signer: &str) -> Result<(), SecurityError> {
        let signature = DetachedSignature::from_bytes(signature)?;
        let keys = self.public(signer)?;
        signature.verify(keys.signature_key(), message, signer)
    }

    /// The public keys known under a name.
    ///
    /// # Errors
    /// [`SecurityError::Unknown`] or what is wrong with the file.
    pub fn public(&self, name: &str) -> Result<PublicKeys, SecurityError> {
        name::check(name)?;
        let path = self.public_path(name);
        if !path.exists() {
            return Err(SecurityError::Unknown(name.to_owned()));
        }
        PublicKeys::read(&path)
    }

    /// Everything in the directory, by name.
    ///
    /// # Errors
    /// [`SecurityError::File`] or the first file that is not what its name says.
    pub fn list(&self) -> Result<Vec<Entry>, SecurityError> {
        self.files(".pub.json")?.iter().map(|path| Ok(self.entry(&PublicKeys::read(path)?))).collect()
    }

    /// What [`Security::list`] says about one name.
    ///
    /// # Errors
    /// [`SecurityError::Unknown`].
    pub fn show(&self, name: &str) -> Result<Entry, SecurityError> {
        Ok(self.entry(&self.public(name)?))
    }

    fn entry(&self, keys: &PublicKeys) -> Entry {
        let name = keys.local_name().to_owned();
        Entry {
            own: self.is_own(&name),
            used: keys.is_one_time() && self.was_used(&name),
            one_time: keys.is_one_time(),
            level: keys.level().dimension(),
            generation: keys.generation(),
            signature: keys.signature_key().algorithm().name().to_owned(),
            encryption: keys.encryption_algorithm().map(|algorithm| algorithm.name().to_owned()),
            fingerprint: keys.fingerprint(),
            created_unix_s: keys.created_unix_s(),
            name,
        }
    }

    /// Replaces an own pair by a new one that the old one signs for. The old one is kept for decrypting, unless `erase_old` is
    /// set: then nobody can decrypt what was encrypted to it, which is what forward secrecy means.
    ///
    /// # Errors
    /// [`SecurityError::NoSecret`], [`SecurityError::OneTimeRotation`].
    pub fn rotate(&self, name: &str, erase_old: bool) -> Result<PublicKeys, SecurityError> {
        let known = self.public(name)?;
        if known.is_one_time() {
            return Err(SecurityError::OneTimeRotation(name.to_owned()));
        }
        let path = self.pair_path(name);
        if !path.exists() {
            return Err(SecurityError::NoSecret(name.to_owned()));
        }
        let old = Pair::read(&path)?;
        let new = Pair::generate(name, self.level.max(old.public().level()), Some(&old))?;
        if !erase_old {
            old.write(&self.root.join(format!("{name}.g{}.pair.json", old.public().generation())), IfExists::Replace)?;
        }
        self.adopt(new, IfExists::Replace)
    }

    /// The text that others [`Security::import`].
    ///
    /// # Errors
    /// [`SecurityError::Unknown`].
    pub fn export(&self, name: &str) -> Result<String, SecurityError> {
        Ok(self.public(name)?.to_json())
    }

    fn refuse_taken(&self, name: &str) -> Result<(), SecurityError> {
        name::check(name)?;
        let once = self.once_path(name);
        let taken = [self.pair_path(name), self.public_path(name), once.with_extension("leaf"), once];
        if taken.iter().any(|path| path.symlink_metadata().is_ok()) {
            return Err(SecurityError::Exists(name.to_owned()));
        }
        Ok(())
    }

    fn is_own(&self, name: &str) -> bool {
        self.pair_path(name).exists() || self.once_path(name).with_extension("leaf").exists()
    }

    fn was_used(&self, name: &str) -> bool {
        let once = self.once_path(name);
        once.with_extension("leaf").exists() && !once.exists()
    }

    fn pair_path(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.pair.json"))
    }

    fn once_path(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.once.json"))
    }

    fn public_path(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.pub.json"))
    }

    /// The directory's files of one kind, in order of their names.
    fn files(&self, suffix: &str) -> Result<Vec<PathBuf>, SecurityError> {
        let failed = |source| SecurityError::Directory { path: self.root.clone(), source };
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if name.to_str().is_some_and(|name| name.ends_with(suffix) && !name.starts_with('.')) {
                found.push(self.root.join(name));
            }
            if found.len() > MAX_FILES {
                return Err(SecurityError::TooMany(MAX_FILES));
            }
        }
        found.sort();
        Ok(found)
    }
}

/// Signs with a one-time pair and erases it.
fn sign_once(path: &Path, message: &mut impl Read) -> Result<Vec<u8>, SecurityError> {
    let key = IdentityKey::open(path)?;
    if key.next_leaf() != Some(ONE_TIME_LEAF) {
        return Err(SecurityError::Used(key.name().to_owned()));
    }
    let digest = signed::digest(message)?;
    let signature = key.sign(signed::DOMAIN, digest.as_bytes())?;
    // The counter stays and says that the key was used; the secret goes.
    disk::erase(path)?;
    let _ = fs::remove_file(path.with_extension("tree"));
    Ok(DetachedSignature::new(&key.public_key(), signature).to_bytes())
}
