//! The configuration of a node: one JSON file, checked strictly, with what the environment says on top.
//!
//! ```text
//!   text ─▶ strict (JSON, no key twice) ─▶ sections (types, ranges) ─▶ environment ─▶ checks across keys ─▶ Config
//! ```
//!
//! [`sections`] is the one list of all keys: types, defaults, units, ranges and meanings stand there, and the reading,
//! the writing and the printed table come from it.

mod check;
mod decimal;
mod keys;
mod problem;
#[macro_use]
mod section;
pub mod sections;
mod setting;
mod strict;
#[cfg(test)]
mod tests;

pub use decimal::Fraction;
pub use keys::Key;
pub use problem::{ConfigError, Problem, Warning};
pub use sections::{
    AiMode, AiOptimization, AiPolicy, Api, Batching, Consensus, LoadBalancing, Log, LogFormat, LogLevel, Network,
    NetworkAnalysis, Node, Optimizer, PerformanceWeights, QuantumSecurity, Storage,
};

use crypto::SecurityLevel;
use problem::Findings;
use section::Section;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Longest configuration file, bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// Names that the guide gives to two of its dictionaries, and the sections that they are.
const ALIASES: [(&str, &str); 2] = [("optimizer_config", "optimizer"), ("consensus_batching", "batching")];

/// The effective configuration of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Algorithms and key rotation.
    pub quantum_security: QuantumSecurity,
    /// The optimizer's mode, policy and objective.
    pub ai_optimization: AiOptimization,
    /// Thresholds, faults tolerated, sizes and deadlines.
    pub consensus: Consensus,
    /// How the optimizer learns.
    pub optimizer: Optimizer,
    /// What counts as a good network.
    pub network_analysis: NetworkAnalysis,
    /// How blocks are filled.
    pub batching: Batching,
    /// This validator: its name, its files, its memory.
    pub node: Node,
    /// Links to the other validators, and timers.
    pub network: Network,
    /// The HTTP interface.
    pub api: Api,
    /// The store.
    pub storage: Storage,
    /// The log.
    pub log: Log,
    explicit: BTreeSet<String>,
}

impl Config {
    /// Reads a configuration file's text; `env` looks up environment variables (`QUANTUM_SECURITY`, `AI_OPTIMIZATION`,
    /// `NODE_ID`), which win over the file.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem found: its path, what is wrong, what is legal.
    pub fn load(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<(Self, Vec<Warning>), ConfigError> {
        if text.len() > MAX_FILE_BYTES {
            return Err(ConfigError::TooLong { bytes: text.len() });
        }
        let object = strict::parse(text)?;
        let (mut config, mut findings) = (Self::default(), Findings::default());
        config.read(object, &mut findings);
        config.read_environment(env, &mut findings);
        check::across_keys(&config, &mut findings);
        config.explicit = std::mem::take(&mut findings.explicit);
        let warnings = findings.finish()?;
        Ok((config, warnings))
    }

    /// Whether the file or the environment gave this key (`"consensus.base_threshold"`), so that it is not a default.
    pub fn is_explicit(&self, path: &str) -> bool {
        self.explicit.contains(path)
    }

    /// The security level: that of `lattice_dimension`, classical after `QUANTUM_SECURITY=false`.
    pub fn level(&self) -> SecurityLevel {
        self.quantum_security.lattice_dimension
    }

    /// The whole configuration as JSON, defaults and environment included. [`Config::load`] reads it back.
    pub fn to_json(&self) -> Value {
        let sections = self.sections().map(|(name, section)| (name.to_owned(), Value::Object(section.write())));
        Value::Object(Map::from_iter(sections))
    }

    /// A complete configuration file with the defaults, readable by [`Config::load`]. As JSON has no comments, the meanings
    /// of the keys are in [`Config::keys`].
    pub fn example() -> String {
        let mut text = format!("{:#}", Self::default().to_json());
        text.push('\n');
        text
    }

    /// All keys with type, unit, default, range and meaning.
    pub fn keys() -> Vec<Key> {
        let mut keys = Vec::new();
        for (name, section) in Self::default().sections() {
            section.keys(name, &mut keys);
        }
        keys
    }

    fn sections(&self) -> [(&'static str, &dyn Section); 11] {
        [
            ("quantum_security", &self.quantum_security),
            ("ai_optimization", &self.ai_optimization),
            ("consensus", &self.consensus),
            ("optimizer", &self.optimizer),
            ("network_analysis", &self.network_analysis),
            ("batching", &self.batching),
            ("node", &self.node),
            ("network", &self.network),
            ("api", &self.api),
            ("storage", &self.storage),
            ("log", &self.log),
        ]
    }

    fn section_mut(&mut self, name: &str) -> Option<&mut dyn Section> {
        Some(match name {
            "quantum_security" => &mut self.quantum_security,
            "ai_optimization" => &mut self.ai_optimization,
            "consensus" => &mut self.consensus,
            "optimizer" => &mut self.optimizer,
            "network_analysis" => &mut self.network_analysis,
            "batching" => &mut self.batching,
            "node" => &mut self.node,
            "network" => &mut self.network,
            "api" => &mut self.api,
            "storage" => &mut self.storage,
            "log" => &mut self.log,
            _ => return None,
        })
    }

    fn read(&mut self, object: Map<String, Value>, findings: &mut Findings) {
        let names: Vec<&str> = self.sections().into_iter().map(|(name, _)| name).collect();
        for (alias, name) in ALIASES {
            if object.contains_key(alias) && object.contains_key(name) {
                findings.problem(alias, format!("the section is also given as {name}; keep one of the two"));
            }
        }
        for (given, value) in object {
            let name = ALIASES.iter().find(|(alias, _)| *alias == given).map_or(given.as_str(), |(_, name)| name);
            match (self.section_mut(name), value) {
                (Some(section), Value::Object(content)) => section.read(name, content, findings),
                (Some(_), other) => {
                    findings.problem(name, format!("must be an object, found {}", setting::found(&other)));
                }
                (None, _) => findings.unknown("", &given, &names),
            }
        }
    }

    fn read_environment(&mut self, env: &dyn Fn(&str) -> Option<String>, findings: &mut Findings) {
        match flag("QUANTUM_SECURITY", env, findings) {
            Some(false) => {
                self.quantum_security.lattice_dimension = SecurityLevel::Classical;
                findings.explicit.insert("quantum_security.lattice_dimension".to_owned());
            }
            Some(true) if self.level() == SecurityLevel::Classical => {
                let what = "says true, but quantum_security.lattice_dimension is 0; set it to 768 or remove it";
                findings.problem("environment QUANTUM_SECURITY", what);
            }
            _ => {}
        }
        if flag("AI_OPTIMIZATION", env, findings) == Some(false) {
            self.ai_optimization.mode = AiMode::Off;
            findings.explicit.insert("ai_optimization.mode".to_owned());
        }
        // An empty name is what a template leaves behind that had none to put in.
        if let Some(name) = env("NODE_ID").filter(|name| !name.is_empty()) {
            match consensus::config::check_name(&name) {
                Ok(()) => {
                    self.node.name = Some(name);
                    findings.explicit.insert("node.name".to_owned());
                }
                Err(rule) => {
                    findings.problem("environment NODE_ID", format!("{name:?} cannot name a validator: {rule}"));
                }
            }
        }
    }
}

fn flag(name: &str, env: &dyn Fn(&str) -> Option<String>, findings: &mut Findings) -> Option<bool> {
    let text = env(name)?;
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => {
            findings.problem(&format!("environment {name}"), format!("must be true or false, found {text:?}"));
            None
        }
    }
}
