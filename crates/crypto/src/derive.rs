//! Keys derived from secrets: HKDF (RFC 5869) over the level's hash.

use aws_lc_rs::hkdf::{HKDF_SHA256, HKDF_SHA384, KeyType, Salt};

use crate::digest::HashAlgorithm;
use crate::error::CryptoError;

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// Fills `out` with `HKDF(salt, secret, info parts concatenated)`.
///
/// # Errors
/// [`CryptoError::Library`] when `out` is longer than 255 digests.
pub(crate) fn hkdf(
    hash: HashAlgorithm,
    salt: &[u8],
    secret: &[u8],
    info: &[&[u8]],
    out: &mut [u8],
) -> Result<(), CryptoError> {
    let algorithm = match hash {
        HashAlgorithm::Sha256 => HKDF_SHA256,
        HashAlgorithm::Sha384 => HKDF_SHA384,
    };
    let failed = |_| CryptoError::Library("derive a key");
    let pseudorandom = Salt::new(algorithm, salt).extract(secret);
    pseudorandom.expand(info, Length(out.len())).and_then(|okm| okm.fill(out)).map_err(failed)
}
