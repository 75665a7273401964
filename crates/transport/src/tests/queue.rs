//! The queue's order and what it drops.

use bytes::Bytes;
use proptest::prelude::*;

use crate::queue::{Class, Frame, SendQueue};

fn frame(class: Class, view: u64, name: &'static str) -> Frame {
    Frame { class, view, bytes: Bytes::from_static(name.as_bytes()) }
}

fn drain(queue: &mut SendQueue) -> Vec<String> {
    std::iter::from_fn(|| queue.pop()).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect()
}

#[test]
fn votes_leave_first_each_class_in_order() {
    let mut queue = SendQueue::new(100, 100);
    for (class, name) in [(Class::Bulk, "b1"), (Class::Vote, "v1"), (Class::Bulk, "b2"), (Class::Vote, "v2")] {
        queue.push(frame(class, 1, name));
    }
    assert_eq!((queue.frames(), queue.bytes()), (4, 8));
    assert_eq!(drain(&mut queue), ["v1", "v2", "b1", "b2"]);
    assert_eq!((queue.frames(), queue.bytes(), queue.dropped()), (0, 0, 0));
}

#[test]
fn a_full_queue_drops_stale_then_bulk_then_votes() {
    let mut queue = SendQueue::new(100, 5);
    queue.discard_below(10);
    queue.push(frame(Class::Vote, 10, "v1"));
    queue.push(frame(Class::Bulk, 10, "b1"));
    queue.push(frame(Class::Vote, 9, "stale vote"));
    queue.push(frame(Class::Bulk, 3, "stale bulk"));
    queue.push(frame(Class::Bulk, u64::MAX, "b2"));
    let mut left = |added: &'static str| {
        queue.push(frame(Class::Vote, 11, added));
        let mut names: Vec<_> = queue_names(&queue);
        names.sort_unstable();
        names.join(" ")
    };
    assert_eq!(left("v2"), "b1 b2 stale bulk v1 v2");
    assert_eq!(left("v3"), "b1 b2 v1 v2 v3");
    assert_eq!(left("v4"), "b2 v1 v2 v3 v4");
    assert_eq!(left("v5"), "v1 v2 v3 v4 v5");
    assert_eq!(left("v6"), "v2 v3 v4 v5 v6");
    assert_eq!(queue.dropped(), 5);
    // Bulk never pushes out votes.
    queue.push(frame(Class::Bulk, u64::MAX, "b3"));
    assert_eq!(drain(&mut queue), ["v2", "v3", "v4", "v5", "v6"]);
    assert_eq!(queue.dropped(), 6);
}

fn queue_names(queue: &SendQueue) -> Vec<String> {
    queue.queued().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect()
}

#[test]
fn the_byte_bound_holds_too() {
    let mut queue = SendQueue::new(10, 100);
    queue.push(frame(Class::Vote, 1, "12345"));
    queue.push(frame(Class::Vote, 1, "67890"));
    queue.push(frame(Class::Vote, 1, "a"));
    assert_eq!(drain(&mut queue), ["67890", "a"]);
    assert_eq!(queue.dropped(), 1);
}

#[test]
fn discarding_keeps_later_views_and_timeless_frames() {
    let mut queue = SendQueue::new(100, 100);
    for (view, name) in [(1, "one"), (5, "five"), (u64::MAX, "ever"), (4, "four")] {
        queue.push(frame(Class::Vote, view, name));
        queue.push(frame(Class::Bulk, view, name));
    }
    queue.discard_below(5);
    assert_eq!((queue.frames(), queue.bytes(), queue.dropped()), (4, 16, 4));
    queue.push(frame(Class::Vote, 2, "late"));
    queue.discard_below(3);
    assert_eq!(drain(&mut queue), ["five", "ever", "five", "ever"]);
    assert_eq!(queue.dropped(), 5);
}

#[derive(Debug, Clone)]
enum Step {
    Push(Class, u64, usize),
    Pop,
    Discard(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let class = prop::sample::select(vec![Class::Vote, Class::Bulk]);
    prop_oneof![
        4 => (class, prop_oneof![0..8_u64, Just(u64::MAX)], 1..40_usize)
            .prop_map(|(class, view, len)| Step::Push(class, view, len)),
        2 => Just(Step::Pop),
        1 => (0..8_u64).prop_map(Step::Discard),
    ]
}

proptest! {
    #[test]
    fn the_books_balance(steps in prop::collection::vec(step(), 0..200)) {
        let mut queue = SendQueue::new(150, 12);
        let (mut pushed, mut popped) = (0_u64, 0_u64);
        for step in steps {
            match step {
                Step::Push(class, view, len) => {
                    queue.push(Frame { class, view, bytes: vec![1; len].into() });
                    pushed += 1;
                }
                Step::Pop => popped += u64::from(queue.pop().is_some()),
                Step::Discard(view) => queue.discard_below(view),
            }
            prop_assert!(queue.bytes() <= 150 && queue.frames() <= 12);
            prop_assert_eq!(queue.bytes(), queue.queued().map(Bytes::len).sum::<usize>());
            prop_assert_eq!(pushed, popped + queue.dropped() + queue.frames() as u64);
        }
    }
}
