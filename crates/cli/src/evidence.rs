//! `agent-mesh evidence`: proofs of misbehaviour, against the genesis alone.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use clap::Subcommand;
use consensus::Decode as _;
use consensus::evidence::Evidence;
use consensus::genesis::Genesis;
use consensus::verify::Verifier;
use node::views::EvidenceView;
use serde_json::{Value, json};

use crate::failure::{Failure, Outcome};
use crate::input::{read_genesis, read_text};
use crate::output::{Output, note, print, print_json};
use crate::verify::json_values;

/// What to do with evidence.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Check evidence offline: two objects signed by one validator that no honest one signs together.
    Verify {
        /// The network's genesis.
        #[arg(long, value_name = "FILE")]
        genesis: PathBuf,
        /// Evidence as base64, or as /v1/evidence gives it; `-` reads standard input.
        file: PathBuf,
    },
}

/// Runs `evidence`.
pub(crate) fn run(verb: &Verb, output: Output) -> Outcome {
    let Verb::Verify { genesis, file } = verb;
    let genesis = read_genesis(genesis)?;
    let verifier = Verifier::new(genesis.config.clone(), genesis.chain_id());
    let claims = claims(&read_text(file)?).map_err(|failure| failure.at(file.display()))?;
    let (total, mut invalid) = (claims.len(), 0);
    if claims.is_empty() && !output.json {
        return print("no evidence: nobody is accused");
    }
    for (at, claim) in claims.iter().enumerate() {
        match check(claim, &genesis, &verifier) {
            Ok(evidence) => valid(&evidence, &genesis, output)?,
            Err(why) => {
                invalid += 1;
                if output.json {
                    print_json(&json!({"valid": false, "reason": why}))?;
                }
                note(format!("INVALID: evidence {} of {total}: {why}", at + 1));
            }
        }
    }
    if invalid > 0 {
        return Err(Failure::failed(format!(
            "{invalid} of {total} pieces of evidence prove nothing in network {}",
            genesis.network
        )));
    }
    Ok(())
}

/// Base64, or the view that carries it.
enum Claim {
    Bare(String),
    View(Box<EvidenceView>),
}

fn claims(text: &str) -> Outcome<Vec<Claim>> {
    // What a node of a healthy network serves.
    if text.trim() == "[]" {
        return Ok(Vec::new());
    }
    if !text.trim_start().starts_with(['{', '[', '"']) {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let claims: Vec<Claim> = lines.map(|line| Claim::Bare(line.to_owned())).collect();
        return if claims.is_empty() { Err(Failure::failed("there is nothing in it to check")) } else { Ok(claims) };
    }
    let claim = |value: Value| match value {
        Value::String(text) => Ok(Claim::Bare(text)),
        value => serde_json::from_value(value).map(|view| Claim::View(Box::new(view))).map_err(|error| {
            Failure::failed(format!("this is not evidence: {error}; give base64, or the JSON of /v1/evidence"))
        }),
    };
    json_values(text.as_bytes())?.into_iter().map(claim).collect()
}

fn check(claim: &Claim, genesis: &Genesis, verifier: &Verifier) -> Result<Evidence, String> {
    let b64 = match claim {
        Claim::Bare(text) => text,
        Claim::View(view) => &view.evidence_b64,
    };
    let bytes = BASE64.decode(b64).map_err(|error| format!("it is not base64: {error}"))?;
    let evidence = Evidence::from_bytes(&bytes).map_err(|error| format!("it is not evidence: {error}"))?;
    for vote in evidence.votes() {
        verifier.vote(vote).map_err(|error| error.to_string())?;
    }
    if let Claim::View(view) = claim {
        let fields = [
            ("accused", view.accused.to_string(), evidence.accused().to_string()),
            ("name", view.name.clone(), name(&evidence, genesis)),
            ("kind", view.kind.clone(), evidence.kind().name().to_owned()),
            ("view", view.view.to_string(), evidence.view().to_string()),
        ];
        for (field, said, shown) in fields {
            if said != shown {
                return Err(format!("the field {field} is {said}, but the evidence shows {shown}"));
            }
        }
    }
    Ok(evidence)
}

fn name(evidence: &Evidence, genesis: &Genesis) -> String {
    genesis.config.member(evidence.accused()).map(|member| member.name.clone()).unwrap_or_default()
}

fn valid(evidence: &Evidence, genesis: &Genesis, output: Output) -> Outcome {
    let (accused, kind, view) = (evidence.accused().get(), evidence.kind().name(), evidence.view().get());
    let name = name(evidence, genesis);
    if output.json {
        return print_json(&json!({"valid": true, "accused": accused, "name": name, "kind": kind, "view": view}));
    }
    print(format!(
        "VALID: validator {name} (index {accused}) broke the rules in view {view}: {kind}, signed by its session key"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_read_in_every_form() {
        let view = r#"{"accused": 1, "name": "v1", "kind": "two_notarize", "view": 3, "evidence_b64": "AA=="}"#;
        assert_eq!(claims("AA==\nAAA=\n").unwrap().len(), 2);
        assert_eq!(claims("\"AA==\"").unwrap().len(), 1);
        assert_eq!(claims(view).unwrap().len(), 1);
        assert_eq!(claims(&format!("[{view}, {view}]")).unwrap().len(), 2);
        assert!(claims("[]\n").unwrap().is_empty());
        for wrong in ["", "{}", "[3]"] {
            assert!(claims(wrong).is_err(), "{wrong}");
        }
    }
}
