//! `cargo run -p model --example check -- VALIDATORS VIEWS [STATES]`: the long form of the model checker.

use model::search::{Checks, byzantine_places, search};
use model::universe::Bounds;

fn main() -> Result<(), String> {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let [validators, views, rest @ ..] = numbers.as_slice() else {
        return Err("say how many validators, how many views, and, if you like, the most states".to_owned());
    };
    let limit = rest.first().map_or(usize::MAX, |most| *most as usize);
    let validators = *validators as u16;
    for fast_path in [true, false] {
        for byzantine in byzantine_places(validators, *views) {
            let started = std::time::Instant::now();
            let bounds = Bounds { validators, byzantine, views: *views, fast_path };
            let found = search(bounds, Checks::All, limit)?;
            println!(
                "n = {validators}, {views} views, fast path {fast_path}, v{byzantine} Byzantine: {} states{}, {} steps, {} with a \
                 final block, the replica asked {} times, {:.1} s",
                found.states,
                if found.cut_short { " (cut short)" } else { "" },
                found.steps,
                found.with_final,
                found.asked,
                started.elapsed().as_secs_f64()
            );
            if let Some(violation) = found.violation {
                return Err(violation);
            }
        }
    }
    Ok(())
}
