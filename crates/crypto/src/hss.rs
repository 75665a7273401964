//! HSS/LMS (RFC 8554, SP 800-208) through the `hbs-lms` library, with strict parsing in front of it.
//!
//! The library indexes into slices without looking at their length and accepts bytes behind a signature, so nothing
//! reaches it that [`Shape::of`] has not measured first. It also wants a large stack: key generation and signing run on a
//! thread of their own.

use std::fmt;
use std::str::FromStr;

use hbs_lms::{HssParameter, LmotsAlgorithm, LmsAlgorithm, Seed, Sha256_256};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::error::CryptoError;

/// Bytes of a public key: levels, two type codes, identifier, root.
pub(crate) const PUBLIC_KEY_LEN: usize = 60;
/// Bytes of the longest signature accepted: two levels of height 25 with Winternitz parameter 4.
pub(crate) const MAX_SIGNATURE_LEN: usize = 4 + 2 * lms_signature_len(67, 25) + LMS_PUBLIC_KEY_LEN;
/// The deepest chain of trees in use.
const MAX_LEVELS: usize = 2;
const LMS_PUBLIC_KEY_LEN: usize = 56;
const HASH_LEN: usize = 32;
/// What the library asks of a stack, with room: it keeps trees of eight levels there.
const STACK_BYTES: usize = 16 * 1024 * 1024;
/// Room for the stored part of the top tree, a cache of its upper nodes: all of a tree of height 10, the upper 13 levels of
/// one of height 25.
pub(crate) const AUX_BYTES: usize = 384 * 1024;
/// Bytes of the library's secret key: counter, parameter set, seed.
const LIBRARY_KEY_LEN: usize = 48;

const fn lms_signature_len(chains: usize, height: usize) -> usize {
    4 + 4 + HASH_LEN + chains * HASH_LEN + 4 + height * HASH_LEN
}

/// The height of one Merkle tree; a tree of height h signs 2^h times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TreeHeight {
    /// 32 signatures; for tests.
    H5,
    /// 1,024 signatures.
    H10,
    /// 32,768 signatures.
    H15,
    /// 1,048,576 signatures; minutes to generate.
    H20,
    /// 33,554,432 signatures; an hour and more to generate.
    H25,
}

impl TreeHeight {
    /// Every height of RFC 8554.
    pub const ALL: [Self; 5] = [Self::H5, Self::H10, Self::H15, Self::H20, Self::H25];

    /// The height as a number.
    pub const fn get(self) -> u8 {
        match self {
            Self::H5 => 5,
            Self::H10 => 10,
            Self::H15 => 15,
            Self::H20 => 20,
            Self::H25 => 25,
        }
    }

    /// The tree height of this number.
    ///
    /// # Errors
    /// [`CryptoError::TreeHeight`] names the legal ones.
    pub fn new(height: u8) -> Result<Self, CryptoError> {
        Self::ALL.into_iter().find(|known| known.get() == height).ok_or(CryptoError::TreeHeight)
    }

    /// The type code `LMS_SHA256_M32_H…` of RFC 8554: 5 to 9.
    const fn type_code(self) -> u32 {
        4 + self.get() as u32 / 5
    }

    fn from_type_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|height| height.type_code() == code)
    }

    fn parameter(self) -> HssParameter<Sha256_256> {
        let height = match self {
            Self::H5 => LmsAlgorithm::LmsH5,
            Self::H10 => LmsAlgorithm::LmsH10,
            Self::H15 => LmsAlgorithm::LmsH15,
            Self::H20 => LmsAlgorithm::LmsH20,
            Self::H25 => LmsAlgorithm::LmsH25,
        };
        HssParameter::new(LmotsAlgorithm::LmotsW4, height)
    }
}

/// The heights of one or two levels of trees; written `10` or `10/10`, in JSON `[10]` or `[10,10]`.
///
/// Keys are made with Winternitz parameter 4; signatures with 8 are verified too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<u8>", into = "Vec<u8>")]
pub struct HssHeights {
    /// The tree whose root is the public key.
    pub top: TreeHeight,
    /// The trees that sign messages, when there are two levels.
    pub lower: Option<TreeHeight>,
}

impl HssHeights {
    /// Two levels of height 10: 2^20 signatures, 119 years of hourly rotation.
    pub const DEFAULT: Self = Self { top: TreeHeight::H10, lower: Some(TreeHeight::H10) };
    /// Two levels of height 5: 1,024 signatures, made in milliseconds; for tests and simulation.
    pub const SMALL: Self = Self { top: TreeHeight::H5, lower: Some(TreeHeight::H5) };

    /// How many signatures such a key can make.
    pub const fn capacity(self) -> u64 {
        let lower = match self.lower {
            Some(height) => height.get(),
            None => 0,
        };
        1 << (self.top.get() + lower)
    }

    fn parameters(self) -> Vec<HssParameter<Sha256_256>> {
        std::iter::once(self.top).chain(self.lower).map(TreeHeight::parameter).collect()
    }
}

impl fmt::Display for HssHeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.top.get())?;
        self.lower.map_or(Ok(()), |lower| write!(f, "/{}", lower.get()))
    }
}

impl FromStr for HssHeights {
    type Err = CryptoError;

    fn from_str(text: &str) -> Result<Self, CryptoError> {
        let numbers: Result<Vec<u8>, _> = text.split('/').map(str::parse).collect();
        numbers.map_err(|_| CryptoError::TreeHeight)?.try_into()
    }
}

impl TryFrom<Vec<u8>> for HssHeights {
    type Error = CryptoError;

    fn try_from(heights: Vec<u8>) -> Result<Self, CryptoError> {
        match *heights.as_slice() {
            [top] => Ok(Self { top: TreeHeight::new(top)?, lower: None }),
            [top, lower] => Ok(Self { top: TreeHeight::new(top)?, lower: Some(TreeHeight::new(lower)?) }),
            _ => Err(CryptoError::TreeHeight),
        }
    }
}

impl From<HssHeights> for Vec<u8> {
    fn from(heights: HssHeights) -> Self {
        std::iter::once(heights.top).chain(heights.lower).map(TreeHeight::get).collect()
    }
}

/// One tree's parameters as its public key names them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Tree {
    height: TreeHeight,
    /// LM-OTS type code: 3 (`W4`) or 4 (`W8`).
    one_time: u32,
}

impl Tree {
    fn read(input: &mut Input<'_>) -> Option<Self> {
        let height = TreeHeight::from_type_code(input.u32()?)?;
        let one_time = input.u32().filter(|code| matches!(code, 3 | 4))?;
        Some(Self { height, one_time })
    }

    /// Reads past one LMS signature of this tree and gives the leaf that made it.
    fn skip_signature(self, input: &mut Input<'_>) -> Option<u32> {
        let leaf = input.u32().filter(|leaf| *leaf < 1 << self.height.get())?;
        input.u32().filter(|code| *code == self.one_time)?;
        let chains = if self.one_time == 3 { 67 } else { 34 };
        input.skip(HASH_LEN * (1 + chains))?;
        input.u32().filter(|code| *code == self.height.type_code())?;
        input.skip(HASH_LEN * usize::from(self.height.get()))?;
        Some(leaf)
    }
}

/// What a well-formed public key says about itself.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    levels: u32,
    top: Tree,
}

impl Shape {
    /// The shape of a public key, or none when it is malformed or outside the bounds in use.
    pub(crate) fn of(public_key: &[u8; PUBLIC_KEY_LEN]) -> Option<Self> {
        let mut input = Input(public_key);
        let levels = input.u32().filter(|levels| (1..=MAX_LEVELS as u32).contains(levels))?;
        Some(Self { levels, top: Tree::read(&mut input)? })
    }

    /// The index, counted over all leaves of the key, of the one-time key that made `signature`; none when it is malformed.
    pub(crate) fn leaf_index(self, signature: &[u8]) -> Option<u64> {
        let mut input = Input(signature);
        input.u32().filter(|lower| *lower == self.levels - 1)?;
        let mut index = u64::from(self.top.skip_signature(&mut input)?);
        if self.levels == 2 {
            let lower = Tree::read(&mut input)?;
            input.skip(LMS_PUBLIC_KEY_LEN - 8)?;
            let leaf = u64::from(lower.skip_signature(&mut input)?);
            index = (index << lower.height.get()) | leaf;
        }
        input.0.is_empty().then_some(index)
    }
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (head, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*head))
    }

    fn skip(&mut self, len: usize) -> Option<()> {
        self.0 = self.0.get(len..)?;
        Some(())
    }
}

/// Whether `signature` is of this key over `bytes`.
pub(crate) fn verify(shape: Shape, public_key: &[u8; PUBLIC_KEY_LEN], bytes: &[u8], signature: &[u8]) -> bool {
    shape.leaf_index(signature).is_some() && hbs_lms::verify::<Sha256_256>(bytes, signature, public_key).is_ok()
}

/// A public key with the library's cache of its top tree.
pub(crate) struct Generated {
    pub(crate) public_key: [u8; PUBLIC_KEY_LEN],
    /// Holds tree nodes and a MAC under the seed; not secret, but only worth something with the seed.
    pub(crate) aux: Vec<u8>,
}

/// The key of a seed. `aux`, when it came from an earlier call with the same seed, makes it fast.
pub(crate) fn generate(
    heights: HssHeights,
    seed: &Zeroizing<[u8; 32]>,
    aux: Option<Vec<u8>>,
) -> Result<Generated, CryptoError> {
    on_large_stack("generate a key", || {
        let mut aux = aux.unwrap_or_else(|| vec![0; AUX_BYTES]);
        let mut seed_copy = Seed::<Sha256_256>::from(**seed);
        let mut slice = aux.as_mut_slice();
        let made = hbs_lms::keygen::<Sha256_256>(&heights.parameters(), &seed_copy, Some(&mut slice));
        seed_copy.zeroize();
        let used = slice.len();
        let (mut secret, public) = made.ok()?;
        secret.as_mut_slice().zeroize();
        aux.truncate(used);
        Some(Generated { public_key: public.as_slice().try_into().ok()?, aux })
    })
}

/// Signs with the one-time key of `index`. The caller has made sure, durably, that it never signs again.
pub(crate) fn sign(
    heights: HssHeights,
    seed: &Zeroizing<[u8; 32]>,
    aux: &[u8],
    index: u64,
    bytes: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    on_large_stack("sign", || {
        let mut key = Zeroizing::new([0xff; LIBRARY_KEY_LEN]);
        key[..8].copy_from_slice(&index.to_be_bytes());
        for (place, tree) in std::iter::once(heights.top).chain(heights.lower).enumerate() {
            key[8 + place] = ((tree.type_code() as u8) << 4) | 3;
        }
        key[16..].copy_from_slice(seed.as_slice());
        let mut aux = aux.to_vec();
        let mut slice = aux.as_mut_slice();
        // The counter is ours and moved already; the library's copy of the key ends here.
        let signature = hbs_lms::sign::<Sha256_256>(bytes, key.as_slice(), &mut |_| Ok(()), Some(&mut slice));
        signature.ok().map(|signature| signature.as_ref().to_vec())
    })
}

fn on_large_stack<T: Send>(what: &'static str, act: impl FnOnce() -> Option<T> + Send) -> Result<T, CryptoError> {
    let done = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("hss".to_owned()).stack_size(STACK_BYTES);
        thread.spawn_scoped(scope, act).ok()?.join().ok().flatten()
    });
    done.ok_or(CryptoError::Library(what))
}
