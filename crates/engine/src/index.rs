//! A look-up by proposal id that is never walked through: the one place where order does not matter.

use crypto::Digest;

/// Maps proposal ids to something small. It can be asked, filled and emptied by id only, so that the order of the table inside, which
/// differs from run to run, can never reach a decision (docs/decisions/0005).
#[derive(Debug)]
#[allow(clippy::disallowed_types, reason = "never iterated; see docs/decisions/0005")]
pub(crate) struct IdIndex<V>(std::collections::HashMap<Digest, V>);

impl<V> Default for IdIndex<V> {
    #[allow(clippy::disallowed_types, reason = "never iterated; see docs/decisions/0005")]
    fn default() -> Self {
        Self(std::collections::HashMap::new())
    }
}

impl<V: Copy> IdIndex<V> {
    /// The value of `id`.
    pub(crate) fn get(&self, id: &Digest) -> Option<V> {
        self.0.get(id).copied()
    }

    /// Whether `id` has a value.
    pub(crate) fn contains(&self, id: &Digest) -> bool {
        self.0.contains_key(id)
    }

    /// Gives `id` a value; the one it had before.
    pub(crate) fn insert(&mut self, id: Digest, value: V) -> Option<V> {
        self.0.insert(id, value)
    }

    /// Forgets `id`; the value it had.
    pub(crate) fn remove(&mut self, id: &Digest) -> Option<V> {
        let removed = self.0.remove(id);
        // Give back the memory of a burst.
        if self.0.capacity() > 1_024 && self.0.len() < self.0.capacity() / 8 {
            self.0.shrink_to(self.0.len() * 2);
        }
        removed
    }

    /// How many ids have a value.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none has.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
