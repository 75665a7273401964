//! What the machine allows: signatures, verifications, a flush, a hop over loopback.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use crypto::{SecurityLevel, SigningKey};
use storage::{Batch, ByteStore, FjallStore, StoreOptions, TableId};

use crate::{option, percentile};

/// Median costs in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    pub(crate) sign: f64,
    pub(crate) verify: f64,
    pub(crate) flush: f64,
    pub(crate) hop: f64,
}

fn median(count: usize, mut work: impl FnMut() -> Result<(), String>) -> Result<f64, String> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = Instant::now();
        work()?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(percentile(&times, 50.0))
}

/// Measures the floor of one level.
pub(crate) fn measure(level: SecurityLevel) -> Result<Floor, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let key = SigningKey::generate(level.signature_algorithm()).map_err(|e| text(&e))?;
    let public = key.public_key();
    let message = [7; 200];
    let sign = median(400, || key.sign("bench", &message).map(drop).map_err(|e| text(&e)))?;
    let signature = key.sign("bench", &message).map_err(|e| text(&e))?;
    let verify = median(1_000, || public.verify("bench", &message, &signature).map_err(|e| text(&e)))?;

    let dir = tempfile::tempdir().map_err(|e| text(&e))?;
    let mut store =
        FjallStore::open(dir.path(), &["bench"], StoreOptions { network: vec![1; 32], ..StoreOptions::default() })
            .map_err(|e| text(&e))?;
    let mut at = 0_u64;
    let flush = median(500, || {
        at += 1;
        let mut batch = Batch::new();
        batch.put(TableId(0), at.to_be_bytes(), [3; 3_400]);
        store.commit(&[batch], true).map_err(|e| text(&e))
    })?;

    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| text(&e))?;
    let address = listener.local_addr().map_err(|e| text(&e))?;
    let echo = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut buffer = [0; 3_400];
        while stream.read_exact(&mut buffer).is_ok() {
            stream.write_all(&buffer)?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address).map_err(|e| text(&e))?;
    stream.set_nodelay(true).map_err(|e| text(&e))?;
    let mut buffer = [0; 3_400];
    let round = median(2_000, || {
        stream.write_all(&buffer).map_err(|e| text(&e))?;
        stream.read_exact(&mut buffer).map_err(|e| text(&e))
    })?;
    drop(stream);
    let _ = echo.join();
    Ok(Floor { sign, verify, flush, hop: round / 2.0 })
}

/// `bench floor`.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let level = SecurityLevel::from_dimension(option(args, "--level", 768)?).map_err(|e| e.to_string())?;
    let floor = measure(level)?;
    println!("level {} on {} cores, medians in microseconds", level.dimension(), cores());
    println!(
        "sign {:.0}  verify {:.0}  flush 3.4 KB {:.0}  hop 3.4 KB {:.0}",
        floor.sign, floor.verify, floor.flush, floor.hop
    );
    Ok(())
}

/// Processors of this machine.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
