//! Server-sent events, as far as a stream of blocks needs them.

use std::io::{BufRead, BufReader, Read};

/// Longest line: a block with all its values.
const MAX_LINE_BYTES: u64 = 1 << 30;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// `id:`, the block's height.
    pub(crate) id: String,
    /// `data:`, its lines joined.
    pub(crate) data: String,
}

/// The events of an open stream.
pub(crate) struct Events {
    lines: BufReader<Box<dyn Read>>,
}

impl Events {
    pub(crate) fn new(body: impl Read + 'static) -> Self {
        Self { lines: BufReader::new(Box::new(body)) }
    }

    /// The next event with data; `None` at the end of the stream, an error when it breaks or falls silent.
    pub(crate) fn next(&mut self) -> std::io::Result<Option<Event>> {
        let mut event = Event::default();
        let mut data: Option<String> = None;
        loop {
            let mut line = String::new();
            if (&mut self.lines).take(MAX_LINE_BYTES).read_line(&mut line)? == 0 {
                return Ok(None);
            }
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                if let Some(data) = data.take() {
                    return Ok(Some(Event { data, ..event }));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match (field, &mut data) {
                ("id", _) => value.clone_into(&mut event.id),
                ("data", Some(data)) => {
                    data.push('\n');
                    data.push_str(value);
                }
                ("data", None) => data = Some(value.to_owned()),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut_out_of_the_stream() {
        let text = "retry: 1000\n\n: keep-alive\n\nid: 7\nevent: block\ndata: {\"a\":\ndata: 1}\n\nid:8\r\ndata:x\r\n\r\nid: 9\ndata: cut";
        let mut events = Events::new(text.as_bytes());
        let mut next = || events.next().unwrap();
        assert_eq!(next(), Some(Event { id: "7".to_owned(), data: "{\"a\":\n1}".to_owned() }));
        assert_eq!(next(), Some(Event { id: "8".to_owned(), data: "x".to_owned() }));
        assert_eq!(next(), None);
    }
}
