//! Traits: the last writer by event time wins, per trait; a late event never overwrites a newer value.

mod size;

use rialto_model::profile::{Profile, Provenance, TraitValue};
use serde_json::{Map, Value};

use crate::merge::written;
pub(crate) use size::Size;

/// What was not folded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    /// Older than what the profile has.
    pub(crate) stale: Vec<String>,
    /// No room for them.
    pub(crate) dropped: Vec<String>,
}

/// Folds an event's traits into a profile of this size. Null deletes a trait and leaves a mark, so that a late event
/// does not bring an older value back; an empty text is a value. Of two events of one moment the later in the stream
/// wins.
pub(crate) fn fold(
    profile: &mut Profile,
    size: &mut Size,
    traits: Map<String, Value>,
    provenance: &Provenance,
) -> Left {
    let mut left = Left::default();
    for (name, value) in traits {
        if written(profile, &name).is_some_and(|last| last.at > provenance.at) {
            left.stale.push(name);
        } else if value.is_null() {
            size.mark(profile, name, provenance.clone());
        } else if !size.put(profile, &name, || TraitValue { value, provenance: provenance.clone() }) {
            left.dropped.push(name);
        }
    }
    size.let_marks_go(profile);
    left
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rialto_model::profile::{MAX_TRAIT_BYTES, MAX_TRAITS};
    use rialto_model::{ProfileId, SourceId, Timestamp};
    use serde_json::json;

    use super::*;

    fn by(at: i64) -> Provenance {
        let source_id = SourceId::from_parts(1, &[1; 10]);
        Provenance { source_id, message_id: format!("m{at}"), at: Timestamp::from_millis(at) }
    }

    fn nobody() -> Profile {
        Profile::new(ProfileId::from_parts(1, &[1; 10]), Timestamp(0))
    }

    fn put(profile: &mut Profile, at: i64, traits: Value) -> Left {
        let Value::Object(traits) = traits else { panic!("traits are an object") };
        let mut size = Size::of(profile);
        let left = fold(profile, &mut size, traits, &by(at));
        assert_eq!(size, Size::of(profile), "the size is kept up");
        left
    }

    fn values(profile: &Profile) -> Value {
        profile.traits.iter().map(|(name, kept)| (name.clone(), kept.value.clone())).collect::<Map<_, _>>().into()
    }

    #[test]
    fn a_late_event_fills_gaps_and_overwrites_nothing_newer() {
        let mut profile = nobody();
        put(&mut profile, 20, json!({"plan": "pro", "seats": 3}));
        let left = put(&mut profile, 10, json!({"plan": "free", "city": "Ulm"}));
        assert_eq!(left, Left { stale: vec!["plan".to_owned()], dropped: vec![] });
        assert_eq!(values(&profile), json!({"plan": "pro", "seats": 3, "city": "Ulm"}));
        assert_eq!(profile.traits["plan"].provenance, by(20));
        assert_eq!(profile.traits["city"].provenance, by(10));
    }

    #[test]
    fn null_deletes_for_good_and_an_empty_text_does_not() {
        let mut profile = nobody();
        put(&mut profile, 10, json!({"plan": "pro", "note": "x"}));
        put(&mut profile, 20, json!({"plan": null, "note": "", "never": null}));
        assert_eq!(values(&profile), json!({"note": ""}));
        assert_eq!(put(&mut profile, 15, json!({"plan": "late", "never": 1})).stale, ["never", "plan"]);
        assert_eq!(values(&profile), json!({"note": ""}));
        put(&mut profile, 30, json!({"plan": "new"}));
        assert_eq!(values(&profile), json!({"note": "", "plan": "new"}));
        assert!(!profile.deleted_traits.contains_key("plan"));
    }

    #[test]
    fn of_two_events_of_one_moment_the_later_in_the_stream_wins() {
        let mut profile = nobody();
        put(&mut profile, 10, json!({"plan": "a"}));
        put(&mut profile, 10, json!({"plan": "b"}));
        assert_eq!(values(&profile), json!({"plan": "b"}));
    }

    #[test]
    fn a_full_profile_takes_no_new_trait_and_still_changes_old_ones() {
        let mut profile = nobody();
        for n in 0..MAX_TRAITS {
            put(&mut profile, 1, json!({ format!("t{n}"): n }));
        }
        assert_eq!(put(&mut profile, 2, json!({"t0": "new", "more": 1})).dropped, ["more"]);
        assert_eq!((profile.traits.len(), &profile.traits["t0"].value), (MAX_TRAITS, &json!("new")));
    }

    #[test]
    fn traits_are_bounded_in_bytes_and_a_smaller_value_always_fits() {
        let mut profile = nobody();
        let large = "x".repeat(30_000);
        let dropped: Vec<String> =
            (0..20).flat_map(|n| put(&mut profile, 1, json!({ format!("t{n:02}"): large })).dropped).collect();
        assert_eq!((profile.traits.len(), dropped.len(), dropped[0].as_str()), (8, 12, "t08"));
        let json = serde_json::to_vec(&profile.traits).expect("JSON").len();
        assert!(json <= MAX_TRAIT_BYTES && json > MAX_TRAIT_BYTES - 30_000, "{json}");
        assert_eq!(put(&mut profile, 2, json!({"t00": format!("{large}{large}")})).dropped, ["t00"]);
        assert_eq!(profile.traits["t00"].provenance, by(1), "what does not fit leaves what was there");
        assert!(put(&mut profile, 2, json!({"t00": 1, "t01": null})).dropped.is_empty());
        assert!(put(&mut profile, 3, json!({"more": large})).dropped.is_empty(), "there is room again");
        for n in 0..20 {
            put(&mut profile, 4, json!({ format!("{large}{n}"): null }));
        }
        assert!(serde_json::to_vec(&profile.deleted_traits).expect("JSON").len() <= MAX_TRAIT_BYTES);
    }

    #[test]
    fn marks_of_deletions_are_bounded_and_the_oldest_goes_first() {
        let mut profile = nobody();
        for n in 0..=MAX_TRAITS {
            put(&mut profile, i64::try_from(n).expect("small"), json!({ format!("t{n}"): null }));
        }
        assert_eq!(profile.deleted_traits.len(), MAX_TRAITS);
        assert!(!profile.deleted_traits.contains_key("t0"));
    }

    proptest! {
        /// Whatever the order of arrival, the profile is what arrival in the order of event time would have made.
        #[test]
        fn the_order_of_arrival_does_not_matter(
            events in prop::collection::vec((0i64..1000, prop::collection::btree_map("[a-d]", prop::option::of(0u8..5), 0..4)), 0..20),
            seed in any::<u64>(),
        ) {
            let mut unique: std::collections::BTreeMap<i64, _> = events.into_iter().collect();
            let mut expected: std::collections::BTreeMap<String, Option<u8>> = Default::default();
            for traits in unique.values() {
                expected.extend(traits.clone());
            }
            let mut profile = nobody();
            let mut turn = seed;
            while !unique.is_empty() {
                turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = *unique.keys().nth((turn >> 33) as usize % unique.len()).expect("in range");
                put(&mut profile, at, json!(unique.remove(&at).expect("is there")));
            }
            expected.retain(|_, value| value.is_some());
            prop_assert_eq!(values(&profile), json!(expected));
        }
    }
}
