//! Own key pairs: one file with the secrets of a signature key and an encryption key.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::{MAX_FILE_LEN, PublicKeys, SecurityError};
use crate::kem::DecapsulationKey;
use crate::keyfile::{KeyFileError, key_passphrase};
use crate::keyfile_disk::{self as disk, IfExists};
use crate::level::SecurityLevel;
use crate::pool::ReadyPair;
use crate::sealed::{PROTECTION, Sealed};
use crate::signing_key::SigningKey;

const FORMAT: &str = "agent-mesh-key-pair";
const VERSION: u32 = 1;
const UNPROTECTED: &str = "none";
const SEED_LEN: usize = 32;

/// An own pair. Its secrets are erased when it is dropped.
pub(crate) struct Pair {
    public: PublicKeys,
    signing: SigningKey,
    decapsulation: DecapsulationKey,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    format: String,
    version: u32,
    protection: String,
    public: PublicKeys,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<Sealed>,
}

impl Drop for Contents {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl Contents {
    fn context(&self) -> String {
        format!("{}\n{}\n{}", self.format, self.version, self.public.fingerprint())
    }
}

impl Pair {
    /// A fresh pair, the next generation of `previous` if there is one.
    pub(crate) fn generate(name: &str, level: SecurityLevel, previous: Option<&Self>) -> Result<Self, SecurityError> {
        Self::from_material(name, ReadyPair::generate(level)?, previous)
    }

    pub(crate) fn from_material(
        name: &str,
        material: ReadyPair,
        previous: Option<&Self>,
    ) -> Result<Self, SecurityError> {
        let ReadyPair { level, signing, decapsulation } = material;
        let generation = previous.map_or(0, |previous| previous.public.generation().saturating_add(1));
        let previous = previous.map(|previous| &previous.signing);
        let encryption = decapsulation.public_key();
        let public = PublicKeys::of_pair(name, level, generation, encryption, &signing, previous)?;
        Ok(Self { public, signing, decapsulation })
    }

    pub(crate) fn public(&self) -> &PublicKeys {
        &self.public
    }

    pub(crate) fn signing_key(&self) -> &SigningKey {
        &self.signing
    }

    pub(crate) fn decapsulation_key(&self) -> &DecapsulationKey {
        &self.decapsulation
    }

    pub(crate) fn write(&self, path: &Path, if_exists: IfExists) -> Result<(), SecurityError> {
        let kem_secret = self.decapsulation.secret_bytes()?;
        let mut secret = Zeroizing::new(Vec::with_capacity(SEED_LEN + kem_secret.len()));
        secret.extend_from_slice(self.signing.seed().as_slice());
        secret.extend_from_slice(&kem_secret);
        let mut contents = Contents {
            format: FORMAT.to_owned(),
            version: VERSION,
            protection: UNPROTECTED.to_owned(),
            public: self.public.clone(),
            secret: None,
            sealed: None,
        };
        if let Some((passphrase, cost)) = key_passphrase() {
            PROTECTION.clone_into(&mut contents.protection);
            contents.sealed = Some(Sealed::seal(&passphrase, cost, contents.context().as_bytes(), &secret)?);
        } else {
            contents.secret = Some(STANDARD.encode(secret.as_slice()));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FILE_LEN));
        serde_json::to_writer_pretty(&mut *bytes, &contents)
            .map_err(|error| SecurityError::Malformed { what: path.display().to_string(), why: error.to_string() })?;
        bytes.push(b'\n');
        Ok(disk::write(path, &bytes, if_exists)?)
    }

    /// The public part, without opening the secret.
    pub(crate) fn read_public(path: &Path) -> Result<PublicKeys, SecurityError> {
        Ok(read_contents(path)?.public.clone())
    }

    pub(crate) fn read(path: &Path) -> Result<Self, SecurityError> {
        let contents = read_contents(path)?;
        let secret = match (&contents.secret, &contents.sealed) {
            (Some(text), None) if contents.protection == UNPROTECTED => {
                Zeroizing::new(STANDARD.decode(text).map_err(|_| malformed(path, "the secret is not base64"))?)
            }
            (None, Some(sealed)) if contents.protection == PROTECTION => {
                let needed = || KeyFileError::PassphraseNeeded { path: path.to_path_buf() };
                let (passphrase, _) = key_passphrase().ok_or_else(needed)?;
                let opened = sealed.open(&passphrase, contents.context().as_bytes());
                opened.map_err(|source| KeyFileError::Unsealing { path: path.to_path_buf(), source })?
            }
            _ => return Err(malformed(path, "its protection and its secret do not fit together")),
        };
        let public = contents.public.clone();
        let encryption = public.encryption_key()?.ok_or_else(|| malformed(path, "it has no encryption key"))?;
        let Some((seed, kem_secret)) = secret.split_first_chunk::<SEED_LEN>() else {
            return Err(malformed(path, "the secret is too short"));
        };
        let signing = SigningKey::from_seed(public.signature_key().algorithm(), seed)?;
        let decapsulation = DecapsulationKey::from_secret_bytes(kem_secret, &encryption)?;
        if signing.public_key() != *public.signature_key() {
            return Err(KeyFileError::KeyMismatch { path: path.to_path_buf() }.into());
        }
        Ok(Self { public, signing, decapsulation })
    }
}

fn read_contents(path: &Path) -> Result<Contents, SecurityError> {
    let bytes = disk::read_up_to(path, MAX_FILE_LEN)?;
    // Only the place is told, because the text may hold a secret.
    let contents: Contents = serde_json::from_slice(&bytes)
        .map_err(|error| malformed(path, &format!("line {}, column {}", error.line(), error.column())))?;
    if contents.format != FORMAT || contents.version != VERSION {
        return Err(malformed(path, "it is not an agent-mesh key pair of version 1"));
    }
    // Through the text form, which checks the signature in it.
    PublicKeys::from_json(&contents.public.to_json())?;
    Ok(contents)
}

fn malformed(path: &Path, why: &str) -> SecurityError {
    SecurityError::Malformed { what: path.display().to_string(), why: why.to_owned() }
}
