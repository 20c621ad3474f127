//! The queue refuses what it has no room for, and hands over groups of bounded size.

use super::*;

fn append(bytes: usize) -> Append {
    let (reply, _) = oneshot::channel();
    Append { tenant: TenantId::from_parts(1, &[0; 10]), now: Timestamp(0), drafts: Vec::new(), bytes, reply }
}

fn queue(max_queued_bytes: usize, max_queued_appends: usize, max_group_bytes: usize) -> Queue {
    let bounds =
        EmbeddedOptions { max_queued_bytes, max_queued_appends, max_group_bytes, ..EmbeddedOptions::default() };
    Queue::new(&bounds)
}

fn group(queue: &Queue) -> Vec<usize> {
    match queue.next() {
        Work::Group(appends) => appends.iter().map(|append| append.bytes).collect(),
        Work::Chore(_) | Work::Over => panic!("appends were waiting"),
    }
}

#[test]
fn a_full_queue_refuses_by_bytes_and_by_number_and_takes_again_once_emptied() {
    let by_bytes = queue(100, 1000, 1000);
    assert!(by_bytes.push(append(60)).is_ok());
    assert!(matches!(by_bytes.push(append(60)), Err(LogError::Full)));
    assert!(by_bytes.push(append(40)).is_ok());
    assert_eq!(group(&by_bytes), [60, 40]);
    assert!(by_bytes.push(append(60)).is_ok());

    let by_number = queue(1000, 2, 1000);
    assert!(by_number.push(append(1)).is_ok());
    assert!(by_number.push(append(1)).is_ok());
    assert!(matches!(by_number.push(append(1)), Err(LogError::Full)));
}

#[test]
fn one_append_larger_than_the_bound_is_let_in_when_nothing_waits() {
    let queue = queue(100, 1000, 1000);
    assert!(queue.push(append(500)).is_ok());
    assert!(matches!(queue.push(append(1)), Err(LogError::Full)));
}

#[test]
fn a_group_is_bounded_and_keeps_the_order() {
    let queue = queue(1000, 1000, 100);
    for bytes in [70, 20, 20, 500, 1] {
        assert!(queue.push(append(bytes)).is_ok());
    }
    assert_eq!(group(&queue), [70, 20]);
    assert_eq!(group(&queue), [20]);
    assert_eq!(group(&queue), [500], "one that is larger than a group goes alone");
    assert_eq!(group(&queue), [1]);
}

#[test]
fn a_closed_queue_takes_nothing_and_still_hands_over_what_waits() {
    let queue = queue(100, 100, 100);
    assert!(queue.push(append(1)).is_ok());
    queue.close();
    assert!(matches!(queue.push(append(1)), Err(LogError::Closed)));
    assert_eq!(group(&queue), [1]);
    assert!(matches!(queue.next(), Work::Over));
}
