//! What the audit log says of a new epoch: keys renewed, members come and gone, parameters changed.

use std::collections::BTreeMap;

use consensus::config::{EpochConfig, Member};
use serde_json::{Value, json};

/// The step from one epoch's configuration to the next one's, which stands on the block of this height.
pub(crate) fn epoch(before: &EpochConfig, after: &EpochConfig, height: u64) -> Value {
    fn by_name(config: &EpochConfig) -> BTreeMap<&str, &Member> {
        config.members.iter().map(|member| (member.name.as_str(), member)).collect()
    }
    let (old, new) = (by_name(before), by_name(after));
    let named = |keep: &dyn Fn(&str, &Member) -> bool| -> Vec<&str> {
        new.iter().filter(|(name, member)| keep(name, member)).map(|(name, _)| *name).collect()
    };
    let renewed = named(&|name, member| old.get(name).is_some_and(|old| old.session_key != member.session_key));
    let joined = named(&|name, _| !old.contains_key(name));
    let left: Vec<&str> = old.keys().filter(|name| !new.contains_key(*name)).copied().collect();
    let quorum = |config: &EpochConfig| json!({"n": config.n(), "f": config.quorum.f(), "c": config.quorum.c()});
    json!({
        "epoch": after.epoch.get(), "height": height, "renewed": renewed, "joined": joined, "left": left,
        "level": {"before": before.level.dimension(), "after": after.level.dimension()},
        "quorum": {"before": quorum(before), "after": quorum(after)},
        "configuration": after.hash().to_string(),
    })
}
