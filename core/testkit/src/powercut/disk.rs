//! What the disk holds: of every file and folder, what is seen and what was flushed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ffi::{OsStr, OsString},
    sync::Arc,
};

use fuser::Errno;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::Survivors;

/// The smallest part of a file that comes through a cut or does not, in bytes.
pub(super) const PAGE: usize = 4096;
/// The folder that is mounted.
pub(super) const ROOT: u64 = 1;

type Page = [u8; PAGE];
type Names = BTreeMap<OsString, u64>;
/// A change of a folder's names that happens whole or not at all; `None` removes.
type Change = Vec<(OsString, Option<u64>)>;

/// What a cut took, of what programs had seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Pages of files whose last writes are gone.
    pub pages: usize,
    /// Changes of names that are undone.
    pub names: usize,
}

/// Everything on the disk.
pub(super) struct Disk {
    nodes: HashMap<u64, Node>,
    next: u64,
    is_cut: bool,
    /// Says that it flushes and does not.
    lies: bool,
    fails_next_flush: bool,
}

/// A file or folder.
pub(super) struct Node {
    pub(super) is_folder: bool,
    pub(super) mode: u32,
    file: Versions,
    folder: Folder,
    /// Under which name it was created, as long as that was not flushed or changed.
    born: Option<(u64, OsString)>,
}

#[derive(Default)]
struct Versions {
    seen: Content,
    flushed: Content,
    dirty: BTreeSet<u64>,
}

#[derive(Default)]
struct Folder {
    seen: Names,
    flushed: Names,
    changes: Vec<Change>,
}

#[derive(Clone, Default)]
struct Content {
    length: u64,
    pages: HashMap<u64, Arc<Page>>,
}

impl Disk {
    pub(super) fn new(lies: bool) -> Self {
        let root = Node::new(true, 0o755);
        Self { nodes: HashMap::from([(ROOT, root)]), next: ROOT + 1, is_cut: true, lies, fails_next_flush: false }
    }

    pub(super) fn power_on(&mut self) {
        self.is_cut = false;
    }

    pub(super) fn fail_next_flush(&mut self) {
        self.fails_next_flush = true;
    }

    pub(super) fn cut(&mut self) {
        self.is_cut = true;
    }

    /// Replaces what was seen by what came through.
    pub(super) fn power_off(&mut self, survivors: Survivors) -> Loss {
        let mut chance = match survivors {
            Survivors::FlushedOnly => None,
            Survivors::Some { seed } => Some(StdRng::seed_from_u64(seed)),
        };
        let mut loss = Loss::default();
        let mut order: Vec<_> = self.nodes.keys().copied().collect();
        order.sort_unstable();
        for number in order {
            if let Some(node) = self.nodes.get_mut(&number) {
                loss.names += node.folder.lose(&mut chance);
                loss.pages += node.file.lose(&mut chance);
                node.born = None;
            }
        }
        self.forget_unreachable();
        loss
    }

    /// The node of that number, as programs see it.
    pub(super) fn node(&self, number: u64) -> Result<&Node, Errno> {
        if self.is_cut {
            return Err(Errno::EIO);
        }
        self.nodes.get(&number).ok_or(Errno::ENOENT)
    }

    fn node_mut(&mut self, number: u64) -> Result<&mut Node, Errno> {
        if self.is_cut {
            return Err(Errno::EIO);
        }
        self.nodes.get_mut(&number).ok_or(Errno::ENOENT)
    }

    pub(super) fn lookup(&self, folder: u64, name: &OsStr) -> Result<u64, Errno> {
        self.node(folder)?.folder.seen.get(name).copied().ok_or(Errno::ENOENT)
    }

    pub(super) fn names(&self, folder: u64) -> Result<&Names, Errno> {
        let node = self.node(folder)?;
        if node.is_folder { Ok(&node.folder.seen) } else { Err(Errno::ENOTDIR) }
    }

    /// Makes a file or folder, or fails if the name is taken.
    pub(super) fn create(&mut self, folder: u64, name: &OsStr, is_folder: bool, mode: u32) -> Result<u64, Errno> {
        if self.lookup(folder, name).is_ok() {
            return Err(Errno::EEXIST);
        }
        let number = self.next;
        self.node_mut(folder)?.folder.change(vec![(name.into(), Some(number))]);
        self.next += 1;
        let mut node = Node::new(is_folder, mode);
        node.born = Some((folder, name.into()));
        self.nodes.insert(number, node);
        Ok(number)
    }

    pub(super) fn remove(&mut self, folder: u64, name: &OsStr) -> Result<(), Errno> {
        let number = self.lookup(folder, name)?;
        let node = self.node_mut(number)?;
        if !node.folder.seen.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        node.born = None;
        self.node_mut(folder)?.folder.change(vec![(name.into(), None)]);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: (u64, &OsStr), to: (u64, &OsStr)) -> Result<(), Errno> {
        let number = self.lookup(from.0, from.1)?;
        self.node_mut(number)?.born = None;
        let removal = (from.1.into(), None);
        let addition = (to.1.into(), Some(number));
        if from.0 == to.0 {
            self.node_mut(from.0)?.folder.change(vec![removal, addition]);
        } else {
            self.node_mut(to.0)?.folder.change(vec![addition]);
            self.node_mut(from.0)?.folder.change(vec![removal]);
        }
        Ok(())
    }

    pub(super) fn read(&self, file: u64, offset: u64, size: usize) -> Result<Vec<u8>, Errno> {
        Ok(self.node(file)?.file.seen.read(offset, size))
    }

    pub(super) fn write(&mut self, file: u64, offset: u64, data: &[u8]) -> Result<(), Errno> {
        let Versions { seen, dirty, .. } = &mut self.node_mut(file)?.file;
        seen.write(offset, data, dirty);
        Ok(())
    }

    pub(super) fn set_length(&mut self, file: u64, length: u64) -> Result<(), Errno> {
        let Versions { seen, dirty, .. } = &mut self.node_mut(file)?.file;
        seen.set_length(length, dirty);
        Ok(())
    }

    pub(super) fn set_mode(&mut self, number: u64, mode: u32) -> Result<(), Errno> {
        self.node_mut(number)?.mode = mode;
        Ok(())
    }

    /// Flushes a file's content, or a folder's names.
    pub(super) fn flush(&mut self, number: u64) -> Result<(), Errno> {
        if self.lies {
            return self.node(number).map(|_| ());
        }
        let fails = !self.node(number)?.is_folder && std::mem::take(&mut self.fails_next_flush);
        let node = self.node_mut(number)?;
        if fails {
            // As the kernel has it: said once, and the pages count as clean from then on.
            node.file.dirty.clear();
            return Err(Errno::EIO);
        }
        if node.is_folder {
            node.folder.flushed = node.folder.seen.clone();
            node.folder.changes.clear();
            return Ok(());
        }
        let Versions { seen, flushed, dirty } = &mut node.file;
        for page in std::mem::take(dirty) {
            flushed.take_page(seen, page);
        }
        flushed.cut_to(seen.length);
        if let Some((folder, name)) = node.born.take() {
            self.node_mut(folder)?.folder.keep(&name, number);
        }
        Ok(())
    }

    fn forget_unreachable(&mut self) {
        let mut reachable = BTreeSet::new();
        let mut next = vec![ROOT];
        while let Some(number) = next.pop() {
            if reachable.insert(number) {
                next.extend(self.nodes.get(&number).into_iter().flat_map(|node| node.folder.seen.values()));
            }
        }
        self.nodes.retain(|number, _| reachable.contains(number));
        let nodes: BTreeSet<u64> = self.nodes.keys().copied().collect();
        for node in self.nodes.values_mut() {
            node.folder.seen.retain(|_, number| nodes.contains(number));
            node.folder.flushed = node.folder.seen.clone();
        }
    }
}

impl Node {
    fn new(is_folder: bool, mode: u32) -> Self {
        Self { is_folder, mode, file: Versions::default(), folder: Folder::default(), born: None }
    }

    pub(super) fn length(&self) -> u64 {
        self.file.seen.length
    }
}

impl Folder {
    fn change(&mut self, change: Change) {
        apply(&mut self.seen, &change);
        self.changes.push(change);
    }

    /// Flushes one name alone.
    fn keep(&mut self, name: &OsStr, number: u64) {
        if self.seen.get(name) == Some(&number) {
            self.flushed.insert(name.into(), number);
            self.changes.retain(|change| *change != [(OsString::from(name), Some(number))]);
        }
    }

    /// Of the changes that were not flushed, as many come through as chance has it, from the first on.
    fn lose(&mut self, chance: &mut Option<StdRng>) -> usize {
        let through = chance.as_mut().map_or(0, |chance| chance.random_range(0..=self.changes.len()));
        let lost = self.changes.len() - through;
        for change in self.changes.drain(..).take(through) {
            apply(&mut self.flushed, &change);
        }
        self.seen = self.flushed.clone();
        lost
    }
}

fn apply(names: &mut Names, change: &Change) {
    for (name, number) in change {
        match number {
            Some(number) => names.insert(name.clone(), *number),
            None => names.remove(name),
        };
    }
}

impl Versions {
    fn lose(&mut self, chance: &mut Option<StdRng>) -> usize {
        let mut lost = 0;
        let mut longer = false;
        for page in std::mem::take(&mut self.dirty) {
            if chance.as_mut().is_some_and(|chance| chance.random()) {
                self.flushed.take_page(&self.seen, page);
                longer |= page * PAGE as u64 >= self.flushed.length;
            } else {
                lost += 1;
            }
        }
        // A page behind the old end is there only if the new length came through with it.
        let length = if longer { self.seen.length } else { self.flushed.length };
        self.flushed.cut_to(length);
        self.seen = self.flushed.clone();
        lost
    }
}

impl Content {
    fn read(&self, offset: u64, size: usize) -> Vec<u8> {
        let size = self.length.saturating_sub(offset).min(size as u64) as usize;
        let mut data = vec![0; size];
        let mut at = 0;
        while at < size {
            let (page, from) = place(offset + at as u64);
            let part = (PAGE - from).min(size - at);
            if let Some(page) = self.pages.get(&page) {
                data[at..at + part].copy_from_slice(&page[from..from + part]);
            }
            at += part;
        }
        data
    }

    fn write(&mut self, offset: u64, data: &[u8], dirty: &mut BTreeSet<u64>) {
        let mut at = 0;
        while at < data.len() {
            let (page, from) = place(offset + at as u64);
            let part = (PAGE - from).min(data.len() - at);
            let content = self.pages.entry(page).or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(content)[from..from + part].copy_from_slice(&data[at..at + part]);
            dirty.insert(page);
            at += part;
        }
        self.length = self.length.max(offset + data.len() as u64);
    }

    fn set_length(&mut self, length: u64, dirty: &mut BTreeSet<u64>) {
        if length < self.length {
            dirty.extend(self.pages.keys().filter(|page| **page * PAGE as u64 + PAGE as u64 > length));
        }
        // The new last page, so that the length itself can come through or not.
        dirty.insert(length.saturating_sub(1) / PAGE as u64);
        self.cut_to(length);
    }

    /// Sets the length; what lay behind it is zeros should the file grow again.
    fn cut_to(&mut self, length: u64) {
        if length < self.length {
            let (last, end) = place(length);
            self.pages.retain(|page, _| *page < last || (*page == last && end > 0));
            if let Some(page) = self.pages.get_mut(&last) {
                Arc::make_mut(page)[end..].fill(0);
            }
        }
        self.length = length;
    }

    fn take_page(&mut self, from: &Self, page: u64) {
        match from.pages.get(&page) {
            Some(content) => self.pages.insert(page, content.clone()),
            None => self.pages.remove(&page),
        };
    }
}

fn place(offset: u64) -> (u64, usize) {
    (offset / PAGE as u64, (offset % PAGE as u64) as usize)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
