use super::*;
use api::assignment::Desired;
use base::Name;

fn assignment(uid: Uid, epoch: u64) -> Assignment {
    let name = Name::new("x").unwrap();
    Assignment {
        uid,
        epoch,
        project: name.clone(),
        name,
        generation: 1,
        desired: Desired::Stopped,
        work: None,
    }
}

fn set(seq: u64, vms: Vec<Assignment>) -> Assignments {
    Assignments { version: 1, revision: Revision::new(1, seq), vms, keep_images: vec![] }
}

#[test]
fn older_sets_and_older_placements_are_not_followed() {
    let uid = rt::ids::uid();
    let now = Desires::default().followed_by(set(5, vec![assignment(uid, 3)])).unwrap();
    assert!(now.followed_by(set(4, vec![])).is_none());
    let same = now.followed_by(set(5, vec![assignment(uid, 3)])).unwrap();
    assert_eq!(same.current().count(), 1);

    let outdated = same.followed_by(set(6, vec![assignment(uid, 2)])).unwrap();
    assert_eq!(outdated.current().count(), 0);
    let newer = outdated.followed_by(set(7, vec![assignment(uid, 4)])).unwrap();
    assert_eq!(newer.current().count(), 1);
    // A restore begins a new incarnation, whatever its numbers.
    let mut restored = set(1, vec![]);
    restored.revision = Revision::new(2, 1);
    assert!(newer.followed_by(restored).is_some());
}

#[tokio::test]
async fn what_is_kept_is_read_again_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::new(Some(dir.path().to_owned())).unwrap();
    let uid = rt::ids::uid();
    let now = Desires::default().followed_by(set(5, vec![assignment(uid, 3)])).unwrap();
    now.save(&keeper).await.unwrap();
    let mode = std::fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let again = Desires::load(&keeper).unwrap();
    assert_eq!((again.revision(), again.epochs.get(&uid)), (Revision::new(1, 5), Some(&3)));
    std::fs::write(dir.path().join(FILE), r#"{"version":99}"#).unwrap();
    assert_eq!(Desires::load(&keeper).unwrap_err().code, base::Code::Conflict);
    std::fs::write(dir.path().join(FILE), "{").unwrap();
    assert!(Desires::load(&keeper).unwrap_err().hint.is_some());
}

#[test]
fn only_so_many_placements_are_remembered() {
    let mut now = Desires::default();
    let here = rt::ids::uid();
    now.saw(here, 1);
    for _ in 0..REMEMBERED + 10 {
        now.saw(rt::ids::uid(), 1);
    }
    let now = now.followed_by(set(1, vec![assignment(here, 1)])).unwrap();
    assert_eq!(now.epochs.len(), REMEMBERED + 1);
    assert!(now.epochs.contains_key(&here));
}
