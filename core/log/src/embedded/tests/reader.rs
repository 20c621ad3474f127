//! Reading from disk: nothing that is missing or changed is passed over.

use fjall::{Database, KeyspaceCreateOptions};
use rialto_model::Timestamp;

use super::*;
use crate::embedded::frame::{Builder, Draft};

fn tenant(n: u8) -> TenantId {
    TenantId::from_parts(1, &[n; 10])
}

/// Nine entries in three frames, of two tenants.
fn window(folder: &std::path::Path) -> Keyspace {
    let database = Database::builder(folder).open().expect("open");
    let window = database.keyspace("window", KeyspaceCreateOptions::default).expect("a keyspace");
    for tenant in [tenant(1), tenant(2)] {
        for first in [1, 4, 7] {
            let mut builder = Builder::new(tenant, first);
            for n in first..first + 3 {
                builder.push(Timestamp(0), &Draft::new(Bytes::from(format!("entry {n}"))));
            }
            let (last, value) = builder.finish();
            window.insert(keys::frame(tenant, last), value).expect("insert");
        }
    }
    window
}

fn positions(window: &Keyspace, first: Position, limit: usize) -> Result<Vec<Position>, Position> {
    let spans = [(Span { window: 1, first, last: 9 }, window.clone())];
    match read(&spans, tenant(1), limit, 1 << 20) {
        Ok(entries) => Ok(entries.iter().map(|entry| entry.position).collect()),
        Err(LogError::Corrupt { position, .. }) => Err(position),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_run_is_read_from_anywhere_in_a_frame_and_stays_with_its_tenant() {
    let folder = tempfile::tempdir().expect("a folder");
    let window = window(folder.path());
    assert_eq!(positions(&window, 1, 100), Ok((1..=9).collect()));
    assert_eq!(positions(&window, 5, 3), Ok(vec![5, 6, 7]));
    assert_eq!(positions(&window, 9, 3), Ok(vec![9]));
}

#[test]
fn what_is_missing_stops_the_reader_in_front_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let window = window(folder.path());
    window.remove(keys::frame(tenant(1), 6)).expect("remove");
    assert_eq!(positions(&window, 1, 100), Ok(vec![1, 2, 3]));
    assert_eq!(positions(&window, 4, 100), Err(4));
    assert_eq!(positions(&window, 7, 100), Ok(vec![7, 8, 9]));
    window.remove(keys::frame(tenant(1), 9)).expect("remove");
    assert_eq!(positions(&window, 7, 100), Err(7), "the next tenant's frames are not taken for it");
    let lost = [(2, window.clone()), (5, window.clone())];
    assert!(matches!(get_many(&lost, tenant(1)), Err(LogError::Corrupt { position: 5, .. })));
}

#[test]
fn what_has_changed_stops_the_reader_in_front_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let window = window(folder.path());
    let key = keys::frame(tenant(1), 6);
    let mut value = window.get(key).expect("get").expect("there").to_vec();
    let at = value.len() - 2 * "entry 5".len();
    value[at] ^= 1;
    window.insert(key, value).expect("insert");
    assert_eq!(positions(&window, 1, 100), Ok(vec![1, 2, 3, 4]));
    assert_eq!(positions(&window, 5, 100), Err(5));
    assert_eq!(positions(&window, 6, 100), Ok(vec![6, 7, 8, 9]));
    assert!(matches!(get_many(&[(5, window.clone())], tenant(1)), Err(LogError::Corrupt { position: 5, .. })));
}
