//! The Merkle tree over the proposal ids of a block, and inclusion paths.
//!
//! Leaves are the ids themselves. An inner node is H(tag ‖ left ‖ right); a node without a sibling rises unchanged,
//! which gives the tree of RFC 9162 section 2.1 for every number of leaves.

use crypto::{Digest, HashAlgorithm};

/// Domain tag of inner nodes.
pub const NODE_TAG: &str = "agent-mesh/node/v1";

fn parent(algorithm: HashAlgorithm, left: &Digest, right: &Digest) -> Digest {
    algorithm.hash(NODE_TAG, &[left.as_bytes(), right.as_bytes()])
}

fn level_above(algorithm: HashAlgorithm, level: &[Digest]) -> Vec<Digest> {
    level
        .chunks(2)
        .map(|pair| match pair {
            [left, right] => parent(algorithm, left, right),
            [single] => *single,
            _ => unreachable!("chunks(2) yields one or two items"),
        })
        .collect()
}

/// The root over `leaves`; `None` if there are none.
pub fn root(algorithm: HashAlgorithm, leaves: &[Digest]) -> Option<Digest> {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = level_above(algorithm, &level);
    }
    level.first().copied()
}

/// The tree over a growing list of leaves, kept as the roots of its full subtrees: small, cheap to clone, enough for the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peaks {
    /// Height and root, from the left, of strictly falling heights.
    peaks: Vec<(u8, Digest)>,
    count: u64,
}

impl Peaks {
    /// The peaks of `count` leaves, whose roots came from [`Self::roots`]; `None` if their number does not fit.
    pub fn restored(count: u64, roots: &[Digest]) -> Option<Self> {
        let heights: Vec<u8> = (0..64_u8).rev().filter(|height| count >> height & 1 == 1).collect();
        (heights.len() == roots.len())
            .then(|| Self { peaks: heights.into_iter().zip(roots.iter().copied()).collect(), count })
    }

    /// The roots of the full subtrees, from the left.
    pub fn roots(&self) -> impl Iterator<Item = &Digest> {
        self.peaks.iter().map(|(_, root)| root)
    }

    /// How many leaves there are.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Adds a leaf.
    pub fn push(&mut self, algorithm: HashAlgorithm, leaf: Digest) {
        let (mut height, mut node) = (0, leaf);
        while let Some((_, left)) = self.peaks.pop_if(|(at, _)| *at == height) {
            node = parent(algorithm, &left, &node);
            height += 1;
        }
        self.peaks.push((height, node));
        self.count = self.count.saturating_add(1);
    }

    /// The root, as [`root`] computes it over all leaves.
    pub fn root(&self, algorithm: HashAlgorithm) -> Option<Digest> {
        let mut from_right = self.peaks.iter().rev();
        let (_, last) = from_right.next()?;
        Some(from_right.fold(*last, |right, (_, left)| parent(algorithm, left, &right)))
    }
}

/// All levels of the tree, leaves first; for many paths of one tree.
pub fn levels(algorithm: HashAlgorithm, leaves: &[Digest]) -> Vec<Vec<Digest>> {
    let mut levels = vec![leaves.to_vec()];
    while let Some(last) = levels.last().filter(|last| last.len() > 1) {
        levels.push(level_above(algorithm, last));
    }
    levels
}

/// The siblings from leaf `index` up to the root; `None` if there is no such leaf.
pub fn path(levels: &[Vec<Digest>], index: usize) -> Option<Vec<Digest>> {
    levels.first()?.get(index)?;
    Some(levels.iter().enumerate().filter_map(|(height, level)| level.get((index >> height) ^ 1)).copied().collect())
}

/// The root that `leaf` at `index` of `count` leaves has with these siblings; `None` if the path has the wrong length.
pub fn root_of_path(
    algorithm: HashAlgorithm,
    leaf: Digest,
    index: usize,
    count: usize,
    siblings: &[Digest],
) -> Option<Digest> {
    if index >= count {
        return None;
    }
    let (mut node, mut at, mut width) = (leaf, index, count);
    let mut rest = siblings.iter();
    while width > 1 {
        if at ^ 1 < width {
            let sibling = rest.next()?;
            node = if at.is_multiple_of(2) {
                parent(algorithm, &node, sibling)
            } else {
                parent(algorithm, sibling, &node)
            };
        }
        at /= 2;
        width = width.div_ceil(2);
    }
    rest.next().is_none().then_some(node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_has_a_path_and_no_other_place_accepts_it() {
        let algorithm = HashAlgorithm::Sha256;
        for count in 1..=17_usize {
            let leaves: Vec<Digest> = (0..count).map(|i| algorithm.hash("leaf", &[&[i as u8]])).collect();
            let top = root(algorithm, &leaves).unwrap();
            for index in 0..count {
                let siblings = path(&levels(algorithm, &leaves), index).unwrap();
                for claimed in 0..count {
                    let got = root_of_path(algorithm, leaves[index], claimed, count, &siblings);
                    assert_eq!(got == Some(top), claimed == index, "count {count} index {index} claimed {claimed}");
                }
                let mut longer = siblings.clone();
                longer.push(top);
                assert_eq!(root_of_path(algorithm, leaves[index], index, count, &longer), None);
            }
        }
        assert_eq!(root(algorithm, &[]), None);
        let mut peaks = Peaks::default();
        let leaves: Vec<Digest> = (0..100_u8).map(|i| algorithm.hash("leaf", &[&[i]])).collect();
        for count in 0..leaves.len() {
            assert_eq!(peaks.root(algorithm), root(algorithm, &leaves[..count]), "{count} leaves");
            let roots: Vec<Digest> = peaks.roots().copied().collect();
            assert_eq!(Peaks::restored(count as u64, &roots), Some(peaks.clone()));
            assert_eq!(Peaks::restored(count as u64 + 1, &[roots.as_slice(), &leaves[..9]].concat()), None);
            peaks.push(algorithm, leaves[count]);
        }
        assert_eq!(path(&levels(algorithm, &[]), 0), None);
    }
}
