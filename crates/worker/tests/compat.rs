//! What earlier releases left on disk, and what shims of other releases say, is understood.
#![allow(clippy::unwrap_used)]

use base::Code;
use std::path::Path;
use worker::{
    runtimes::ExitCause,
    shim::{Dir, Record, Request, Status},
};

fn fixture() -> Dir {
    Dir::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/shim-1"))
}

#[test]
fn the_records_of_version_1_are_read() {
    let dir = fixture();
    let record = dir.record().unwrap().unwrap();
    assert_eq!((record.epoch, record.run, record.machine_type.as_str()), (3, 2, "pc-q35-10.0"));
    assert_eq!(dir.pids(2).unwrap().unwrap().start_ticks, Some(987_654));
    let exit = dir.exit(2).unwrap().unwrap().exit;
    assert_eq!((exit.signal, exit.cause), (Some(9), ExitCause::Failed));
    // What belongs to another run is not taken for this one's.
    assert_eq!((dir.pids(3).unwrap(), dir.exit(3).unwrap()), (None, None));
}

#[test]
fn a_newer_record_is_refused_and_a_damaged_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let newer = Record { version: 2, ..fixture().record().unwrap().unwrap() };
    let dir = Dir::new(dir.path());
    dir.save_record(&newer).unwrap();
    assert_eq!(dir.record().unwrap_err().code, Code::Conflict);
    std::fs::write(dir.file("record.json"), "{").unwrap();
    assert!(dir.record().unwrap_err().message.contains("record.json is damaged"));
}

#[test]
fn the_words_of_the_shim_only_grow() {
    let status = r#"{"version":1,"uid":"01a1f8ed-8fad-7a5a-9918-92a965151320","epoch":1,"run":1,"shim_pid":2,"pid":3,
        "started_at":"2026-11-20T12:28:43.612Z","something_new":true}"#;
    let status: Status = serde_json::from_str(status).unwrap();
    assert_eq!((status.pid, status.exit, status.lease_until_ms), (3, None, None));
    for (words, request) in [
        (r#"{"op":"status"}"#, Request::Status),
        (r#"{"op":"wait","later":1}"#, Request::Wait),
        (r#"{"op":"lease","until_ms":5}"#, Request::Lease { until_ms: Some(5) }),
        (r#"{"op":"kill","reason":"x"}"#, Request::Kill { reason: "x".into() }),
        (r#"{"op":"expect","reason":"x"}"#, Request::Expect { reason: "x".into() }),
        (r#"{"op":"console"}"#, Request::Console),
    ] {
        assert_eq!(serde_json::from_str::<Request>(words).unwrap(), request);
    }
}
