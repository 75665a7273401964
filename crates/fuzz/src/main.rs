//! `scripts/fuzz [TARGET|all] [SECONDS]`: runs targets for a while and says how fast; a panic is saved and its path printed.

use std::time::{Duration, Instant};

use fuzz::{Campaign, TARGETS, corpus_dir};

/// Inputs between two looks at the clock.
const BATCH: u64 = 200;

fn main() -> Result<(), String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let wanted = words.first().map_or("all", String::as_str);
    let seconds: u64 =
        words.get(1).map_or(Ok(10), |text| text.parse().map_err(|_| "SECONDS is a number".to_owned()))?;
    let seed = match words.get(2) {
        Some(text) => text.parse().map_err(|_| "SEED is a number".to_owned())?,
        None => fastrand::u64(..),
    };
    let targets: Vec<_> = TARGETS.iter().filter(|target| wanted == "all" || target.name == wanted).collect();
    if targets.is_empty() {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        return Err(format!("no target {wanted}; there are: {}", names.join(", ")));
    }
    std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
    let mut failed = false;
    for target in targets {
        let mut campaign = Campaign::new(target, seed);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(seconds) && campaign.outcome().panicked.is_none() {
            campaign.run(BATCH);
        }
        let (outcome, took) = (campaign.outcome(), begin.elapsed().as_secs_f64());
        let rate = outcome.runs as f64 / took.max(0.001);
        println!(
            "{:<12} {:>9} inputs, {rate:>8.0} per second, {:>5} outcomes, seed {seed}",
            target.name, outcome.runs, outcome.words
        );
        if let Some(bytes) = &outcome.panicked {
            let dir = corpus_dir(target.name);
            let name = crypto::HashAlgorithm::Sha256.hash("fuzz", &[bytes]).to_string();
            let path = dir.join(format!("panic-{}", &name[..16]));
            std::fs::create_dir_all(&dir).and_then(|()| std::fs::write(&path, bytes)).map_err(|e| e.to_string())?;
            println!("PANIC: {} bytes in {}", bytes.len(), path.display());
            failed = true;
        }
    }
    if failed { Err("an input made a target panic; keep it in the corpus with the repair".to_owned()) } else { Ok(()) }
}
