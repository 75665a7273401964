//! Random bytes from the library's generator, which the operating system seeds.

use crate::error::CryptoError;

/// Fills `bytes` with bytes fit for keys.
///
/// # Errors
/// [`CryptoError::Library`] when the system has no entropy to give.
pub fn fill(bytes: &mut [u8]) -> Result<(), CryptoError> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| CryptoError::Library("draw random bytes"))
}

/// A uniformly distributed number.
///
/// # Errors
/// [`CryptoError::Library`] when the system has no entropy to give.
pub fn u64() -> Result<u64, CryptoError> {
    let mut bytes = [0; 8];
    fill(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}
