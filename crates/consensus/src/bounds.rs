//! Every bound of the protocol's objects, with its name.

/// Views, heights, epochs and times above this are malformed, so that adding one never wraps.
pub const MAX_NUMBER: u64 = 1 << 62;
/// Validators of an epoch.
pub const MAX_VALIDATORS: usize = 1_000;
/// Statements under one signature.
pub const MAX_BUNDLE_STATEMENTS: usize = 8;
/// Bytes of one signature; the largest scheme in sight is SLH-DSA-256f with 49,856 bytes beside an ML-DSA-87.
pub const MAX_SIGNATURE_BYTES: usize = 64 * 1024;
/// Bytes of one public key in a genesis.
pub const MAX_PUBLIC_KEY_BYTES: usize = 16 * 1024;
/// Bytes of a validator's name.
pub const MAX_NAME_BYTES: usize = 64;
/// Bytes of a validator's address.
pub const MAX_ADDRESS_BYTES: usize = 256;
/// The greatest value a network may allow, in bytes.
pub const MAX_VALUE_BYTES: u32 = 16 * 1024 * 1024;
/// The greatest block a network may allow, in bytes of its encoded body.
pub const MAX_BLOCK_BYTES: u32 = 64 * 1024 * 1024;
/// The most values a network may allow in one block.
pub const MAX_BATCH_SIZE: u32 = 1_000_000;
/// Priorities of a proposal go from 0 to this.
pub const MAX_PRIORITY: u8 = 9;
/// Blocks of one view kept per signer without having been asked for (PROTOCOL section 8).
pub const MAX_BLOCKS_PER_SIGNER: usize = 2;
/// How far ahead of the current view unsolicited votes and headers are kept.
pub const VIEW_WINDOW: u64 = 32;
/// Entries of each list in a Status.
pub const MAX_STATUS_ITEMS: usize = 256;
/// Votes and headers in one answer.
pub const MAX_ANSWER_ITEMS: usize = 4_096;
/// Blocks in one chunk of final blocks.
pub const MAX_CHAIN_BLOCKS: usize = 1_024;
/// A peer that lacks more final blocks than this is told what is held, and fetches; one that lacks fewer is sent them with the answer.
pub const FAR_BEHIND_BLOCKS: u64 = 64;
/// Headers between a block and the descendant whose votes finalized it.
pub const MAX_PATH_HEADERS: usize = 65_536;
/// Bytes of a vote, a header or a small control message beside the signature; room for the longest.
pub const MESSAGE_OVERHEAD_BYTES: usize = 64 * 1024;
/// Levels of a Merkle path: enough for [`MAX_BATCH_SIZE`] values.
pub const MAX_MERKLE_PATH: usize = 32;
/// Pieces of evidence noticed above the last committed view, and read back from the store; further ones are not kept.
pub const MAX_EVIDENCE: usize = 1_024;
/// Epoch links in a proof.
pub const MAX_EPOCH_LINKS: usize = 100_000;
/// Blocks of one epoch: the block with this number closes it even if its time is not over.
pub const MAX_EPOCH_BLOCKS: u64 = 1_000_000;
/// Epochs for which a session key may be in use before its validator counts as overdue (PROTOCOL section 7).
pub const MAX_KEY_EPOCHS: u64 = 24;
/// Retired keys are refused as new ones for this many epochs.
pub const KEY_MEMORY_EPOCHS: usize = 64;
/// System transactions in one block: a rotation of each validator, and a membership change.
pub const MAX_SYSTEM_TXS: usize = MAX_VALIDATORS + 1;
/// Headers between a closing block and the carrier whose votes finalized it.
pub const MAX_CARRIERS: usize = MAX_PATH_HEADERS;
