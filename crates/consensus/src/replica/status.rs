//! What a replica tells others that it has and lacks, the weightiest first: the lists are bounded, and attackers may invent blocks.

use std::collections::{BTreeMap, BTreeSet};

use crypto::Digest;

use super::{Replica, ViewState};
use crate::bounds::{MAX_STATUS_ITEMS, VIEW_WINDOW};
use crate::message::Status;
use crate::mutation::{Mutation, mutated};
use crate::types::View;

/// Why a block is asked for. Of a bounded list only the first items are sent, and f validators can invent two blocks in each view of the
/// window: more than the list holds, from f = 4 on. What they invent comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// A certificate or a held header names it: it exists.
    Named,
    /// More than f validators voted for it, so an honest one has held it.
    Supported,
    /// Somebody said so.
    Claimed,
}

impl Replica {
    /// What I have and lack.
    pub(super) fn status(&self) -> Status {
        let wanted = self.unproven_blocks();
        let lacks_header = |hash: &Digest| !self.tree.contains(hash);
        let mut headers: Vec<(Weight, View, Digest)> = wanted
            .iter()
            .map(|((view, hash), weight)| (*weight, *view, *hash))
            .filter(|it| lacks_header(&it.2))
            .collect();
        // A certificate of a block that is not held: the header is missing, not the certificate.
        for (view, state) in &self.views {
            headers.extend(
                state.notarized.iter().filter(|hash| lacks_header(hash)).map(|hash| (Weight::Named, *view, *hash)),
            );
        }
        headers.sort_unstable();
        headers.dedup_by_key(|(_, _, hash)| *hash);
        let mut notarizations: Vec<(Weight, View, Digest)> = wanted
            .iter()
            .filter(|((view, hash), _)| self.asks_notarization(*view, hash))
            .map(|((view, hash), weight)| (*weight, *view, *hash))
            .collect();
        notarizations.sort_unstable();
        let mut bodies: Vec<(bool, View, Digest)> = Vec::new();
        for (hash, block) in self.tree.iter().filter(|(_, block)| block.body.is_none()) {
            let view = block.header.header().view;
            bodies.push((!self.is_notarized(view, hash), view, *hash));
        }
        bodies.sort_unstable();
        Status {
            epoch: self.config.epoch,
            view: self.view,
            final_view: self.last_final.view,
            committed_height: self.last_committed.height,
            nullifications: self.missing_nullifications(),
            notarizations: notarizations
                .into_iter()
                .take(MAX_STATUS_ITEMS)
                .map(|(_, view, hash)| (view, hash))
                .collect(),
            headers: headers.into_iter().take(MAX_STATUS_ITEMS).map(|(_, _, hash)| hash).collect(),
            bodies: bodies.into_iter().take(MAX_STATUS_ITEMS).map(|(_, _, hash)| hash).collect(),
        }
    }

    fn missing_nullifications(&self) -> Vec<View> {
        let heard = self.pulls.heard.values().max().copied().unwrap_or_default().get();
        let top = heard.min(self.view.get() + VIEW_WINDOW).max(self.view.get());
        let lacks = |state: &ViewState| {
            !state.nullified && (state.notarized.is_empty() || !mutated(Mutation::PullWithoutKinds))
        };
        let views = (self.last_final.view.get() + 1..=top).map(View::new);
        views.filter(|view| self.views.get(view).is_none_or(lacks)).take(MAX_STATUS_ITEMS).collect()
    }

    fn asks_notarization(&self, view: View, hash: &Digest) -> bool {
        let Some(state) = self.views.get(&view) else { return true };
        let any = state.nullified || !state.notarized.is_empty();
        !state.notarized.contains(hash) && (!any || !mutated(Mutation::PullWithoutKinds))
    }

    /// Every block above the last final view that a vote or a held header names and whose Notarization I lack.
    fn unproven_blocks(&self) -> BTreeMap<(View, Digest), Weight> {
        let mut blocks = BTreeMap::new();
        let mut add = |view, hash, weight: Weight| {
            let known = blocks.entry((view, hash)).or_insert(weight);
            *known = weight.min(*known);
        };
        let f = self.config.quorum.f() as usize;
        for (view, state) in &self.views {
            let named: BTreeSet<Digest> =
                state.votes.hashes().into_iter().chain(state.headers.iter().copied()).collect();
            for hash in named.into_iter().filter(|hash| !state.notarized.contains(hash)) {
                let supported = state.votes.notarizers(&hash).count() > f;
                let weight = match (self.tree.contains(&hash), supported) {
                    (true, _) => Weight::Named,
                    (false, true) => Weight::Supported,
                    (false, false) => Weight::Claimed,
                };
                add(*view, hash, weight);
            }
        }
        for (_, block) in self.tree.iter() {
            let header = block.header.header();
            let (view, hash) = (header.parent_view, header.parent_hash);
            if view > self.last_final.view && !self.is_notarized(view, &hash) {
                add(view, hash, Weight::Named);
            }
        }
        blocks
    }
}
