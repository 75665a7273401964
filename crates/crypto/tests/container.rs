//! The encryption container: any length, any change noticed, nothing but genuine bytes given out.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::io::{Read, Write};
use std::sync::OnceLock;

use crypto::container::{CHUNK_LEN, ContainerError, ContainerHeader, encrypt};
use crypto::kem::{DecapsulationKey, KemAlgorithm};
use proptest::prelude::*;

fn keys(algorithm: KemAlgorithm) -> &'static DecapsulationKey {
    static KEYS: OnceLock<Vec<DecapsulationKey>> = OnceLock::new();
    let keys =
        KEYS.get_or_init(|| KemAlgorithm::ALL.into_iter().map(|a| DecapsulationKey::generate(a).unwrap().0).collect());
    &keys[usize::from(algorithm.wire_id()) - 1]
}

fn sealed(algorithm: KemAlgorithm, aad: &[u8], content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let len = encrypt(keys(algorithm).public_key(), aad, &mut &*content, &mut out).unwrap();
    assert_eq!(len, content.len() as u64);
    out
}

#[expect(clippy::result_large_err, reason = "a helper of tests")]
fn open(algorithm: KemAlgorithm, aad: &[u8], container: &[u8]) -> Result<Vec<u8>, (Vec<u8>, ContainerError)> {
    let mut input = container;
    let mut out = Vec::new();
    let header = ContainerHeader::read(&mut input).map_err(|error| (Vec::new(), error))?;
    match header.open(keys(algorithm), aad, &mut input, &mut out) {
        Ok(len) => {
            assert_eq!(len, out.len() as u64);
            Ok(out)
        }
        Err(error) => Err((out, error)),
    }
}

#[test]
fn every_length_around_a_chunk_comes_back_for_every_algorithm() {
    for algorithm in KemAlgorithm::ALL {
        for len in [0, 1, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 2 * CHUNK_LEN, 2 * CHUNK_LEN + 77] {
            let content: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let container = sealed(algorithm, b"aad", &content);
            assert_eq!(open(algorithm, b"aad", &container).unwrap(), content, "{algorithm} {len}");
            let (given, error) = open(algorithm, b"other", &container).unwrap_err();
            assert!(given.is_empty() && matches!(error, ContainerError::Forged { offset: 0 }), "{error}");
        }
    }
}

#[test]
fn chunks_cannot_be_cut_off_swapped_doubled_or_appended() {
    let algorithm = KemAlgorithm::MlKem768;
    let content: Vec<u8> = (0..3 * CHUNK_LEN).map(|i| (i / CHUNK_LEN) as u8).collect();
    let container = sealed(algorithm, b"", &content);
    let chunk = CHUNK_LEN + 16;
    let start = container.len() - 3 * chunk;
    let (header, chunks) = container.split_at(start);
    let part = |range: std::ops::Range<usize>| &chunks[range.start * chunk..range.end * chunk];
    for (what, forged, genuine) in [
        ("last chunk cut off", [header, part(0..2)].concat(), 1),
        ("all chunks cut off", header.to_vec(), 0),
        ("swapped", [header, part(1..2), part(0..1), part(2..3)].concat(), 0),
        ("doubled", [header, part(0..1), part(0..1), part(1..3)].concat(), 1),
        ("left out", [header, part(0..1), part(2..3)].concat(), 1),
        ("appended", [header, part(0..3), part(2..3)].concat(), 2),
        ("a byte more", [header, part(0..3), &[0]].concat(), 2),
        ("a tag's length more", [header, part(0..3), &[0; 16]].concat(), 2),
    ] {
        let (given, error) = open(algorithm, b"", &forged).unwrap_err();
        assert!(matches!(error, ContainerError::Forged { .. }), "{what}: {error}");
        assert_eq!(given, &content[..genuine * CHUNK_LEN], "{what}: what is given out is genuine");
    }
}

#[test]
fn headers_are_checked_field_by_field() {
    let container = sealed(KemAlgorithm::MlKem512, b"", b"content");
    let edited = |at: usize, byte: u8| {
        let mut copy = container.clone();
        copy[at] = byte;
        open(KemAlgorithm::MlKem512, b"", &copy).unwrap_err().1
    };
    assert!(matches!(edited(0, b'X'), ContainerError::NotAContainer));
    assert!(matches!(edited(5, 2), ContainerError::Version(2)));
    assert!(matches!(edited(6, 9), ContainerError::Algorithm { what: "kem", id: 9 }));
    assert!(matches!(edited(7, 2), ContainerError::Algorithm { what: "cipher", id: 2 }));
    assert!(matches!(edited(8, 1), ContainerError::Algorithm { what: "chunk length", .. }));
    // Another algorithm of the list: the header is then as long as that one's.
    assert!(edited(6, 3).to_string().contains("header"));
    assert!(matches!(edited(12, !container[12]), ContainerError::WrongKey { .. }));
    assert!(matches!(open(KemAlgorithm::MlKem768, b"", &container), Err((_, ContainerError::WrongKey { .. }))));
}

/// Level 2048: both ciphertexts are needed, and neither can be replaced.
#[test]
fn both_families_are_needed_to_decrypt() {
    let algorithm = KemAlgorithm::MlKem1024Hqc256;
    let container = sealed(algorithm, b"", b"content");
    let other = sealed(algorithm, b"", b"content");
    let first = 44..44 + 1568;
    let second = 44 + 1568..44 + 1568 + 14_421;
    for half in [first.clone(), second.clone()] {
        let mut mixed = container.clone();
        mixed[half.clone()].copy_from_slice(&other[half.clone()]);
        assert!(matches!(open(algorithm, b"", &mixed), Err((_, ContainerError::Forged { offset: 0 }))));
        let mut stripped = container.clone();
        stripped[half.clone()].fill(0);
        assert!(open(algorithm, b"", &stripped).is_err());
        let mut shorter = container.clone();
        shorter.drain(half);
        assert!(open(algorithm, b"", &shorter).is_err());
    }
    // As a container of one family to the ML-KEM half.
    let mut one_family = container.clone();
    one_family[6] = KemAlgorithm::MlKem1024.wire_id();
    one_family.drain(second);
    assert!(open(KemAlgorithm::MlKem1024, b"", &one_family).is_err());
}

#[test]
fn memory_stays_small_however_long_the_stream() {
    /// Gives zeros, and remembers how much was asked for at once.
    struct Zeros(u64);
    impl Read for Zeros {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            assert!(out.len() <= 2 * CHUNK_LEN);
            let len = out.len().min(usize::try_from(self.0).unwrap());
            out[..len].fill(0);
            self.0 -= len as u64;
            Ok(len)
        }
    }
    /// Counts, and refuses more than a chunk at once.
    struct Count(u64);
    impl Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            assert!(bytes.len() <= CHUNK_LEN + 32 * 1024);
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let len = 40 * CHUNK_LEN as u64 + 5;
    let mut count = Count(0);
    encrypt(keys(KemAlgorithm::MlKem768).public_key(), b"", &mut Zeros(len), &mut count).unwrap();
    assert_eq!(count.0, 44 + 1088 + len + 41 * 16);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_flipped_bit_is_noticed(
        algorithm in prop::sample::select(KemAlgorithm::ALL.as_slice()),
        content in prop::collection::vec(any::<u8>(), 0..3000),
        place in any::<prop::sample::Index>(),
        bit in 0..8_u32,
    ) {
        let mut container = sealed(algorithm, b"aad", &content);
        let place = place.index(container.len());
        container[place] ^= 1 << bit;
        prop_assert!(open(algorithm, b"aad", &container).is_err());
        let cut = &container[..place];
        prop_assert!(open(algorithm, b"aad", cut).is_err());
    }

    #[test]
    fn foreign_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..4000), head in 0..12_usize) {
        prop_assert!(ContainerHeader::read(&mut &*bytes).is_err());
        let mut likely = sealed(KemAlgorithm::MlKem512, b"", b"")[..head].to_vec();
        likely.extend_from_slice(&bytes);
        let _ = open(KemAlgorithm::MlKem512, b"", &likely);
    }
}
