//! Many runs: one for each seed, on all processors, with results in the order of the seeds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::report::Report;
use crate::scenario::Scenario;
use crate::simulation::Simulation;

/// Runs the scenario of every seed from `first` on, `runs` of them, on `threads` threads. `done` hears of each report as it comes; the
/// reports are returned in the order of the seeds, so that nothing depends on which thread was faster.
///
/// # Errors
/// The first scenario that cannot be run, with its seed.
pub fn sweep(
    first: u64,
    runs: u64,
    threads: usize,
    scenario: &(dyn Fn(u64) -> Scenario + Sync),
    done: &(dyn Fn(&Report) + Sync),
) -> Result<Vec<Report>, String> {
    let next = AtomicU64::new(0);
    let reports: Mutex<Vec<(u64, Result<Report, String>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= runs {
                        return;
                    }
                    let seed = first.wrapping_add(number);
                    let result = Simulation::new(scenario(seed)).map(Simulation::run);
                    if let Ok(report) = &result {
                        done(report);
                    }
                    let result = result.map_err(|error| format!("seed {seed}: {error}"));
                    reports.lock().unwrap_or_else(PoisonError::into_inner).push((number, result));
                }
            });
        }
    });
    let mut reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.sort_by_key(|(number, _)| *number);
    reports.into_iter().map(|(_, result)| result).collect()
}
