//! After a failed flush, the journal goes back to what was acknowledged.

use bytes::Bytes;
use fjall::PersistMode;
use rialto_model::Timestamp;

use super::*;
use crate::embedded::{
    EmbeddedOptions,
    frame::{Builder, Draft},
    place::{Place, engine_folder},
    window::Slot,
};

fn tenant(n: u8) -> TenantId {
    TenantId::from_parts(1, &[n; 10])
}

/// A log of one window in which every batch brings one entry of each of two tenants.
fn write(folder: &Path, batches: u64) {
    let options = EmbeddedOptions::default();
    let (place, _) = Place::open(folder, &options, None).expect("open");
    let slot = Slot::of(Timestamp(0), options.window);
    let window = Place::create_window(&place.database, 1, slot, &options).expect("a window");
    for position in 1..=batches {
        let mut batch = place.database.batch().durability(Some(PersistMode::SyncData));
        for tenant in [tenant(1), tenant(2)] {
            if position == 1 {
                batch.insert(&place.index, keys::segment(tenant, 1), 1_u64.to_be_bytes());
            }
            let mut builder = Builder::new(tenant, position);
            builder.push(Timestamp(0), &Draft::new(Bytes::from(format!("entry {position}"))));
            batch.insert(&window.keyspace, keys::frame(tenant, position), builder.finish().1);
        }
        batch.commit().expect("commit");
    }
}

fn heads(folder: &Path, acknowledged: Option<&Acknowledged>) -> Vec<Position> {
    let (_, streams) = Place::open(folder, &EmbeddedOptions::default(), acknowledged).expect("open");
    [tenant(1), tenant(2)].iter().map(|tenant| streams[tenant].head).collect()
}

#[test]
fn what_was_not_acknowledged_is_cut_off_and_the_rest_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), 5);
    assert_eq!(heads(folder.path(), None), [5, 5]);
    let acknowledged = HashMap::from([(tenant(1), 3), (tenant(2), 3)]);
    assert_eq!(heads(folder.path(), Some(&acknowledged)), [3, 3]);
    assert_eq!(heads(folder.path(), None), [3, 3], "it is cut off for good");
    assert_eq!(audit(&engine_folder(folder.path()), Some(&acknowledged)).expect("audit"), 0, "nothing more to cut");
}

#[test]
fn a_stream_that_was_never_acknowledged_is_cut_off_too() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), 2);
    let cut = audit(&engine_folder(folder.path()), Some(&HashMap::new())).expect("audit");
    assert!(cut > 0);
}

#[test]
fn an_interrupted_beginning_is_begun_again_and_a_lost_marker_is_not_taken_for_one() {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), 0);
    std::fs::remove_file(folder.path().join("format")).expect("the marker");
    // The window of `write` stands for entries; without it, this is what an interruption leaves.
    let refused = Place::open(folder.path(), &EmbeddedOptions::default(), None).err().expect("there is a window");
    assert!(matches!(refused, LogError::Damaged { .. }), "{refused}");

    let engine = engine_folder(folder.path());
    std::fs::remove_dir_all(&engine).expect("the engine's folder");
    std::fs::create_dir_all(engine.join("keyspaces")).expect("a folder");
    std::fs::write(engine.join("lock"), "").expect("a file");
    std::fs::write(engine.join("0.jnl"), vec![0; 1000]).expect("a file");
    Place::open(folder.path(), &EmbeddedOptions::default(), None).expect("begun again");
}
