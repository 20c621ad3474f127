//! Frames: what goes in comes out, and no flipped bit goes unseen.

use proptest::prelude::*;

use super::*;

fn tenant() -> TenantId {
    TenantId::from_parts(1, &[3; 10])
}

fn build(first: Position, bodies: &[Vec<u8>]) -> (Position, Vec<u8>) {
    let mut builder = Builder::new(tenant(), first);
    for (n, body) in bodies.iter().enumerate() {
        builder.push(Timestamp(n as i64), &Draft::new(Bytes::copy_from_slice(body)));
    }
    builder.finish()
}

fn entries(frame: &Frame) -> Result<Vec<Entry>, &'static str> {
    frame.slots().filter_map(|slot| frame.checked(&slot).transpose()).collect()
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        first in 1..u64::MAX - 100,
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 1..20),
    ) {
        let (last, value) = build(first, &bodies);
        let frame = Frame::parse(tenant(), last, value.into()).expect("it was just built");
        let read = entries(&frame).expect("nothing has changed");
        prop_assert_eq!(read.len(), bodies.len());
        for (n, (entry, body)) in read.iter().zip(&bodies).enumerate() {
            prop_assert_eq!(entry.position, first + n as u64);
            prop_assert_eq!(entry.appended_at, Timestamp(n as i64));
            prop_assert_eq!(&entry.body[..], &body[..]);
        }
    }

    #[test]
    fn no_flipped_bit_goes_unseen(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 1..6),
        erase in any::<bool>(),
        bit in any::<prop::sample::Index>(),
    ) {
        let (last, mut value) = build(5, &bodies);
        if erase {
            let frame = Frame::parse(tenant(), last, value.into()).expect("it was just built");
            value = frame.without(|position| position == 5).expect("nothing has changed").1;
        }
        let bit = bit.index(value.len() * 8);
        value[bit / 8] ^= 1 << (bit % 8);
        let seen = Frame::parse(tenant(), last, value.into()).and_then(|frame| entries(&frame));
        prop_assert!(seen.is_err(), "bit {bit} flipped and nothing was said: {seen:?}");
    }
}

#[test]
fn a_frame_under_another_key_is_found_out() {
    let (last, value) = build(5, &[b"a".to_vec()]);
    assert!(Frame::parse(tenant(), last + 1, value.clone().into()).is_err(), "another position");
    let stranger = Frame::parse(TenantId::from_parts(2, &[3; 10]), last, value.into()).expect("it reads as a frame");
    assert!(entries(&stranger).is_err(), "another tenant");
}

#[test]
fn taking_out_an_entry_takes_its_bytes_and_leaves_its_place() {
    let (last, value) = build(5, &[b"keep".to_vec(), b"secret".to_vec(), b"stay".to_vec()]);
    let frame = Frame::parse(tenant(), last, value.into()).expect("it was just built");
    let (taken, value) = frame.without(|position| position == 6).expect("nothing has changed");
    assert_eq!(taken, 1);
    assert!(!value.windows(6).any(|bytes| bytes == b"secret"));
    let frame = Frame::parse(tenant(), last, value.into()).expect("it was rebuilt");
    let left: Vec<_> = entries(&frame).expect("intact").into_iter().map(|e| (e.position, e.body)).collect();
    assert_eq!(left, [(5, Bytes::from_static(b"keep")), (7, Bytes::from_static(b"stay"))]);
    assert_eq!(frame.without(|position| position == 6).expect("intact").0, 0, "it is gone already");
}
