//! Names of keys, which are parts of file names.

use super::SecurityError;

/// Bytes of the longest name.
const MAX_LEN: usize = 64;

/// Refuses what could leave the directory or be taken for another file.
pub(crate) fn check(name: &str) -> Result<(), SecurityError> {
    let fits = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'_';
    if name.is_empty() || name.len() > MAX_LEN || !name.bytes().all(fits) {
        return Err(SecurityError::Name(name.chars().take(MAX_LEN).collect()));
    }
    Ok(())
}
