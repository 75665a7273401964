//! A validator that votes twice, over a real link: every other node keeps the proof, serves it, and a stranger verifies it offline.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use common::{Network, PATIENCE, Ran, alone, eventually, run_with_input};
use consensus::Encode as _;
use consensus::genesis::Genesis;
use consensus::message::Message;
use consensus::types::{ValidatorIndex, View};
use consensus::vote::{BUNDLE_TAG, Bundle, BundleBody, Statement};
use crypto::{KeyFile, KeyKind};
use serde_json::Value;
use transport::{BoxFuture, Class, Frame, LinkConfig, LinkHandler, LinkInfo, LinkLimits, Links, PeerInfo};

const GUILTY: u16 = 3;

/// Tells who is connected and listens to nobody.
struct Deaf(tokio::sync::mpsc::UnboundedSender<u16>);

impl LinkHandler for Deaf {
    fn on_connected(&self, peer: u16, _: LinkInfo) {
        let _ = self.0.send(peer);
    }
    fn on_disconnected(&self, _: u16, _: &str) {}
    fn on_frame(&self, _: u16, _: Bytes) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }
    fn on_refused(&self, _: SocketAddr, _: &str) {}
}

/// The guilty validator's side of the links: its link key, and no node behind.
async fn links(home: &Path, genesis: &Genesis) -> (Links, tokio::sync::mpsc::UnboundedReceiver<u16>) {
    let members = genesis.config.members.iter().enumerate();
    let peers = members.map(|(index, member)| PeerInfo {
        index: index as u16,
        name: member.name.clone(),
        address: member.address.clone(),
        link_key: member.link_key.clone(),
    });
    let config = LinkConfig {
        level: genesis.config.level,
        my_index: GUILTY,
        link_key: KeyFile::read(&home.join("keys/link.key.json"), KeyKind::Link).unwrap().key,
        peers: peers.collect(),
        network_id: genesis.chain_id().as_bytes().to_vec(),
        configuration_id: genesis.config.hash().as_bytes().to_vec(),
        limits: LinkLimits::default(),
    };
    let listener = tokio::net::TcpListener::bind(&genesis.config.members[usize::from(GUILTY)].address).await.unwrap();
    let (connected, peers) = tokio::sync::mpsc::unbounded_channel();
    (Links::start(config, listener, Arc::new(Deaf(connected))).unwrap(), peers)
}

fn vote(home: &Path, genesis: &Genesis, statement: Statement) -> Frame {
    let key = KeyFile::read(&home.join("keys/session.key.json"), KeyKind::Session).unwrap().key;
    let (chain, epoch) = (genesis.chain_id(), genesis.config.epoch);
    let body = BundleBody::new(chain, epoch, ValidatorIndex::new(GUILTY), vec![statement]).unwrap();
    let signature = key.sign(BUNDLE_TAG, &body.to_bytes()).unwrap();
    let bytes = Message::Vote(Bundle::new(body, signature)).to_bytes();
    Frame { class: Class::Vote, view: u64::MAX, bytes: bytes.into() }
}

#[test]
fn a_double_vote_becomes_a_proof_that_a_stranger_verifies() {
    let _alone = alone();
    let mut network = Network::new(4, "");
    (0..3).for_each(|index| network.start(index));
    let genesis = Genesis::from_json(&std::fs::read_to_string(network.genesis()).unwrap()).unwrap();
    let home = network.home(usize::from(GUILTY));
    // Two votes that no honest validator signs together, in a view that the others have not left.
    let view = View::new(20);
    let votes = [Statement::Nullify(view), Statement::Finalize(view, genesis.chain_id())];
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let links = runtime.block_on(async {
        let (links, mut connected) = links(&home, &genesis).await;
        for _ in 0..3 {
            tokio::time::timeout(PATIENCE, connected.recv()).await.expect("a link").unwrap();
        }
        for statement in votes {
            links.broadcast(vote(&home, &genesis, statement));
        }
        links
    });
    for index in 0..3 {
        let url = format!("{}/v1/evidence", network.url(index));
        let served = eventually("the proof is served", || {
            let text = ureq::get(&url).call().ok()?.body_mut().read_to_string().ok()?;
            (text.trim() != "[]").then_some(text)
        });
        let verify = |input: &str| run_with_input(&["evidence", "verify", "--genesis", &network.genesis(), "-"], input);
        let said = verify(&served).ok();
        assert!(said.contains("v3") && said.contains("finalize_and_nullify") && said.contains("view 20"), "{said}");
        if index == 0 {
            tampering_shows(&served, verify);
        }
    }
    // It outlives the node that took it.
    network.kill(0);
    network.start(0);
    let again = ureq::get(&format!("{}/v1/evidence", network.url(0))).call().unwrap().body_mut().read_to_string();
    assert!(again.unwrap().contains("finalize_and_nullify"));
    drop(links);
    runtime.shutdown_background();
}

/// No other accusation and no other bytes are believed.
fn tampering_shows(served: &str, verify: impl Fn(&str) -> Ran) {
    let views: Value = serde_json::from_str(served).unwrap();
    for (field, lie) in [("accused", "2"), ("name", "\"v2\""), ("kind", "\"two_notarize\""), ("view", "21")] {
        let mut lied = views.clone();
        lied[0][field] = serde_json::from_str(lie).unwrap();
        verify(&lied.to_string()).fails(1);
    }
    let bytes = BASE64.decode(views[0]["evidence_b64"].as_str().unwrap()).unwrap();
    // All in one call: every one of them must be refused.
    let step = bytes.len() / 60;
    let changed = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        BASE64.encode(bytes)
    };
    let lines: Vec<String> = (0..bytes.len()).step_by(step).map(changed).collect();
    let said = verify(&lines.join("\n")).fails(1);
    assert!(said.contains(&format!("{0} of {0} pieces of evidence prove nothing", lines.len())), "{said}");
}
