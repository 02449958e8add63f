use super::*;
use api::vm::VmPhase;
use base::Name;
use futures::StreamExt;
use std::pin::pin;

fn vm(uid: Uid, message: &str) -> VmReport {
    VmReport {
        uid,
        epoch: 1,
        name: Name::new("vm").unwrap(),
        project: Name::new("default").unwrap(),
        generation: 1,
        phase: VmPhase::Running,
        message: message.into(),
        reason: String::new(),
        unclaimed: false,
        pid: None,
        acceleration: String::new(),
        restart_count: 0,
        restarts_done: 0,
        started_at: None,
        ready_at: None,
    }
}

async fn read(lines: &mut (impl Stream<Item = Bytes> + Unpin)) -> Report {
    let next = rt::clock::timeout(Duration::from_secs(10), "the next line", lines.next());
    serde_json::from_slice(&next.await.unwrap().unwrap()).unwrap()
}

#[tokio::test]
async fn a_slow_reader_sees_the_latest_state_only() {
    let reports = Reports::new(Duration::from_millis(20));
    let (a, b) = (rt::ids::uid(), rt::ids::uid());
    reports.vm(&vm(a, "old"));
    let mut lines = pin!(reports.lines());
    assert!(matches!(read(&mut lines).await, Report::Snapshot { vms, .. } if vms.len() == 1));
    for i in 0..1000 {
        reports.vm(&vm(a, &i.to_string()));
    }
    reports.vm(&vm(b, "new"));
    reports.vm(&vm(b, "new"));
    let told = [read(&mut lines).await, read(&mut lines).await];
    let texts = told.map(|r| match r {
        Report::Vm { vm } => vm.message,
        other => panic!("{other:?}"),
    });
    assert_eq!(texts, ["999", "new"]);
    assert_eq!(read(&mut lines).await, Report::Heartbeat {});
    assert!(reports.0.board.lock().order.len() <= 2);
}

#[tokio::test]
async fn a_removal_is_told_until_the_controller_knows() {
    let reports = Reports::new(Duration::from_millis(20));
    let uid = rt::ids::uid();
    reports.vm(&vm(uid, ""));
    let mut first = pin!(reports.lines());
    read(&mut first).await;
    reports.gone(uid, 7);
    let gone = Report::Gone { uid, epoch: 7 };
    assert_eq!(read(&mut first).await, gone);

    let mut second = pin!(reports.lines());
    assert!(matches!(read(&mut second).await, Report::Snapshot { vms, .. } if vms.is_empty()));
    assert_eq!(read(&mut second).await, gone);
    reports.forget_gone(|_| false);
    let mut third = pin!(reports.lines());
    read(&mut third).await;
    assert_eq!(read(&mut third).await, Report::Heartbeat {});
}
