//! Scenarios drawn from a seed: size, bounds, attackers, crashes, links, disks, clocks. Always within what the network withstands.

use super::{Clocks, Disk, Fault, Scenario};
use crate::attack::AttackKind;
use crate::genesis::network;
use crate::network::Links;
use crate::network::regions::Layout;
use crate::network::weather::{Flap, LinkEffect, Weather};

/// Sizes drawn; small ones more often, because their quorums are the tightest.
const SIZES: [u16; 16] = [4, 4, 4, 6, 6, 6, 7, 7, 5, 8, 9, 10, 11, 3, 2, 1];
/// Faults that end are over by then, in microseconds.
const CALM_US: u64 = 6_000_000;
/// A run that has not settled everything by then has failed.
const END_US: u64 = 240_000_000;

impl Scenario {
    /// The scenario of a seed.
    pub fn random(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5eed_0000_0000_0001);
        let validators = SIZES[rng.usize(..SIZES.len())];
        let mut scenario = Self {
            about: format!("drawn from seed {seed}"),
            validators,
            seed,
            fast_path: rng.u32(0..8) > 0,
            values: rng.u64(5..40),
            value_every_us: rng.u64(5_000..250_000),
            value_bytes: if rng.u32(0..4) == 0 { rng.u32(..20_000) } else { 0 },
            // Some values expire; what lives long must become final.
            value_timeout_ms: if rng.u32(0..6) == 0 { rng.u64(300..4_000) } else { 600_000 },
            advised_threshold: rng.u32(0..=u32::from(validators)),
            calm_at_us: Some(CALM_US),
            duration_us: END_US,
            ..Self::default()
        };
        if validators >= 4 && rng.u32(0..3) == 0 {
            // The classic bound instead of the derived one.
            scenario.max_byzantine = Some((u32::from(validators) - 1) / 3);
        }
        scenario.links = links(&mut rng);
        scenario.disk = disk(&mut rng);
        if rng.bool() {
            scenario.clocks = Clocks { offset_us: rng.u64(..100_000), drift_ppm: rng.u64(..100) };
        }
        if scenario.links.layout != Layout::uniform() {
            scenario.settings.delta_us = 200_000;
            scenario.settings.timer_floor_us = 1_200_000;
            scenario.settings.timer_ceiling_us = 12_800_000;
        }
        scenario.faults = faults(&mut rng, &scenario);
        scenario
    }
}

fn links(rng: &mut fastrand::Rng) -> Links {
    let layout = match rng.u32(0..6) {
        0 => Layout::ten_regions(),
        1 => Layout::Named("us-europe".to_owned()),
        _ => Layout::uniform(),
    };
    let delay_min_us = rng.u64(100..5_000);
    let rarely = |rng: &mut fastrand::Rng, most: u32| if rng.u32(0..3) == 0 { rng.u32(..most) } else { 0 };
    Links {
        layout,
        delay_min_us,
        delay_max_us: delay_min_us + rng.u64(..30_000),
        jitter_us: rng.u64(..5_000),
        spike_per_mille: rarely(rng, 50),
        spike_us: 400_000,
        loss_per_mille: rarely(rng, 200),
        retransmit_us: if rng.u32(0..4) == 0 { 200_000 } else { 0 },
        duplicate_per_mille: rarely(rng, 100),
        in_order: rng.bool(),
        uplink_bits_per_s: if rng.u32(0..4) == 0 { 20_000_000 } else { 0 },
    }
}

fn disk(rng: &mut fastrand::Rng) -> Disk {
    let stalls = rng.u32(0..4) == 0;
    Disk {
        flush_us: rng.u64(50..2_000),
        jitter_us: rng.u64(..5_000),
        stall_per_mille: if stalls { 20 } else { 0 },
        stall_us: 300_000,
    }
}

fn faults(rng: &mut fastrand::Rng, scenario: &Scenario) -> Vec<Fault> {
    let n = scenario.validators;
    let Ok((genesis, _)) = network(scenario) else { return Vec::new() };
    let quorum = &genesis.config.quorum;
    let mut order: Vec<u16> = (0..n).collect();
    rng.shuffle(&mut order);
    let byzantine = if rng.u32(0..5) == 0 { rng.u32(0..=quorum.f()) } else { quorum.f() } as usize;
    let gone = rng.u32(0..=quorum.c()) as usize;
    let mut faults = Vec::new();
    let together = rng.u32(0..3) == 0;
    for validator in order.drain(..byzantine) {
        let attack = if together { AttackKind::Coalition } else { AttackKind::ALL[rng.usize(..AttackKind::ALL.len())] };
        faults.push(Fault::Byzantine { validator, attack });
    }
    for validator in order.drain(..gone.min(order.len())) {
        faults.push(Fault::Crash { validator, at_us: rng.u64(..CALM_US), back_at_us: None });
    }
    // Honest ones that crash and come back, some again and again; all at once now and then.
    let all_at_once = rng.u32(0..10) == 0;
    for validator in order.iter().copied() {
        if all_at_once {
            let at_us = 1_500_000 + rng.u64(..2_000);
            faults.push(Fault::Crash { validator, at_us, back_at_us: Some(at_us + rng.u64(1_000..1_000_000)) });
        } else if rng.u32(0..6) == 0 {
            faults.push(Fault::Byzantine { validator, attack: AttackKind::CrashAtWorst });
        } else if rng.u32(0..5) == 0 {
            let at_us = rng.u64(..4_000_000);
            faults.push(Fault::Crash { validator, at_us, back_at_us: Some(rng.u64(at_us + 1_000..CALM_US)) });
        }
    }
    for _ in 0..rng.u32(0..3) {
        faults.push(weather(rng, n));
    }
    if rng.u32(0..5) == 0 {
        let from_us = rng.u64(..3_000_000);
        let validator = rng.bool().then(|| rng.u16(..n));
        faults.push(Fault::SlowDisk {
            validator,
            from_us,
            to_us: rng.u64(from_us + 1..CALM_US),
            extra_us: rng.u64(..400_000),
        });
    }
    faults
}

fn weather(rng: &mut fastrand::Rng, n: u16) -> Fault {
    let some = |rng: &mut fastrand::Rng| (0..n).filter(|_| rng.bool()).collect::<Vec<u16>>();
    let from_us = rng.u64(..3_000_000);
    let to_us = rng.u64(from_us + 1..CALM_US);
    if rng.bool() {
        return Fault::Partition { side: some(rng), from_us, to_us };
    }
    let effect = match rng.u32(0..4) {
        0 => LinkEffect::Cut,
        1 => LinkEffect::Delay(rng.u64(..800_000)),
        2 => LinkEffect::Jitter(rng.u64(..800_000)),
        _ => LinkEffect::Loss(rng.u32(..700)),
    };
    let period_us = rng.u64(50_000..1_500_000);
    let flap = rng.bool().then(|| Flap { period_us, on_us: rng.u64(1..period_us) });
    Fault::Weather(Weather {
        from_us,
        to_us,
        senders: some(rng),
        receivers: some(rng),
        both_ways: rng.bool(),
        flap,
        effect,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_random_scenario_stays_within_its_bound_and_reads_back() {
        for seed in 0..200 {
            let scenario = Scenario::random(seed);
            assert!(scenario.bound().kept, "seed {seed}: {scenario:?}");
            let text = serde_json::to_string(&scenario).unwrap();
            assert_eq!(Scenario::from_json(&text).unwrap(), scenario, "seed {seed}");
        }
    }
}
