//! Lines of a body that arrives in pieces, the over-long ones skipped.

/// A line, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// All of it; never empty.
    Whole(&'a [u8]),
    /// It is longer than allowed; told once, as soon as it is seen.
    TooLong,
}

/// Cuts pieces into lines. Keeps at most the longest allowed line.
#[derive(Debug)]
pub(super) struct Lines {
    most: usize,
    part: Vec<u8>,
    /// The part was given out and is to be forgotten.
    given: bool,
    /// The rest of an over-long line is being skipped.
    skipping: bool,
}

impl Lines {
    /// Lines of at most `most` bytes, their end not counted.
    pub(super) const fn new(most: usize) -> Self {
        Self { most, part: Vec::new(), given: false, skipping: false }
    }

    /// The next line that ends in `piece`, which is shortened; `None` when `piece` is used up.
    pub(super) fn next<'s, 'p: 's>(&'s mut self, piece: &mut &'p [u8]) -> Option<Line<'s>> {
        self.forget_given();
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&piece[..end], &piece[end + 1..]);
            *piece = rest;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if self.part.is_empty() {
                let line = trim(line);
                if line.len() > self.most {
                    return Some(Line::TooLong);
                }
                if !line.is_empty() {
                    return Some(Line::Whole(line));
                }
                continue;
            }
            if self.part.len() + line.len() > self.most + 1 {
                self.part.clear();
                return Some(Line::TooLong);
            }
            self.part.extend_from_slice(line);
            if !trim(&self.part).is_empty() {
                return Some(self.give());
            }
            self.part.clear();
        }
        self.keep(std::mem::take(piece))
    }

    /// The last line, if the body does not end with a line's end.
    pub(super) fn last(&mut self) -> Option<Line<'_>> {
        self.forget_given();
        if trim(&self.part).is_empty() { None } else { Some(self.give()) }
    }

    fn forget_given(&mut self) {
        if std::mem::take(&mut self.given) {
            self.part.clear();
        }
    }

    fn give(&mut self) -> Line<'_> {
        self.given = true;
        let line = trim(&self.part);
        if line.len() > self.most { Line::TooLong } else { Line::Whole(line) }
    }

    /// Keeps the beginning of a line whose end has not come yet.
    fn keep(&mut self, rest: &[u8]) -> Option<Line<'static>> {
        if self.skipping {
            return None;
        }
        // One more for a carriage return.
        if self.part.len() + rest.len() > self.most + 1 {
            self.part = Vec::new();
            self.skipping = true;
            return Some(Line::TooLong);
        }
        self.part.extend_from_slice(rest);
        None
    }
}

const fn trim(line: &[u8]) -> &[u8] {
    line.trim_ascii()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(pieces: &[&[u8]], most: usize) -> Vec<Option<Vec<u8>>> {
        let mut lines = Lines::new(most);
        let mut seen = Vec::new();
        let own = |line: Line<'_>| match line {
            Line::Whole(bytes) => Some(bytes.to_vec()),
            Line::TooLong => None,
        };
        for piece in pieces {
            let mut piece = *piece;
            while let Some(line) = lines.next(&mut piece) {
                seen.push(own(line));
            }
            assert!(lines.part.len() <= most + 1);
        }
        seen.extend(lines.last().map(own));
        seen
    }

    #[test]
    fn lines_over_pieces() {
        let whole = |text: &str| Some(text.as_bytes().to_vec());
        let seen = cut(&[b"ab\n\ncd", b"", b"e\r", b"\n  \n12345678", b"9 and more", b" and more\nf"], 8);
        assert_eq!(seen, [whole("ab"), whole("cde"), None, whole("f")]);
        assert_eq!(cut(&[b"123456789\n1\n"], 8), [None, whole("1")]);
        assert_eq!(
            cut(&[b"12345678\r\n", b"12345678\r", b"\n123456789"], 8),
            [whole("12345678"), whole("12345678"), None]
        );
        assert_eq!(cut(&[b"\n\r\n \n"], 8), []);
    }

    proptest! {
        #[test]
        fn any_cutting_gives_the_same_lines(text in "[ab\n]{0,80}", cuts in proptest::collection::vec(0_usize..80, 0..8)) {
            let most = 5;
            let expected: Vec<Option<Vec<u8>>> = text
                .split('\n')
                .filter(|line| !line.is_empty())
                .map(|line| (line.len() <= most).then(|| line.as_bytes().to_vec()))
                .collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|ends| &text.as_bytes()[ends[0]..ends[1]]).collect();
            prop_assert_eq!(cut(&pieces, most), expected);
        }
    }
}
