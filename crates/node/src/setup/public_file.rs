//! The public file of a validator: what it gives to whoever makes the genesis.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use consensus::codec::Writer;
use consensus::config::check_name;
use crypto::{CryptoError, PublicKey, SecurityLevel, SigningKey};
use serde::{Deserialize, Serialize};

/// Domain under which a public file is signed.
pub const PUBLIC_TAG: &str = "agent-mesh/public-file/v1";

const FORMAT: &str = "agent-mesh-validator";
const VERSION: u32 = 2;

/// Name, address, level and public keys of a validator, signed by its session key so that a mangled file is noticed.
///
/// The signature does not say who the validator is: compare the file's fingerprint over another channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicFile {
    format: String,
    version: u32,
    /// The validator's name.
    pub name: String,
    /// Where the other validators reach it: `host:port`.
    pub address: String,
    /// The level its keys are for.
    pub level: SecurityLevel,
    /// Signs headers and votes.
    pub session_key: PublicKey,
    /// Authenticates its links.
    pub link_key: PublicKey,
    /// Renews its session keys.
    pub identity_key: PublicKey,
    /// By the session key over all of the above, base64.
    signature: String,
}

/// Why a public file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicFileError {
    /// Not the JSON of a public file.
    #[error(
        "this is not a validator's public file: {0}. Ask the validator for its validator.pub.json (made by `agent-mesh init`)"
    )]
    Json(String),
    /// Another format or version.
    #[error(
        "this is {format:?} version {version}, this program reads {FORMAT:?} version {VERSION}: use the release that wrote it"
    )]
    Version {
        /// The format found.
        format: String,
        /// The version found.
        version: u32,
    },
    /// A field is not what `agent-mesh init` writes.
    #[error("the public file of {name:?}: {what}; ask the validator for the file again")]
    Field {
        /// The validator's name.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// The signature is not the session key's over this content.
    #[error(
        "the public file of {0:?} was changed after it was made: its signature does not fit its content. Ask the validator for the file again"
    )]
    Signature(String),
}

/// Read first and leniently, so that a file of a later version is named as such.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

impl PublicFile {
    /// The public file of a validator with these keys.
    pub fn sign(
        name: &str,
        address: &str,
        level: SecurityLevel,
        session: &SigningKey,
        link: &SigningKey,
        identity: &PublicKey,
    ) -> Result<Self, CryptoError> {
        let mut file = Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            name: name.to_owned(),
            address: address.to_owned(),
            level,
            session_key: session.public_key(),
            link_key: link.public_key(),
            identity_key: identity.clone(),
            signature: String::new(),
        };
        file.signature = BASE64.encode(session.sign(PUBLIC_TAG, &file.content())?);
        Ok(file)
    }

    /// Reads and checks a public file.
    pub fn from_json(text: &str) -> Result<Self, PublicFileError> {
        let json = |error: serde_json::Error| PublicFileError::Json(error.to_string());
        let Head { format, version } = serde_json::from_str(text).map_err(json)?;
        if format != FORMAT || version != VERSION {
            return Err(PublicFileError::Version { format, version });
        }
        let file: Self = serde_json::from_str(text).map_err(json)?;
        file.check()?;
        Ok(file)
    }

    /// Its JSON form, with a line end.
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(self);
        text.map_or_else(|error| format!("{{\"error\":\"{error}\"}}"), |text| text + "\n")
    }

    /// Checks the name, the keys' algorithms and the signature.
    pub fn check(&self) -> Result<(), PublicFileError> {
        let field = |what: String| PublicFileError::Field { name: self.name.clone(), what };
        check_name(&self.name).map_err(|why| field(format!("the name is not usable: {why}")))?;
        let keys = [
            ("session_key", &self.session_key, self.level.signature_algorithm()),
            ("link_key", &self.link_key, self.level.link_signature_algorithm()),
        ];
        for (which, key, wanted) in keys {
            if key.algorithm() != wanted {
                return Err(field(format!("{which} is {}, level {} needs {wanted}", key.algorithm(), self.level)));
            }
        }
        if self.session_key == self.link_key {
            return Err(field("session_key and link_key are the same".to_owned()));
        }
        let signature = BASE64.decode(&self.signature).map_err(|_| field("signature is not base64".to_owned()))?;
        let genuine = self.session_key.verify(PUBLIC_TAG, &self.content(), &signature);
        genuine.map_err(|_| PublicFileError::Signature(self.name.clone()))
    }

    /// What two people read to each other to make sure that they have the same file: hash of the signed content, 32 hex digits.
    pub fn fingerprint(&self) -> String {
        let digest = self.level.hash_algorithm().hash(PUBLIC_TAG, &[&self.content()]);
        digest.to_string().chars().take(32).collect()
    }

    fn content(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u32(self.version);
        out.bytes(self.name.as_bytes());
        out.bytes(self.address.as_bytes());
        out.u8(self.level.wire_id());
        for key in [&self.session_key, &self.link_key, &self.identity_key] {
            out.u8(key.algorithm().wire_id());
            out.bytes(key.as_bytes());
        }
        out.into_bytes()
    }
}
