//! Tests of the configuration: the examples of technical-guide.md word for word, refusals with their paths, the environment.

use super::*;
use consensus::config::SecurityPolicy;
use serde_json::json;

fn load(text: &str) -> Result<(Config, Vec<Warning>), ConfigError> {
    Config::load(text, &|_| None)
}

fn with_env(text: &str, env: &[(&str, &str)]) -> Result<(Config, Vec<Warning>), ConfigError> {
    Config::load(text, &|name| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
}

/// The configuration of a text that loads without warnings.
fn quiet(text: &str) -> Config {
    let (config, warnings) = load(text).unwrap();
    assert_eq!(warnings, []);
    config
}

/// What the refusal of a text says.
fn refusal(text: &str) -> String {
    load(text).expect_err(text).to_string()
}

#[test]
fn nothing_is_the_default() {
    let config = quiet("{}");
    assert_eq!(config, Config::default());
    assert_eq!(config.level(), SecurityLevel::Level768);
    assert_eq!(config.quantum_security.security_level, SecurityPolicy::High);
    assert_eq!((config.ai_optimization.mode, config.ai_optimization.policy), (AiMode::On, AiPolicy::Rule));
    assert_eq!(config.consensus.base_threshold.to_string(), "0.67");
    assert_eq!(config.api.listen.to_string(), "127.0.0.1:8080");
    assert!(Config::keys().iter().all(|key| !config.is_explicit(&key.path)));
}

#[test]
fn the_guides_json_loads_unchanged() {
    let quantum = r#"{ "quantum_security": { "lattice_dimension": 512, "modulus": 2048, "security_level": "high",
        "key_rotation_interval": 3600 } }"#;
    let (config, warnings) = load(quantum).unwrap();
    assert_eq!(config.level(), SecurityLevel::Level512);
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].path, "quantum_security.modulus");
    assert!(warnings[0].to_string().contains("is ignored"));

    let optimization = r#"{ "ai_optimization": { "learning_rate": 0.01, "adaptation_threshold": 0.1,
        "performance_weights": { "latency": 0.3, "throughput": 0.3, "energy_efficiency": 0.2, "network_stability": 0.2 } } }"#;
    assert_eq!(quiet(optimization).ai_optimization, AiOptimization::default());

    let consensus = r#"{ "consensus": { "base_threshold": 0.67, "adaptive_range": [0.6, 0.8], "timeout_ms": 30000,
        "max_proposals": 100 } }"#;
    let config = quiet(consensus);
    assert_eq!(config.consensus, Consensus::default());
    assert!(config.is_explicit("consensus.base_threshold") && !config.is_explicit("consensus.fast_path"));
}

#[test]
fn the_guides_dictionaries_load_under_both_names() {
    let optimizer = json!({ "learning_history_size": 100, "adaptation_frequency": 60, "performance_window": 10,
        "convergence_threshold": 0.05 });
    let analysis = json!({ "latency_threshold_ms": 100, "bandwidth_threshold_mbps": 10, "packet_loss_threshold": 0.05,
        "stability_window_seconds": 300 });
    let batching = json!({ "max_batch_size": 100, "batch_timeout_ms": 50, "priority_queuing": true,
        "load_balancing": "adaptive" });
    let ours = json!({ "optimizer": optimizer, "network_analysis": analysis, "batching": batching });
    let guides = json!({ "optimizer_config": optimizer, "network_analysis": analysis, "consensus_batching": batching });
    for text in [ours.to_string(), guides.to_string()] {
        let config = quiet(&text);
        assert_eq!(config.to_json(), Config::default().to_json());
        assert!(config.is_explicit("batching.max_batch_size") && config.is_explicit("optimizer.performance_window"));
    }
    let changed = quiet(r#"{ "consensus_batching": { "max_batch_size": 7, "load_balancing": "round_robin" } }"#);
    assert_eq!((changed.batching.max_batch_size, changed.batching.load_balancing), (7, LoadBalancing::RoundRobin));
    let both = refusal(r#"{ "optimizer": {}, "optimizer_config": {} }"#);
    assert_eq!(both, "optimizer_config: the section is also given as optimizer; keep one of the two");
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_name() {
    let cases = [
        (
            r#"{"consensus":{"base_treshold":0.67}}"#,
            "consensus.base_treshold: unknown key; did you mean base_threshold?",
        ),
        (r#"{"concensus":{}}"#, "concensus: unknown key; did you mean consensus?"),
        (r#"{"max_proposals":5}"#, "max_proposals: unknown key here; did you mean consensus.max_proposals?"),
        (
            r#"{"api":{"memtable_bytes":5}}"#,
            "api.memtable_bytes: unknown key here; did you mean storage.memtable_bytes?",
        ),
        (
            r#"{"ai_optimization":{"performance_weights":{"latancy":0.1}}}"#,
            "ai_optimization.performance_weights.latancy: unknown key; did you mean latency?",
        ),
        (r#"{"log":{"colour_of_the_sky":1}}"#, "log.colour_of_the_sky: unknown key; known are level, format"),
    ];
    for (text, message) in cases {
        assert_eq!(refusal(text), message);
    }
}

#[test]
fn wrong_types_and_values_are_named_with_path_and_range() {
    let cases = [
        (
            r#"{"consensus":{"max_proposals":0}}"#,
            "consensus.max_proposals: must be an integer from 1 to 4000000, found 0",
        ),
        (r#"{"consensus":{"max_proposals":4000001}}"#, "from 1 to 4000000, found 4000001"),
        (r#"{"consensus":{"max_proposals":"100"}}"#, "from 1 to 4000000, found \"100\""),
        (r#"{"consensus":{"max_proposals":1.5}}"#, "from 1 to 4000000, found 1.5"),
        (r#"{"consensus":{"max_proposals":-1}}"#, "from 1 to 4000000, found -1"),
        (r#"{"consensus":{"max_proposals":null}}"#, "from 1 to 4000000, found null"),
        (r#"{"consensus":{"fast_path":"yes"}}"#, "consensus.fast_path: must be true or false, found \"yes\""),
        (r#"{"consensus":{"base_threshold":1.2}}"#, "decimal from 0.0001 to 1 of at most four places, found 1.2"),
        (r#"{"consensus":{"base_threshold":0}}"#, "from 0.0001 to 1"),
        (r#"{"consensus":{"base_threshold":-0.67}}"#, "consensus.base_threshold: must be a decimal from 0.0001 to 1"),
        (r#"{"consensus":{"base_threshold":0.66667}}"#, "0.66667 has more than four decimal places"),
        (r#"{"consensus":{"base_threshold":"0.67"}}"#, "found \"0.67\""),
        (r#"{"consensus":{"adaptive_range":[0.8,0.6]}}"#, "consensus.adaptive_range: must be [low, high] with"),
        (r#"{"consensus":{"adaptive_range":[0.6]}}"#, "found a list"),
        (r#"{"consensus":{"adaptive_range":[0.6,0.70001]}}"#, "consensus.adaptive_range: must be a decimal"),
        (r#"{"consensus":[]}"#, "consensus: must be an object, found a list"),
        (
            r#"{"ai_optimization":{"performance_weights":3}}"#,
            "ai_optimization.performance_weights: must be an object, found 3",
        ),
        (
            r#"{"ai_optimization":{"mode":"shadwo"}}"#,
            "must be off, shadow or on, found \"shadwo\"; did you mean shadow?",
        ),
        (r#"{"batching":{"load_balancing":"random"}}"#, "must be adaptive or round_robin, found \"random\""),
        (r#"{"quantum_security":{"lattice_dimension":700}}"#, "must be 512, 768, 1024 or 2048"),
        (r#"{"quantum_security":{"modulus":"big"}}"#, "quantum_security.modulus: must be an integer from 2"),
        (r#"{"api":{"listen":"localhost"}}"#, "api.listen: must be an IP address and port"),
        (r#"{"node":{"name":".hidden"}}"#, "node.name: must be 1 to 64 letters"),
        (r#"{"node":{"store_path":"../other"}}"#, "node.store_path: must be a path"),
    ];
    for (text, message) in cases {
        let refusal = refusal(text);
        assert!(refusal.contains(message), "{text}: {refusal}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    let text = r#"{"consensus":{"timeout_ms":0,"max_blocks":1},"log":{"level":"loud"}}"#;
    let Err(ConfigError::Problems(problems)) = load(text) else { panic!("accepted") };
    let paths: Vec<&str> = problems.iter().map(|p| p.path.as_str()).collect();
    assert_eq!(paths, ["consensus.timeout_ms", "consensus.max_blocks", "log.level"]);
    assert_eq!(refusal(text).lines().count(), 3);
}

#[test]
fn what_is_not_one_object_with_each_key_once_is_refused() {
    for text in ["", "[]", "3", "{", "{} {}", r#"{"log":{},"log":{}}"#, r#"{"log":{"level":"info","level":"warn"}}"#] {
        assert!(matches!(load(text), Err(ConfigError::Json(_))), "{text}");
    }
    assert!(refusal(r#"{"log":{"level":"info","level":"warn"}}"#).contains("the key \"level\" stands twice at line 1"));
    assert!(matches!(load(&" ".repeat(MAX_FILE_BYTES + 1)), Err(ConfigError::TooLong { .. })));
    assert!(matches!(load(&format!("{{\"log\":{}", "[".repeat(100_000))), Err(ConfigError::Json(_))));
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    let cases = [
        (r#"{"quantum_security":{"security_level":"cnsa"}}"#, "cnsa allows only lattice_dimension 1024, found 768"),
        (r#"{"consensus":{"base_threshold":0.9}}"#, "must lie in adaptive_range, from 0.6 to 0.8, found 0.9"),
        (
            r#"{"consensus":{"max_timeout_ms":1000}}"#,
            "consensus.timeout_ms: must be at most max_timeout_ms = 1000, found 30000",
        ),
        (r#"{"consensus":{"max_block_bytes":65536}}"#, "consensus.max_block_bytes: must be at least 65566"),
        (r#"{"network":{"view_timer_ceiling_deltas":5}}"#, "must be at least view_timer_floor_deltas, which is 6"),
        (r#"{"api":{"tls_key_path":"key.pem"}}"#, "api.tls_certificate_path: needs tls_key_path"),
        (r#"{"api":{"admin_listen":"127.0.0.1:8080"}}"#, "must be different addresses"),
    ];
    for (text, message) in cases {
        let refusal = refusal(text);
        assert!(refusal.contains(message), "{text}: {refusal}");
    }
    quiet(r#"{"quantum_security":{"security_level":"cnsa","lattice_dimension":1024}}"#);
    quiet(r#"{"api":{"listen":"0.0.0.0:8080","allow_plain_http":true}}"#);
    let none = r#"{"latency":0,"throughput":0.0,"energy_efficiency":0,"network_stability":0}"#;
    let weights = format!(r#"{{"ai_optimization":{{"performance_weights":{none}}}}}"#);
    assert!(refusal(&weights).contains("must not all be 0"));
    let (_, warnings) = load(r#"{"ai_optimization":{"performance_weights":{"latency":1}}}"#).unwrap();
    assert_eq!(warnings[0].path, "ai_optimization.performance_weights");
    let (_, warnings) = load(r#"{"consensus":{"max_proposals":4000000}}"#).unwrap();
    assert!(warnings[0].what.contains("raise node.mempool_bytes"));
}

#[test]
fn the_environment_wins() {
    let (config, warnings) =
        with_env("{}", &[("QUANTUM_SECURITY", "false"), ("AI_OPTIMIZATION", "False"), ("NODE_ID", "alpha")]).unwrap();
    assert_eq!(config.level(), SecurityLevel::Classical);
    assert!(warnings[0].what.starts_with("QUANTUM SECURITY IS OFF"));
    assert_eq!(config.ai_optimization.mode, AiMode::Off);
    assert_eq!(config.node.name.as_deref(), Some("alpha"));
    for path in ["quantum_security.lattice_dimension", "ai_optimization.mode", "node.name"] {
        assert!(config.is_explicit(path), "{path}");
    }

    let guide = [("QUANTUM_SECURITY", "true"), ("AI_OPTIMIZATION", "true"), ("NODE_ID", "")];
    let (config, warnings) = with_env("{}", &guide).unwrap();
    assert_eq!((config, warnings), (Config::default(), vec![]));
    let shadow = r#"{"ai_optimization":{"mode":"shadow"}}"#;
    assert_eq!(with_env(shadow, &guide).unwrap().0.ai_optimization.mode, AiMode::Shadow);

    let refused = |text: &str, name, value| with_env(text, &[(name, value)]).expect_err(value).to_string();
    let message = refused("{}", "QUANTUM_SECURITY", "maybe");
    assert_eq!(message, "environment QUANTUM_SECURITY: must be true or false, found \"maybe\"");
    assert!(refused("{}", "AI_OPTIMIZATION", "").contains("environment AI_OPTIMIZATION"));
    assert!(refused("{}", "NODE_ID", "a b").contains("\"a b\" cannot name a validator"));
    let cnsa = r#"{"quantum_security":{"security_level":"cnsa","lattice_dimension":1024}}"#;
    assert!(refused(cnsa, "QUANTUM_SECURITY", "false").contains("cnsa allows only"));
    let classical = r#"{"quantum_security":{"lattice_dimension":0}}"#;
    assert!(refused(classical, "QUANTUM_SECURITY", "true").contains("lattice_dimension is 0"));
    assert_eq!(load(classical).unwrap().1.len(), 1);
}

#[test]
fn what_is_written_loads_again() {
    assert_eq!(quiet(&Config::example()).to_json(), Config::default().to_json());
    let text = r#"{ "quantum_security": { "lattice_dimension": 1024, "modulus": 5 },
        "consensus": { "base_threshold": 0.7501, "adaptive_range": [0.6, 1], "max_byzantine": 2, "max_crashed": 0 },
        "node": { "name": "beta", "store_path": "/var/lib/mesh" }, "network": { "listen": "[::1]:9" },
        "ai_optimization": { "mode": "shadow", "policy": "learned", "learning_rate": 0.0001 } }"#;
    let (config, _) = load(text).unwrap();
    assert_eq!(config.consensus.base_threshold.ten_thousandths(), 7501);
    assert_eq!(config.consensus.adaptive_range[1].to_string(), "1");
    assert_eq!((config.consensus.max_byzantine, config.consensus.max_crashed), (Some(2), Some(0)));
    let written = config.to_json();
    let (again, _) = load(&written.to_string()).unwrap();
    assert_eq!(again.to_json(), written);
    let (classical, _) = with_env("{}", &[("QUANTUM_SECURITY", "0")]).unwrap();
    assert_eq!(load(&classical.to_json().to_string()).unwrap().0.level(), SecurityLevel::Classical);
}

#[test]
fn all_ten_thousandths_are_exact() {
    for n in 1..=10_000_u32 {
        let text = Fraction::new(n).to_string();
        let config = quiet(&format!(r#"{{"consensus":{{"base_threshold":{text},"adaptive_range":[0.0001,1]}}}}"#));
        assert_eq!(config.consensus.base_threshold.ten_thousandths(), n, "{text}");
    }
}

/// How many keys an object has, those inside its objects counted.
fn leaves(value: &Value) -> usize {
    value.as_object().map_or(1, |object| object.values().map(leaves).sum())
}

#[test]
fn the_table_of_keys_is_complete_and_readable() {
    let keys = Config::keys();
    let example: Value = serde_json::from_str(&Config::example()).unwrap();
    for key in &keys {
        let pointer = format!("/{}", key.path.replace('.', "/"));
        let value = example.pointer(&pointer).unwrap_or_else(|| panic!("{} is not in the example", key.path));
        assert_eq!(value.to_string(), key.default, "{}", key.path);
        assert!(key.meaning.len() > 10 && key.meaning.ends_with('.'), "{}: {}", key.path, key.meaning);
        assert!(!key.range.is_empty() && !key.unit.is_empty() && !key.meaning.contains("  "), "{}", key.path);
        for (suffix, unit) in [("_ms", "ms"), ("_seconds", "s"), ("_bytes", "bytes"), ("_mbps", "Mbit/s")] {
            assert!(!key.path.ends_with(suffix) || key.unit == unit, "{} in {}", key.path, key.unit);
        }
    }
    assert_eq!(leaves(&example), keys.len());
    let markdown = Key::markdown(&keys);
    assert_eq!(markdown.lines().count(), keys.len() + 2);
    assert!(
        markdown.contains("| `consensus.max_proposals` | integer | count | `100` | 1 to 4000000 | Proposals of this")
    );
    assert!(
        Key::plain(&keys).contains("consensus.timeout_ms = 30000\n    integer, 1 to 86400000, ms\n    Deadline of a")
    );
}
