//! The replies so far, as they travel in `state`, each with a fingerprint of the request that it answers.

use crate::bindings::rialto::plugin::types::{Ext, HttpRequest, HttpResponse, Reply, TransportError};

/// One request's fingerprint and what came back for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) request: u64,
    pub(crate) reply: Reply,
}

/// What a request is told by when the code is replayed: FNV-1a over method, URL and body.
pub(crate) fn fingerprint(request: &HttpRequest) -> u64 {
    let parts = [request.method.as_bytes(), request.url.as_bytes(), &request.body];
    parts
        .iter()
        .flat_map(|part| part.iter().chain(&[0]))
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Writes the entries, and the fingerprints of the requests that are asked for now.
pub(crate) fn encode(entries: &[Entry], asked: &[u64]) -> Vec<u8> {
    let mut out = Vec::new();
    number(&mut out, entries.len() as u64);
    for entry in entries {
        number(&mut out, entry.request);
        match &entry.reply {
            Ok(response) => {
                number(&mut out, u64::from(response.status));
                pairs(&mut out, &response.headers);
                bytes(&mut out, &response.body);
                pairs(&mut out, &response.ext);
            }
            // No response has status 0.
            Err(error) => {
                number(&mut out, 0);
                bytes(&mut out, error.code.as_bytes());
                bytes(&mut out, error.message.as_bytes());
            }
        }
    }
    number(&mut out, asked.len() as u64);
    asked.iter().for_each(|fingerprint| number(&mut out, *fingerprint));
    out
}

/// Reads what [`encode`] wrote; none if it is anything else.
pub(crate) fn decode(mut state: &[u8]) -> Option<(Vec<Entry>, Vec<u64>)> {
    let from = &mut state;
    let entries = (0..read_number(from)?).map(|_| read_entry(from)).collect::<Option<_>>()?;
    let asked = (0..read_number(from)?).map(|_| read_number(from)).collect::<Option<_>>()?;
    state.is_empty().then_some((entries, asked))
}

fn read_entry(from: &mut &[u8]) -> Option<Entry> {
    let request = read_number(from)?;
    let reply = match u16::try_from(read_number(from)?).ok()? {
        0 => Err(TransportError { code: read_text(from)?, message: read_text(from)? }),
        status => Ok(HttpResponse {
            status,
            headers: read_pairs(from)?,
            body: read_bytes(from)?.to_vec(),
            ext: read_pairs(from)?,
        }),
    };
    Some(Entry { request, reply })
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    number(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn pairs(out: &mut Vec<u8>, value: &Ext) {
    number(out, value.len() as u64);
    for (name, value) in value {
        bytes(out, name.as_bytes());
        bytes(out, value.as_bytes());
    }
}

fn read_number(from: &mut &[u8]) -> Option<u64> {
    let (head, rest) = from.split_first_chunk::<8>()?;
    *from = rest;
    Some(u64::from_le_bytes(*head))
}

fn read_bytes<'a>(from: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(read_number(from)?).ok()?;
    let (head, rest) = from.split_at_checked(length)?;
    *from = rest;
    Some(head)
}

fn read_text(from: &mut &[u8]) -> Option<String> {
    String::from_utf8(read_bytes(from)?.to_vec()).ok()
}

fn read_pairs(from: &mut &[u8]) -> Option<Ext> {
    (0..read_number(from)?).map(|_| Some((read_text(from)?, read_text(from)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let response = HttpResponse {
            status: 207,
            headers: vec![("content-type".into(), "application/json".into())],
            body: vec![0, 255, 10],
            ext: vec![("verdict".into(), "delivered".into())],
        };
        let error = TransportError { code: "timeout".into(), message: "é".into() };
        vec![Entry { request: u64::MAX, reply: Ok(response) }, Entry { request: 7, reply: Err(error) }]
    }

    #[test]
    fn a_journal_comes_back_as_it_was_written() {
        assert_eq!(decode(&encode(&entries(), &[1, 2])), Some((entries(), vec![1, 2])));
    }

    #[test]
    fn a_cut_or_lengthened_journal_is_refused_and_never_panics() {
        let whole = encode(&entries(), &[3]);
        for cut in 0..whole.len() {
            assert_eq!(decode(&whole[..cut]), None, "cut at {cut}");
        }
        assert_eq!(decode(&[whole, vec![0]].concat()), None);
        assert_eq!(decode(&[0xff; 64]), None);
    }
}
