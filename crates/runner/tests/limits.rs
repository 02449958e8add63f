//! The limits of an operation, with code that means to break them. Needs what a sandbox needs, and control groups.
#![allow(clippy::unwrap_used, clippy::disallowed_macros)] // helpers of tests

use base::{ByteSize, Code, Error, Result};
use runner::{Limits, Place, Sandbox};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tempfile::TempDir;

/// A sandbox, and what tells whether something of it is left.
struct Scene {
    dir: PathBuf,
    groups: Vec<PathBuf>,
    sandbox: Sandbox,
    place: Place,
    state: TempDir,
}

impl Scene {
    /// Or nothing, with a word about it, where this machine cannot have it.
    async fn new(test: &str, limits: Limits) -> Option<Self> {
        if let Err(e) = Sandbox::available().await {
            println!("SKIPPED {test}: {e}");
            return None;
        }
        let state = tempfile::tempdir().unwrap();
        let place = Place::of(state.path());
        let name = format!("test-{:016x}", u64::from_le_bytes(rt::ids::random_bytes()));
        let sandbox = place.sandbox(&name, Path::new("/bin/true"), limits).await.unwrap();
        let dir = sandbox.decoy().parent().unwrap().to_owned();
        let record = fs::read_to_string(dir.join("groups")).unwrap();
        let groups: Vec<PathBuf> = record.lines().map(PathBuf::from).collect();
        assert!(!groups.is_empty() && groups.iter().all(|group| group.is_dir()), "{record}");
        Some(Scene { dir, groups, sandbox, place, state })
    }

    /// As an operation runs something.
    async fn run(&self, script: &str) -> Result<(Option<i32>, String)> {
        let mut command = self.sandbox.command(&["/bin/sh", "-c", script], &[]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = self.sandbox.limited(async { Ok(command.output().await.unwrap()) });
        let output = rt::clock::timeout(Duration::from_mins(1), "the sandbox", output).await.unwrap()?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8_lossy(&text).into_owned()))
    }

    /// Runs what cannot end well. Afterwards nothing of it is left.
    async fn ends(self, script: &str) -> Error {
        let error = self.run(script).await.unwrap_err();
        assert_eq!(error.code, Code::Exhausted, "{error}");
        self.leaves_nothing().await;
        error
    }

    async fn leaves_nothing(self) {
        let Scene { dir, groups, sandbox, .. } = self;
        let user = sandbox.user();
        drop(sandbox);
        nothing_is_left(&dir, &groups, user).await;
    }
}

async fn nothing_is_left(dir: &Path, groups: &[PathBuf], user: u32) {
    assert!(!dir.exists() && groups.iter().all(|group| !group.exists()), "{groups:?}");
    // Its last steps a process makes in no group: without memory and files, but it is still listed.
    let listed = async {
        while processes_of(user) > 0 {
            rt::clock::sleep(Duration::from_millis(5)).await;
        }
    };
    rt::clock::timeout(Duration::from_secs(5), "the end of its processes", listed).await.unwrap();
}

/// How many processes of a user run.
fn processes_of(user: u32) -> usize {
    let of_user = |entry: &fs::DirEntry| entry.metadata().is_ok_and(|metadata| metadata.uid() == user);
    let all = fs::read_dir("/proc").unwrap().flatten().filter(of_user);
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| rt::process::start_ticks(*pid).is_some_and(|s| rt::process::running(*pid, Some(s))))
        .count()
}

#[tokio::test]
async fn an_operation_has_so_many_processes() {
    let limits = Limits { processes: 20, ..Limits::default() };
    let Some(scene) = Scene::new("an_operation_has_so_many_processes", limits).await else { return };
    let (code, text) = scene.run("for i in 1 2 3 4 5; do sleep 0.1 & done; wait").await.unwrap();
    assert_eq!(code, Some(0), "{text}");
    // No more than 30 are ever asked for.
    let error = scene.ends("for i in $(seq 30); do sleep 60 & done; wait").await;
    assert_eq!(error.message, "the operation had more than 20 processes, so it was ended");
}

#[tokio::test]
async fn a_fork_bomb_is_ended_and_others_go_on() {
    let limits = Limits { processes: 40, ..Limits::default() };
    let Some(scene) = Scene::new("a_fork_bomb_is_ended_and_others_go_on", limits).await else { return };
    let other = Scene::new("", Limits::default()).await.unwrap();
    let beside = other.run("sleep 3; for i in $(seq 60); do true & done; wait; echo went on");
    let (error, beside) = tokio::join!(scene.ends("b() { b | b & b; }; b"), beside);
    assert_eq!(error.message, "the operation had more than 40 processes, so it was ended");
    assert_eq!(beside.unwrap(), (Some(0), "went on\n".to_owned()));
}

#[tokio::test]
async fn memory_is_that_of_all_processes_together() {
    let limits = Limits { memory: ByteSize::mib(96), ..Limits::default() };
    let Some(scene) = Scene::new("memory_is_that_of_all_processes_together", limits).await else { return };
    let one = "python3 -c 'import time; x = b\"x\" * (24 << 20); time.sleep(0)'";
    let (code, text) = scene.run(&format!("{one} && {one} && {one} && {one} && {one}")).await.unwrap();
    assert_eq!(code, Some(0), "one after the other they fit: {text}");
    let many = one.replace("sleep(0)", "sleep(60)");
    let error = scene.ends(&format!("for i in 1 2 3 4 5 6; do {many} & done; wait")).await;
    assert_eq!(error.message, "the operation used more than 96 MiB of memory, so it was ended");
    assert!(error.hint.unwrap().contains("runnerLimits.memoryMib"));
}

#[tokio::test]
async fn files_in_memory_are_memory() {
    let limits = Limits { memory: ByteSize::mib(64), ..Limits::default() };
    let Some(scene) = Scene::new("files_in_memory_are_memory", limits).await else { return };
    let error = scene.ends("head -c 100000000 /dev/zero >/tmp/large; sleep 60").await;
    assert!(error.message.contains("64 MiB of memory"), "{error}");
}

#[tokio::test]
async fn busy_loops_get_their_processors_and_their_time() {
    let limits = Limits { cpus: 1, cpu: Duration::from_secs(2), ..Limits::default() };
    let Some(scene) = Scene::new("busy_loops_get_their_processors_and_their_time", limits).await else {
        return;
    };
    let begun = rt::clock::now();
    let error = scene.ends("for i in 1 2 3; do while :; do :; done & done; wait").await;
    assert_eq!(error.message, "the operation used more than 2 s of CPU time, so it was ended");
    // Three loops on two processors or more would be there in one second.
    assert!(begun.elapsed() > Duration::from_millis(1800), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_file_has_a_largest_size() {
    let limits = Limits { file: ByteSize::mib(1), ..Limits::default() };
    let Some(scene) = Scene::new("a_file_has_a_largest_size", limits).await else { return };
    let (code, _) = scene.run("head -c 2000000 /dev/zero >/sandbox/large").await.unwrap();
    assert_ne!(code, Some(0));
    assert!(fs::metadata(scene.sandbox.work("large")).unwrap().len() <= 1 << 20);
}

#[tokio::test]
async fn who_stays_behind_is_ended() {
    let Some(scene) = Scene::new("who_stays_behind_is_ended", Limits::default()).await else { return };
    let script = "trap '' HUP TERM; setsid sleep 600 >/dev/null 2>&1 & (nohup sleep 600 &); echo done";
    let (code, text) = scene.run(&format!("({script}) 2>/dev/null")).await.unwrap();
    assert_eq!((code, text.as_str()), (Some(0), "done\n"));
    scene.leaves_nothing().await;
}

#[tokio::test]
async fn what_a_killed_controller_left_is_ended_at_the_next_start() {
    const NAME: &str = "what_a_killed_controller_left_is_ended_at_the_next_start";
    let Some(scene) = Scene::new(NAME, Limits::default()).await else { return };
    let Scene { dir, groups, sandbox, place, state } = scene;
    let mut command = sandbox.command(&["/bin/sh", "-c", "echo up; sleep 600 & sleep 600"], &[]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 3];
    tokio::io::AsyncReadExt::read_exact(child.stdout.as_mut().unwrap(), &mut first).await.unwrap();
    let user = sandbox.user();
    assert!(processes_of(user) >= 3, "{}", processes_of(user));
    // Nobody drops them: their owner was killed.
    std::mem::forget((sandbox, place));
    let next = Place::of(state.path());
    next.clear().unwrap();
    nothing_is_left(&dir, &groups, user).await;
    next.clear().unwrap();
}
