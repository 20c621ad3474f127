//! What lies in memory: bounded, newest, without a gap.

use bytes::Bytes;
use rialto_model::Timestamp;

use super::*;
use crate::embedded::frame::{Builder, Draft};

fn tenant(n: u8) -> TenantId {
    TenantId::from_parts(1, &[n; 10])
}

fn frame(tenant: TenantId, first: Position, count: u64) -> Frame {
    let mut builder = Builder::new(tenant, first);
    for n in first..first + count {
        builder.push(Timestamp(0), &Draft::new(Bytes::from(format!("{n:0100}"))));
    }
    let (last, value) = builder.finish();
    Frame::built(tenant, first, last, value.into())
}

fn streams(limit: usize) -> Streams {
    let streams = Streams::new(HashMap::new(), limit);
    let segments: Vec<_> = (1..=2).map(|n| (tenant(n), Segment { first: 1, window: 1 })).collect();
    streams.publish(vec![frame(tenant(1), 1, 10), frame(tenant(2), 1, 10)], &segments);
    for n in 1..20 {
        streams.publish(vec![frame(tenant(1), n * 10 + 1, 10)], &[]);
    }
    streams
}

fn positions(answer: Answer) -> Option<Vec<Position>> {
    match answer {
        Answer::Here(entries) => Some(entries.iter().map(|entry| entry.position).collect()),
        Answer::OnDisk(_) => None,
    }
}

#[test]
fn what_is_in_memory_is_answered_from_there_within_the_limits() {
    let streams = streams(1 << 20);
    assert_eq!(positions(streams.read(tenant(1), 195, 100, 1 << 20)), Some(vec![196, 197, 198, 199, 200]));
    assert_eq!(positions(streams.read(tenant(1), 5, 3, 1 << 20)), Some(vec![6, 7, 8]));
    assert_eq!(positions(streams.read(tenant(1), 8, 100, 350)), Some(vec![9, 10, 11]));
    assert_eq!(positions(streams.read(tenant(1), 8, 100, 0)), Some(vec![9]));
    assert_eq!(positions(streams.read(tenant(1), 200, 100, 1 << 20)), Some(vec![]));
    assert_eq!(positions(streams.read(tenant(9), 0, 100, 1 << 20)), Some(vec![]));
    assert_eq!(streams.get(tenant(1), 42).flatten().map(|entry| entry.position), Some(42));
}

#[test]
fn the_oldest_frames_of_all_leave_memory_first_and_are_then_on_disk() {
    let streams = streams(6000);
    assert!(streams.0.read().weight <= 6000);
    assert!(positions(streams.read(tenant(1), 0, 10, 1 << 20)).is_none(), "long gone from memory");
    assert!(positions(streams.read(tenant(2), 0, 10, 1 << 20)).is_none(), "a quiet stream makes room too");
    assert_eq!(positions(streams.read(tenant(1), 180, 100, 1 << 20)).map(|p| p.len()), Some(20));
    assert!(streams.get(tenant(2), 5).is_none(), "memory does not say that it is not there");
}

#[test]
fn spans_follow_the_windows() {
    let streams = Streams::new(HashMap::new(), 0);
    for (first, window) in [(1, 3), (11, 4), (21, 9)] {
        streams.publish(vec![frame(tenant(1), first, 10)], &[(tenant(1), Segment { first, window })]);
    }
    let spans = |from| streams.spans(tenant(1), from).iter().map(|s| (s.window, s.first, s.last)).collect::<Vec<_>>();
    assert_eq!(spans(15), [(4, 15, 20), (9, 21, 30)]);
    assert_eq!(spans(20), [(4, 20, 20), (9, 21, 30)]);
    assert_eq!(spans(31), []);
    assert_eq!(streams.in_windows(3), [(tenant(1), vec![Segment { first: 1, window: 3 }], None)]);
    streams.forget_windows(4);
    assert_eq!(spans(1), [(9, 21, 30)]);
    assert_eq!(streams.view(tenant(1), Stream::oldest), Some(21));
    let all = streams.in_windows(9);
    assert_eq!(all[0].2, Some(30), "of a stream of which nothing stays, the head is to be remembered");
    streams.forget_windows(9);
    assert_eq!(streams.view(tenant(1), Stream::oldest), Some(31));
}
