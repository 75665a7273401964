//! The frame header and the control frames.

/// The top bit of the length word marks a control frame.
const CONTROL_FLAG: u32 = 1 << 31;
/// No configuration may allow longer payloads.
pub(crate) const MAX_PAYLOAD_LEN: usize = 1 << 30;
/// Bytes of the length word.
pub(crate) const HEADER_LEN: usize = 4;
const CONTROL_LEN: usize = 9;
const PING: u8 = 1;
const PONG: u8 = 2;

/// A frame's header, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    Data { len: usize },
    Control,
}

impl Header {
    /// Reads a length word. Refused: length 0, a length above `max_len`, a control frame of another length than 9.
    pub(crate) fn parse(word: [u8; HEADER_LEN], max_len: usize) -> Result<Self, String> {
        let word = u32::from_be_bytes(word);
        let len = (word & !CONTROL_FLAG) as usize;
        if word & CONTROL_FLAG != 0 {
            return if len == CONTROL_LEN {
                Ok(Self::Control)
            } else {
                Err(format!("control frame of {len} bytes instead of {CONTROL_LEN}"))
            };
        }
        match len {
            0 => Err("frame of 0 bytes".to_owned()),
            len if len > max_len => Err(format!("frame of {len} bytes, at most {max_len} are allowed")),
            len => Ok(Self::Data { len }),
        }
    }

    /// Bytes of the payload that follows.
    pub(crate) fn payload_len(self) -> usize {
        match self {
            Self::Data { len } => len,
            Self::Control => CONTROL_LEN,
        }
    }
}

/// The length word of a data frame, or none for a length that no header can say.
pub(crate) fn data_header(payload_len: usize) -> Option<[u8; HEADER_LEN]> {
    let word = u32::try_from(payload_len).ok()?;
    ((1..=MAX_PAYLOAD_LEN).contains(&payload_len)).then(|| word.to_be_bytes())
}

/// A message between the two ends of a link, never shown to the handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    Ping(u64),
    Pong(u64),
}

impl Control {
    pub(crate) fn encode(self) -> [u8; HEADER_LEN + CONTROL_LEN] {
        let (kind, nonce) = match self {
            Self::Ping(nonce) => (PING, nonce),
            Self::Pong(nonce) => (PONG, nonce),
        };
        let mut bytes = [0; HEADER_LEN + CONTROL_LEN];
        bytes[..HEADER_LEN].copy_from_slice(&(CONTROL_FLAG | CONTROL_LEN as u32).to_be_bytes());
        bytes[HEADER_LEN] = kind;
        bytes[HEADER_LEN + 1..].copy_from_slice(&nonce.to_be_bytes());
        bytes
    }

    pub(crate) fn parse(payload: &[u8]) -> Result<Self, String> {
        let (kind, nonce) = payload.split_first().ok_or("empty control frame")?;
        let nonce = u64::from_be_bytes(nonce.try_into().map_err(|_| "control frame of a wrong length")?);
        match *kind {
            PING => Ok(Self::Ping(nonce)),
            PONG => Ok(Self::Pong(nonce)),
            kind => Err(format!("unknown control frame kind {kind}")),
        }
    }
}
