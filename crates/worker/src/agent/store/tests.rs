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

fn nobody(_: &Uid) -> bool {
    false
}

fn set(seq: u64, vms: Vec<Assignment>) -> Assignments {
    Assignments { version: 1, revision: Revision::new(1, seq), vms, keep_images: vec![] }
}

#[test]
fn older_sets_and_older_placements_are_not_followed() {
    let uid = rt::ids::uid();
    let now = Desires::default().followed_by(set(5, vec![assignment(uid, 3)]), nobody).unwrap();
    assert!(now.followed_by(set(4, vec![]), nobody).is_none());
    let same = now.followed_by(set(5, vec![assignment(uid, 3)]), nobody).unwrap();
    assert_eq!(same.current().count(), 1);

    let outdated = same.followed_by(set(6, vec![assignment(uid, 2)]), nobody).unwrap();
    assert_eq!(outdated.current().count(), 0);
    let newer = outdated.followed_by(set(7, vec![assignment(uid, 4)]), nobody).unwrap();
    assert_eq!(newer.current().count(), 1);
    // A restore begins a new incarnation, whatever its numbers.
    let mut restored = set(1, vec![]);
    restored.revision = Revision::new(2, 1);
    assert!(newer.followed_by(restored, nobody).is_some());
}

#[tokio::test]
async fn what_is_kept_is_read_again_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::new(Some(dir.path().to_owned())).unwrap();
    let uid = rt::ids::uid();
    let now = Desires::default().followed_by(set(5, vec![assignment(uid, 3)]), nobody).unwrap();
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
    let now = now.followed_by(set(1, vec![assignment(here, 1)]), nobody).unwrap();
    assert_eq!(now.epochs.len(), REMEMBERED + 1);
    assert!(now.epochs.contains_key(&here));
}

#[test]
fn what_was_said_of_a_vm_is_remembered_while_it_is_here() {
    let uid = rt::ids::uid();
    let mut told = assignment(uid, 3);
    told.work = Some(Box::new(crate::agent::tests::some_work()));
    let (here, now) = (|u: &Uid| *u == uid, Desires::default());
    let now = now.followed_by(set(1, vec![told.clone()]), here).unwrap();
    let absent = now.followed_by(set(2, vec![]), here).unwrap().followed_by(set(3, vec![]), here).unwrap();
    assert_eq!((absent.told(uid), absent.works().count()), (Some(&told), 1));
    // An outdated tombstone is no reason to forget.
    let outdated = absent.followed_by(set(4, vec![assignment(uid, 2)]), here).unwrap();
    assert_eq!(outdated.told(uid), Some(&told));
    let back = outdated.followed_by(set(5, vec![told.clone()]), here).unwrap();
    assert!(back.remembered.is_empty());
    let gone = absent.followed_by(set(6, vec![]), nobody).unwrap();
    assert!(gone.told(uid).is_none());
}
