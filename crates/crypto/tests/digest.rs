//! Tagged hashes against values from Python's hashlib, and their text form.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use crypto::{CryptoError, Digest, HashAlgorithm};

const EMPTY_256: &str = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
const TAGGED_256: &str = "2e7f0148bf1197d7a78209e9aa95085203b631df10a3719f65b26bbdc1d00c9b";
const EMPTY_384: &str =
    "bec021b4f368e3069134e012c2b4307083d3a9bdd206e24e5f0d86e13d6636655933ec2b413465966817a9c208a11717";
const TAGGED_384: &str =
    "053fa926a6d727049b9fd578d4aa3bdcb66f0d07721ac693f3e3d6e70177ab4ce1b23e3f3b93bff74dcd8b05379ba33f";

#[test]
fn golden_vectors() {
    for (algorithm, empty, tagged) in
        [(HashAlgorithm::Sha256, EMPTY_256, TAGGED_256), (HashAlgorithm::Sha384, EMPTY_384, TAGGED_384)]
    {
        assert_eq!(algorithm.hash("", &[]).to_string(), empty);
        let digest = algorithm.hash("agent-mesh/test", &[b"abc", b"def"]);
        assert_eq!(digest.to_string(), tagged);
        assert_eq!(digest.len(), algorithm.digest_len());
        assert_eq!(digest.as_bytes().len(), algorithm.digest_len());
        let mut hasher = algorithm.hasher("agent-mesh/test");
        hasher.update(b"abcd");
        hasher.update(b"ef");
        assert_eq!(hasher.finish(), digest);
        assert_eq!(Digest::from_slice(digest.as_bytes()), Ok(digest));
    }
}

#[test]
fn the_tag_is_not_part_of_the_message() {
    let algorithm = HashAlgorithm::Sha256;
    assert_ne!(algorithm.hash("ab", &[b"c"]), algorithm.hash("a", &[b"bc"]));
}

#[test]
fn only_32_or_48_bytes() {
    for len in [0, 1, 31, 33, 47, 49, 64] {
        assert_eq!(Digest::from_slice(&vec![0; len]), Err(CryptoError::DigestLength(len)));
    }
}

#[test]
fn text_is_strict_lower_case_hexadecimal() {
    let digest: Digest = TAGGED_384.parse().unwrap();
    assert_eq!(digest.to_string(), TAGGED_384);
    assert_eq!(format!("{digest:?}"), TAGGED_384[..8]);
    let json = serde_json::to_string(&digest).unwrap();
    assert_eq!(json, format!("\"{TAGGED_384}\""));
    assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    for wrong in [
        "",
        "00",
        &TAGGED_256.to_uppercase(),
        &format!(" {TAGGED_256}"),
        &format!("0x{TAGGED_256}"),
        &TAGGED_256.replace('a', "g"),
        &"é".repeat(32),
    ] {
        assert_eq!(wrong.parse::<Digest>(), Err(CryptoError::DigestText), "{wrong}");
    }
}

#[test]
fn order_is_by_length_then_bytes() {
    let short = Digest::from_slice(&[0xff; 32]).unwrap();
    let long = Digest::from_slice(&[0; 48]).unwrap();
    assert!(short < long);
    assert!(Digest::from_slice(&[1; 32]).unwrap() < short);
}
