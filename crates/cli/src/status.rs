//! `agent-mesh status`: where a node stands.

use crate::client::NodeArg;
use crate::failure::{FAILED, Failure, Outcome};
use crate::output::{Output, print, print_document};
use crate::words;

/// Arguments of `status`.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    node: NodeArg,
    /// Only whether the node is ready (GET /readyz): exit code 0 if it makes progress, 1 if not. For health checks of containers.
    #[arg(long)]
    health: bool,
}

/// Runs `status`.
pub(crate) fn run(args: &Args, output: Output) -> Outcome {
    let client = args.node.client()?;
    if args.health {
        let (healthy, view) = client.health("/readyz")?;
        if output.json {
            print_document(&view)?;
        } else {
            print(view["reason"].as_str().unwrap_or_default())?;
        }
        return if healthy { Ok(()) } else { Err(Failure::silent(FAILED)) };
    }
    let status = client.status()?;
    if output.json {
        return print_document(&status);
    }
    let (q, level) = (&status.quorum, status.level);
    let level = if level == 0 { "classical, NOT quantum-resistant".to_owned() } else { format!("level {level}") };
    print(format!(
        "{} (validator {} of {}), network {}, {level}, version {}",
        status.name, status.index, q.n, status.network, status.version
    ))?;
    print(format!("chain id   {}", status.chain_id))?;
    let since = status.since_final_us.map_or_else(String::new, |us| format!(", {:.1} s ago", us as f64 / 1e6));
    print(format!(
        "log        height {}, block {}… of {}{since}",
        status.height,
        words::short(&status.block_hash),
        words::time(status.block_time_us)
    ))?;
    if status.catch_up.lag > 0 {
        let c = &status.catch_up;
        print(format!(
            "CATCHING UP {} blocks behind; {} peers serve, {} pieces asked for, {} waiting, {} asked again",
            c.lag, c.peers, c.asked, c.waiting, c.reassigned
        ))?;
    }
    print(format!(
        "consensus  epoch {}, view {}, view timer {} ms",
        status.epoch,
        status.view,
        status.view_timer_us / 1_000
    ))?;
    print(format!(
        "quorum     {} Byzantine and {} crashed tolerated, q_min {}, q_max {}, q_fast {}",
        q.f, q.c, q.q_min, q.q_max, q.q_fast
    ))?;
    print(format!("links      {} of {} up", status.peers_connected, status.peers))?;
    print(format!("proposals  {} waiting, {} of them from this node's clients", status.mempool, status.own_proposals))?;
    if status.accused > 0 {
        print(format!("EVIDENCE   {} validators are proven faulty: see /v1/evidence", status.accused))?;
    }
    Ok(())
}
