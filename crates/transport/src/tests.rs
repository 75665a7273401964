//! Tests of the links over the loopback interface; they wait for events of the handler, never for a time.

mod frames;
mod handshake;
mod life;
mod queue;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crypto::{SecurityLevel, SigningKey};
use futures_util::future::BoxFuture;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use crate::establish::{self, Context, Established};
use crate::hello::Hello;
use crate::tls::{Tls, server_name};
use crate::{Class, Frame, LinkConfig, LinkHandler, LinkInfo, LinkLimits, Links, PeerInfo};

/// Only a test that fails waits so long.
const PATIENCE: Duration = Duration::from_secs(30);
const LEVEL: SecurityLevel = SecurityLevel::Level768;
/// A frame that makes the recording handler say that the peer misbehaved.
const BAD_FRAME: &[u8] = b"bad";

#[derive(Debug)]
enum Event {
    Connected(u16, LinkInfo),
    Disconnected(String),
    Frame(u16, Bytes),
    Refused(String),
}

struct Recorder(UnboundedSender<Event>);

impl LinkHandler for Recorder {
    fn on_connected(&self, peer: u16, info: LinkInfo) {
        let _ = self.0.send(Event::Connected(peer, info));
    }

    fn on_disconnected(&self, _peer: u16, reason: &str) {
        let _ = self.0.send(Event::Disconnected(reason.to_owned()));
    }

    fn on_frame(&self, peer: u16, frame: Bytes) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let bad = frame == BAD_FRAME;
            let _ = self.0.send(Event::Frame(peer, frame));
            if bad { Err("a bad frame".to_owned()) } else { Ok(()) }
        })
    }

    fn on_refused(&self, _remote: SocketAddr, reason: &str) {
        let _ = self.0.send(Event::Refused(reason.to_owned()));
    }
}

/// A validator's links with what its handler saw.
struct Node {
    links: Links,
    events: UnboundedReceiver<Event>,
}

impl Node {
    fn start(config: LinkConfig, listener: TcpListener) -> Self {
        let (sender, events) = unbounded_channel();
        let links = Links::start(config, listener, Arc::new(Recorder(sender))).unwrap();
        Self { links, events }
    }

    /// The first coming event that `wanted` picks; the events before it are forgotten.
    async fn wait<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let search = async {
            loop {
                let event = self.events.recv().await.unwrap();
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, search).await.expect("the event never came")
    }

    async fn connected(&mut self) -> LinkInfo {
        self.wait(|event| match event {
            Event::Connected(_, info) => Some(info.clone()),
            _ => None,
        })
        .await
    }

    async fn disconnected(&mut self) -> String {
        self.wait(|event| match event {
            Event::Disconnected(reason) => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    async fn frame(&mut self) -> Bytes {
        self.frame_from().await.1
    }

    async fn frame_from(&mut self) -> (u16, Bytes) {
        self.wait(|event| match event {
            Event::Frame(peer, bytes) => Some((*peer, bytes.clone())),
            _ => None,
        })
        .await
    }

    /// The reason of the next refusal; a connection meanwhile fails the test.
    async fn refused(&mut self) -> String {
        self.wait(|event| match event {
            Event::Refused(reason) => Some(reason.clone()),
            Event::Connected(peer, _) => panic!("validator {peer} was let in"),
            _ => None,
        })
        .await
    }
}

fn key(level: SecurityLevel, index: u16) -> SigningKey {
    SigningKey::from_seed(level.link_signature_algorithm(), &[index as u8; 32]).unwrap()
}

fn limits() -> LinkLimits {
    LinkLimits {
        backoff_min: Duration::from_millis(5),
        backoff_max: Duration::from_millis(100),
        ..LinkLimits::default()
    }
}

/// The configuration of validator `my_index`, to whom validators 1, 2, … live at `addresses`.
fn config(level: SecurityLevel, my_index: u16, addresses: &[SocketAddr]) -> LinkConfig {
    let peers = (1_u16..).zip(addresses).map(|(index, address)| PeerInfo {
        index,
        name: format!("node-{index}"),
        address: address.to_string(),
        link_key: key(level, index).public_key(),
    });
    LinkConfig {
        level,
        my_index,
        link_key: key(level, my_index),
        peers: peers.collect(),
        network_id: b"test-net".to_vec(),
        configuration_id: vec![7; 48],
        limits: limits(),
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Validators 1 and 2 with their configurations changed first; 1 dials 2.
async fn pair_with(level: SecurityLevel, change: impl Fn(u16, &mut LinkConfig)) -> (Node, Node) {
    let (first, first_address) = listen().await;
    let (second, second_address) = listen().await;
    let start = |index, listener| {
        let mut config = config(level, index, &[first_address, second_address]);
        change(index, &mut config);
        Node::start(config, listener)
    };
    (start(1, first), start(2, second))
}

/// Validators 1 and 2, connected.
async fn pair(level: SecurityLevel) -> (Node, Node) {
    let (mut one, mut two) = pair_with(level, |_, _| ()).await;
    one.connected().await;
    two.connected().await;
    (one, two)
}

fn vote(bytes: impl Into<Bytes>) -> Frame {
    Frame { class: Class::Vote, view: u64::MAX, bytes: bytes.into() }
}

/// Dials validator 2 by hand, as somebody with this key who claims this index.
async fn dial_by_hand(address: SocketAddr, tls: &Tls, claimed: u16) -> Result<Established, String> {
    dial_validator(2, address, tls, claimed).await
}

async fn dial_validator(index: u16, address: SocketAddr, tls: &Tls, claimed: u16) -> Result<Established, String> {
    let (sender, _) = unbounded_channel();
    let hello = Hello { sender: claimed, network_id: b"test-net".to_vec(), configuration_id: vec![7; 48] };
    let context = Context { hello, limits: limits(), handler: Arc::new(Recorder(sender)) };
    let client = tls.client(index, &key(LEVEL, index).public_key()).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = establish::connect(stream, client, server_name().unwrap()).await?;
    establish::greet(&context, stream, address, index).await
}

/// Validator 2 alone, for tests that dial by hand.
async fn lone_second() -> (Node, SocketAddr) {
    let (listener, address) = listen().await;
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let node = Node::start(config(LEVEL, 2, &[nowhere, address, nowhere]), listener);
    (node, address)
}
