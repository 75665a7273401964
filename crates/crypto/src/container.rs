//! The encryption container: a stream of any length for one recipient, in constant memory (docs/formats.md, section 17).
//!
//! Key encapsulation to the recipient, HKDF over the secret, the header and the associated data, then AES-256-GCM in
//! chunks after the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015): the nonce counts the chunks and marks
//! the last one, so that chunks cannot be reordered, left out or cut off.

use std::io::{ErrorKind, Read, Write};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::derive::hkdf;
use crate::digest::Digest;
use crate::error::CryptoError;
use crate::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, KemAlgorithm, SharedSecret};

const MAGIC: &[u8; 4] = b"AMqe";
const VERSION: u16 = 1;
const AES_256_GCM_ID: u8 = 1;
const TAG: &str = "agent-mesh/container/v1";
/// Bytes of plaintext in each chunk but the last.
pub const CHUNK_LEN: usize = 64 * 1024;
/// Bytes of a recipient's key id.
const KEY_ID_LEN: usize = 32;
const PREFIX_LEN: usize = NONCE_LEN - 5;
const FIXED_LEN: usize = MAGIC.len() + 2 + 1 + 1 + 4 + KEY_ID_LEN;

/// Why a container was not written or opened. Nothing tells which part of a secret did not fit.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// Reading or writing failed.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was done.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not a container.
    #[error("this is not an agent-mesh encryption container (it begins otherwise)")]
    NotAContainer,
    /// Of a later release.
    #[error("the container has version {0}, this program reads version 1: use the release that wrote it")]
    Version(u16),
    /// Algorithms that this release does not have.
    #[error(
        "the container uses algorithms that this program does not know ({what} {id}): use the release that wrote it"
    )]
    Algorithm {
        /// Which field.
        what: &'static str,
        /// Its value.
        id: u32,
    },
    /// Ends within the header.
    #[error("the container ends within its header: it was cut off")]
    TruncatedHeader,
    /// The key is another one.
    #[error("the container is encrypted to key {needed}, and this is key {given}")]
    WrongKey {
        /// Key id in the header.
        needed: Digest,
        /// Key id of the key at hand.
        given: Digest,
    },
    /// A chunk does not authenticate.
    #[error(
        "the container does not decrypt at byte {offset} of its content: it was changed or cut off, or the associated data (--aad) is not \
         that of the encryption; what came before this byte is genuine, but incomplete"
    )]
    Forged {
        /// Plaintext bytes before the chunk.
        offset: u64,
    },
    /// Too long for the chunk counter.
    #[error("the content is longer than 256 TiB: encrypt it in parts")]
    TooLong,
    /// The library.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

fn failed(action: &'static str) -> impl FnOnce(std::io::Error) -> ContainerError {
    move |source| ContainerError::Io { action, source }
}

/// What stands in front of the encrypted chunks.
#[derive(Debug, Clone)]
pub struct ContainerHeader {
    key_id: Digest,
    ciphertext: Ciphertext,
}

impl ContainerHeader {
    /// Reads the header, so that the recipient's key can be looked up, and leaves `input` at the first chunk.
    ///
    /// # Errors
    /// See [`ContainerError`].
    pub fn read(input: &mut impl Read) -> Result<Self, ContainerError> {
        let mut fixed = [0; FIXED_LEN];
        let len = read_full(input, &mut fixed)?;
        let Some((magic, rest)) = fixed.split_first_chunk::<4>() else { return Err(ContainerError::NotAContainer) };
        if len < MAGIC.len() || magic != MAGIC {
            return Err(ContainerError::NotAContainer);
        }
        if len < FIXED_LEN {
            return Err(ContainerError::TruncatedHeader);
        }
        let [v0, v1, kem, cipher, c0, c1, c2, c3, key_id @ ..] = rest else {
            return Err(ContainerError::TruncatedHeader);
        };
        let version = u16::from_be_bytes([*v0, *v1]);
        if version != VERSION {
            return Err(ContainerError::Version(version));
        }
        let unknown = |what, id| Err(ContainerError::Algorithm { what, id });
        let Some(kem_algorithm) = KemAlgorithm::from_wire_id(*kem) else { return unknown("kem", u32::from(*kem)) };
        if *cipher != AES_256_GCM_ID {
            return unknown("cipher", u32::from(*cipher));
        }
        let chunk_len = u32::from_be_bytes([*c0, *c1, *c2, *c3]);
        if chunk_len as usize != CHUNK_LEN {
            return unknown("chunk length", chunk_len);
        }
        let key_id = Digest::from_slice(key_id)?;
        let mut bytes = vec![0; kem_algorithm.ciphertext_len()];
        if read_full(input, &mut bytes)? < bytes.len() {
            return Err(ContainerError::TruncatedHeader);
        }
        Ok(Self { key_id, ciphertext: Ciphertext::from_bytes(kem_algorithm, &bytes)? })
    }

    /// Id of the key that the container is encrypted to ([`EncapsulationKey::id`]).
    pub fn key_id(&self) -> Digest {
        self.key_id
    }

    /// The key-encapsulation algorithm.
    pub fn algorithm(&self) -> KemAlgorithm {
        self.ciphertext.algorithm()
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED_LEN + self.ciphertext.as_bytes().len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&[self.algorithm().wire_id(), AES_256_GCM_ID]);
        out.extend_from_slice(&(CHUNK_LEN as u32).to_be_bytes());
        out.extend_from_slice(self.key_id.as_bytes());
        out.extend_from_slice(self.ciphertext.as_bytes());
        out
    }

    /// Decrypts what follows the header. Each chunk is written once it is authenticated; only when this returns is the
    /// content complete. Gives the number of plaintext bytes.
    ///
    /// # Errors
    /// See [`ContainerError`].
    pub fn open(
        &self,
        key: &DecapsulationKey,
        aad: &[u8],
        input: &mut impl Read,
        output: &mut impl Write,
    ) -> Result<u64, ContainerError> {
        if key.public_key().id() != self.key_id {
            return Err(ContainerError::WrongKey { needed: self.key_id, given: key.public_key().id() });
        }
        let secret = key.decapsulate(&self.ciphertext)?;
        let mut cipher = ChunkCipher::new(self, &secret, aad)?;
        let sealed_len = CHUNK_LEN + MAX_TAG_LEN;
        let (mut chunk, mut ahead) = (buffer(), buffer());
        fill(input, &mut chunk, sealed_len, "read the container")?;
        let mut total = 0;
        loop {
            ahead.clear();
            if chunk.len() == sealed_len {
                fill(input, &mut ahead, sealed_len, "read the container")?;
            }
            let last = ahead.is_empty();
            // An empty last chunk is only how an empty content is written.
            if total > 0 && last && chunk.len() <= MAX_TAG_LEN {
                return Err(ContainerError::Forged { offset: total });
            }
            let plain = cipher.open(&mut chunk, last)?.ok_or(ContainerError::Forged { offset: total })?;
            output.write_all(plain).map_err(failed("write the content"))?;
            total += plain.len() as u64;
            if last {
                output.flush().map_err(failed("write the content"))?;
                return Ok(total);
            }
            std::mem::swap(&mut chunk, &mut ahead);
        }
    }
}

/// Encrypts `input` to `recipient` and gives the number of plaintext bytes. `aad` is authenticated, not stored: whoever
/// decrypts must give the same.
///
/// # Errors
/// See [`ContainerError`].
pub fn encrypt(
    recipient: &EncapsulationKey,
    aad: &[u8],
    input: &mut impl Read,
    output: &mut impl Write,
) -> Result<u64, ContainerError> {
    let (ciphertext, secret) = recipient.encapsulate()?;
    let header = ContainerHeader { key_id: recipient.id(), ciphertext };
    let mut cipher = ChunkCipher::new(&header, &secret, aad)?;
    output.write_all(&header.to_bytes()).map_err(failed("write the container"))?;
    let (mut chunk, mut ahead) = (buffer(), buffer());
    fill(input, &mut chunk, CHUNK_LEN, "read the content")?;
    let mut total = 0;
    loop {
        ahead.clear();
        if chunk.len() == CHUNK_LEN {
            fill(input, &mut ahead, CHUNK_LEN, "read the content")?;
        }
        let last = ahead.is_empty();
        total += chunk.len() as u64;
        cipher.seal(&mut chunk, last)?;
        output.write_all(&chunk).map_err(failed("write the container"))?;
        if last {
            output.flush().map_err(failed("write the container"))?;
            return Ok(total);
        }
        std::mem::swap(&mut chunk, &mut ahead);
    }
}

fn buffer() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(CHUNK_LEN + MAX_TAG_LEN))
}

/// Fills `chunk` up to `len` bytes; fewer only at the end of the input.
fn fill(input: &mut impl Read, chunk: &mut Vec<u8>, len: usize, action: &'static str) -> Result<(), ContainerError> {
    chunk.clear();
    input.take(len as u64).read_to_end(chunk).map_err(failed(action))?;
    Ok(())
}

fn read_full(input: &mut impl Read, out: &mut [u8]) -> Result<usize, ContainerError> {
    let mut done = 0;
    while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(len) => done += len,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("read the container")(error)),
        }
    }
    Ok(done)
}

struct ChunkCipher {
    key: LessSafeKey,
    prefix: [u8; PREFIX_LEN],
    next: Option<u32>,
}

impl ChunkCipher {
    fn new(header: &ContainerHeader, secret: &SharedSecret, aad: &[u8]) -> Result<Self, ContainerError> {
        let hash = header.algorithm().hash_algorithm();
        let context = hash.hash(TAG, &[&header.to_bytes(), &(aad.len() as u64).to_be_bytes(), aad]);
        let mut material = Zeroizing::new([0; 32 + PREFIX_LEN]);
        hkdf(hash, &[], secret.as_bytes(), &[TAG.as_bytes(), context.as_bytes()], material.as_mut_slice())?;
        let mut prefix = [0; PREFIX_LEN];
        prefix.copy_from_slice(&material[32..]);
        let key =
            UnboundKey::new(&AES_256_GCM, &material[..32]).map_err(|_| CryptoError::Library("make a cipher key"))?;
        Ok(Self { key: LessSafeKey::new(key), prefix, next: Some(0) })
    }

    fn nonce(&mut self, last: bool) -> Result<Nonce, ContainerError> {
        let number = self.next.ok_or(ContainerError::TooLong)?;
        self.next = number.checked_add(1);
        let mut nonce = [0; NONCE_LEN];
        nonce[..PREFIX_LEN].copy_from_slice(&self.prefix);
        nonce[PREFIX_LEN..NONCE_LEN - 1].copy_from_slice(&number.to_be_bytes());
        nonce[NONCE_LEN - 1] = u8::from(last);
        Ok(Nonce::assume_unique_for_key(nonce))
    }

    fn seal(&mut self, chunk: &mut Vec<u8>, last: bool) -> Result<(), ContainerError> {
        let nonce = self.nonce(last)?;
        let sealed = self.key.seal_in_place_append_tag(nonce, Aad::empty(), chunk);
        sealed.map_err(|_| CryptoError::Library("encrypt").into())
    }

    /// The plaintext, or none when the chunk is not what was sealed at this place.
    fn open<'a>(&mut self, chunk: &'a mut [u8], last: bool) -> Result<Option<&'a [u8]>, ContainerError> {
        let nonce = self.nonce(last)?;
        Ok(self.key.open_in_place(nonce, Aad::empty(), chunk).ok().map(|plain| &*plain))
    }
}
