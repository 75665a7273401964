//! Public keys as they are exported and imported.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{MAX_FILE_LEN, SecurityError, name};
use crate::digest::HashAlgorithm;
use crate::identity::IdentityKey;
use crate::kem::{EncapsulationKey, KemAlgorithm};
use crate::keyfile_disk::{self as disk, IfExists};
use crate::level::SecurityLevel;
use crate::public_key::PublicKey;
use crate::signing_key::SigningKey;

const FORMAT: &str = "agent-mesh-public-keys";
const VERSION: u32 = 1;
const DOMAIN: &str = "agent-mesh/public-keys/v1";
const SUCCESSION: &str = "agent-mesh/key-succession/v1";
const FINGERPRINT_TAG: &str = "agent-mesh/public-keys-fingerprint/1";

/// Someone's public keys. What is read has been checked: it was signed by the signature key in it, which shows that the owner
/// has both halves, and nothing about who the owner is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicKeys {
    format: String,
    version: u32,
    name: String,
    /// The name they are kept under here, when it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    known_as: Option<String>,
    one_time: bool,
    level: SecurityLevel,
    generation: u32,
    created_unix_s: u64,
    /// `algorithm:base64`.
    encryption_key: Option<String>,
    signature_key: PublicKey,
    /// Signature of the previous generation's key over the same content, base64.
    succession: Option<String>,
    /// Signature of `signature_key` over the content, base64.
    signature: String,
}

impl PublicKeys {
    pub(crate) fn of_pair(
        name: &str,
        level: SecurityLevel,
        generation: u32,
        encryption: &EncapsulationKey,
        signing: &SigningKey,
        previous: Option<&SigningKey>,
    ) -> Result<Self, SecurityError> {
        let encryption = format!("{}:{}", encryption.algorithm(), STANDARD.encode(encryption.as_bytes()));
        let mut keys = Self::unsigned(name, level, generation, Some(encryption), signing.public_key(), false);
        let content = keys.content();
        if let Some(previous) = previous {
            keys.succession = Some(STANDARD.encode(previous.sign(SUCCESSION, &content)?));
        }
        keys.signature = STANDARD.encode(signing.sign(DOMAIN, &content)?);
        Ok(keys)
    }

    pub(crate) fn one_time(name: &str, level: SecurityLevel, key: &IdentityKey) -> Result<Self, SecurityError> {
        let mut keys = Self::unsigned(name, level, 0, None, key.public_key(), true);
        keys.signature = STANDARD.encode(key.sign(DOMAIN, &keys.content())?);
        Ok(keys)
    }

    fn unsigned(
        name: &str,
        level: SecurityLevel,
        generation: u32,
        encryption_key: Option<String>,
        signature_key: PublicKey,
        one_time: bool,
    ) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            name: name.to_owned(),
            known_as: None,
            one_time,
            level,
            generation,
            created_unix_s: disk::unix_time_s(),
            encryption_key,
            signature_key,
            succession: None,
            signature: String::new(),
        }
    }

    /// Reads and checks the text of an export.
    ///
    /// # Errors
    /// [`SecurityError::Malformed`] says what is wrong.
    pub fn from_json(text: &str) -> Result<Self, SecurityError> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u32,
        }
        let what = "the public keys";
        if text.len() > MAX_FILE_LEN {
            return Err(malformed(what, format!("they are longer than {MAX_FILE_LEN} bytes")));
        }
        let Head { format, version } =
            serde_json::from_str(text).map_err(|error| malformed(what, error.to_string()))?;
        if format != FORMAT || version != VERSION {
            let why = format!("format {format:?} version {version}, needed is {FORMAT:?} version {VERSION}");
            return Err(malformed(what, why));
        }
        let keys: Self = serde_json::from_str(text).map_err(|error| malformed(what, error.to_string()))?;
        keys.check()?;
        Ok(keys)
    }

    pub(crate) fn read(path: &Path) -> Result<Self, SecurityError> {
        let bytes = disk::read_up_to(path, MAX_FILE_LEN)?;
        let what = path.display().to_string();
        let text = std::str::from_utf8(&bytes).map_err(|_| malformed(&what, "it is not UTF-8".to_owned()))?;
        Self::from_json(text).map_err(|error| match error {
            SecurityError::Malformed { why, .. } => malformed(&what, why),
            other => other,
        })
    }

    pub(crate) fn write(&self, path: &Path, if_exists: IfExists) -> Result<(), SecurityError> {
        Ok(disk::write(path, self.to_json().as_bytes(), if_exists)?)
    }

    /// The text of an export, with a line end.
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.map_or_else(|error| format!("{{\"error\":\"{error}\"}}"), |text| text + "\n")
    }

    fn check(&self) -> Result<(), SecurityError> {
        let wrong = |why: &str| Err(malformed(&format!("the public keys of {:?}", self.name), why.to_owned()));
        name::check(&self.name)?;
        if let Some(local) = &self.known_as {
            name::check(local)?;
        }
        let signature_fits = self.one_time || self.signature_key.algorithm() == self.level.signature_algorithm();
        if !signature_fits || self.one_time != self.signature_key.algorithm().is_stateful() {
            return wrong("the signature key is not of the algorithm of their level");
        }
        let encryption = self.encryption_key()?.map(|key| key.algorithm());
        let expected = if self.one_time { None } else { self.level.kem_algorithm() };
        if encryption != expected {
            return wrong("the encryption key is not of the algorithm of their level");
        }
        let signature = STANDARD.decode(&self.signature).ok();
        let genuine = signature.is_some_and(|bytes| self.signature_key.verify(DOMAIN, &self.content(), &bytes).is_ok());
        if genuine { Ok(()) } else { wrong("they were changed after their owner signed them") }
    }

    /// What is signed: all but the local name and the signatures.
    fn content(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&self.version.to_be_bytes());
        let encryption = self.encryption_key.as_deref().unwrap_or_default();
        let signature_key = self.signature_key.to_string();
        for text in [self.name.as_str(), encryption, signature_key.as_str()] {
            out.extend_from_slice(&(text.len() as u32).to_be_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(&[u8::from(self.one_time), self.level.wire_id()]);
        out.extend_from_slice(&self.generation.to_be_bytes());
        out.extend_from_slice(&self.created_unix_s.to_be_bytes());
        out
    }

    /// The owner's name for them.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name they are kept under here.
    pub fn local_name(&self) -> &str {
        self.known_as.as_deref().unwrap_or(&self.name)
    }

    pub(crate) fn known_as(&mut self, name: &str) {
        self.known_as = (name != self.name).then(|| name.to_owned());
    }

    /// Whether they are of a pair that signs once.
    pub fn is_one_time(&self) -> bool {
        self.one_time
    }

    /// Their security level.
    pub fn level(&self) -> SecurityLevel {
        self.level
    }

    /// How often the owner has rotated.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// When they were made, in seconds since 1970, by the owner's clock.
    pub fn created_unix_s(&self) -> u64 {
        self.created_unix_s
    }

    /// The key that verifies.
    pub fn signature_key(&self) -> &PublicKey {
        &self.signature_key
    }

    /// The algorithm of the encryption key.
    pub fn encryption_algorithm(&self) -> Option<KemAlgorithm> {
        let (algorithm, _) = self.encryption_key.as_deref()?.split_once(':')?;
        KemAlgorithm::from_name(algorithm)
    }

    /// The key to which one encrypts, if they have one.
    ///
    /// # Errors
    /// [`SecurityError::Malformed`], [`SecurityError::Crypto`].
    pub fn encryption_key(&self) -> Result<Option<EncapsulationKey>, SecurityError> {
        let Some(text) = &self.encryption_key else { return Ok(None) };
        let parsed = text.split_once(':').and_then(|(algorithm, encoded)| {
            Some((KemAlgorithm::from_name(algorithm)?, STANDARD.decode(encoded).ok()?))
        });
        let Some((algorithm, bytes)) = parsed else {
            return Err(malformed("the encryption key", "it is not <algorithm>:<base64>".to_owned()));
        };
        Ok(Some(EncapsulationKey::from_bytes(algorithm, &bytes)?))
    }

    pub(crate) fn same_keys(&self, other: &Self) -> bool {
        self.content() == other.content()
    }

    /// Whether `known`'s signature key has signed for these as the next generation.
    pub(crate) fn succeeds(&self, known: &Self) -> bool {
        let signature = self.succession.as_ref().and_then(|text| STANDARD.decode(text).ok());
        self.generation == known.generation.saturating_add(1)
            && self.level >= known.level
            && signature.is_some_and(|bytes| known.signature_key.verify(SUCCESSION, &self.content(), &bytes).is_ok())
    }

    /// What two people read to each other: 32 hex digits.
    pub fn fingerprint(&self) -> String {
        let digest = HashAlgorithm::Sha256.hash(FINGERPRINT_TAG, &[&self.content()]);
        digest.to_string().chars().take(32).collect()
    }
}

fn malformed(what: &str, why: String) -> SecurityError {
    SecurityError::Malformed { what: what.to_owned(), why }
}
