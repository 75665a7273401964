//! Key encapsulation: ML-KEM (FIPS 203).

use std::fmt;

use aws_lc_rs::kem as library;
use zeroize::Zeroizing;

use crate::constant_time;
use crate::error::CryptoError;

/// Bytes of a shared secret.
pub const SHARED_SECRET_LEN: usize = 32;

/// A parameter set of ML-KEM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum KemAlgorithm {
    /// ML-KEM-512, NIST category 1.
    MlKem512 = 1,
    /// ML-KEM-768, NIST category 3.
    MlKem768 = 2,
    /// ML-KEM-1024, NIST category 5.
    MlKem1024 = 3,
}

impl KemAlgorithm {
    /// Every parameter set, weakest first.
    pub const ALL: [Self; 3] = [Self::MlKem512, Self::MlKem768, Self::MlKem1024];

    /// The name in text forms.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MlKem512 => "ml-kem-512",
            Self::MlKem768 => "ml-kem-768",
            Self::MlKem1024 => "ml-kem-1024",
        }
    }

    /// The module rank `k` of FIPS 203, from which the lengths follow.
    const fn rank(self) -> usize {
        match self {
            Self::MlKem512 => 2,
            Self::MlKem768 => 3,
            Self::MlKem1024 => 4,
        }
    }

    /// Bytes of an encapsulation (public) key.
    pub const fn encapsulation_key_len(self) -> usize {
        384 * self.rank() + 32
    }

    /// Bytes of a ciphertext.
    pub const fn ciphertext_len(self) -> usize {
        match self {
            Self::MlKem512 => 768,
            Self::MlKem768 => 1088,
            Self::MlKem1024 => 1568,
        }
    }

    fn parameters(self) -> &'static library::Algorithm {
        match self {
            Self::MlKem512 => &library::ML_KEM_512,
            Self::MlKem768 => &library::ML_KEM_768,
            Self::MlKem1024 => &library::ML_KEM_1024,
        }
    }

    fn check_len(self, what: &'static str, expected: usize, actual: usize) -> Result<(), CryptoError> {
        if expected == actual {
            Ok(())
        } else {
            Err(CryptoError::KemLength { what, algorithm: self.name(), expected, actual })
        }
    }
}

impl fmt::Display for KemAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A shared secret of 32 bytes, erased when dropped. Compared in constant time.
pub struct SharedSecret(Zeroizing<[u8; SHARED_SECRET_LEN]>);

impl SharedSecret {
    fn from_library(secret: &library::SharedSecret) -> Result<Self, CryptoError> {
        let mut bytes = Zeroizing::new([0; SHARED_SECRET_LEN]);
        if secret.as_ref().len() != SHARED_SECRET_LEN {
            return Err(CryptoError::Library("agree on a shared secret"));
        }
        bytes.copy_from_slice(secret.as_ref());
        Ok(Self(bytes))
    }

    /// The secret bytes.
    pub fn as_bytes(&self) -> &[u8; SHARED_SECRET_LEN] {
        &self.0
    }
}

impl PartialEq for SharedSecret {
    fn eq(&self, other: &Self) -> bool {
        constant_time::equal(self.0.as_slice(), other.0.as_slice())
    }
}

impl Eq for SharedSecret {}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret([secret])")
    }
}

/// A ciphertext with its parameter set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ciphertext {
    algorithm: KemAlgorithm,
    bytes: Vec<u8>,
}

impl Ciphertext {
    /// A ciphertext from its bytes.
    ///
    /// # Errors
    /// [`CryptoError::KemLength`].
    pub fn from_bytes(algorithm: KemAlgorithm, bytes: &[u8]) -> Result<Self, CryptoError> {
        algorithm.check_len("a ciphertext", algorithm.ciphertext_len(), bytes.len())?;
        Ok(Self { algorithm, bytes: bytes.to_vec() })
    }

    /// The parameter set.
    pub fn algorithm(&self) -> KemAlgorithm {
        self.algorithm
    }

    /// The bytes, [`KemAlgorithm::ciphertext_len`] of them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A public key to which secrets are encapsulated.
pub struct EncapsulationKey {
    algorithm: KemAlgorithm,
    bytes: Vec<u8>,
    key: library::EncapsulationKey,
}

impl EncapsulationKey {
    /// An encapsulation key from its FIPS 203 encoding.
    ///
    /// # Errors
    /// [`CryptoError::KemLength`] or [`CryptoError::KemKeyInvalid`].
    pub fn from_bytes(algorithm: KemAlgorithm, bytes: &[u8]) -> Result<Self, CryptoError> {
        algorithm.check_len("an encapsulation key", algorithm.encapsulation_key_len(), bytes.len())?;
        let key = library::EncapsulationKey::new(algorithm.parameters(), bytes)
            .map_err(|_| CryptoError::KemKeyInvalid(algorithm.name()))?;
        Ok(Self { algorithm, bytes: bytes.to_vec(), key })
    }

    /// The parameter set.
    pub fn algorithm(&self) -> KemAlgorithm {
        self.algorithm
    }

    /// The FIPS 203 encoding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A fresh shared secret, with the ciphertext from which the holder of the secret key recovers it.
    ///
    /// # Errors
    /// [`CryptoError::KemKeyInvalid`] when the key's coefficients are out of range.
    pub fn encapsulate(&self) -> Result<(Ciphertext, SharedSecret), CryptoError> {
        let (ciphertext, secret) =
            self.key.encapsulate().map_err(|_| CryptoError::KemKeyInvalid(self.algorithm.name()))?;
        Ok((Ciphertext::from_bytes(self.algorithm, ciphertext.as_ref())?, SharedSecret::from_library(&secret)?))
    }
}

impl fmt::Debug for EncapsulationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.bytes.get(..4).unwrap_or_default();
        write!(f, "EncapsulationKey({}:{}…)", self.algorithm, hex::encode(head))
    }
}

/// A secret key that recovers encapsulated secrets. The library erases it when it is dropped.
pub struct DecapsulationKey {
    algorithm: KemAlgorithm,
    key: library::DecapsulationKey,
}

impl DecapsulationKey {
    /// A fresh pair of keys.
    ///
    /// # Errors
    /// [`CryptoError::Library`] when the system has no entropy or memory.
    pub fn generate(algorithm: KemAlgorithm) -> Result<(Self, EncapsulationKey), CryptoError> {
        let failed = |_| CryptoError::Library("generate a key");
        let key = library::DecapsulationKey::generate(algorithm.parameters()).map_err(failed)?;
        let public = key.encapsulation_key().map_err(failed)?;
        let bytes = public.key_bytes().map_err(failed)?;
        let public = EncapsulationKey::from_bytes(algorithm, bytes.as_ref())?;
        Ok((Self { algorithm, key }, public))
    }

    /// The parameter set.
    pub fn algorithm(&self) -> KemAlgorithm {
        self.algorithm
    }

    /// Recovers the shared secret.
    ///
    /// A ciphertext that was tampered with gives a secret that no one else knows, not an error (implicit rejection,
    /// FIPS 203): only what is decrypted with the secret shows the difference.
    ///
    /// # Errors
    /// [`CryptoError::KemMismatch`] for a ciphertext of another parameter set; [`CryptoError::Library`].
    pub fn decapsulate(&self, ciphertext: &Ciphertext) -> Result<SharedSecret, CryptoError> {
        if ciphertext.algorithm != self.algorithm {
            return Err(CryptoError::KemMismatch);
        }
        let secret = self
            .key
            .decapsulate(library::Ciphertext::from(ciphertext.as_bytes()))
            .map_err(|_| CryptoError::Library("decapsulate"))?;
        SharedSecret::from_library(&secret)
    }
}

impl fmt::Debug for DecapsulationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecapsulationKey({}, [secret])", self.algorithm)
    }
}
