//! The disk forgets what was not flushed, and that alone.

use super::*;

fn disk() -> Disk {
    let mut disk = Disk::new(false);
    disk.power_on();
    disk
}

fn file(disk: &mut Disk, name: &str, content: &[u8]) -> u64 {
    let file = disk.create(ROOT, OsStr::new(name), false, 0o644).expect("created");
    disk.write(file, 0, content).expect("written");
    file
}

fn content(disk: &Disk, name: &str) -> Option<Vec<u8>> {
    let file = disk.lookup(ROOT, OsStr::new(name)).ok()?;
    Some(disk.read(file, 0, 1 << 20).expect("read"))
}

fn cut(disk: &mut Disk, survivors: Survivors) -> Loss {
    disk.cut();
    assert_eq!(disk.read(ROOT, 0, 1), Err(Errno::EIO), "nothing works without power");
    let loss = disk.power_off(survivors);
    disk.power_on();
    loss
}

#[test]
fn what_was_flushed_stays_and_what_was_written_since_is_gone() {
    let mut disk = disk();
    let kept = file(&mut disk, "kept", b"first");
    file(&mut disk, "lost", b"never flushed");
    disk.flush(kept).expect("flushed");
    disk.write(kept, 3, b"second").expect("written");
    assert_eq!(content(&disk, "kept").as_deref(), Some(&b"firsecond"[..]));
    assert_eq!(cut(&mut disk, Survivors::FlushedOnly), Loss { pages: 2, names: 1 });
    assert_eq!(content(&disk, "kept").as_deref(), Some(&b"first"[..]));
    assert_eq!(content(&disk, "lost"), None);
}

#[test]
fn a_rename_or_removal_needs_its_folder_flushed() {
    let mut disk = disk();
    for name in ["a", "b"] {
        let file = file(&mut disk, name, name.as_bytes());
        disk.flush(file).expect("flushed");
    }
    let rename = |disk: &mut Disk| disk.rename((ROOT, OsStr::new("a")), (ROOT, OsStr::new("b"))).expect("renamed");
    rename(&mut disk);
    assert_eq!(content(&disk, "b").as_deref(), Some(&b"a"[..]));
    cut(&mut disk, Survivors::FlushedOnly);
    assert_eq!(content(&disk, "b").as_deref(), Some(&b"b"[..]), "undone");
    rename(&mut disk);
    disk.flush(ROOT).expect("flushed");
    cut(&mut disk, Survivors::FlushedOnly);
    assert_eq!((content(&disk, "a"), content(&disk, "b").as_deref()), (None, Some(&b"a"[..])), "kept");
}

#[test]
fn a_file_in_a_new_folder_is_lost_with_the_folder() {
    let mut disk = disk();
    let folder = disk.create(ROOT, OsStr::new("folder"), true, 0o755).expect("created");
    let file = disk.create(folder, OsStr::new("file"), false, 0o644).expect("created");
    disk.flush(file).expect("flushed");
    disk.flush(folder).expect("flushed");
    cut(&mut disk, Survivors::FlushedOnly);
    assert_eq!(disk.lookup(ROOT, OsStr::new("folder")), Err(Errno::ENOENT));
}

#[test]
fn shortening_and_growing_leaves_zeros_and_is_undone_unless_flushed() {
    let mut disk = disk();
    let file = file(&mut disk, "f", &[7; 10_000]);
    disk.flush(file).expect("flushed");
    disk.set_length(file, 5000).expect("cut");
    disk.set_length(file, 9000).expect("grown");
    let seen = content(&disk, "f").expect("there");
    assert!(seen.len() == 9000 && seen[..5000] == [7; 5000] && seen[5000..] == [0; 4000]);
    cut(&mut disk, Survivors::FlushedOnly);
    assert_eq!(content(&disk, "f"), Some(vec![7; 10_000]));
}

#[test]
fn some_pages_come_through_each_by_itself() {
    let mut disk = disk();
    let file = file(&mut disk, "f", &[1; 64 * PAGE]);
    disk.flush(file).expect("flushed");
    disk.write(file, 0, &[2; 64 * PAGE]).expect("written");
    let loss = cut(&mut disk, Survivors::Some { seed: 1 });
    let new = content(&disk, "f").expect("there").chunks(PAGE).filter(|page| page[0] == 2).count();
    assert_eq!(new + loss.pages, 64);
    assert!((10..54).contains(&new), "{new} of 64 came through");
}

#[test]
fn a_disk_that_does_not_flush_loses_everything() {
    let mut disk = Disk::new(true);
    disk.power_on();
    let file = file(&mut disk, "f", b"flushed, it says");
    disk.flush(file).expect("it says");
    disk.flush(ROOT).expect("it says");
    cut(&mut disk, Survivors::FlushedOnly);
    assert_eq!(content(&disk, "f"), None);
}

#[test]
fn a_flush_that_failed_is_not_made_good_by_the_next() {
    let mut disk = disk();
    let file = file(&mut disk, "f", b"first");
    disk.flush(file).expect("flushed");
    disk.write(file, 0, b"other").expect("written");
    disk.fail_next_flush();
    assert_eq!(disk.flush(file), Err(Errno::EIO));
    assert_eq!(disk.flush(file), Ok(()), "the kernel says it once");
    assert_eq!(content(&disk, "f").as_deref(), Some(&b"other"[..]), "it is still seen");
    cut(&mut disk, Survivors::FlushedOnly);
    assert_eq!(content(&disk, "f").as_deref(), Some(&b"first"[..]), "and was never on the disk");
}
