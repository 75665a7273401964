//! The first frame each way: who speaks, which protocol, which network.

/// Version of the link protocol: of the hello, the frame header and the control frames.
pub const PROTOCOL_VERSION: u16 = 1;

const MAGIC: [u8; 4] = *b"AMLK";
/// Bytes of the longest hello: magic, version, index, two ids with a length byte each.
pub(crate) const MAX_LEN: usize = 4 + 2 + 2 + 2 * (1 + crate::config::MAX_NETWORK_ID_LEN);

/// What one side says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) sender: u16,
    pub(crate) network_id: Vec<u8>,
    pub(crate) configuration_id: Vec<u8>,
}

impl Hello {
    /// Both ids were checked against their limit when the links started.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MAX_LEN);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&PROTOCOL_VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.sender.to_be_bytes());
        for id in [&self.network_id, &self.configuration_id] {
            bytes.push(id.len() as u8);
            bytes.extend_from_slice(id);
        }
        bytes
    }

    /// Reads a hello. The version comes before everything that a later version may change.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        const TORN: &str = "its hello is malformed";
        let rest = bytes.strip_prefix(&MAGIC).ok_or("it does not speak the link protocol (wrong magic)")?;
        let (version, rest) = rest.split_first_chunk().ok_or(TORN)?;
        let version = u16::from_be_bytes(*version);
        if version != PROTOCOL_VERSION {
            return Err(format!(
                "it speaks version {version} of the link protocol, we speak {PROTOCOL_VERSION}: upgrade the older one"
            ));
        }
        let (sender, rest) = rest.split_first_chunk().ok_or(TORN)?;
        let (network_id, rest) = split_id(rest).ok_or(TORN)?;
        let (configuration_id, rest) = split_id(rest).ok_or(TORN)?;
        if !rest.is_empty() {
            return Err(TORN.to_owned());
        }
        Ok(Self {
            sender: u16::from_be_bytes(*sender),
            network_id: network_id.to_vec(),
            configuration_id: configuration_id.to_vec(),
        })
    }

    /// Whether the peer's hello fits ours and the key it has proven to hold.
    pub(crate) fn check_peer(&self, theirs: &Self, index_of_key: u16) -> Result<(), String> {
        if theirs.network_id != self.network_id {
            Err("it belongs to another network".to_owned())
        } else if theirs.configuration_id != self.configuration_id {
            Err("it has another configuration of the same network".to_owned())
        } else if theirs.sender != index_of_key {
            Err(format!("it claims index {}, but holds the key of validator {index_of_key}", theirs.sender))
        } else {
            Ok(())
        }
    }
}

fn split_id(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*len))
}
