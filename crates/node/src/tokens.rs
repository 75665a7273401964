//! Bearer tokens of the HTTP API: made, listed, revoked, looked up. Only their hashes are kept.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use crypto::{Digest, HashAlgorithm};
use serde::{Deserialize, Serialize};

/// Tokens of one node, at most.
pub const MAX_TOKENS: usize = 1_000;
/// Longest token file, bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Random bytes of a token: nobody guesses them, so that one fast hash is enough.
const SECRET_BYTES: usize = 32;
/// Longest text that is looked at as a token.
const MAX_TOKEN_LEN: usize = 128;
const TAG: &str = "agent-mesh/token/1";
const PREFIX: &str = "amt_";

/// What a token allows; each role allows what the ones before it allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// To read blocks, results, status, metrics.
    Read,
    /// To propose values, too.
    Propose,
    /// To use the admin verbs, too.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Propose => "propose",
            Self::Admin => "admin",
        })
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "read" => Ok(Self::Read),
            "propose" => Ok(Self::Propose),
            "admin" => Ok(Self::Admin),
            _ => Err(format!("{text:?} is no role: read, propose or admin")),
        }
    }
}

/// What is kept of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// Its public part: names it in lists and in the audit log.
    pub id: String,
    /// Whom or what it is for.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// When it was made, microseconds since the Unix epoch.
    pub created_us: u64,
    /// From when on it is void, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_us: Option<u64>,
    /// Tagged SHA-256 of the token.
    hash: Digest,
}

/// Why tokens cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file.
    #[error("cannot use the token file {path}: {source}; check its owner and mode")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Its content.
    #[error("{path} is not a token file: {why}; repair it, or remove it and make new tokens")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The request.
    #[error("{0}")]
    Invalid(String),
}

/// The tokens of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens(Vec<TokenRecord>);

fn hash(token: &str) -> Digest {
    HashAlgorithm::Sha256.hash(TAG, &[token.as_bytes()])
}

impl Tokens {
    /// Reads the file; one that does not exist holds none.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let failed = |source| TokenError::Io { path: path.to_owned(), source };
        let content = |why: String| TokenError::Content { path: path.to_owned(), why };
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.len() > MAX_FILE_BYTES => return Err(content("it is too long".to_owned())),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed(error)),
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let list: Vec<TokenRecord> = serde_json::from_str(&text).map_err(|error| content(error.to_string()))?;
        Ok(Self(list))
    }

    /// Writes the file anew: whole or not at all, readable for its owner only.
    pub fn write(&self, path: &Path) -> Result<(), TokenError> {
        let failed = |source| TokenError::Io { path: path.to_owned(), source };
        let mut text = serde_json::to_string_pretty(&self.0).map_err(|error| failed(error.into()))?;
        text.push('\n');
        let new = path.with_extension("new");
        let _ = std::fs::remove_file(&new);
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&new).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        std::fs::rename(&new, path).map_err(failed)?;
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
    }

    /// Makes a token. Its text is returned here and kept nowhere.
    pub fn create(
        &mut self,
        name: &str,
        role: Role,
        now_us: u64,
        expires_us: Option<u64>,
    ) -> Result<(TokenRecord, String), TokenError> {
        if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
            return Err(TokenError::Invalid("a token's name has 1 to 64 bytes without control characters".to_owned()));
        }
        if self.0.len() >= MAX_TOKENS {
            return Err(TokenError::Invalid(format!("there are {MAX_TOKENS} tokens; revoke some")));
        }
        let random =
            |bytes: &mut [u8]| crypto::random::fill(bytes).map_err(|error| TokenError::Invalid(error.to_string()));
        let (mut id, mut secret) = ([0; 4], [0; SECRET_BYTES]);
        random(&mut secret)?;
        let id = loop {
            random(&mut id)?;
            let id = hex::encode(id);
            if self.0.iter().all(|token| token.id != id) {
                break id;
            }
        };
        let text = format!("{PREFIX}{id}_{}", BASE64.encode(secret));
        let record = TokenRecord { id, name: name.to_owned(), role, created_us: now_us, expires_us, hash: hash(&text) };
        self.0.push(record.clone());
        Ok((record, text))
    }

    /// Removes the token with this id.
    pub fn revoke(&mut self, id: &str) -> Result<TokenRecord, TokenError> {
        let at = self.0.iter().position(|token| token.id == id);
        let at = at.ok_or_else(|| TokenError::Invalid(format!("there is no token with the id {id:?}")))?;
        Ok(self.0.remove(at))
    }

    /// All tokens, without their secrets.
    pub fn list(&self) -> &[TokenRecord] {
        &self.0
    }

    /// The token with this text, if there is one that is not void.
    pub fn find(&self, text: &str, now_us: u64) -> Option<&TokenRecord> {
        let id = text.strip_prefix(PREFIX).filter(|_| text.len() <= MAX_TOKEN_LEN)?.split('_').next()?;
        let found = self.0.iter().find(|token| token.id == id)?;
        let same = crypto::constant_time_equal(hash(text).as_bytes(), found.hash.as_bytes());
        (same && found.expires_us.is_none_or(|expires| now_us < expires)).then_some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_found_and_revoked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens.json");
        let mut tokens = Tokens::read(&path).unwrap();
        let (ops, text) = tokens.create("ops", Role::Admin, 5, None).unwrap();
        let (short, brief) = tokens.create("brief", Role::Read, 5, Some(10)).unwrap();
        tokens.write(&path).unwrap();
        let stored = std::fs::read_to_string(&path).unwrap();
        assert!(!stored.contains(&text) && !stored.contains(text.rsplit('_').next().unwrap()), "no secret is stored");
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
        let mut read = Tokens::read(&path).unwrap();
        assert_eq!(read, tokens);
        assert_eq!(read.find(&text, 6), Some(&ops));
        assert_eq!((read.find(&brief, 9), read.find(&brief, 10)), (Some(&short), None));
        let other = text.replace(&ops.id, &short.id);
        for wrong in ["", "amt_", &text[..text.len() - 1], &other, &format!("{text}x"), &"amt_a_".repeat(100)] {
            assert_eq!(read.find(wrong, 6), None, "{wrong}");
        }
        read.revoke(&ops.id).unwrap();
        assert_eq!(read.find(&text, 6), None);
        assert!(read.revoke(&ops.id).is_err());
    }

    #[test]
    fn what_is_not_a_token_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens.json");
        for text in ["", "{}", "[{\"id\":\"a\"}]", "[1]"] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(Tokens::read(&path), Err(TokenError::Content { .. })), "{text}");
        }
        assert!(Role::Read < Role::Propose && Role::Propose < Role::Admin);
        assert!("root".parse::<Role>().is_err());
        let mut tokens = Tokens::default();
        assert!(tokens.create("", Role::Read, 0, None).is_err());
    }
}
