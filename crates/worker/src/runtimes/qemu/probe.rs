//! What this host's QEMU can do, by trying it.

use super::platform::{Acceleration, Arch, Platform};
use base::{Error, Result};
use rt::{clock, process};
use std::{
    fs::{self, OpenOptions},
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

/// For a QEMU that does nothing but answer questions.
const ASK: Duration = Duration::from_secs(10);
/// For a guest whose first instruction ends it.
const PROOF: Duration = Duration::from_secs(2);

/// Finds out about one QEMU. `forced` skips the search for acceleration.
///
/// # Errors
/// [`base::Code::NotFound`] when the program is not installed; others when it does not work.
pub async fn probe(
    arch: Arch,
    program: PathBuf,
    state: &Path,
    forced: Option<Acceleration>,
) -> Result<Platform> {
    let (version, machine_types, sandbox) = match ask(arch, &program, true).await {
        Ok((version, types)) => (version, types, true),
        Err(e) if e.code == base::Code::NotFound => return Err(e),
        // Some builds have no seccomp.
        Err(_) => {
            let (version, types) = ask(arch, &program, false).await?;
            (version, types, false)
        }
    };
    let (acceleration, message) = match forced {
        Some(a) => (a, format!("{} by configuration", a.as_str())),
        None => accelerate(arch, &program, state).await,
    };
    let firmware = firmware(arch);
    Ok(Platform { arch, program, version, acceleration, message, machine_types, sandbox, firmware })
}

/// The version and the machine types of our kind. Only with options that end QEMU by themselves: one that answers QMP
/// would stay when we are killed.
async fn ask(arch: Arch, program: &Path, sandbox: bool) -> Result<(String, Vec<String>)> {
    let run = |args: &[&str]| {
        let mut command = process::command(program);
        command.args(args);
        process::run(command, ASK)
    };
    let version = run(&["--version"]).await?.stdout;
    let help = ["-sandbox", "on", "-machine", "help"];
    let machines = run(if sandbox { &help } else { &help[2..] }).await?.stdout;
    Ok((version_number(&version), machine_types(arch, &machines)))
}

/// `7.2.15` of `QEMU emulator version 7.2.15 (Debian ...)`.
fn version_number(text: &str) -> String {
    let after = text.split_once("version ").map_or("", |(_, after)| after);
    after.split_ascii_whitespace().next().unwrap_or("unknown").to_owned()
}

/// The machine types of our kind in the list that `-machine help` prints. The one that the alias names is the newest;
/// the others follow, so that machines made under them can keep them.
fn machine_types(arch: Arch, list: &str) -> Vec<String> {
    let kind = arch.machine();
    let names =
        || list.lines().filter_map(|line| line.split_ascii_whitespace().next().map(|name| (name, line)));
    let alias = names().find(|(name, _)| *name == kind).and_then(|(_, line)| line.rsplit_once("(alias of "));
    let newest = alias.and_then(|(_, rest)| rest.split(')').next());
    let versioned = format!("{kind}-");
    let others = names().map(|(name, _)| name).filter(|n| n.contains(&versioned) && Some(*n) != newest);
    newest.into_iter().chain(others).map(str::to_owned).collect()
}

/// The best acceleration that is proven to work, and why not a better one.
async fn accelerate(arch: Arch, program: &Path, state: &Path) -> (Acceleration, String) {
    let (candidate, obstacle) = match rt::host::os() {
        "linux" => (Acceleration::Kvm, kvm_obstacle()),
        "macos" => (Acceleration::Hvf, None),
        os => return (Acceleration::Tcg, format!("translated: no acceleration is known for {os}")),
    };
    let name = candidate.as_str();
    if arch.as_str() != rt::host::arch() {
        return (
            Acceleration::Tcg,
            format!("translated: the host is {}, not {}", rt::host::arch(), arch.as_str()),
        );
    }
    if let Some(obstacle) = obstacle {
        return (Acceleration::Tcg, format!("translated: {obstacle}"));
    }
    match prove(arch, program, state, candidate).await {
        Ok(()) => (candidate, format!("{name} works: a guest ran")),
        Err(e) => {
            (Acceleration::Tcg, format!("translated: {name} is there, but no guest runs with it ({e})"))
        }
    }
}

/// What is visibly missing for KVM. The device alone says little: it opens on hosts where no guest ever runs.
fn kvm_obstacle() -> Option<String> {
    if let Err(e) = OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        return Some(match e.kind() {
            ErrorKind::NotFound => {
                "there is no /dev/kvm; switch virtualisation on in the firmware, or nesting in the outer host"
                    .into()
            }
            ErrorKind::PermissionDenied => {
                "this user may not open /dev/kvm; add it to the group that owns that file, usually kvm".into()
            }
            _ => format!("/dev/kvm does not open: {e}"),
        });
    }
    if rt::host::arch() != "amd64" {
        return None; // no other architecture lists it among the flags
    }
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let found = flags.split_ascii_whitespace().any(|f| f == "vmx" || f == "svm");
    (!found).then(|| {
        "/dev/kvm opens, but the CPU has neither vmx nor svm; is nesting off in the outer host?".into()
    })
}

/// Runs the program given as arguments, and ends it after three seconds. A guest that hangs must not stay when we are
/// killed while we wait for it.
const BOUNDED: &str = r#""$0" "$@" & p=$!; { sleep 3; kill -9 $p; } & w=$!; wait $p; s=$?; kill $w; exit $s"#;

/// Runs a guest whose first instructions end it in a known way.
pub(super) async fn prove(
    arch: Arch,
    program: &Path,
    state: &Path,
    acceleration: Acceleration,
) -> Result<()> {
    let firmware = state.join(format!("proof-{}.bin", rt::ids::uid()));
    fs::write(&firmware, proof_firmware(arch))
        .map_err(|e| Error::io(format_args!("write {}", firmware.display()), &e))?;
    let mut command = process::command("/bin/sh");
    command.args(["-c", BOUNDED]).arg(program);
    command.args(["-nodefaults", "-no-user-config", "-display", "none", "-m", "64M"]);
    command.args(["-machine", arch.machine(), "-accel", acceleration.as_str(), "-no-reboot"]);
    command.args(["-cpu", if acceleration == Acceleration::Tcg { "max" } else { "host" }]);
    command.arg("-bios").arg(&firmware);
    if arch == Arch::Amd64 {
        command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]);
    }
    let ended = clock::timeout(PROOF, "the first instruction", command.status()).await;
    let _ = fs::remove_file(&firmware);
    let status = ended?.map_err(|e| process::cannot_start(&program.to_string_lossy(), &e))?;
    let expected = match arch {
        Arch::Amd64 => 2 * i32::from(PROOF_CODE) + 1, // how isa-debug-exit makes an exit code of a byte
        Arch::Arm64 => 0,
    };
    match status.code() {
        Some(code) if code == expected => Ok(()),
        _ => Err(Error::unavailable(format!("it ended with {status}"))),
    }
}

const PROOF_CODE: u8 = 0x10;

/// Machine code at the address where the CPU starts.
fn proof_firmware(arch: Arch) -> Vec<u8> {
    let (start, code): (usize, &[u8]) = match arch {
        // mov al, PROOF_CODE; out 0xf4, al; hlt
        Arch::Amd64 => (0xfff0, &[0xb0, PROOF_CODE, 0xe6, 0xf4, 0xf4]),
        // movz w0, #0x8400, lsl 16; movk w0, #8 (PSCI SYSTEM_OFF); hvc #0; b .
        Arch::Arm64 => (
            0,
            &[0x00, 0x80, 0xb0, 0x52, 0x00, 0x01, 0x80, 0x72, 0x02, 0x00, 0x00, 0xd4, 0x00, 0x00, 0x00, 0x14],
        ),
    };
    let mut rom = vec![0; 64 << 10];
    rom[start..start + code.len()].copy_from_slice(code);
    rom
}

/// The firmware with which disks boot, where the machine has none of its own.
fn firmware(arch: Arch) -> Option<PathBuf> {
    const PLACES: [&str; 4] = [
        "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
        "/usr/share/AAVMF/AAVMF_CODE.fd",
        "/opt/homebrew/share/qemu/edk2-aarch64-code.fd",
        "/usr/local/share/qemu/edk2-aarch64-code.fd",
    ];
    match arch {
        Arch::Amd64 => None,
        Arch::Arm64 => PLACES.iter().map(PathBuf::from).find(|p| p.exists()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A program that stands before the real one.
    fn script(dir: &Path, text: &str) -> PathBuf {
        let path = dir.join("qemu");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn a_guest_that_runs_is_proof() {
        let dir = tempfile::tempdir().unwrap();
        prove(Arch::Amd64, Path::new("qemu-system-x86_64"), dir.path(), Acceleration::Tcg).await.unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
    }

    #[tokio::test]
    async fn a_guest_that_hangs_or_fails_is_none() {
        let dir = tempfile::tempdir().unwrap();
        for (text, words) in
            [("exec sleep 60", "2 s"), ("exit 1", "exit status: 1"), ("exit 0", "exit status: 0")]
        {
            let program = script(dir.path(), text);
            let e = prove(Arch::Amd64, &program, dir.path(), Acceleration::Kvm).await.unwrap_err();
            assert!(e.message.contains(words), "{e}");
        }
    }

    #[tokio::test]
    async fn the_real_one_is_understood() {
        let dir = tempfile::tempdir().unwrap();
        let found = probe(Arch::Amd64, "qemu-system-x86_64".into(), dir.path(), None).await.unwrap();
        assert!(found.machine_types[0].starts_with("pc-q35-"), "{:?}", found.machine_types);
        assert!(found.machine_types.iter().all(|t| t.starts_with("pc-q35-")));
        assert!(found.version.split('.').count() == 3 && found.sandbox);
        assert!(!found.message.is_empty());
        let kept = found.machine_types.last().unwrap();
        assert_eq!(found.machine_type(Some(kept)).unwrap(), kept);
        assert_eq!(found.machine_type(Some("pc-q35-0.1")).unwrap(), found.machine_types[0]);
    }

    #[tokio::test]
    async fn one_that_does_not_work_says_why_itself() {
        let dir = tempfile::tempdir().unwrap();
        let program = script(dir.path(), "echo 'could not load module' >&2; exit 1");
        let e = probe(Arch::Amd64, program, dir.path(), None).await.unwrap_err();
        assert_eq!(e.cause.as_deref(), Some("could not load module"));
    }

    #[test]
    fn what_qemu_prints_is_read() {
        assert_eq!(version_number("QEMU emulator version 7.2.15 (Debian 1:7.2)\nCopyright"), "7.2.15");
        let list = "Supported machines are:\n\
                    pc                   Standard PC (i440FX + PIIX, 1996) (alias of pc-i440fx-7.2)\n\
                    pc-q35-7.1           Standard PC (Q35 + ICH9, 2009)\n\
                    q35                  Standard PC (Q35 + ICH9, 2009) (alias of pc-q35-7.2)\n\
                    pc-q35-7.2           Standard PC (Q35 + ICH9, 2009)\n\
                    none                 empty machine\n";
        assert_eq!(machine_types(Arch::Amd64, list), ["pc-q35-7.2", "pc-q35-7.1"]);
        assert_eq!(machine_types(Arch::Arm64, list), Vec::<String>::new());
    }

    #[tokio::test]
    async fn one_without_seccomp_and_one_that_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let text = r#"case "$*" in *-sandbox*) exit 1;; esac; exec qemu-system-x86_64 "$@""#;
        let found =
            probe(Arch::Amd64, script(dir.path(), text), dir.path(), Some(Acceleration::Tcg)).await.unwrap();
        assert!(!found.sandbox);
        let e =
            probe(Arch::Amd64, "/nonexistent/qemu-system-x86_64".into(), dir.path(), None).await.unwrap_err();
        assert!(e.hint.unwrap().contains("apt-get install"));
    }
}
