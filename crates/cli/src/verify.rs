//! `agent-mesh verify`: results against the genesis alone, without a network.

use std::path::PathBuf;

use consensus::genesis::Genesis;
use consensus::link::EpochChain;
use consensus::proof::ProvenValue;
use node::views::ResultView;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::failure::{Failure, Outcome};
use crate::input::{read_bytes, read_genesis};
use crate::output::{Output, note, print, print_json};
use crate::words;

/// What no proof covers.
const NODES_WORD: &str = "phases_ms is the node's word: no proof covers it";

/// Arguments of `verify`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The network's genesis. It is the root of all trust: compare its chain id with other members.
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// A result, several one after the other, or a list of them; `-` reads standard input.
    result: PathBuf,
}

/// Runs `verify`.
pub(crate) fn run(args: &Args, output: Output) -> Outcome {
    let genesis = read_genesis(&args.genesis)?;
    let mut chain = EpochChain::new(&genesis);
    let texts = json_texts(&read_bytes(&args.result)?).map_err(|failure| failure.at(args.result.display()))?;
    let (total, mut invalid) = (texts.len(), 0);
    for (at, text) in texts.into_iter().enumerate() {
        let id =
            serde_json::from_str::<Value>(text.get()).ok().and_then(|value| Some(value["id"].as_str()?.to_owned()));
        let id = id.unwrap_or_else(|| "?".to_owned());
        // From the text itself: a detour over a map of values would hide a field that is given twice.
        let checked = serde_json::from_str::<ResultView>(text.get())
            .map_err(|error| format!("this is not a result: {error}"))
            .and_then(|view| match view.verify_with(&mut chain) {
                Ok(proven) => Ok((view, proven)),
                Err(error) => Err(error.to_string()),
            });
        match checked {
            Ok((view, proven)) => valid(&view, &proven, &genesis, output)?,
            Err(why) => {
                invalid += 1;
                if output.json {
                    print_json(&json!({"valid": false, "id": id, "reason": why}))?;
                }
                note(format!("INVALID: result {} of {total} ({id}): {why}", at + 1));
            }
        }
    }
    if invalid > 0 {
        return Err(Failure::failed(format!(
            "{invalid} of {total} results are not valid in network {} (chain id {})",
            genesis.network,
            genesis.chain_id()
        )));
    }
    Ok(())
}

fn valid(view: &ResultView, proven: &ProvenValue, genesis: &Genesis, output: Output) -> Outcome {
    if output.json {
        let mut shown = serde_json::to_value(view)?;
        if let Value::Object(fields) = &mut shown {
            fields.remove("phases_ms");
            fields.remove("proof_b64");
        }
        return print_json(&json!({
            "valid": true, "id": view.id, "chain_id": genesis.chain_id(), "block_time_us": proven.block_time.get(), "shown": shown,
            "not_shown": {"phases_ms": view.phases_ms, "why": NODES_WORD},
        }));
    }
    let quorum = &genesis.config.quorum;
    print(format!("VALID: the value is final in network {} (chain id {})", genesis.network, genesis.chain_id()))?;
    print(words::result(view))?;
    print(format!("  dated      {}", words::time(proven.block_time.get())))?;
    print(format!(
        "  shown      every field above but the phases follows from the proof: {} of {} validators signed ({})",
        proven.weight,
        quorum.n(),
        genesis.config.level.signature_algorithm()
    ))?;
    print(format!("  not shown  {NODES_WORD}"))
}

/// The JSON documents of a text, lists opened, each as it stands: one document, several, or lines.
fn json_texts(bytes: &[u8]) -> Outcome<Vec<Box<RawValue>>> {
    let mut texts = Vec::new();
    for text in serde_json::Deserializer::from_slice(bytes).into_iter::<Box<RawValue>>() {
        let text = text.map_err(|error| Failure::failed(format!("not JSON: {error}")))?;
        if text.get().starts_with('[') {
            texts.extend(serde_json::from_str::<Vec<Box<RawValue>>>(text.get())?);
        } else {
            texts.push(text);
        }
    }
    if texts.is_empty() {
        return Err(Failure::failed("there is nothing in it to check"));
    }
    Ok(texts)
}

/// The JSON values of a text, lists opened.
pub(crate) fn json_values(bytes: &[u8]) -> Outcome<Vec<Value>> {
    json_texts(bytes)?.iter().map(|text| Ok(serde_json::from_str(text.get())?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_lines_and_lists_are_read() {
        assert_eq!(json_values(b"{\"a\":\n1}").unwrap().len(), 1);
        assert_eq!(json_values(b"{}\n{}\n").unwrap().len(), 2);
        assert_eq!(json_values(b"[{}, {}] {}").unwrap().len(), 3);
        let twice = json_texts(br#"{"id": "a", "state": "final", "weight": 9, "weight": 5}"#).unwrap();
        let error = serde_json::from_str::<ResultView>(twice[0].get()).unwrap_err().to_string();
        assert!(error.contains("duplicate field"), "{error}");
        for wrong in [b"".as_slice(), b"[]", b"{", b"{} x"] {
            assert!(json_values(wrong).is_err());
        }
    }
}
