//! The bounded queue of frames for one peer.

use std::collections::VecDeque;

use bytes::Bytes;

/// How urgent a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Small and urgent: votes, certificates, headers. Leaves first, is dropped last.
    Vote,
    /// Everything that can wait: payloads, catch-up, transactions.
    Bulk,
}

/// A frame to send. Cloning shares the bytes.
#[derive(Debug, Clone)]
pub struct Frame {
    /// How urgent it is.
    pub class: Class,
    /// The view it belongs to, or `u64::MAX` for a frame that never becomes stale.
    pub view: u64,
    /// The payload, 1 to [`crate::LinkLimits::max_frame_bytes`] bytes.
    pub bytes: Bytes,
}

struct Queued {
    /// Order of arrival over both classes.
    sequence: u64,
    view: u64,
    bytes: Bytes,
}

/// Frames waiting for one peer: two lines, one bound in bytes and one in frames for both together.
pub(crate) struct SendQueue {
    votes: VecDeque<Queued>,
    bulk: VecDeque<Queued>,
    max_bytes: usize,
    max_frames: usize,
    bytes: usize,
    next_sequence: u64,
    /// Frames of earlier views are stale.
    floor: u64,
    /// Stale frames in the queue: only those that were added after the floor had passed their view.
    stale: usize,
    dropped: u64,
}

impl SendQueue {
    pub(crate) fn new(max_bytes: usize, max_frames: usize) -> Self {
        Self {
            votes: VecDeque::new(),
            bulk: VecDeque::new(),
            max_bytes,
            max_frames,
            bytes: 0,
            next_sequence: 0,
            floor: 0,
            stale: 0,
            dropped: 0,
        }
    }

    pub(crate) fn frames(&self) -> usize {
        self.votes.len() + self.bulk.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    #[cfg(test)]
    pub(crate) fn queued(&self) -> impl Iterator<Item = &Bytes> {
        self.votes.iter().chain(&self.bulk).map(|queued| &queued.bytes)
    }

    /// Counts a frame that was dropped without being queued.
    pub(crate) fn count_dropped(&mut self) {
        self.dropped += 1;
    }

    /// Adds a frame, then drops frames until the bounds hold: the oldest stale, else the oldest bulk, else the oldest
    /// vote. The added frame may be the one that goes.
    pub(crate) fn push(&mut self, frame: Frame) {
        let Frame { class, view, bytes } = frame;
        self.bytes += bytes.len();
        if is_stale(view, self.floor) {
            self.stale += 1;
        }
        let queued = Queued { sequence: self.next_sequence, view, bytes };
        self.next_sequence += 1;
        self.line(class).push_back(queued);
        while self.bytes > self.max_bytes || self.frames() > self.max_frames {
            let evicted = self
                .take_oldest_stale()
                .or_else(|| self.take_front(Class::Bulk))
                .or_else(|| self.take_front(Class::Vote));
            if evicted.is_none() {
                return; // empty, hence within every bound
            }
            self.dropped += 1;
        }
    }

    /// The next frame to send: votes first.
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        self.take_front(Class::Vote).or_else(|| self.take_front(Class::Bulk))
    }

    /// Drops all frames of views before `view`.
    pub(crate) fn discard_below(&mut self, view: u64) {
        if view <= self.floor && self.stale == 0 {
            return;
        }
        self.floor = self.floor.max(view);
        let (floor, before) = (self.floor, self.frames());
        let mut bytes = 0;
        for line in [&mut self.votes, &mut self.bulk] {
            line.retain(|queued| {
                let keep = !is_stale(queued.view, floor);
                if keep {
                    bytes += queued.bytes.len();
                }
                keep
            });
        }
        self.bytes = bytes;
        self.stale = 0;
        self.dropped += (before - self.frames()) as u64;
    }

    fn line(&mut self, class: Class) -> &mut VecDeque<Queued> {
        match class {
            Class::Vote => &mut self.votes,
            Class::Bulk => &mut self.bulk,
        }
    }

    fn take_front(&mut self, class: Class) -> Option<Bytes> {
        let queued = self.line(class).pop_front()?;
        Some(self.taken(queued))
    }

    fn take_oldest_stale(&mut self) -> Option<Bytes> {
        if self.stale == 0 {
            return None;
        }
        let floor = self.floor;
        let find = |line: &VecDeque<Queued>| {
            let place = line.iter().position(|queued| is_stale(queued.view, floor))?;
            Some((line.get(place)?.sequence, place))
        };
        let vote = find(&self.votes).map(|(sequence, place)| (sequence, place, Class::Vote));
        let bulk = find(&self.bulk).map(|(sequence, place)| (sequence, place, Class::Bulk));
        let (_, place, class) = vote.into_iter().chain(bulk).min_by_key(|(sequence, ..)| *sequence)?;
        let queued = self.line(class).remove(place)?;
        Some(self.taken(queued))
    }

    fn taken(&mut self, queued: Queued) -> Bytes {
        self.bytes -= queued.bytes.len();
        if is_stale(queued.view, self.floor) {
            self.stale -= 1;
        }
        queued.bytes
    }
}

fn is_stale(view: u64, floor: u64) -> bool {
    view != u64::MAX && view < floor
}
