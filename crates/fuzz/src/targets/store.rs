//! A store with arbitrary records: the start fails with a message or succeeds, and never panics.

use std::sync::Arc;

use consensus::epoch::EpochContext;
use consensus::records::{Record, Table};
use consensus::replica::Settings;
use engine::mempool::MempoolLimits;
use engine::records::{StoreRecords, batch_of};
use engine::{AcceptAll, AnyKey, Engine, EngineConfig};
use storage::{ByteStore as _, MemStore};

use super::{golden, network, word};
use crate::Target;

/// Records: one byte for the table, one for the length of the key, two for the value's.
pub const TARGET: Target = Target { name: "store", seeds, run, longest: 1 << 14 };

fn seeds() -> Vec<Vec<u8>> {
    let record = |table: u8, key: &[u8], value: &[u8]| {
        [&[table, key.len() as u8], key, (value.len() as u16).to_be_bytes().as_slice(), value].concat()
    };
    let mut seeds = Vec::new();
    for (table, prefix, key) in [(0, "vote", 34), (1, "header", 48), (3, "final_record", 8), (6, "evidence", 18)] {
        seeds.extend(golden(prefix).iter().map(|value| record(table, &vec![1; key], value)));
    }
    seeds.push(record(2, &[1; 48], &[1, 0, 0, 0, 0, 0, 0, 0, 0]));
    seeds.push(record(5, &[0; 8], &[0, 0, 0, 0]));
    seeds
}

fn run(input: &[u8]) -> String {
    let mut store = MemStore::new(Table::ALL.len());
    let mut rest = input;
    while let [table, key_len, bytes @ ..] = rest {
        let (key, bytes) = bytes.split_at(usize::from(*key_len).min(bytes.len()));
        let [high, low, bytes @ ..] = bytes else { break };
        let (value, after) = bytes.split_at(usize::from(u16::from_be_bytes([*high, *low])).min(bytes.len()));
        rest = after;
        let table = Table::ALL[usize::from(*table) % Table::ALL.len()];
        let record = Record { table, key: key.to_vec(), value: Some(value.to_vec()) };
        if store.commit(&[batch_of(vec![record])], true).is_err() {
            return "key".to_owned();
        }
    }
    let genesis = &network().genesis;
    let setup = EngineConfig {
        genesis: Arc::new(EpochContext::of_genesis(genesis)),
        name: genesis.config.members.first().map(|member| member.name.clone()),
        keys: Arc::new(AnyKey),
        settings: Settings::default(),
        max_batch_size: 8,
        mempool: MempoolLimits::default(),
        adaptive_forwarding: false,
        application: Arc::new(AcceptAll),
    };
    let mut effects = Vec::new();
    match Engine::restore(&setup, &StoreRecords(store.reader()), &mut effects) {
        Ok(mut engine) => {
            engine.start(genesis.created, &mut effects);
            format!("starts {}", engine.status().view)
        }
        Err(error) => word("", &error),
    }
}
