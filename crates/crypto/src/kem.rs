//! Key encapsulation: ML-KEM (FIPS 203), and at level 2048 ML-KEM-1024 together with HQC-256.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::kem as library;
use hqc_kem::hqc256;
use zeroize::Zeroizing;

use crate::constant_time;
use crate::derive::hkdf;
use crate::digest::{Digest, HashAlgorithm};
use crate::error::CryptoError;
use crate::random;

/// Bytes of a shared secret.
pub const SHARED_SECRET_LEN: usize = 32;
const KEY_ID_TAG: &str = "agent-mesh/kem-key-id/1";
const TWO_FAMILIES_TAG: &str = "agent-mesh/ml-kem-1024+hqc-256/1";
/// Bytes of the seed that an HQC key is made of.
const HQC_SEED_LEN: usize = 32;

/// A key-encapsulation algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum KemAlgorithm {
    /// ML-KEM-512, NIST category 1.
    MlKem512 = 1,
    /// ML-KEM-768, NIST category 3.
    MlKem768 = 2,
    /// ML-KEM-1024, NIST category 5.
    MlKem1024 = 3,
    /// ML-KEM-1024 (lattices) and HQC-256 (codes): whoever wants the secret must break both.
    MlKem1024Hqc256 = 4,
}

impl KemAlgorithm {
    /// Every algorithm, weakest first.
    pub const ALL: [Self; 4] = [Self::MlKem512, Self::MlKem768, Self::MlKem1024, Self::MlKem1024Hqc256];

    /// The name in text forms.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MlKem512 => "ml-kem-512",
            Self::MlKem768 => "ml-kem-768",
            Self::MlKem1024 => "ml-kem-1024",
            Self::MlKem1024Hqc256 => "ml-kem-1024+hqc-256",
        }
    }

    /// The algorithm of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The byte that stands for the algorithm in containers: 1 to 4.
    pub const fn wire_id(self) -> u8 {
        self as u8
    }

    /// The algorithm of this byte.
    pub fn from_wire_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.wire_id() == id)
    }

    /// The hash that goes with it (key ids aside, which are always SHA-256).
    pub const fn hash_algorithm(self) -> HashAlgorithm {
        match self {
            Self::MlKem512 | Self::MlKem768 => HashAlgorithm::Sha256,
            Self::MlKem1024 | Self::MlKem1024Hqc256 => HashAlgorithm::Sha384,
        }
    }

    /// Whether a second family takes part.
    const fn two_families(self) -> bool {
        matches!(self, Self::MlKem1024Hqc256)
    }

    /// Bytes of the ML-KEM part of an encapsulation key (FIPS 203, table 3).
    const fn first_key_len(self) -> usize {
        match self {
            Self::MlKem512 => 800,
            Self::MlKem768 => 1184,
            Self::MlKem1024 | Self::MlKem1024Hqc256 => 1568,
        }
    }

    /// Bytes of the ML-KEM part of a ciphertext.
    const fn first_ciphertext_len(self) -> usize {
        match self {
            Self::MlKem512 => 768,
            Self::MlKem768 => 1088,
            Self::MlKem1024 | Self::MlKem1024Hqc256 => 1568,
        }
    }

    /// Bytes of the ML-KEM part of a secret key.
    const fn first_secret_len(self) -> usize {
        match self {
            Self::MlKem512 => 1632,
            Self::MlKem768 => 2400,
            Self::MlKem1024 | Self::MlKem1024Hqc256 => 3168,
        }
    }

    /// Bytes of an encapsulation (public) key.
    pub const fn encapsulation_key_len(self) -> usize {
        self.first_key_len() + if self.two_families() { hqc256::PUBLIC_KEY_SIZE } else { 0 }
    }

    /// Bytes of a ciphertext.
    pub const fn ciphertext_len(self) -> usize {
        self.first_ciphertext_len() + if self.two_families() { hqc256::CIPHERTEXT_SIZE } else { 0 }
    }

    /// Bytes of a secret key as key files hold it: FIPS 203 `dk`, with two families followed by the seed of the HQC key.
    pub const fn secret_key_len(self) -> usize {
        self.first_secret_len() + if self.two_families() { HQC_SEED_LEN } else { 0 }
    }

    fn parameters(self) -> &'static library::Algorithm {
        match self {
            Self::MlKem512 => &library::ML_KEM_512,
            Self::MlKem768 => &library::ML_KEM_768,
            Self::MlKem1024 | Self::MlKem1024Hqc256 => &library::ML_KEM_1024,
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

    /// `HKDF-SHA384(first ‖ second, info = tag ‖ H(tag, ciphertext ‖ encapsulation key))`: a pseudorandom secret as long as one
    /// of the two is, bound to both ciphertexts and both keys.
    fn combine(first: &Self, second: &[u8], ciphertext: &[u8], key: &[u8]) -> Result<Self, CryptoError> {
        let hash = HashAlgorithm::Sha384;
        let context = hash.hash(TWO_FAMILIES_TAG, &[ciphertext, key]);
        let mut both = Zeroizing::new(Vec::with_capacity(2 * SHARED_SECRET_LEN));
        both.extend_from_slice(first.as_bytes());
        both.extend_from_slice(second);
        let mut out = Zeroizing::new([0; SHARED_SECRET_LEN]);
        hkdf(hash, &[], &both, &[TWO_FAMILIES_TAG.as_bytes(), context.as_bytes()], out.as_mut_slice())?;
        Ok(Self(out))
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

/// A ciphertext with its algorithm; with two families the ML-KEM ciphertext, then HQC's.
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

    /// The algorithm.
    pub fn algorithm(&self) -> KemAlgorithm {
        self.algorithm
    }

    /// The bytes, [`KemAlgorithm::ciphertext_len`] of them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn halves(&self) -> (&[u8], &[u8]) {
        self.bytes.split_at(self.algorithm.first_ciphertext_len())
    }
}

/// A public key to which secrets are encapsulated; with two families the ML-KEM key, then HQC's. Cloning copies its bytes.
#[derive(Clone)]
pub struct EncapsulationKey {
    algorithm: KemAlgorithm,
    bytes: Vec<u8>,
    first: Arc<library::EncapsulationKey>,
    second: Option<Arc<hqc256::EncapsulationKey>>,
}

impl EncapsulationKey {
    /// An encapsulation key from its standard encoding (FIPS 203; FIPS 207 draft).
    ///
    /// # Errors
    /// [`CryptoError::KemLength`] or [`CryptoError::KemKeyInvalid`].
    pub fn from_bytes(algorithm: KemAlgorithm, bytes: &[u8]) -> Result<Self, CryptoError> {
        algorithm.check_len("an encapsulation key", algorithm.encapsulation_key_len(), bytes.len())?;
        let invalid = || CryptoError::KemKeyInvalid(algorithm.name());
        let (first, second) = bytes.split_at(algorithm.first_key_len());
        let first = library::EncapsulationKey::new(algorithm.parameters(), first).map_err(|_| invalid())?;
        let second = if algorithm.two_families() {
            Some(Arc::new(hqc256::EncapsulationKey::try_from(second).map_err(|_| invalid())?))
        } else {
            None
        };
        Ok(Self { algorithm, bytes: bytes.to_vec(), first: Arc::new(first), second })
    }

    /// The algorithm.
    pub fn algorithm(&self) -> KemAlgorithm {
        self.algorithm
    }

    /// The standard encoding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What names the key in containers: SHA-256 of the algorithm and the key.
    pub fn id(&self) -> Digest {
        HashAlgorithm::Sha256.hash(KEY_ID_TAG, &[&[self.algorithm.wire_id()], &self.bytes])
    }

    /// A fresh shared secret, with the ciphertext from which the holder of the secret key recovers it.
    ///
    /// # Errors
    /// [`CryptoError::KemKeyInvalid`] when the key's coefficients are out of range.
    pub fn encapsulate(&self) -> Result<(Ciphertext, SharedSecret), CryptoError> {
        let (ciphertext, secret) =
            self.first.encapsulate().map_err(|_| CryptoError::KemKeyInvalid(self.algorithm.name()))?;
        let mut bytes = ciphertext.as_ref().to_vec();
        let mut secret = SharedSecret::from_library(&secret)?;
        if let Some(second) = &self.second {
            let mut message = Zeroizing::new([0; hqc256::MESSAGE_SIZE]);
            let mut salt = [0; hqc256::SALT_SIZE];
            random::fill(message.as_mut_slice())?;
            random::fill(&mut salt)?;
            let (second_ciphertext, second_secret) = second
                .encapsulate_deterministic(message.as_slice(), &salt)
                .map_err(|_| CryptoError::KemKeyInvalid(self.algorithm.name()))?;
            bytes.extend_from_slice(second_ciphertext.as_ref());
            secret = SharedSecret::combine(&secret, second_secret.as_ref(), &bytes, &self.bytes)?;
        }
        Ok((Ciphertext::from_bytes(self.algorithm, &bytes)?, secret))
    }
}

impl PartialEq for EncapsulationKey {
    fn eq(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.bytes == other.bytes
    }
}

impl Eq for EncapsulationKey {}

impl fmt::Debug for EncapsulationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = self.bytes.get(..4).unwrap_or_default();
        write!(f, "EncapsulationKey({}:{}…)", self.algorithm, hex::encode(head))
    }
}

/// A secret key that recovers encapsulated secrets. The libraries erase it when it is dropped.
pub struct DecapsulationKey {
    algorithm: KemAlgorithm,
    first: library::DecapsulationKey,
    second: Option<Box<hqc256::DecapsulationKey>>,
    public: EncapsulationKey,
    /// The seed of `second`, for the key file.
    hqc_seed: Zeroizing<Vec<u8>>,
}

impl DecapsulationKey {
    /// A fresh pair of keys.
    ///
    /// # Errors
    /// [`CryptoError::Library`] when the system has no entropy or memory.
    pub fn generate(algorithm: KemAlgorithm) -> Result<(Self, EncapsulationKey), CryptoError> {
        let failed = |_| CryptoError::Library("generate a key");
        let first = library::DecapsulationKey::generate(algorithm.parameters()).map_err(failed)?;
        let public = first.encapsulation_key().map_err(failed)?;
        let mut bytes = public.key_bytes().map_err(failed)?.as_ref().to_vec();
        let (mut second, mut hqc_seed) = (None, Zeroizing::new(Vec::new()));
        if algorithm.two_families() {
            hqc_seed = Zeroizing::new(vec![0; HQC_SEED_LEN]);
            random::fill(&mut hqc_seed)?;
            let (public, secret) = hqc_from(&hqc_seed)?;
            bytes.extend_from_slice(public.as_ref());
            second = Some(Box::new(secret));
        }
        let public = EncapsulationKey::from_bytes(algorithm, &bytes)?;
        Ok((Self { algorithm, first, second, public: public.clone(), hqc_seed }, public))
    }

    /// The key of a key file. Tries it once against its public key, as FIPS 203 section 7.3 asks.
    pub(crate) fn from_secret_bytes(secret: &[u8], public: &EncapsulationKey) -> Result<Self, CryptoError> {
        let algorithm = public.algorithm();
        algorithm.check_len("a secret key", algorithm.secret_key_len(), secret.len())?;
        let invalid = || CryptoError::KemKeyInvalid(algorithm.name());
        let (first, seed) = secret.split_at(algorithm.first_secret_len());
        let first = library::DecapsulationKey::new(algorithm.parameters(), first).map_err(|_| invalid())?;
        let second = if algorithm.two_families() { Some(Box::new(hqc_from(seed)?.1)) } else { None };
        let hqc_seed = Zeroizing::new(seed.to_vec());
        let key = Self { algorithm, first, second, public: public.clone(), hqc_seed };
        let (ciphertext, theirs) = public.encapsulate()?;
        if key.decapsulate(&ciphertext)? == theirs { Ok(key) } else { Err(invalid()) }
    }

    /// The secret for the key file, [`KemAlgorithm::secret_key_len`] bytes.
    pub(crate) fn secret_bytes(&self) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let first = self.first.key_bytes().map_err(|_| CryptoError::Library("encode a key"))?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.algorithm.secret_key_len()));
        bytes.extend_from_slice(first.as_ref());
        bytes.extend_from_slice(&self.hqc_seed);
        Ok(bytes)
    }

    /// The algorithm.
    pub fn algorithm(&self) -> KemAlgorithm {
        self.algorithm
    }

    /// The public half.
    pub fn public_key(&self) -> &EncapsulationKey {
        &self.public
    }

    /// Recovers the shared secret.
    ///
    /// A ciphertext that was tampered with gives a secret that no one else knows, not an error (implicit rejection,
    /// FIPS 203): only what is decrypted with the secret shows the difference.
    ///
    /// # Errors
    /// [`CryptoError::KemMismatch`] for a ciphertext of another algorithm; [`CryptoError::Library`].
    pub fn decapsulate(&self, ciphertext: &Ciphertext) -> Result<SharedSecret, CryptoError> {
        if ciphertext.algorithm != self.algorithm {
            return Err(CryptoError::KemMismatch);
        }
        let failed = CryptoError::Library("decapsulate");
        let (first, second) = ciphertext.halves();
        let secret = self.first.decapsulate(library::Ciphertext::from(first)).map_err(|_| failed.clone())?;
        let secret = SharedSecret::from_library(&secret)?;
        let Some(key) = &self.second else { return Ok(secret) };
        let second = hqc256::Ciphertext::try_from(second).map_err(|_| failed)?;
        let second_secret = key.decapsulate(&second);
        SharedSecret::combine(&secret, second_secret.as_ref(), ciphertext.as_bytes(), self.public.as_bytes())
    }
}

fn hqc_from(seed: &[u8]) -> Result<(hqc256::EncapsulationKey, hqc256::DecapsulationKey), CryptoError> {
    let seed = seed.try_into().map_err(|_| CryptoError::Library("derive a key from its seed"))?;
    Ok(hqc256::generate_key_deterministic(seed))
}

impl fmt::Debug for DecapsulationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecapsulationKey({}, [secret])", self.algorithm)
    }
}
