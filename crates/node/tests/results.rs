//! Results verify offline; every verifiable field that is changed is noticed.

#![allow(clippy::unwrap_used, reason = "tests")]

use consensus::types::Timestamp;
use node::setup::{ConfigSource, create_local};
use node::views::ResultView;
use node::{Node, NodeOptions};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_changed_field_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let source = ConfigSource::new(r#"{"quantum_security": {"lattice_dimension": 1024}}"#, &|_| None).unwrap();
    let created = Timestamp::new(1_767_225_600_000_000);
    let network = create_local(&dir.path().join("net"), 1, "test", 40_000, &source, created).unwrap();
    let mut options = NodeOptions::new(network.homes[0].root());
    options.env = Box::new(|_| None);
    options.api_listen = Some("127.0.0.1:0".to_owned());
    options.link_listen = Some("127.0.0.1:0".to_owned());
    let mut node = Node::initialize(options).unwrap();
    node.start().await.unwrap();
    for value in [b"text".to_vec(), vec![0xff, 0x00, 0xfe]] {
        let id = node.propose(value).await.unwrap();
        let result = node.get_consensus_result(id).await.unwrap().unwrap();
        result.verify(&network.genesis).unwrap();
        let json = serde_json::to_value(&result).unwrap();
        let fields: Vec<String> = json.as_object().unwrap().keys().cloned().collect();
        assert!(fields.len() >= 16, "{fields:?}");
        for field in fields {
            let mut changed = json.clone();
            changed[&field] = match &json[&field] {
                Value::String(text) if field == "state" => json!(if text == "final" { "pending" } else { "final" }),
                Value::String(text) if field == "proof_b64" => json!(text.replacen('A', "B", 1)),
                Value::String(text) => json!(format!("{text}0")),
                Value::Number(number) => json!(number.as_u64().unwrap() + 1),
                other => other.clone(),
            };
            let verdict =
                serde_json::from_value::<ResultView>(changed).map(|view| view.verify(&network.genesis).is_ok());
            let noticed = !matches!(verdict, Ok(true));
            // phases_ms is the node's word: no proof covers it.
            assert_eq!(noticed, field != "phases_ms", "{field}");
            let mut without = json.clone();
            without.as_object_mut().unwrap().remove(&field);
            let verdict =
                serde_json::from_value::<ResultView>(without).map(|view| view.verify(&network.genesis).is_ok());
            assert_eq!(!matches!(verdict, Ok(true)), field != "phases_ms", "without {field}");
        }
    }
    node.shutdown().await.unwrap();
}
