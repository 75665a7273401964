//! Who is let in, and with which cryptography.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crypto::{SecurityLevel, SigningKey};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs::kx_group;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{
    LEVEL, Node, Recorder, config, dial_by_hand, dial_validator, key, listen, lone_second, pair, pair_with, vote,
};
use crate::establish;
use crate::read::ReadEnd;
use crate::tls::{Tls, server_name};
use crate::{LinkError, Links};

#[tokio::test(flavor = "multi_thread")]
async fn every_level_negotiates_its_one_group() {
    for (level, group) in [
        (SecurityLevel::Classical, "X25519"),
        (SecurityLevel::Level512, "X25519MLKEM768"),
        (SecurityLevel::Level768, "X25519MLKEM768"),
        (SecurityLevel::Level1024, "MLKEM1024"),
    ] {
        let (mut one, mut two) = pair_with(level, |_, _| ()).await;
        for node in [&mut one, &mut two] {
            let info = node.connected().await;
            assert_eq!((info.group.as_str(), info.cipher_suite.as_str()), (group, "TLS13_AES_256_GCM_SHA384"));
            assert_eq!(node.links.status()[0].group.as_deref(), Some(group));
        }
        one.links.send(2, vote("to two"));
        two.links.send(1, vote("to one"));
        assert_eq!(two.frame().await, "to two");
        assert_eq!(one.frame().await, "to one");
        one.links.shutdown().await;
        two.links.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_refused() {
    let (mut node, address) = lone_second().await;
    let stranger = Tls::new(LEVEL, &SigningKey::generate(LEVEL.link_signature_algorithm()).unwrap()).unwrap();
    assert!(dial_by_hand(address, &stranger, 1).await.is_err());
    assert!(node.refused().await.contains("key"));
    // The right key comes in all the same.
    let known = Tls::new(LEVEL, &key(LEVEL, 1)).unwrap();
    assert!(dial_by_hand(address, &known, 1).await.is_ok());
    node.connected().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dialled_peer_with_another_key_is_refused() {
    let (mut one, _two) = pair_with(LEVEL, |my_index, config| {
        if my_index == 1 {
            config.peers[1].link_key = key(LEVEL, 9).public_key();
        }
    })
    .await;
    assert!(one.refused().await.contains("not that of the expected validator"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_validator_cannot_claim_the_index_of_another() {
    let (listener, address) = listen().await;
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    // Here validator 3 is the listener, 1 and 2 may dial it.
    let mut node = Node::start(config(LEVEL, 3, &[nowhere, nowhere, address]), listener);
    let tls = Tls::new(LEVEL, &key(LEVEL, 2)).unwrap();
    // The impostor's own verdict is favourable, but the listener closes the link.
    let mut link = dial_validator(3, address, &tls, 1).await.unwrap_or_else(|reason| panic!("{reason}"));
    assert_eq!(link.reader.next(100).await, Err(ReadEnd::Closed));
    let reason = node.refused().await;
    assert!(reason.contains("claims index 1, but holds the key of validator 2"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_higher_index_must_not_dial() {
    let (mut node, address) = lone_second().await;
    let tls = Tls::new(LEVEL, &key(LEVEL, 3)).unwrap();
    assert!(dial_by_hand(address, &tls, 3).await.is_err());
    assert!(node.refused().await.contains("must not dial"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_classical_key_exchange_is_refused_by_a_post_quantum_level() {
    let (mut node, address) = lone_second().await;
    for group in [kx_group::X25519, kx_group::SECP256R1, kx_group::MLKEM768, kx_group::MLKEM1024] {
        let tls = Tls::with_group(group, &key(LEVEL, 1)).unwrap();
        assert!(dial_by_hand(address, &tls, 1).await.is_err());
        let reason = node.refused().await;
        assert!(reason.contains("NoKxGroupsInCommon"), "{reason}");
    }
    let tls = Tls::with_group(kx_group::X25519MLKEM768, &key(LEVEL, 1)).unwrap();
    assert!(dial_by_hand(address, &tls, 1).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_key_is_refused() {
    let (mut node, address) = lone_second().await;
    let tls = Tls::new(LEVEL, &key(LEVEL, 1)).unwrap();
    let mut anonymous = ClientConfig::clone(&tls.client(2, &key(LEVEL, 2).public_key()).unwrap());
    anonymous.client_auth_cert_resolver = Arc::new(NoKey);
    let stream = TcpStream::connect(address).await.unwrap();
    // The client learns of the refusal only when it reads on.
    if let Ok(mut stream) = establish::connect(stream, Arc::new(anonymous), server_name().unwrap()).await {
        assert!(stream.read_u8().await.is_err());
    }
    node.refused().await;
}

#[derive(Debug)]
struct NoKey;

impl rustls::client::ResolvesClientCert for NoKey {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn only_raw_public_keys(&self) -> bool {
        true
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// A ClientHello of TLS 1.2: no supported_versions, ECDHE-ECDSA-AES256-GCM, X25519, Ed25519.
fn tls12_client_hello() -> Vec<u8> {
    let mut body = vec![0x03, 0x03];
    body.extend([0x11; 32]);
    body.push(0); // no session id
    body.extend([0x00, 0x02, 0xc0, 0x2c]);
    body.extend([0x01, 0x00]); // no compression
    let extensions = [
        [0x00, 0x0a, 0x00, 0x04, 0x00, 0x02, 0x00, 0x1d].as_slice(), // groups
        &[0x00, 0x0d, 0x00, 0x04, 0x00, 0x02, 0x08, 0x07],           // signature algorithms
    ]
    .concat();
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut handshake = vec![0x01, 0x00];
    handshake.extend((body.len() as u16).to_be_bytes());
    handshake.extend(body);
    let mut record = vec![0x16, 0x03, 0x01];
    record.extend((handshake.len() as u16).to_be_bytes());
    record.extend(handshake);
    record
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_1_2_is_impossible() {
    let (mut node, address) = lone_second().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&tls12_client_hello()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    // A fatal alert "protocol version", then the end.
    assert_eq!((answer[0], &answer[5..]), (0x15, [2, 70].as_slice()));
    node.refused().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_port_is_counted() {
    let (mut node, address) = lone_second().await;
    let hello = tls12_client_hello();
    let mut cases: Vec<Vec<u8>> = vec![
        vec![],
        vec![0],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 100_000],
        vec![0x16; 70_000],
        hello[..30].to_vec(),
    ];
    let mut random = vec![0; 2000];
    for _ in 0..20 {
        crypto::random::fill(&mut random).unwrap();
        cases.push(random.clone());
        let mut record = vec![0x16, 0x03, 0x03, 0x07, 0xd0];
        record.extend(&random);
        cases.push(record);
    }
    for case in cases {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Errors mean that the node has closed the connection already.
        let _ = stream.write_all(&case).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
        node.refused().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_lock_no_one_out() {
    let (listener, address) = listen().await;
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let mut crowded = config(LEVEL, 2, &[nowhere, address]);
    crowded.limits.max_handshakes = 3;
    crowded.limits.handshake_timeout = Duration::from_secs(600);
    let mut node = Node::start(crowded, listener);
    let mut idle = Vec::new();
    for _ in 0..5 {
        idle.push(TcpStream::connect(address).await.unwrap());
    }
    let tls = Tls::new(LEVEL, &key(LEVEL, 1)).unwrap();
    assert!(dial_by_hand(address, &tls, 1).await.is_ok());
    for _ in 0..3 {
        assert!(node.refused().await.contains("too many connections"));
    }
    node.connected().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_in_time() {
    let (listener, address) = listen().await;
    let mut hasty = config(LEVEL, 2, &[address, address]);
    hasty.limits.handshake_timeout = Duration::from_millis(30);
    let mut node = Node::start(hasty, listener);
    let mut idle = TcpStream::connect(address).await.unwrap();
    assert!(node.refused().await.contains("no link within 30 ms"));
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_tell_why_networks_do_not_fit() {
    for (network, expected) in [(true, "another network"), (false, "another configuration")] {
        let (mut one, mut two) = pair_with(LEVEL, |my_index, config| {
            if my_index == 2 {
                let id = if network { &mut config.network_id } else { &mut config.configuration_id };
                id[0] ^= 1;
            }
        })
        .await;
        assert!(one.refused().await.contains(expected));
        assert!(two.refused().await.contains(expected));
    }
}

#[tokio::test]
async fn contradicting_configurations_are_refused() {
    let (_, address) = listen().await;
    let refusal = |change: fn(&mut crate::LinkConfig)| async move {
        let (listener, _) = listen().await;
        let mut config = config(LEVEL, 1, &[address, address]);
        change(&mut config);
        let (sender, _) = tokio::sync::mpsc::unbounded_channel();
        Links::start(config, listener, Arc::new(Recorder(sender))).unwrap_err()
    };
    assert!(matches!(refusal(|c| c.level = SecurityLevel::Level2048).await, LinkError::KeyAlgorithm { .. }));
    assert!(matches!(refusal(|c| c.level = SecurityLevel::Level512).await, LinkError::KeyAlgorithm { .. }));
    assert!(matches!(refusal(|c| c.link_key = key(LEVEL, 9)).await, LinkError::NotMyKey(1)));
    assert!(matches!(refusal(|c| c.peers.extend(c.peers.clone())).await, LinkError::DuplicateKey(2, 2)));
    assert!(matches!(refusal(|c| c.network_id = vec![0; 129]).await, LinkError::IdTooLong { .. }));
    assert!(matches!(refusal(|c| c.limits.queue_bytes = 1).await, LinkError::Limit { .. }));
    let duplicate = |c: &mut crate::LinkConfig| {
        let mut again = c.peers[1].clone();
        again.link_key = key(LEVEL, 9).public_key();
        c.peers.push(again);
    };
    assert!(matches!(refusal(duplicate).await, LinkError::DuplicateIndex(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connected_pair_measures_its_round_trip() {
    let (one, two) = pair(LEVEL).await;
    for node in [&one, &two] {
        // The first ping goes out at once; its pong raises no event, so this polls.
        while node.links.status()[0].rtt_us.is_none() {
            tokio::task::yield_now().await;
        }
    }
}
