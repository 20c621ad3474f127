//! A frame: neighbouring entries of one stream that were committed together, stored as one value.
//!
//! Layout, little endian: version (1), count (4), first position (8); then for each entry its time in µs (8), its
//! length (4, highest bit set when erased) and its checksum (8); then the bodies. The checksum covers tenant,
//! position, time and body, so that an entry that is misplaced is found out as well as one that has changed.

use std::ops::Range;

use bytes::Bytes;
use rialto_model::{Position, TenantId, Timestamp};
use xxhash_rust::xxh3::xxh3_64;

use crate::Entry;

const VERSION: u8 = 1;
const PREFIX: usize = 13;
const SLOT: usize = 20;
const ERASED: u32 = 1 << 31;

/// A frame takes entries until it holds this many bytes: small enough to rewrite for an erasure, large enough that
/// the storage engine's cost an item no longer counts.
pub(super) const FULL_BYTES: usize = 128 * 1024;
/// Or this many entries.
pub(super) const FULL_ENTRIES: usize = 1024;
/// The longest body a frame can hold, in bytes.
pub(super) const MAX_BODY: usize = (ERASED - 1) as usize;

/// An entry on its way in, with its body already hashed (outside of the one writer's time).
pub(super) struct Draft {
    pub(super) body: Bytes,
    hash: u64,
}

impl Draft {
    pub(super) fn new(body: Bytes) -> Self {
        let hash = xxh3_64(&body);
        Self { body, hash }
    }
}

/// Builds the value of one frame.
pub(super) struct Builder {
    pub(super) tenant: TenantId,
    pub(super) first: Position,
    slots: Vec<u8>,
    bodies: Vec<Bytes>,
    bytes: usize,
}

impl Builder {
    pub(super) fn new(tenant: TenantId, first: Position) -> Self {
        Self { tenant, first, slots: Vec::new(), bodies: Vec::new(), bytes: 0 }
    }

    /// Takes the next entry and returns its position.
    pub(super) fn push(&mut self, at: Timestamp, draft: &Draft) -> Position {
        let position = self.first + self.count() as u64;
        let length = draft.body.len() as u32;
        self.slot(at, length, checksum(self.tenant, position, at, length, draft.hash));
        self.bytes += draft.body.len();
        self.bodies.push(draft.body.clone());
        position
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= FULL_BYTES || self.count() >= FULL_ENTRIES
    }

    /// The frame's last position and its value.
    pub(super) fn finish(self) -> (Position, Vec<u8>) {
        let count = self.count();
        let mut value = Vec::with_capacity(PREFIX + self.slots.len() + self.bytes);
        value.push(VERSION);
        value.extend_from_slice(&(count as u32).to_le_bytes());
        value.extend_from_slice(&self.first.to_le_bytes());
        value.extend_from_slice(&self.slots);
        for body in &self.bodies {
            value.extend_from_slice(body);
        }
        (self.first + count as u64 - 1, value)
    }

    fn count(&self) -> usize {
        self.slots.len() / SLOT
    }

    fn slot(&mut self, at: Timestamp, length: u32, checksum: u64) {
        self.slots.extend_from_slice(&at.0.to_le_bytes());
        self.slots.extend_from_slice(&length.to_le_bytes());
        self.slots.extend_from_slice(&checksum.to_le_bytes());
    }
}

/// A frame that reads as one; its entries are checked one by one, when they are taken.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) tenant: TenantId,
    pub(super) first: Position,
    pub(super) last: Position,
    value: Bytes,
}

/// Where an entry lies in its frame.
pub(super) struct Slot {
    pub(super) position: Position,
    pub(super) erased: bool,
    /// In bytes from the frame's start.
    pub(super) body: Range<usize>,
    at: Timestamp,
    checksum: u64,
}

impl Frame {
    /// What a [`Builder`] has just made.
    pub(super) fn built(tenant: TenantId, first: Position, last: Position, value: Bytes) -> Self {
        Self { tenant, first, last, value }
    }

    /// Reads the value found under the key of `tenant` and `last`.
    ///
    /// # Errors
    /// What does not fit, in words.
    pub(super) fn parse(tenant: TenantId, last: Position, value: Bytes) -> Result<Self, &'static str> {
        let prefix = value.get(..PREFIX).ok_or("the frame is cut short")?;
        if prefix[0] != VERSION {
            return Err("the frame's version is not known");
        }
        let (count, first) = (u32_at(prefix, 1), u64_at(prefix, 5));
        if count == 0 || first == 0 || first.checked_add(u64::from(count) - 1) != Some(last) {
            return Err("the frame's positions do not match its key");
        }
        let frame = Self { tenant, first, last, value };
        let bodies = PREFIX + SLOT * count as usize;
        if frame.value.len() < bodies {
            return Err("the frame is cut short");
        }
        match frame.slots().last() {
            Some(slot) if slot.body.end == frame.value.len() => Ok(frame),
            _ => Err("the frame's length does not match its entries"),
        }
    }

    /// Its entries' places, in order.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        let mut from = PREFIX + SLOT * (self.last - self.first + 1) as usize;
        (self.first..=self.last).zip(self.value[PREFIX..].chunks_exact(SLOT)).map(move |(position, slot)| {
            let length = u32_at(slot, 8);
            let body = from..from + (length & !ERASED) as usize;
            from = body.end;
            Slot {
                position,
                erased: length & ERASED != 0,
                body,
                at: Timestamp(u64_at(slot, 0) as i64),
                checksum: u64_at(slot, 12),
            }
        })
    }

    /// The entry in a slot, unchecked: for frames that never left memory.
    pub(super) fn trusted(&self, slot: &Slot) -> Option<Entry> {
        (!slot.erased).then(|| Entry {
            position: slot.position,
            appended_at: slot.at,
            body: self.value.slice(slot.body.clone()),
        })
    }

    /// The entry in a slot, `None` if it is erased.
    ///
    /// # Errors
    /// The checksum does not match.
    pub(super) fn checked(&self, slot: &Slot) -> Result<Option<Entry>, &'static str> {
        let body = &self.value[slot.body.clone()];
        let length = body.len() as u32 | if slot.erased { ERASED } else { 0 };
        if checksum(self.tenant, slot.position, slot.at, length, xxh3_64(body)) != slot.checksum {
            return Err("the checksum does not match");
        }
        Ok(self.trusted(slot))
    }

    /// The value of this frame without the bodies of `positions`, and how many there were to take out.
    ///
    /// # Errors
    /// As [`Frame::checked`], with the position: what is kept is not re-stamped unseen.
    pub(super) fn without(
        &self,
        mut is_erased: impl FnMut(Position) -> bool,
    ) -> Result<(usize, Vec<u8>), (Position, &'static str)> {
        let mut builder = Builder::new(self.tenant, self.first);
        let mut taken = 0;
        for slot in self.slots() {
            let entry = self.checked(&slot).map_err(|reason| (slot.position, reason))?;
            match entry {
                Some(entry) if !is_erased(slot.position) => {
                    builder.push(slot.at, &Draft::new(entry.body));
                }
                gone => {
                    taken += usize::from(gone.is_some());
                    let checksum = checksum(self.tenant, slot.position, slot.at, ERASED, xxh3_64(&[]));
                    builder.slot(slot.at, ERASED, checksum);
                }
            }
        }
        Ok((taken, builder.finish().1))
    }

    /// The length of all its bodies together.
    pub(super) fn body_bytes(&self) -> usize {
        self.value.len() - PREFIX - SLOT * (self.last - self.first + 1) as usize
    }

    /// What it costs to keep in memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.value.len() + 200
    }
}

fn checksum(tenant: TenantId, position: Position, at: Timestamp, length: u32, body: u64) -> u64 {
    let mut covered = [0; 44];
    covered[..16].copy_from_slice(tenant.0.as_bytes());
    covered[16..24].copy_from_slice(&position.to_le_bytes());
    covered[24..32].copy_from_slice(&at.0.to_le_bytes());
    covered[32..36].copy_from_slice(&length.to_le_bytes());
    covered[36..].copy_from_slice(&body.to_le_bytes());
    xxh3_64(&covered)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes are four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes are eight bytes"))
}

#[cfg(test)]
#[path = "tests/frame.rs"]
mod tests;
