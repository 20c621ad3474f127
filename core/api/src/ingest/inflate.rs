//! Undoing gzip under a bound that holds inside the decompressor, so that a bomb never unfolds.

use std::io::Read;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;

/// The highest ratio of inflated to sent bytes that is taken, once there is enough to judge. A batch of equal events
/// reaches 280, one byte over and over 970.
const MAX_RATIO: usize = 500;
/// Below this many inflated bytes the ratio is not judged: tiny repetitive bodies compress absurdly well.
const RATIO_FROM: usize = 64 << 10;
/// How much is inflated between two looks at the bounds, in bytes.
const STEP: usize = 16 << 10;

/// Why a compressed body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InflateError {
    /// It is no gzip, or is cut short.
    #[error("the body is not valid gzip, though Content-Encoding says so")]
    NotGzip,
    /// It unfolds to more than `limit` bytes.
    #[error("the body inflates to more than {limit} bytes")]
    TooLarge {
        /// The bound, in bytes.
        limit: usize,
    },
    /// No honest body compresses so well.
    #[error("the body is compressed more than {MAX_RATIO} to 1")]
    Bomb,
}

/// The most bytes that a body of `len` bytes can inflate to before it is refused.
pub(crate) fn most(len: usize, limit: usize) -> usize {
    (len + 1).saturating_mul(MAX_RATIO).max(RATIO_FROM).saturating_add(STEP).min(limit + 1)
}

/// The inflated body: at most `limit` bytes.
///
/// # Errors
/// [`InflateError`]; nothing beyond the bounds was ever inflated.
pub(crate) fn inflate(body: &[u8], limit: usize) -> Result<Bytes, InflateError> {
    let mut decoder = MultiGzDecoder::new(body);
    let mut out = Vec::with_capacity(body.len().saturating_mul(4).min(limit));
    loop {
        let before = out.len();
        // One byte past the bound is asked for, to tell "just fits" from "goes on".
        let step = STEP.min(limit + 1 - before);
        let read = (&mut decoder).take(step as u64).read_to_end(&mut out).map_err(|_| InflateError::NotGzip)?;
        if out.len() > limit {
            return Err(InflateError::TooLarge { limit });
        }
        if out.len() > RATIO_FROM && out.len() / MAX_RATIO > body.len() {
            return Err(InflateError::Bomb);
        }
        if read < step {
            return Ok(Bytes::from(out));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(plain).expect("memory takes it");
        encoder.finish().expect("memory takes it")
    }

    #[test]
    fn a_body_comes_back_whole_up_to_the_bound_and_not_one_byte_beyond() {
        let plain: Vec<u8> = (0..50_000u32).flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
        let packed = gzip(&plain);
        assert_eq!(inflate(&packed, plain.len()).as_deref(), Ok(&plain[..]));
        assert_eq!(inflate(&packed, plain.len() - 1), Err(InflateError::TooLarge { limit: plain.len() - 1 }));
        let two = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(inflate(&two, 100).as_deref(), Ok(&b"one two"[..]));
        assert_eq!((most(packed.len(), plain.len()), most(0, 1 << 20)), (plain.len() + 1, 80 << 10));
    }

    #[test]
    fn a_bomb_is_refused_long_before_it_unfolds() {
        let bomb = gzip(&vec![b'['; 100 << 20]);
        assert_eq!(inflate(&bomb, 500 << 10), Err(InflateError::TooLarge { limit: 500 << 10 }));
        let small_bomb = gzip(&vec![b' '; 400 << 10]);
        assert_eq!(inflate(&small_bomb, 500 << 10), Err(InflateError::Bomb));
        assert!(most(small_bomb.len(), 500 << 10) < 400 << 10, "it is refused before it is whole");
    }

    #[test]
    fn what_is_no_gzip_or_cut_short_is_refused() {
        let whole = gzip(&[7; 1000]);
        for bad in [&b"{}"[..], &b""[..], &whole[..whole.len() - 5], &[&whole[..], b"tail"].concat()] {
            assert_eq!(inflate(bad, 10_000), Err(InflateError::NotGzip), "{bad:?}");
        }
    }
}
