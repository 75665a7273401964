//! `agent-mesh ai`: what a node's optimizer recommends, how well it does, its parameters and mode.

use node::optimizer::{Metrics, Parameters, Recommendation};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::client::NodeArg;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, print, print_document};

/// The subcommands of `ai`.
#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// What the optimizer would do, or have you do: each with its expected effect and the reason.
    Recommendations {
        #[command(flatten)]
        node: NodeArg,
    },
    /// How well it predicts and decides.
    Metrics {
        #[command(flatten)]
        node: NodeArg,
    },
    /// Show the parameters, or change some: all of the change or none of it.
    Parameters {
        #[command(flatten)]
        node: NodeArg,
        /// NAME=VALUE, e.g. learning_history_size=200 or performance_weights.latency=0.5
        #[arg(value_name = "NAME=VALUE")]
        changes: Vec<String>,
    },
    /// Show the mode, or switch it: off, shadow or on.
    Mode {
        #[command(flatten)]
        node: NodeArg,
        /// off, shadow or on.
        mode: Option<String>,
        /// rule or learned.
        #[arg(long)]
        policy: Option<String>,
    },
}

#[derive(Deserialize)]
struct ModeBody {
    mode: String,
    policy: String,
}

/// Runs `ai`.
pub(crate) fn run(verb: &Verb, output: Output) -> Outcome {
    match verb {
        Verb::Recommendations { node } => recommendations(node, output),
        Verb::Metrics { node } => metrics(node, output),
        Verb::Parameters { node, changes } => parameters(node, changes, output),
        Verb::Mode { node, mode, policy } => switch(node, mode.as_deref(), policy.as_deref(), output),
    }
}

fn recommendations(node: &NodeArg, output: Output) -> Outcome {
    let list: Vec<Recommendation> = node.client()?.read("/v1/ai/recommendations")?;
    if output.json {
        return print_document(&list);
    }
    for one in list {
        print(format!("{}: {} → {}", one.subject, one.current, one.recommended))?;
        print(format!("  effect  {}", one.expected_effect))?;
        print(format!("  reason  {}", one.reason))?;
    }
    Ok(())
}

fn metrics(node: &NodeArg, output: Output) -> Outcome {
    let m: Metrics = node.client()?.read("/v1/ai/metrics")?;
    if output.json {
        return print_document(&m);
    }
    print(format!("mode        {}, policy {}, acting {}", m.mode, m.policy, m.acting))?;
    match m.prediction {
        Some(p) => print(format!(
            "prediction  {:.1} % right (base rate {:.1} %), skill {:.2}, over {} views",
            100.0 * p.accuracy,
            100.0 * p.base_rate,
            p.skill,
            p.rounds
        ))?,
        None => print("prediction  nothing predicted yet")?,
    }
    let c = m.counters;
    print(format!(
        "votes       {} views: {} holds saved the vote, {} in vain, {} rode with the next vote, {} sent at once",
        c.rounds, c.holds_used, c.holds_wasted, c.holds_piggybacked, c.sent_at_once
    ))?;
    print(format!("overhead    {:.1} % less vote bytes than always sending", m.overhead_reduction_percent))?;
    print(format!(
        "loss        {:.1}; learner {:.1}, rule {:.1}, best fixed {:.1}, oracle {:.1}; regret {:.1}",
        m.loss, m.loss_learned, m.loss_rule, m.loss_best_fixed, m.loss_oracle, m.regret
    ))?;
    let delta = m.delta_us.map_or("as configured".to_owned(), |us| format!("{:.1} ms", us as f64 / 1e3));
    print(format!(
        "advice      hold {:.1} ms of at most {:.1}, threshold {} votes, message delay {delta}",
        m.hold_us as f64 / 1e3,
        m.hold_cap_us as f64 / 1e3,
        m.threshold
    ))?;
    let converged = if m.converged { "converged" } else { "not converged" };
    print(format!("state       quality {:.2}, {converged} (spread {:.2})", m.quality, m.spread))
}

/// `a.b=1` as `{"a": {"b": 1}}`.
fn change(changes: &[String]) -> Outcome<Value> {
    let mut body = Map::new();
    for text in changes {
        let wrong = || Failure::usage(format!("{text:?} is not NAME=VALUE with a number as value"));
        let (name, value) = text.split_once('=').ok_or_else(wrong)?;
        let value: serde_json::Number = serde_json::from_str(value).map_err(|_| wrong())?;
        match name.split_once('.') {
            None => drop(body.insert(name.to_owned(), value.into())),
            Some((section, name)) => {
                let section = body.entry(section).or_insert_with(|| Value::Object(Map::new()));
                section.as_object_mut().ok_or_else(wrong)?.insert(name.to_owned(), value.into());
            }
        }
    }
    Ok(Value::Object(body))
}

fn parameters(node: &NodeArg, changes: &[String], output: Output) -> Outcome {
    let client = node.client()?;
    let parameters: Parameters = if changes.is_empty() {
        client.read("/v1/ai/parameters")?
    } else {
        client.write("/v1/ai/parameters", &change(changes)?)?
    };
    if output.json {
        return print_document(&parameters);
    }
    let Value::Object(shown) = serde_json::to_value(parameters)? else { return Ok(()) };
    for (name, value) in shown {
        match value {
            Value::Object(parts) => {
                for (part, value) in parts {
                    print(format!("{name}.{part} = {value}"))?;
                }
            }
            value => print(format!("{name} = {value}"))?,
        }
    }
    Ok(())
}

fn switch(node: &NodeArg, mode: Option<&str>, policy: Option<&str>, output: Output) -> Outcome {
    let client = node.client()?;
    let mut body = Map::new();
    for (name, value) in [("mode", mode), ("policy", policy)] {
        if let Some(value) = value {
            body.insert(name.to_owned(), value.into());
        }
    }
    let now: ModeBody = if body.is_empty() {
        client.read("/v1/ai/mode")?
    } else {
        client.write("/v1/ai/mode", &Value::Object(body))?
    };
    if output.json {
        return print_document(&serde_json::json!({"mode": now.mode, "policy": now.policy}));
    }
    print(format!("mode {}, policy {}", now.mode, now.policy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_become_json() {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let got =
            change(&list(&["learning_rate=0.5", "performance_weights.latency=1", "performance_weights.throughput=0"]));
        let want = serde_json::json!({"learning_rate": 0.5, "performance_weights": {"latency": 1, "throughput": 0}});
        assert_eq!(got.unwrap(), want);
        for wrong in ["learning_rate", "learning_rate=", "learning_rate=x"] {
            assert_eq!(change(&list(&[wrong])).unwrap_err().code, crate::failure::USAGE);
        }
    }
}
