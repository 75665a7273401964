//! The schedules that PROTOCOL section 9 hints at. In each the first view has a Byzantine leader, v1, unless it says otherwise; what
//! v1 does is in the script, and afterwards it is silent. The sound code must go on to new final blocks every time.

use std::cell::RefCell;
use std::rc::Rc;

use consensus::message::{Answer, Message};
use consensus::replica::{Advice, Settings};
use consensus::types::View;
use consensus::vote::Statement;
use model::lab::byzantine::{carries_body, statements};
use model::lab::{Lab, START};

/// Delay of every letter where the script does not say otherwise, in microseconds.
const QUICK_US: u64 = 2_000;
const VIEW_1: View = View::new(1);

fn lab(n: u16) -> Result<Lab, String> {
    Lab::new(n, Settings::default(), QUICK_US)
}

/// From now on everything arrives, the honest have work, and within 20 seconds each of them commits at least two more blocks.
fn goes_on(lab: &mut Lab, honest: &[u16]) -> Result<(), String> {
    lab.set_post(|_| Some(QUICK_US));
    let before = lab.top();
    for round in 0..100 {
        lab.submit(honest[round % honest.len()], 60_000);
        lab.run_ms(200);
    }
    sound(lab)?;
    match honest.iter().find(|host| lab.height(**host) < before + 2) {
        None => Ok(()),
        Some(host) => Err(format!(
            "20 s of a sound network after a height of {before}: v{host} is at height {} in view {}",
            lab.height(*host),
            lab.view(*host)
        )),
    }
}

fn sound(lab: &Lab) -> Result<(), String> {
    lab.watch.violations().first().map_or(Ok(()), |violation| Err(violation.clone()))
}

/// R5 at all, and R6 only after a Notarization: three replicas locked on three blocks must get away from them.
pub(crate) fn three_way_split() -> Result<(), String> {
    let mut lab = Lab::new(4, Settings { hedge_us: 0, ..Settings::default() }, QUICK_US)?;
    lab.boot_all(&[0, 2, 3])?;
    for (variant, host) in [0, 2, 3].into_iter().enumerate() {
        let block = lab.block(1, None, variant as u64);
        lab.show(1, &[host], &block, 1_000);
    }
    goes_on(&mut lab, &[0, 2, 3])
}

/// R5 with a leader that signed two headers: n = 6, one crashed, two replicas on each block.
pub(crate) fn two_two_split() -> Result<(), String> {
    let mut lab = lab(6)?;
    lab.boot_all(&[0, 2, 3, 4])?;
    let (a, b) = (lab.block(1, None, 1), lab.block(1, None, 2));
    lab.show(1, &[0, 2], &a, 1_000);
    lab.show(1, &[3, 4], &b, 1_000);
    goes_on(&mut lab, &[0, 2, 3, 4])
}

/// R1 needs the body: n = 6, the only honest replica that holds it crashes.
pub(crate) fn lost_body() -> Result<(), String> {
    let mut lab = lab(6)?;
    let a = lab.block(1, None, 1);
    let (root, chain_id) = (a.0.header().payload_root, lab.chain_id);
    lab.set_post(move |letter| {
        let late = letter.to >= 4 && letter.at_us < 295_000;
        (!late && !carries_body(letter.message, &root, &chain_id)).then_some(QUICK_US)
    });
    lab.boot_all(&[0, 2, 3, 4, 5])?;
    lab.show(1, &[0], &a, 1_000);
    lab.show_header(1, &[2, 3], &a.0, 1_000);
    lab.run_ms(250);
    lab.crash(0, 0);
    lab.run_ms(60);
    lab.show_header(1, &[4, 5], &a.0, 1_000);
    lab.say(0, &[4, 5], Statement::Notarize(VIEW_1, a.0.hash()), 1_000);
    lab.run_ms(40);
    goes_on(&mut lab, &[2, 3, 4, 5])
}

/// R3 in views that were left: in every view one replica has the body early, the other after Δ, and v1 votes at once.
pub(crate) fn one_early_one_late() -> Result<(), String> {
    let mut lab = lab(4)?;
    let seen = Rc::new(RefCell::new(Vec::new()));
    let note = Rc::clone(&seen);
    lab.set_post(move |letter| match letter.message {
        Message::Proposal(header, _) => {
            note.borrow_mut().push((header.header().view, header.hash()));
            let early = [0, 2, 3].into_iter().find(|host| *host != letter.from);
            Some(if early == Some(letter.to) { 1_000 } else { 50_000 })
        }
        Message::Answer(_) | Message::FinalChain(_) => Some(50_000),
        _ => Some(1_000),
    });
    lab.boot_all(&[0, 2, 3])?;
    let mut voted = Vec::new();
    for tick in 0..5_000_u64 {
        if tick.is_multiple_of(50) {
            lab.submit([0, 2, 3][tick as usize / 50 % 3], 60_000);
        }
        lab.run_ms(1);
        let fresh: Vec<_> = seen.borrow_mut().drain(..).filter(|at| !voted.contains(at)).collect();
        for (view, hash) in fresh {
            if !voted.contains(&(view, hash)) {
                voted.push((view, hash));
                lab.say(1, &[0, 2, 3], Statement::Notarize(view, hash), 0);
            }
        }
    }
    sound(&lab)?;
    if lab.top() < 5 { Err(format!("after 5 s the height is {}", lab.top())) } else { Ok(()) }
}

/// v0 stands for the block of view 1 for good; v2 and v3 gave the view up, with a vote of v1 that nobody else has, and stand for a block
/// of view 2 on genesis. If `twice`, v2 and v3 hold both certificates of view 1.
fn across_two_views(lab: &mut Lab, twice: bool) -> Result<(), String> {
    let a = lab.block(1, None, 1);
    lab.set_post(|letter| (!matches!(letter.message, Message::Answer(_))).then_some(QUICK_US));
    lab.boot_all(&[0, 2, 3])?;
    lab.show(1, &[0], &a, 1_000);
    lab.run_ms(305);
    if twice {
        lab.show_header(1, &[2, 3], &a.0, 0);
        lab.run_ms(1);
    }
    lab.say(1, &[2, 3], Statement::Nullify(VIEW_1), 1_000);
    lab.run_ms(20);
    if (lab.view(0), lab.view(2), lab.view(3)) != (2, 2, 2) {
        return Err("the schedule does not fit the code any more: view 2 is not reached".to_owned());
    }
    lab.submit(2, 60_000);
    lab.run_ms(50);
    Ok(())
}

/// D3: after a restart of all, the vote of v1 must still be there, and the second certificate of one view too.
pub(crate) fn restart_after_a_byzantine_vote(twice: bool) -> Result<(), String> {
    let mut lab = lab(4)?;
    across_two_views(&mut lab, twice)?;
    [0, 2, 3].into_iter().for_each(|host| lab.crash(host, 0));
    lab.run_ms(100);
    lab.set_post(|_| Some(QUICK_US));
    lab.boot_all(&[0, 2, 3])?;
    goes_on(&mut lab, &[0, 2, 3])
}

/// R8: v0 holds one certificate of view 1 and needs the other one.
pub(crate) fn two_certificates_of_one_view() -> Result<(), String> {
    let mut lab = lab(4)?;
    across_two_views(&mut lab, false)?;
    goes_on(&mut lab, &[0, 2, 3])
}

/// The bound of two blocks per signer and view: the third one is the one that the others notarized.
pub(crate) fn three_blocks() -> Result<(), String> {
    let mut lab = lab(4)?;
    lab.boot_all(&[0, 2, 3])?;
    let blocks: Vec<_> = (0..3).map(|variant| lab.block(1, None, variant)).collect();
    lab.show(1, &[0], &blocks[0], 1_000);
    lab.show(1, &[0], &blocks[1], 1_001);
    lab.show(1, &[2, 3], &blocks[2], 5_000);
    goes_on(&mut lab, &[0, 2, 3])
}

/// D2: n = 6. v2 alone holds the block A of view 1 and builds B on it; the others pull both and vote in view 3 on B; then all stop and v2
/// stays away.
pub(crate) fn restart_above_an_unfinal_chain() -> Result<(), String> {
    let mut lab = lab(6)?;
    let a = lab.block(1, None, 1);
    let (root, chain_id) = (a.0.header().payload_root, lab.chain_id);
    lab.set_post(move |letter| {
        // v4 and v5 hear of view 1 but not that it was given up.
        let gives_up = statements(letter.message).contains(&Statement::Nullify(VIEW_1));
        let apart = letter.to >= 4 && (gives_up || matches!(letter.message, Message::Status(_) | Message::Answer(_)));
        let about_2 = statements(letter.message).iter().any(|statement| statement.view() > VIEW_1);
        let body = carries_body(letter.message, &root, &chain_id);
        (!apart && !body && (letter.to < 4 || !about_2)).then_some(QUICK_US)
    });
    lab.boot_all(&[0, 2, 3, 4, 5])?;
    lab.show(1, &[2], &a, 1_000);
    lab.run_ms(400);
    let proposed = Rc::new(RefCell::new(None));
    let note = Rc::clone(&proposed);
    lab.set_post(move |letter| {
        if let Message::Proposal(header, _) = letter.message
            && header.header().view == View::new(2)
        {
            *note.borrow_mut() = Some(header.hash());
        }
        let body = carries_body(letter.message, &root, &chain_id);
        (letter.to < 4 && !body).then_some(QUICK_US)
    });
    lab.submit(2, 60_000);
    lab.run_ms(900);
    let b = proposed.borrow().ok_or("the schedule does not fit the code any more: v2 proposes nothing")?;
    // v4 and v5 learn that view 1 was given up, and nothing else.
    for signer in [0, 3, 4, 5] {
        lab.say(signer, &[4, 5], Statement::Nullify(VIEW_1), 1_000);
    }
    lab.run_ms(5);
    // v1 makes B notarized; everything flows, but no vote of view 3 arrives.
    lab.say(1, &[0, 2, 3, 4, 5], Statement::Notarize(View::new(2), b), 1_000);
    lab.set_post(|letter| {
        let above = matches!(letter.message, Message::Vote(_))
            && statements(letter.message).iter().any(|statement| statement.view() > View::new(2));
        (!above).then_some(QUICK_US)
    });
    lab.run_ms(60);
    lab.submit(3, 60_000);
    lab.run_ms(100);
    if [0, 3, 4, 5].into_iter().any(|host| lab.view(host) != 3) {
        let views: Vec<u64> = (0..6).map(|host| lab.view(host)).collect();
        return Err(format!("the schedule does not fit the code any more: views {views:?}"));
    }
    [0, 2, 3, 4, 5].into_iter().for_each(|host| lab.crash(host, 0));
    lab.run_ms(100);
    lab.set_post(|_| Some(QUICK_US));
    lab.boot_all(&[0, 3, 4, 5])?;
    goes_on(&mut lab, &[0, 3, 4, 5])
}

/// A leader proposes at once for a vote of its view: v1 sends one in every view, and there are no proposals.
pub(crate) fn a_vote_in_every_view() -> Result<(), String> {
    let mut lab = lab(4)?;
    lab.boot_all(&[0, 2, 3])?;
    let mut last = 0;
    for _ in 0..1_000 {
        let view = [0, 2, 3].into_iter().map(|host| lab.view(host)).max().unwrap_or(0);
        if view > last {
            last = view;
            lab.say(1, &[0, 2, 3], Statement::Nullify(View::new(view)), 1_000);
        }
        lab.run_ms(10);
    }
    sound(&lab)?;
    if lab.top() < 5 { Err(format!("10 s and {last} views: height {}", lab.top())) } else { Ok(()) }
}

/// q_v follows what was reached: n = 3 and one crash, while the advice asks for all three.
pub(crate) fn advice_out_of_reach() -> Result<(), String> {
    let mut lab = lab(3)?;
    lab.boot_all(&[0, 1, 2])?;
    lab.advise(Advice { threshold: 3, hedge_us: 10_000, batch_delay_us: 0, delta_us: None });
    for round in 0..40 {
        lab.submit(round % 3, 60_000);
        lab.run_ms(50);
    }
    lab.crash(2, 0);
    let (mut behind, mut samples) = (0, 0);
    for round in 0..800_u16 {
        lab.submit(round % 2, 60_000);
        lab.run_ms(25);
        let status = lab.hosts[0].engine.as_ref().map(engine::Engine::status);
        let lag = status.map_or(0, |status| status.view.get().saturating_sub(status.last_final.view.get()));
        if round >= 100 {
            samples += 1;
            // Two views without finality, one of them the crashed validator's, are usual; more is a burst.
            behind += u32::from(lag > 3);
        }
    }
    sound(&lab)?;
    if behind * 20 > samples {
        return Err(format!("finality comes in bursts: it lags in {behind} of {samples} samples"));
    }
    Ok(())
}

/// Progress does not wait for q_v: n = 6, blocks ask for five votes, and then only four validators are left.
pub(crate) fn high_threshold_and_a_crash() -> Result<(), String> {
    let mut lab = lab(6)?;
    lab.boot_all(&[0, 1, 2, 3, 4, 5])?;
    lab.advise(Advice { threshold: 5, hedge_us: 10_000, batch_delay_us: 0, delta_us: None });
    for round in 0..40 {
        lab.submit(round % 6, 60_000);
        lab.run_ms(25);
    }
    lab.crash(1, 0);
    lab.crash(5, 0);
    goes_on(&mut lab, &[0, 2, 3, 4])
}

/// A Notarization mixes Notarize and Nullify: n = 6, one crashed, two locked and two that gave the view up.
pub(crate) fn half_locked_half_nullified() -> Result<(), String> {
    let mut lab = lab(6)?;
    let a = lab.block(1, None, 1);
    let (root, chain_id) = (a.0.header().payload_root, lab.chain_id);
    lab.set_post(move |letter| (!carries_body(letter.message, &root, &chain_id)).then_some(QUICK_US));
    lab.boot_all(&[0, 2, 3, 4])?;
    lab.show(1, &[0, 2], &a, 1_000);
    lab.run_ms(330);
    goes_on(&mut lab, &[0, 2, 3, 4])
}

/// A Notarization shows that an honest replica found the block valid: the leader's block holds a proposal that has expired.
pub(crate) fn invalid_body() -> Result<(), String> {
    let mut lab = lab(4)?;
    lab.boot_all(&[0, 2, 3])?;
    let expired = lab.block_with(1, None, 1, START);
    lab.show(1, &[0, 2, 3], &expired, 1_000);
    goes_on(&mut lab, &[0, 2, 3])
}

/// A leader that gave its view up does not propose in it: it learns that the block below is final, but has its body only after the timer.
pub(crate) fn body_after_the_timer() -> Result<(), String> {
    let mut lab = lab(4)?;
    lab.set_post(|letter| (letter.to != 2).then_some(QUICK_US));
    lab.boot_all(&[0, 2, 3])?;
    let a = lab.block(1, None, 1);
    lab.show_header(1, &[2], &a.0, 1_000);
    for signer in [0, 1, 3] {
        lab.say(signer, &[2], Statement::Finalize(VIEW_1, a.0.hash()), 1_000);
    }
    lab.run_ms(5);
    lab.submit(2, 60_000);
    lab.run_ms(400);
    if lab.view(2) != 2 {
        return Err("the schedule does not fit the code any more: v2 is not in view 2".to_owned());
    }
    let answer = Answer { bodies: vec![a.1.clone()], ..Answer::default() };
    lab.inject(0, 2, Message::Answer(answer), 1_000);
    lab.run_ms(50);
    sound(&lab)?;
    if lab.height(2) == 1 { Ok(()) } else { Err("the schedule does not fit the code any more: no body".to_owned()) }
}
