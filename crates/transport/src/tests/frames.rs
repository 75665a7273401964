//! Frames and hellos as bytes, whole, torn and hostile.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;

use super::PATIENCE;
use crate::frame::{Control, Header, data_header};
use crate::hello::Hello;
use crate::read::{FrameReader, Incoming, ReadEnd};

const MAX_LEN: usize = 300_000;

fn encode(payload: &[u8]) -> Vec<u8> {
    [data_header(payload.len()).unwrap().as_slice(), payload].concat()
}

/// Everything a reader makes of `bytes` that arrive in pieces of `piece` bytes.
fn read_all(bytes: Vec<u8>, piece: usize) -> (Vec<Incoming>, ReadEnd) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut writer, reader) = tokio::io::duplex(piece);
        let sender = tokio::spawn(async move {
            // The reader may stop at a bad frame, which ends the writing.
            let _ = writer.write_all(&bytes).await;
        });
        let mut reader = FrameReader::new(reader, PATIENCE);
        let mut frames = Vec::new();
        let end = loop {
            match reader.next(MAX_LEN).await {
                Ok(frame) => frames.push(frame),
                Err(end) => break end,
            }
        };
        drop(reader);
        sender.await.unwrap();
        (frames, end)
    })
}

#[test]
fn frames_survive_any_fragmentation() {
    let lengths = [1, 2, 100, 65_531, 65_532, 65_533, 65_536, 65_540, 200_000, MAX_LEN];
    let payloads: Vec<Vec<u8>> = lengths.iter().map(|len| (0..*len).map(|i| (i % 251) as u8).collect()).collect();
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for payload in payloads {
        bytes.extend(encode(&payload));
        bytes.extend(Control::Ping(payload.len() as u64).encode());
        expected.push(Incoming::Control(Control::Ping(payload.len() as u64)));
        expected.insert(expected.len() - 1, Incoming::Data(payload.into()));
    }
    for piece in [3, 1000, 65_536, 1 << 20] {
        let (frames, end) = read_all(bytes.clone(), piece);
        assert!(frames == expected, "in pieces of {piece}");
        assert_eq!(end, ReadEnd::Closed);
    }
    let (frames, end) = read_all(bytes[..bytes.len() - 1].to_vec(), 4096);
    assert_eq!(frames.len(), expected.len() - 1);
    assert!(matches!(end, ReadEnd::Lost(_)), "{end:?}");
}

#[test]
fn impossible_lengths_are_misbehaviour() {
    for word in [0, MAX_LEN as u32 + 1, u32::MAX >> 1, 1 << 31, (1 << 31) | 8, u32::MAX] {
        let (frames, end) = read_all(word.to_be_bytes().to_vec(), 64);
        assert!(frames.is_empty() && matches!(end, ReadEnd::Misbehaved(_)), "{word:#x}: {end:?}");
    }
    assert!(Header::parse([0, 0, 0, 1], 1).is_ok());
    assert_eq!(data_header(0), None);
    assert_eq!(data_header(1 << 31), None);
}

#[test]
fn control_frames_round_trip() {
    for control in [Control::Ping(0), Control::Ping(u64::MAX), Control::Pong(17)] {
        let (frames, _) = read_all(control.encode().to_vec(), 64);
        assert_eq!(frames, [Incoming::Control(control)]);
    }
    assert!(Control::parse(&[]).is_err());
    assert!(Control::parse(&[3; 9]).is_err());
    assert!(Control::parse(&[1; 8]).is_err());
}

#[tokio::test]
async fn a_silent_connection_is_given_up() {
    let (_writer, reader) = tokio::io::duplex(64);
    let mut reader = FrameReader::new(reader, Duration::from_millis(20));
    assert!(matches!(reader.next(MAX_LEN).await, Err(ReadEnd::Lost(reason)) if reason.contains("20 ms")));
}

fn hello() -> Hello {
    Hello { sender: 3, network_id: b"net".to_vec(), configuration_id: vec![9; 128] }
}

#[test]
fn hellos_round_trip_and_are_compared() {
    let ours = hello();
    assert_eq!(Hello::parse(&ours.encode()), Ok(ours.clone()));
    assert_eq!(ours.check_peer(&ours, 3), Ok(()));
    let refusal = |theirs: Hello, index| ours.check_peer(&theirs, index).unwrap_err();
    assert!(refusal(hello(), 4).contains("claims index 3"));
    assert!(refusal(Hello { network_id: vec![], ..hello() }, 3).contains("another network"));
    assert!(refusal(Hello { configuration_id: vec![], ..hello() }, 3).contains("another configuration"));
    let mut old = ours.encode();
    old[5] = 0;
    assert!(Hello::parse(&old).unwrap_err().contains("upgrade"));
}

proptest! {
    #[test]
    fn random_bytes_are_refused_in_good_order(bytes in prop::collection::vec(any::<u8>(), 0..400), piece in 1..100_usize) {
        let (frames, _) = read_all(bytes.clone(), piece);
        let used: usize = frames.iter().map(|frame| match frame {
            Incoming::Data(payload) => 4 + payload.len(),
            Incoming::Control(_) => 13,
        }).sum();
        prop_assert!(used <= bytes.len());
        let _ = Hello::parse(&bytes);
    }

    #[test]
    fn a_torn_hello_is_refused(cut in 0..140_usize, extra in any::<u8>()) {
        let bytes = hello().encode();
        prop_assert!(cut >= bytes.len() || Hello::parse(&bytes[..cut]).is_err());
        let longer = [bytes.as_slice(), &[extra]].concat();
        prop_assert!(Hello::parse(&longer).is_err());
    }
}

#[test]
fn a_kept_small_frame_keeps_no_big_buffer() {
    let (frames, _) = read_all(encode(b"small"), 64);
    let [Incoming::Data(bytes)] = frames.as_slice() else { panic!("one frame was sent") };
    let owned: Vec<u8> = Bytes::clone(bytes).into();
    assert!(owned.capacity() < 64, "{}", owned.capacity());
}
