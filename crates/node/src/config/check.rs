//! Checks that need more than one key.

use super::Config;
use super::problem::Findings;
use consensus::body::{BODY_OVERHEAD_BYTES, PROPOSAL_OVERHEAD_BYTES};
use consensus::config::SecurityPolicy;
use crypto::SecurityLevel;

/// Adds what is wrong or remarkable across keys.
pub(super) fn across_keys(config: &Config, findings: &mut Findings) {
    quantum_security(config, findings);
    consensus(config, findings);
    let weights = &config.ai_optimization.performance_weights;
    let parts = [weights.latency, weights.throughput, weights.energy_efficiency, weights.network_stability];
    match parts.map(super::Fraction::ten_thousandths).iter().sum::<u32>() {
        0 => findings.problem("ai_optimization.performance_weights", "must not all be 0"),
        10_000 => {}
        _ => findings.warn("ai_optimization.performance_weights", "do not add up to 1 and are scaled so that they do"),
    }
    let network = &config.network;
    if network.view_timer_ceiling_deltas < network.view_timer_floor_deltas {
        let floor = network.view_timer_floor_deltas;
        let what = format!("must be at least view_timer_floor_deltas, which is {floor}");
        findings.problem("network.view_timer_ceiling_deltas", what);
    }
    api(&config.api, findings);
}

fn api(api: &super::Api, findings: &mut Findings) {
    if api.tls_certificate_path.is_some() != api.tls_key_path.is_some() {
        let what =
            "needs tls_key_path beside it, and the other way round; give both, or none and a certificate is made";
        findings.problem("api.tls_certificate_path", what);
    }
    if api.tls_allow_classical {
        findings
            .warn("api.tls_allow_classical", "lets clients connect whose traffic a quantum computer can read later");
    }
    let listeners = [Some(api.listen), api.probe_listen, api.admin_listen];
    for (at, one) in listeners.iter().enumerate() {
        if one.is_some_and(|one| one.port() != 0) && listeners[at + 1..].contains(one) {
            findings.problem("api.listen", "listen, probe_listen and admin_listen must be different addresses");
        }
    }
}

fn quantum_security(config: &Config, findings: &mut Findings) {
    let quantum = &config.quantum_security;
    let level = config.level();
    if quantum.modulus.is_some() {
        let what = "is ignored: FIPS 203 and FIPS 204 fix it (3329 and 8380417)";
        findings.warn("quantum_security.modulus", what);
    }
    if level == SecurityLevel::Classical {
        let what = "QUANTUM SECURITY IS OFF: Ed25519 and X25519 do not withstand a quantum computer. Only for comparison, never for a \
                    network that is in use";
        findings.warn("quantum_security.lattice_dimension", what);
    }
    if quantum.security_level == SecurityPolicy::Cnsa && level != SecurityLevel::Level1024 {
        let what = format!("cnsa allows only lattice_dimension 1024, found {}", level.dimension());
        findings.problem("quantum_security.security_level", what);
    }
}

fn consensus(config: &Config, findings: &mut Findings) {
    let consensus = &config.consensus;
    let [low, high] = consensus.adaptive_range;
    if !(low..=high).contains(&consensus.base_threshold) {
        let what = format!("must lie in adaptive_range, from {low} to {high}, found {}", consensus.base_threshold);
        findings.problem("consensus.base_threshold", what);
    }
    if consensus.timeout_ms > consensus.max_timeout_ms {
        let what =
            format!("must be at most max_timeout_ms = {}, found {}", consensus.max_timeout_ms, consensus.timeout_ms);
        findings.problem("consensus.timeout_ms", what);
    }
    let least = u64::from(consensus.max_value_bytes) + BODY_OVERHEAD_BYTES as u64;
    if u64::from(consensus.max_block_bytes) < least {
        let what = format!(
            "must be at least {least}, so that a value of max_value_bytes = {} fits, found {}",
            consensus.max_value_bytes, consensus.max_block_bytes
        );
        findings.problem("consensus.max_block_bytes", what);
    }
    let smallest = engine::mempool::ENTRY_OVERHEAD_BYTES.max(PROPOSAL_OVERHEAD_BYTES) as u64;
    let needed = u64::from(consensus.max_proposals) * smallest;
    if config.node.mempool_bytes < needed {
        let what = format!(
            "{} proposals need at least {needed} bytes; raise node.mempool_bytes, which is {}",
            consensus.max_proposals, config.node.mempool_bytes
        );
        findings.warn("consensus.max_proposals", what);
    }
}
