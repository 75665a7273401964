//! Tries every defect against the model checker and says which it finds.
use consensus::mutation::{Mutation, with};
use model::search::{Checks, byzantine_places, search};
use model::universe::Bounds;

fn main() -> Result<(), String> {
    for mutation in Mutation::ALL {
        for checks in [Checks::Agreement, Checks::All] {
            let started = std::time::Instant::now();
            let mut caught = None;
            'all: for fast_path in [true] {
                for (n, limit) in [(4, 20_000), (6, 3_000)] {
                    for byzantine in byzantine_places(n, 2).into_iter().rev() {
                        let bounds = Bounds { validators: n, byzantine, views: if n == 4 {2} else {1}, fast_path };
                        let found = with(Some(mutation), || search(bounds, checks, limit))?;
                        if let Some(v) = found.violation {
                            caught = Some((bounds, v));
                            break 'all;
                        }
                    }
                }
            }
            println!("{mutation:?} {checks:?}: {:?} {:.1}s", caught.as_ref().map(|(b, v)| (b.validators, b.byzantine, v.lines().last().unwrap_or("").to_owned())), started.elapsed().as_secs_f64());
        }
    }
    Ok(())
}
