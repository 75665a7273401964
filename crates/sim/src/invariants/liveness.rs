//! After faults stop, every value pending at an honest replica becomes final within a stated number of views.

use std::collections::BTreeMap;

use consensus::types::View;
use crypto::Digest;

/// The bound, in views, from the later of the submission and the end of the faults to the view of the block: two rounds of leaders and
/// the lag after which thresholds come down (K = 4), twice.
pub const fn bound_in_views(validators: u16) -> u64 {
    2 * validators as u64 + 8
}

/// Values that wait.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    open: BTreeMap<Digest, (u16, View)>,
    calm: bool,
    /// The most views that any value has taken since the faults ended.
    pub(super) longest: u64,
}

impl Liveness {
    pub(super) fn accepted(&mut self, host: u16, ids: &[Digest], view: View) {
        for id in ids {
            self.open.entry(*id).or_insert((host, view));
        }
    }

    /// The faults that can end have ended.
    pub(super) fn calm(&mut self, view: View) {
        self.calm = true;
        for (_, since) in self.open.values_mut() {
            *since = view;
        }
    }

    pub(super) fn settled(&mut self, id: &Digest, view: View, bound: u64, violations: &mut Vec<String>) {
        let Some((host, since)) = self.open.remove(id) else { return };
        let views = view.get().saturating_sub(since.get());
        if self.calm {
            self.longest = self.longest.max(views);
            if views > bound {
                violations.push(format!("liveness: {id:?} of v{host} took {views} views, the bound is {bound}"));
            }
        }
    }

    /// The run is over: what waits still at a validator that runs had no answer.
    pub(super) fn finish(&self, running: impl Fn(u16) -> bool, violations: &mut Vec<String>) {
        let waiting: Vec<_> = self.open.iter().filter(|(_, (host, _))| running(*host)).collect();
        if let (true, Some((id, (host, _)))) = (self.calm, waiting.first()) {
            let count = waiting.len();
            violations.push(format!("liveness: {count} values never became final, the first is {id:?} of v{host}"));
        }
    }
}
