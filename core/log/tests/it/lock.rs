//! One folder, one log.

use rialto_log::{EmbeddedLog, EmbeddedOptions, EventLog, LogError};

use crate::clients::Clients;

#[tokio::test]
async fn a_second_log_on_the_same_folder_is_refused_and_told_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = EmbeddedLog::open(folder.path(), EmbeddedOptions::default()).expect("open");
    let refused = EmbeddedLog::open(folder.path(), EmbeddedOptions::default()).err().expect("it is in use");
    assert!(matches!(&refused, LogError::Locked { path } if path == folder.path()), "{refused:?}");
    assert!(refused.to_string().contains("in use by another process"), "{refused}");
    first.close().await;
    EmbeddedLog::open(folder.path(), EmbeddedOptions::default()).expect("it is free once closed").close().await;
}

#[tokio::test]
async fn a_log_that_another_process_has_open_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut clients = Clients::start(folder.path(), 0);
    let refused = EmbeddedLog::open(folder.path(), EmbeddedOptions::default()).err().expect("it is in use");
    // The log's own lock says so; the engine's would come after its files were looked over.
    assert!(matches!(&refused, LogError::Locked { path } if path == folder.path()), "{refused:?}");
    clients.child.kill().expect("SIGKILL");
    clients.child.wait().expect("the child's end");
    EmbeddedLog::open(folder.path(), EmbeddedOptions::default()).expect("it is free once the other is gone");
}
