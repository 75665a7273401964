//! What each security level costs: keys, encryption, signatures, memory; beside the budgets of the founding guide.

use std::hint::black_box;
use std::time::Instant;

use crypto::container::{ContainerHeader, encrypt};
use crypto::kem::DecapsulationKey;
use crypto::pool::ReadyPair;
use crypto::{HssHeights, IdentityKey, IdentityScheme, MemoryCounter, SecurityLevel, SignatureAlgorithm, SigningKey};

use crate::{option, percentile};

/// Budgets of the guide: 12 ms, 5 ms, 8 ms and 3 ms, in microseconds, and 256 KB.
const GUIDE: [f64; 4] = [12_000.0, 5_000.0, 8_000.0, 3_000.0];
const GUIDE_BYTES: f64 = 256.0 * 1024.0;
/// Bytes that are encrypted and signed.
const MESSAGE_LEN: usize = 1024;

struct Costs {
    generate: f64,
    encrypt: f64,
    decrypt: f64,
    sign: f64,
    verify: f64,
    pair_bytes: f64,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn median<T>(count: usize, mut work: impl FnMut() -> Result<T, String>) -> Result<f64, String> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = Instant::now();
        black_box(work()?);
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(percentile(&times, 50.0))
}

/// Resident bytes of this process, from /proc.
fn resident() -> Result<f64, String> {
    let statm = std::fs::read_to_string("/proc/self/statm").map_err(text)?;
    let pages: f64 = statm.split_whitespace().nth(1).and_then(|n| n.parse().ok()).ok_or("statm")?;
    Ok(pages * 4096.0)
}

fn level(level: SecurityLevel, rounds: usize) -> Result<Costs, String> {
    let message = vec![7; MESSAGE_LEN];
    let kept = 500;
    let mut pairs = Vec::with_capacity(kept);
    pairs.push(ReadyPair::generate(level).map_err(text)?);
    let before = resident()?;
    for _ in 1..kept {
        pairs.push(ReadyPair::generate(level).map_err(text)?);
    }
    let pair_bytes = (resident()? - before) / (kept - 1) as f64;
    drop(pairs);

    let generate = median(rounds, || ReadyPair::generate(level).map_err(text))?;
    let pair = ReadyPair::generate(level).map_err(text)?;
    let (signing, secret): (&SigningKey, &DecapsulationKey) = (pair.signing_key(), pair.decapsulation_key());
    let seal = || {
        let mut container = Vec::with_capacity(64 * 1024);
        encrypt(secret.public_key(), &[], &mut &*message, &mut container).map_err(text).map(|_| container)
    };
    let encrypt = median(rounds, seal)?;
    let container = seal()?;
    let decrypt = median(rounds, || {
        let mut input = container.as_slice();
        let mut out = Vec::with_capacity(MESSAGE_LEN);
        let header = ContainerHeader::read(&mut input).map_err(text)?;
        header.open(secret, &[], &mut input, &mut out).map_err(text)
    })?;
    let public = signing.public_key();
    let sign = median(rounds, || signing.sign("bench", &message).map_err(text))?;
    let signature = signing.sign("bench", &message).map_err(text)?;
    let verify = median(rounds, || public.verify("bench", &message, &signature).map_err(text))?;
    Ok(Costs { generate, encrypt, decrypt, sign, verify, pair_bytes })
}

fn identities() -> Result<(), String> {
    println!(
        "\nidentity keys, µs (median)\n| scheme | key generation | sign | verify | signature bytes |\n|---|---|---|---|---|"
    );
    for (name, scheme, rounds) in [
        ("HSS 5", IdentityScheme::Hss(HssHeights::try_from(vec![5]).map_err(text)?), 9),
        ("HSS 10", IdentityScheme::Hss(HssHeights::try_from(vec![10]).map_err(text)?), 5),
        ("HSS 10/10 (default)", IdentityScheme::default(), 5),
        ("SLH-DSA-SHA2-128s", IdentityScheme::Stateless(SignatureAlgorithm::SlhDsaSha2_128s), 5),
        ("SLH-DSA-SHA2-128f", IdentityScheme::Stateless(SignatureAlgorithm::SlhDsaSha2_128f), 15),
    ] {
        let make = || IdentityKey::from_seed("bench", scheme, &[7; 32], Box::<MemoryCounter>::default()).map_err(text);
        let generate = median(rounds, make)?;
        let key = make()?;
        let sign = median(rounds, || key.sign("bench", b"message").map_err(text))?;
        let signature = key.sign("bench", b"message").map_err(text)?;
        let public = key.public_key();
        let verify = median(100, || public.verify("bench", b"message", &signature).map_err(text))?;
        println!("| {name} | {generate:.0} | {sign:.0} | {verify:.0} | {} |", signature.len());
    }
    Ok(())
}

/// `bench crypto`.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let rounds = option(args, "--rounds", 300)?;
    println!(
        "µs (median of {rounds}), {MESSAGE_LEN}-byte message; a pair is signature key and encryption key; times below the budget in brackets\n\
         | level | key generation | encrypt | decrypt | sign | verify | bytes per pair |\n|---|---|---|---|---|---|---|"
    );
    for one in [SecurityLevel::Level512, SecurityLevel::Level768, SecurityLevel::Level1024, SecurityLevel::Level2048] {
        let Costs { generate, encrypt, decrypt, sign, verify, pair_bytes } = level(one, rounds)?;
        let [g, e, d, v] = GUIDE;
        println!(
            "| {one} | {generate:.0} (÷{:.0}) | {encrypt:.0} (÷{:.0}) | {decrypt:.0} (÷{:.0}) | {sign:.0} | {verify:.0} (÷{:.0}) | {pair_bytes:.0} (÷{:.0}) |",
            g / generate,
            e / encrypt,
            d / decrypt,
            v / verify,
            GUIDE_BYTES / pair_bytes
        );
    }
    println!("| guide | 12000 | 5000 | 8000 | none | 3000 | 262144 |");
    identities()
}

/// `bench constant-time`: dudect-style comparison of two classes of inputs, interleaved, with Welch's t.
pub(crate) fn constant_time(args: &[String]) -> Result<(), String> {
    let samples = option(args, "--samples", 20_000)?;
    println!("|t| above 4.5 in repeated runs on a quiet machine would mean that the class shows in the time");
    let (equal, first, last) = (
        [7_u8; 64],
        {
            let mut b = [7; 64];
            b[0] = 8;
            b
        },
        {
            let mut b = [7; 64];
            b[63] = 8;
            b
        },
    );
    // Batches, because one comparison is shorter than the clock's tick.
    let compare = |other: &[u8; 64]| {
        (0..200).filter(|_| crypto::constant_time_equal(black_box(&equal), black_box(other))).count()
    };
    report("equal: difference in the first byte against the last", samples, |class| {
        compare(if class { &first } else { &last })
    });
    report("equal: different against the same", samples, |class| compare(if class { &first } else { &equal }));
    for algorithm in crypto::KemAlgorithm::ALL {
        let (secret, public) = DecapsulationKey::generate(algorithm).map_err(text)?;
        let (valid, _) = public.encapsulate().map_err(text)?;
        let mut bytes = valid.as_bytes().to_vec();
        bytes[3] ^= 0x55;
        let changed = crypto::kem::Ciphertext::from_bytes(algorithm, &bytes).map_err(text)?;
        let samples = if algorithm.wire_id() == 4 { samples / 20 } else { samples };
        report(&format!("decapsulate {algorithm}: changed ciphertext against valid"), samples, |class| {
            secret.decapsulate(if class { &changed } else { &valid }).is_ok()
        });
    }
    Ok(())
}

fn report<T>(what: &str, samples: usize, mut act: impl FnMut(bool) -> T) {
    let mut times = [Vec::with_capacity(samples), Vec::with_capacity(samples)];
    let mut coin = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..2 * samples {
        coin ^= coin << 13;
        coin ^= coin >> 7;
        coin ^= coin << 17;
        let class = coin & 1 == 1;
        let begun = Instant::now();
        black_box(act(class));
        times[usize::from(class)].push(begun.elapsed().as_secs_f64() * 1e9);
    }
    let [a, b] = times.map(|mut times| {
        // The slow tail is the scheduler's.
        times.sort_by(f64::total_cmp);
        times.truncate(times.len() * 9 / 10);
        let n = times.len() as f64;
        let mean = times.iter().sum::<f64>() / n;
        let variance = times.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (mean, variance / n)
    });
    println!("t = {:7.2}   {:9.0} ns against {:9.0} ns   {what}", (a.0 - b.0) / (a.1 + b.1).sqrt(), b.0, a.0);
}
