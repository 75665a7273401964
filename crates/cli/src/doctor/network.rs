//! What shows only when nodes are compared: networks, histories, clocks, versions, heights.

use std::collections::BTreeMap;

use serde_json::Value;

use super::node::{Snapshot, number};
use super::report::Report;

/// A node that is this many blocks behind another one lags.
const LAG_BLOCKS: u64 = 20;

/// Everything that needs more than one node.
pub(super) fn examine(nodes: &[Snapshot], report: &mut Report) {
    if nodes.len() < 2 {
        return;
    }
    if !same_network(nodes, report) {
        return;
    }
    histories(nodes, report);
    heights(nodes, report);
    clocks(nodes, report);
    versions(nodes, report);
    links(nodes, report);
}

/// Nodes by what they say about one thing.
fn groups(nodes: &[Snapshot], what: impl Fn(&Snapshot) -> Option<String>) -> BTreeMap<String, Vec<String>> {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in nodes {
        if let Some(said) = what(node) {
            groups.entry(said).or_default().push(node.subject());
        }
    }
    groups
}

fn shown(groups: &BTreeMap<String, Vec<String>>) -> String {
    let shown: Vec<String> = groups.iter().map(|(said, who)| format!("{said}: {}", who.join(", "))).collect();
    shown.join("; ")
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn same_network(nodes: &[Snapshot], report: &mut Report) -> bool {
    let levels = groups(nodes, |node| Some(format!("level {}", number(&node.status, "level"))));
    if levels.len() > 1 {
        report.critical(
            "mixed-levels",
            "network",
            shown(&levels),
            "the level is the network's: nodes of another level have another genesis and never link; give all the same genesis.json",
        );
    }
    let chains =
        groups(nodes, |node| text(&node.status["chain_id"]).map(|id| format!("chain id {}…", &id[..id.len().min(12)])));
    if chains.len() > 1 {
        report.critical(
            "different-networks",
            "network",
            shown(&chains),
            "these nodes have different genesis files and will never link: give all the genesis whose chain id all operators have compared \
             (agent-mesh genesis show)",
        );
        return false;
    }
    report.passed("same-network");
    true
}

/// The same height has the same block everywhere: anything else is a broken promise.
fn histories(nodes: &[Snapshot], report: &mut Report) {
    let mut hashes: BTreeMap<u64, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for node in nodes {
        for block in &node.blocks {
            if let Some(hash) = text(&block["hash"]) {
                let who = hashes.entry(number(block, "height")).or_default().entry(hash).or_default();
                who.push(node.subject());
            }
        }
    }
    let forked = hashes.iter().find(|(_, blocks)| blocks.len() > 1);
    let compared = hashes.values().filter(|blocks| blocks.values().map(Vec::len).sum::<usize>() > 1).count();
    if let Some((height, blocks)) = forked {
        report.critical(
            "FORK",
            "network",
            format!("height {height} is final with different blocks: {}", shown(blocks)),
            "stop proposing and keep every store as it is: more validators were faulty than the network tolerates, or the software is wrong; \
             collect `agent-mesh debug dump` of every validator and the evidence",
        );
    } else if compared > 0 {
        report.passed("same-log");
    }
}

fn heights(nodes: &[Snapshot], report: &mut Report) {
    let highest = nodes.iter().map(|node| number(&node.status, "height")).max().unwrap_or_default();
    let mut behind = false;
    for node in nodes {
        let height = number(&node.status, "height");
        if highest - height > LAG_BLOCKS {
            behind = true;
            report.warning(
                "lagging",
                node.subject(),
                format!("height {height}, while another node is at {highest}"),
                "it catches up by itself once it is linked; if the distance does not shrink, look at its links, disk and CPU",
            );
        }
    }
    if !behind {
        report.passed("heights");
    }
}

fn clocks(nodes: &[Snapshot], report: &mut Report) {
    let known: Vec<(i64, &Snapshot)> = nodes.iter().filter_map(|node| Some((node.skew_us?, node))).collect();
    let (Some(slowest), Some(fastest)) =
        (known.iter().min_by_key(|(skew, _)| *skew), known.iter().max_by_key(|(skew, _)| *skew))
    else {
        return;
    };
    let apart = fastest.0 - slowest.0;
    let error = fastest.1.skew_error_us + slowest.1.skew_error_us;
    let Some(limit) = nodes.iter().filter_map(|node| node.drift_limit_us).min() else { return };
    let evidence = format!(
        "{} is {} ms ahead of {} (± {} ms); the network allows {} ms",
        fastest.1.subject(),
        apart / 1_000,
        slowest.1.subject(),
        error / 1_000 + 1,
        limit / 1_000
    );
    let next = "synchronise both with NTP (chrony, systemd-timesyncd) and see that it stays so; blocks dated too far ahead wait, and the leader that \
                dates them loses its views";
    if apart.saturating_sub(error) > limit {
        report.critical("clock-skew", "network", evidence, next);
    } else if apart.saturating_sub(error) > limit / 2 {
        report.warning("clock-skew", "network", evidence, next);
    } else {
        report.passed("clocks");
    }
}

fn versions(nodes: &[Snapshot], report: &mut Report) {
    let versions = groups(nodes, |node| text(&node.status["version"]).map(|version| format!("version {version}")));
    if versions.len() > 1 {
        let next = "fine while an upgrade is under way; otherwise bring all to the newest, one validator at a time (docs/operations.md, Upgrade)";
        report.info("mixed-versions", "network", shown(&versions), next);
    } else {
        report.passed("versions");
    }
}

/// A link that one end sees and the other does not is half open; one that several miss points at a machine.
fn links(nodes: &[Snapshot], report: &mut Report) {
    let mut missed: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in nodes {
        for peer in node.validators.iter().filter(|peer| peer["this_node"] != true && peer["connected"] != true) {
            missed.entry(peer["name"].as_str().unwrap_or("?").to_owned()).or_default().push(node.subject());
        }
    }
    for (name, who) in missed.iter().filter(|(_, who)| who.len() > 1) {
        report.warning(
            "validator-down",
            name,
            format!("{} of {} nodes have no link to it: {}", who.len(), nodes.len(), who.join(", ")),
            "the machine or its network is down rather than one link: ask its operator; replace it if it does not come back",
        );
    }
}
