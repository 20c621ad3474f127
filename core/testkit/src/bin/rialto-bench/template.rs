//! Requests as ready bytes, in which only what must differ is patched: the write key, each event's message id,
//! its person and the moment it is sent. An event is about 1 KB, as analytics SDKs send them.

use std::ops::Range;

use memchr::memmem;

const KEY: &str = "@KEY";
const NOISE: &str = "@NOISE__________";
const SEQUENCE: &str = "@SEQUENCE___";
const PERSON: &str = "@PERSON_";
const MOMENT: &str = "@MOMENT_________";

/// What stands before an event's number in its message id, in every payload that leaves the hub.
pub(crate) const NUMBER_MARK: &[u8] = b"-bench-";
/// The digits of an event's number.
pub(crate) const NUMBER_DIGITS: usize = SEQUENCE.len();
/// What stands before the moment an event was due to be sent, in microseconds since 1970.
pub(crate) const MOMENT_MARK: &[u8] = b"\"bench_at\":\"";
/// The digits of a moment.
pub(crate) const MOMENT_DIGITS: usize = MOMENT.len();

/// How events are packed into requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    /// `POST /v1/track`, one event a request.
    Single,
    /// `POST /v1/batch`, so many events a request; one in ten is an identify call.
    Batch(usize),
}

impl Packing {
    /// How many events a request carries.
    pub(crate) const fn events(self) -> usize {
        match self {
            Self::Single => 1,
            Self::Batch(events) => events,
        }
    }
}

/// A request with holes.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    events: usize,
    key: Range<usize>,
    noises: Vec<usize>,
    sequences: Vec<usize>,
    /// Per event, the places where its person's number stands.
    persons: Vec<Vec<usize>>,
    moments: Vec<usize>,
}

impl Template {
    /// A template for a packing and write keys of so many characters in their Basic form.
    pub(crate) fn new(packing: Packing, basic_length: usize) -> Self {
        let bodies: Vec<String> = (0..packing.events()).map(|n| event(packing, n)).collect();
        let (path, body) = match packing {
            Packing::Single => ("/v1/track", bodies.concat()),
            Packing::Batch(_) => {
                ("/v1/batch", format!(r#"{{"batch":[{}],"sentAt":"2026-03-01T12:00:00.250Z"}}"#, bodies.join(",")))
            }
        };
        let key = format!("{KEY}{}", "_".repeat(basic_length - KEY.len()));
        let bytes = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Basic {key}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes();
        let key_at = memmem::find(&bytes, KEY.as_bytes()).unwrap_or_default();
        let sequences = all(&bytes, SEQUENCE);
        let mut persons: Vec<Vec<usize>> = vec![Vec::new(); sequences.len()];
        for place in all(&bytes, PERSON) {
            // An event's message id is its first member, so its persons lie behind it.
            let event = sequences.partition_point(|start| *start < place).saturating_sub(1);
            persons[event].push(place);
        }
        let moments = all(&bytes, MOMENT);
        let key = key_at..key_at + basic_length;
        Self { events: packing.events(), key, noises: all(&bytes, NOISE), sequences, persons, moments, bytes }
    }

    /// How many events a request carries.
    pub(crate) fn events(&self) -> usize {
        self.events
    }

    /// The bytes of one request: events `first`…, of persons drawn evenly from `persons`, due at `moment`
    /// (microseconds since 1970).
    pub(crate) fn fill(&mut self, basic: &str, first: u64, persons: u64, moment: u64) -> &[u8] {
        self.bytes[self.key.clone()].copy_from_slice(basic.as_bytes());
        for (number, place) in (first..).zip(&self.sequences) {
            write_digits(&mut self.bytes[*place..*place + SEQUENCE.len()], number);
        }
        for (number, place) in (first..).zip(&self.noises) {
            // Real message ids are random, and an index of them is filled all over the place.
            write_digits(&mut self.bytes[*place..*place + NOISE.len()], scatter(number));
        }
        for (number, places) in (first..).zip(&self.persons) {
            let person = scatter(number) % persons;
            for place in places {
                write_digits(&mut self.bytes[*place..*place + PERSON.len()], person);
            }
        }
        for place in &self.moments {
            write_digits(&mut self.bytes[*place..*place + MOMENT.len()], moment);
        }
        &self.bytes
    }
}

/// The events of one request, without what packs them: what the raw file is given.
pub(crate) fn event_bytes(packing: Packing) -> Vec<u8> {
    (0..packing.events()).map(|n| event(packing, n)).collect::<String>().into_bytes()
}

/// A fixed shuffle of numbers, so that who does what looks random and is the same in every run.
fn scatter(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn write_digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
}

fn all(bytes: &[u8], mark: &str) -> Vec<usize> {
    memmem::find_iter(bytes, mark.as_bytes()).collect()
}

/// The nth event of a request.
fn event(packing: Packing, n: usize) -> String {
    let typed = |kind: &str| match packing {
        Packing::Single => String::new(),
        Packing::Batch(_) => format!(r#""type":"{kind}","#),
    };
    let common = format!(
        r#""userId":"user-{PERSON}","anonymousId":"7f9a2c1e-4b0d-4a66-9f31-0000{PERSON}","timestamp":"2026-03-01T12:00:00.000Z","integrations":{{}},"context":{{"library":{{"name":"@segment/analytics-node","version":"2.3.0"}},"bench_at":"{MOMENT}","ip":"203.0.113.7","locale":"de-CH","timezone":"Europe/Zurich","userAgent":"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36","page":{{"url":"https://shop.example.com/products/trail-runner-2?color=blue&size=42","path":"/products/trail-runner-2","referrer":"https://www.example.org/search?q=trail+shoes","title":"Trail Runner 2","search":"?color=blue&size=42"}},"campaign":{{"name":"spring-sale","source":"newsletter","medium":"email"}}}}"#
    );
    if n % 10 == 9 {
        return format!(
            r#"{{"messageId":"{NOISE}-bench-{SEQUENCE}",{}"traits":{{"email":"user-{PERSON}@example.com","first_name":"Robin","last_name":"Example","plan":"plus","newsletter":true,"lifetime_value":1240.5,"address":{{"city":"Zurich","country":"CH","postal_code":"8001"}}}},{common}}}"#,
            typed("identify")
        );
    }
    let name = ["Product Viewed", "Product Added", "Cart Viewed", "Order Completed"][n % 4];
    format!(
        r#"{{"messageId":"{NOISE}-bench-{SEQUENCE}",{}"event":"{name}","properties":{{"product_id":"507f1f77bcf86cd799439011","sku":"TR2-BLU-42","category":"Shoes","name":"Trail Runner 2","brand":"Example","variant":"blue","price":149.9,"quantity":1,"currency":"CHF","coupon":"SPRING","position":3,"value":149.9,"image_url":"https://shop.example.com/images/tr2-blue.jpg"}},{common}}}"#,
        typed("track")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_request_is_json_with_numbers_that_do_not_repeat() {
        let basic = "d2tfMDEyMzQ1Njc4OWFiY2RlZjo=";
        let mut template = Template::new(Packing::Batch(20), basic.len());
        let text = String::from_utf8(template.fill(basic, 40, 1_000, 1_772_000_000_000_000).to_vec()).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("content-length: {}", body.len())) && head.contains(basic), "{head}");
        let value: serde_json::Value = serde_json::from_str(body).expect("JSON");
        let events = value["batch"].as_array().expect("a batch");
        let ids: std::collections::BTreeSet<&str> = events.iter().filter_map(|e| e["messageId"].as_str()).collect();
        assert_eq!(ids.len(), 20);
        let ends = |n: u64| ids.iter().any(|id| id.ends_with(&format!("-bench-{n:012}")));
        assert!((40..60).all(ends), "{ids:?}");
        assert!(events.iter().all(|e| e["context"]["bench_at"] == "1772000000000000"), "{}", events[0]);
        assert!(!body.contains('@') || body.matches('@').count() == body.matches("@segment").count() + 2);
        let person = events[9]["userId"].as_str().expect("a user").trim_start_matches("user-");
        assert_eq!(events[9]["traits"]["email"], format!("user-{person}@example.com"), "one person an event");
    }

    #[test]
    fn an_event_is_about_a_kilobyte() {
        for (packing, events) in [(Packing::Single, 1), (Packing::Batch(100), 100)] {
            let each = event_bytes(packing).len() / events;
            assert!((950..1_250).contains(&each), "{each}");
        }
    }
}
