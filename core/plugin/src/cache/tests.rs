//! What lies in the folder is trusted only if the folder's own key says so.

use super::*;

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

fn kept(folder: &Path) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(folder).expect("folder").flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "cwasm"));
    assert_eq!(files.len(), 1);
    files.remove(0)
}

#[test]
fn a_compiled_component_is_kept_and_loaded_again() {
    let folder = tempfile::tempdir().expect("folder");
    let cache = Cache::open(folder.path()).expect("cache");
    let engine = Engine::default();
    cache.compiled(&engine, COMPONENT).expect("compiled");
    let file = kept(folder.path());
    let name = file.file_name().and_then(|name| name.to_str()).expect("name").to_owned();
    assert!(cache.load(&engine, &file, &name).is_some());
    let again = Cache::open(folder.path()).expect("cache");
    assert!(again.load(&engine, &file, &name).is_some(), "the key is kept too");
}

#[test]
fn a_changed_or_foreign_or_renamed_file_is_never_loaded() {
    let folder = tempfile::tempdir().expect("folder");
    let cache = Cache::open(folder.path()).expect("cache");
    let engine = Engine::default();
    cache.compiled(&engine, COMPONENT).expect("compiled");
    let file = kept(folder.path());
    let name = file.file_name().and_then(|name| name.to_str()).expect("name").to_owned();
    let sound = fs::read(&file).expect("bytes");
    assert!(cache.load(&engine, &file, "another.cwasm").is_none(), "renamed");
    let elsewhere = tempfile::tempdir().expect("folder");
    let foreign = Cache::open(elsewhere.path()).expect("cache");
    assert!(foreign.load(&engine, &file, &name).is_none(), "made under another key");
    for at in [0, MAC, sound.len() / 2, sound.len() - 1] {
        let mut changed = sound.clone();
        changed[at] ^= 1;
        fs::write(&file, &changed).expect("written");
        assert!(cache.load(&engine, &file, &name).is_none(), "byte {at} changed");
    }
    fs::write(&file, &sound[..10]).expect("written");
    assert!(cache.load(&engine, &file, &name).is_none(), "cut");
    cache.compiled(&engine, COMPONENT).expect("it is compiled anew");
    assert!(cache.load(&engine, &file, &name).is_some());
}

#[cfg(unix)]
#[test]
fn only_its_owner_may_enter_the_folder() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("folder");
    let inside = folder.path().join("cache");
    fs::create_dir(&inside).expect("made");
    fs::set_permissions(&inside, fs::Permissions::from_mode(0o777)).expect("opened up");
    Cache::open(&inside).expect("cache");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&inside), mode(&inside.join(KEY))), (0o700, 0o600));
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&inside, &link).expect("linked");
    assert!(Cache::open(&link).is_err(), "a link may lead anywhere");
}
