//! `agent-mesh log export` and `log verify`: the log as a file that anyone can check offline.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};

use consensus::codec::{Decode as _, Encode as _};
use consensus::genesis::Genesis;
use consensus::logfile::{END, LogError, LogHead, LogVerifier, MAX_PIECE_BYTES, PIECE, end_bytes};
use consensus::message::FinalChain;
use consensus::types::Height;
use serde_json::json;

use crate::client::NodeArg;
use crate::failure::{Failure, Outcome};
use crate::output::{Output, note, print, print_json};

/// Arguments of `log export`.
#[derive(clap::Args)]
pub(crate) struct Export {
    #[command(flatten)]
    node: NodeArg,
    /// First height; by default the lowest that the node holds.
    #[arg(long, value_name = "HEIGHT")]
    from: Option<u64>,
    /// Last height; by default the last final one.
    #[arg(long, value_name = "HEIGHT")]
    to: Option<u64>,
    /// The file to write; it must not exist.
    file: PathBuf,
}

/// Arguments of `log verify`.
#[derive(clap::Args)]
pub(crate) struct Verify {
    /// The network's genesis.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// The exported log.
    file: PathBuf,
}

/// Runs `log export`. What is written was verified against the node's genesis on the way.
pub(super) fn export(args: &Export, output: Output) -> Outcome {
    let client = args.node.client()?;
    let status = client.status()?;
    let genesis = client.genesis()?;
    let from = args.from.unwrap_or(status.held_from).max(1);
    let to = args.to.unwrap_or(status.height).min(status.height);
    if from > to {
        return Err(Failure::failed(format!(
            "nothing to export: the node holds heights {} to {}",
            status.held_from, status.height
        )));
    }
    let file = File::create_new(&args.file)
        .map_err(|error| Failure::failed(format!("cannot make {}: {error}", args.file.display())))?;
    let mut out = BufWriter::new(file);
    let head = LogHead { chain_id: genesis.chain_id(), from: Height::new(from) };
    out.write_all(&head.to_bytes())?;
    let mut verifier = LogVerifier::new(&genesis, &head)?;
    let mut next = from;
    while next <= to {
        let piece = client.chain(next, to)?;
        FinalChain::from_bytes(&piece).map_err(LogError::from)?;
        verifier.piece(&piece)?;
        out.write_all(&[PIECE])?;
        out.write_all(&u32::try_from(piece.len()).unwrap_or(u32::MAX).to_be_bytes())?;
        out.write_all(&piece)?;
        let Some((height, _)) = verifier.last() else { break };
        next = height.get() + 1;
    }
    if let Some((height, hash)) = verifier.last() {
        out.write_all(&end_bytes(height, &hash))?;
    }
    out.into_inner().map_err(|error| Failure::failed(error.to_string()))?.sync_all()?;
    tell(&verifier, from, output)
}

/// Runs `log verify`: reads the file once, one piece in memory at a time.
pub(super) fn verify(args: &Verify, output: Output) -> Outcome {
    let text = std::fs::read_to_string(&args.genesis)
        .map_err(|error| Failure::failed(format!("cannot read {}: {error}", args.genesis.display())))?;
    let genesis = Genesis::from_json(&text)?;
    let (verifier, from) = verify_file(&args.file, &genesis)?;
    if from > 1 {
        note(format!(
            "the log begins at height {from}: that its first block follows from the genesis, and that no value of the blocks before is \
             repeated, is not in it"
        ));
    }
    tell(&verifier, from, output)
}

fn verify_file(path: &Path, genesis: &Genesis) -> Outcome<(LogVerifier, u64)> {
    let file = File::open(path).map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))?;
    let mut input = BufReader::new(file);
    let cut = |error: std::io::Error| Failure::failed(format!("{} is cut off: {error}", path.display()));
    let head = LogHead { chain_id: genesis.chain_id(), from: Height::new(1) };
    let mut bytes = vec![0; head.to_bytes().len()];
    input.read_exact(&mut bytes).map_err(cut)?;
    // A head of another hash length does not decode, or names another chain.
    let head = LogHead::from_bytes(&bytes).map_err(LogError::from)?;
    let mut verifier = LogVerifier::new(genesis, &head)?;
    loop {
        let mut mark = [0];
        input.read_exact(&mut mark).map_err(cut)?;
        if mark[0] == END {
            let mut end = Vec::new();
            input.by_ref().take(256).read_to_end(&mut end)?;
            verifier.end(&end)?;
            return Ok((verifier, head.from.get()));
        }
        let mut len = [0; 4];
        input.read_exact(&mut len).map_err(cut)?;
        let len = u32::from_be_bytes(len);
        if mark[0] != PIECE || len > MAX_PIECE_BYTES {
            return Err(Failure::failed(format!("{} is not an exported log of this version", path.display())));
        }
        let mut piece = Vec::new();
        input.by_ref().take(u64::from(len)).read_to_end(&mut piece).map_err(cut)?;
        verifier.piece(&piece)?;
    }
}

fn tell(verifier: &LogVerifier, from: u64, output: Output) -> Outcome {
    let summary = verifier.summary();
    let Some((height, hash)) = verifier.last() else { return Err(Failure::failed("the log is empty")) };
    if output.json {
        return print_json(&json!({
            "from": from, "to": height.get(), "blocks": summary.blocks, "values": summary.values,
            "certificates": summary.pieces, "last_hash": hash.to_string(), "verified": true,
        }));
    }
    print(format!(
        "heights {from} to {height}: {} blocks, {} values, {} certificates, all verified; the last block is {hash}",
        summary.blocks, summary.values, summary.pieces
    ))
}
