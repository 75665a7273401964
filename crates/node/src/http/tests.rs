//! The API of real validators over real sockets.

mod ai;
mod blocks;
mod bounds;
mod bulk;
pub(super) mod client;
mod metrics;
mod openapi;
mod proposals;
mod reads;
mod security;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use consensus::genesis::Genesis;
use engine::{Application, AppliedBlock};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::limits::HttpLimits;
use super::server::Server;
use crate::setup::{ConfigSource, create_local};
use crate::{LogControl, Node, NodeHandle, NodeOptions};
use client::Client;

/// Refuses values that begin with "no".
struct Choosy;

impl Application for Choosy {
    fn check(&self, value: &[u8]) -> Result<(), String> {
        if value.starts_with(b"no") { Err("it says no".to_owned()) } else { Ok(()) }
    }

    fn apply(&self, _: &AppliedBlock) {}

    fn last_applied(&self) -> u64 {
        u64::MAX
    }
}

/// A log that knows two levels.
struct OneLevel(Mutex<String>);

impl LogControl for OneLevel {
    fn filter(&self) -> String {
        self.0.lock().unwrap().clone()
    }

    fn set_filter(&self, filter: &str) -> Result<(), String> {
        if !["info", "debug"].contains(&filter) {
            return Err(format!("{filter:?} is not a level"));
        }
        filter.clone_into(&mut self.0.lock().unwrap());
        Ok(())
    }
}

/// One running validator.
pub(super) struct Fixture {
    node: Node,
    pub(super) handle: NodeHandle,
    genesis: Genesis,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Fixture {
    /// A network of one: everything becomes final at once.
    pub(super) async fn alone(consensus: Value) -> Self {
        Self::of(1, json!({ "consensus": consensus })).await
    }

    /// One of two: nothing ever becomes final.
    pub(super) async fn stuck(consensus: Value) -> Self {
        Self::of(2, json!({ "consensus": consensus })).await
    }

    async fn of(n: usize, mut config: Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        config["quantum_security"] = json!({"lattice_dimension": 512});
        let text = config.to_string();
        let source = ConfigSource::new(&text, &|_| None).unwrap();
        // A network of today: one whose genesis is older than the rotation interval closes its first epoch at once.
        let created = crate::clock::system_now();
        let network = create_local(&dir.path().join("net"), n, "test", 40_000, &source, created).unwrap();
        let mut options = NodeOptions::new(network.homes[0].root());
        options.application = Arc::new(Choosy);
        options.env = Box::new(|_| None);
        options.api_listen = Some("127.0.0.1:0".to_owned());
        options.link_listen = Some("127.0.0.1:0".to_owned());
        options.log = Some(Arc::new(OneLevel(Mutex::new("info".to_owned()))));
        let mut node = Node::initialize(options).unwrap();
        let handle = node.start().await.unwrap();
        let address = node.api_address().unwrap();
        Self { node, handle, genesis: network.genesis, address, _dir: dir }
    }

    /// A second server of the same node, with other limits.
    async fn server(&self, change: impl FnOnce(&mut HttpLimits)) -> (Server, SocketAddr) {
        let mut limits = HttpLimits::of(&self.handle);
        change(&mut limits);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Server::start_with(self.handle.clone(), listener, limits), address)
    }

    pub(super) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Proposes a value and waits until it is final.
    pub(super) async fn finalize(&self, client: &mut Client, value: &str) -> Value {
        let reply = client.post_json(&json!({ "value": value })).await;
        assert_eq!(reply.status, 202, "{reply:?}");
        let id = reply.json()["id"].as_str().unwrap().to_owned();
        let result = client.get(&format!("/v1/proposals/{id}?wait_ms=60000")).await.json();
        assert_eq!(result["state"], "final", "{result}");
        result
    }

    /// Where this listener is: api, probe or admin.
    fn listener(&self, purpose: &str) -> SocketAddr {
        self.node.listeners().iter().find(|listener| listener.purpose == purpose).unwrap().address
    }

    fn home(&self) -> std::path::PathBuf {
        self.node.open_home().home.root().to_owned()
    }

    /// Ends the node and looks at what it has left.
    async fn end_with(mut self, look: impl FnOnce()) {
        self.node.shutdown().await.unwrap();
        look();
    }

    pub(super) async fn end(mut self) {
        self.node.shutdown().await.unwrap();
    }
}
