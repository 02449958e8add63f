//! The command line of a hypervisor: a pure function of the machine and the host's QEMU.

use super::platform::{Acceleration, Arch, Platform};
use crate::{
    runtimes::{ImageFiles, Machine},
    shim::Dir,
};
use base::{ByteSize, Error, MIB, Result};
use std::path::Path;

/// The name of the network device, for forwards made later.
pub const NETDEV: &str = "net0";

/// Translated code that QEMU may keep per machine. Its own default is up to 1 GiB, which nobody accounts for.
pub const TCG_CACHE: ByteSize = ByteSize::mib(128);

/// The arguments (without the program) for a machine with this versioned type. Files of the machine's own directory
/// have relative names: QEMU works there.
///
/// # Errors
/// [`base::Code::Invalid`] for a path that is not UTF-8.
pub fn args(machine: &Machine, platform: &Platform, machine_type: &str) -> Result<Vec<String>> {
    let mut a = Args::default();
    identity(&mut a, machine);
    hardware(&mut a, machine, platform, machine_type);
    boot(&mut a, machine, platform)?;
    disks(&mut a, machine);
    network(&mut a, machine);
    sockets(&mut a, platform.arch);
    if platform.sandbox {
        a.pair("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
    }
    Ok(a.0)
}

#[derive(Default)]
struct Args(Vec<String>);

impl Args {
    fn one(&mut self, flag: &str) {
        self.0.push(flag.to_owned());
    }

    fn pair(&mut self, flag: &str, value: impl Into<String>) {
        self.0.push(flag.to_owned());
        self.0.push(value.into());
    }
}

fn identity(a: &mut Args, machine: &Machine) {
    a.pair("-name", format!("guest={},debug-threads=on", machine.name));
    a.pair("-uuid", machine.uid.to_string());
    a.one("-nodefaults");
    a.one("-no-user-config");
    a.pair("-display", "none");
    a.pair("-msg", "timestamp=on");
}

fn hardware(a: &mut Args, machine: &Machine, platform: &Platform, machine_type: &str) {
    a.pair("-machine", format!("{machine_type},usb=off,dump-guest-core=off"));
    let native = platform.arch.as_str() == rt::host::arch();
    match platform.acceleration {
        // Threads on a host with another memory order would be wrong: QEMU decides there.
        Acceleration::Tcg if native => {
            a.pair("-accel", format!("tcg,thread=multi,tb-size={}", TCG_CACHE.bytes() / MIB));
        }
        Acceleration::Tcg => a.pair("-accel", format!("tcg,tb-size={}", TCG_CACHE.bytes() / MIB)),
        hardware => a.pair("-accel", hardware.as_str()),
    }
    a.pair("-cpu", if platform.acceleration == Acceleration::Tcg { "max" } else { "host" });
    a.pair("-smp", format!("cpus={}", machine.cpus));
    a.pair("-m", format!("size={}M", machine.memory.bytes().div_ceil(MIB)));
    a.pair("-rtc", "base=utc");
    a.pair("-object", "rng-builtin,id=rng0");
    a.pair("-device", "virtio-rng-pci,rng=rng0");
}

fn boot(a: &mut Args, machine: &Machine, platform: &Platform) -> Result<()> {
    match &machine.image {
        ImageFiles::Kernel { kernel, initrd, command_line } => {
            a.pair("-kernel", utf8(kernel)?);
            a.pair("-initrd", utf8(initrd)?);
            a.pair("-append", command_line);
        }
        ImageFiles::Disk { .. } => {
            if let Some(firmware) = &platform.firmware {
                a.pair("-bios", utf8(firmware)?);
            }
        }
        ImageFiles::Synthetic => {
            return Err(Error::invalid("/spec/image", "this image is for the synthetic runtime only")
                .hint("choose an image with a disk or a kernel: hostler image list"));
        }
    }
    Ok(())
}

fn disks(a: &mut Args, machine: &Machine) {
    if has_disk(machine) {
        // What an ephemeral machine writes need not survive the host: no flushes.
        let cache = if machine.ephemeral { "unsafe" } else { "writeback" };
        a.pair(
            "-drive",
            format!("if=none,id=disk0,file={},format=qcow2,cache={cache},discard=unmap", Dir::DISK),
        );
        a.pair("-device", "virtio-blk-pci,drive=disk0,serial=disk0,bootindex=1");
    }
    a.pair("-drive", format!("if=none,id=seed0,file={},format=raw,readonly=on", Dir::SEED));
    a.pair("-device", "virtio-blk-pci,drive=seed0,serial=cidata");
}

/// Whether the machine has a disk: all but those that boot a kernel and asked for none.
pub fn has_disk(machine: &Machine) -> bool {
    machine.disk.bytes() > 0 || !matches!(machine.image, ImageFiles::Kernel { .. })
}

fn network(a: &mut Args, machine: &Machine) {
    let [.., x, y, z] = *machine.uid.as_bytes();
    a.pair("-netdev", format!("user,id={NETDEV}"));
    a.pair(
        "-device",
        format!("virtio-net-pci,netdev={NETDEV},mac=52:54:00:{x:02x}:{y:02x}:{z:02x},romfile="),
    );
}

fn sockets(a: &mut Args, arch: Arch) {
    a.pair("-chardev", format!("socket,id=qmp0,path={},server=on,wait=off", Dir::QMP_SOCKET));
    a.pair("-mon", "chardev=qmp0,mode=control");
    // QEMU waits for the shim here, so that not a byte of the console is lost. Its control socket comes
    // before: when the shim is connected, the agent can be.
    a.pair("-chardev", format!("socket,id=serial0,path={},server=on,wait=on", Dir::SERIAL_SOCKET));
    a.pair("-serial", "chardev:serial0");
    a.pair("-vnc", format!("unix:{}", Dir::VNC_SOCKET));
    match arch {
        Arch::Amd64 => a.pair("-device", "VGA,vgamem_mb=16"),
        Arch::Arm64 => {
            a.pair("-device", "virtio-gpu-pci");
            a.pair("-device", "qemu-xhci");
            a.pair("-device", "usb-kbd");
            a.pair("-device", "usb-tablet");
        }
    }
}

fn utf8(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Error::invalid("/spec/image", format!("the path {} is not UTF-8", path.display()))
            .hint("keep the state directory at a plain path")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtimes::{DiskFormat, Seed};
    use base::{Name, Secret, Uid};
    use std::path::PathBuf;

    fn machine(image: ImageFiles) -> Machine {
        Machine {
            uid: Uid::from_parts(1_700_000_000_000, &[7; 10]),
            epoch: 1,
            name: Name::new("demo").unwrap(),
            arch: "amd64".into(),
            cpus: 2,
            memory: ByteSize::mib(512),
            disk: ByteSize::gib(4),
            ephemeral: false,
            image,
            seed: Seed {
                hostname: "demo".into(),
                user: "dev".into(),
                authorized_keys: vec![],
                host_key_private: Secret::new("private"),
                host_key_public: "ssh-ed25519 AAAA".into(),
            },
            synthetic: None,
        }
    }

    fn platform(arch: Arch, acceleration: Acceleration) -> Platform {
        Platform {
            arch,
            program: arch.program().into(),
            version: "7.2.15".into(),
            acceleration,
            message: String::new(),
            machine_types: vec![],
            sandbox: true,
            firmware: (arch == Arch::Arm64).then(|| PathBuf::from("/usr/share/qemu-efi-aarch64/QEMU_EFI.fd")),
        }
    }

    fn lines(machine: &Machine, platform: &Platform, machine_type: &str) -> String {
        let args = args(machine, platform, machine_type).unwrap();
        let mut text = String::new();
        for arg in args {
            text += if arg.starts_with('-') { "\n" } else { " " };
            text += &arg;
        }
        text
    }

    fn kernel() -> ImageFiles {
        ImageFiles::Kernel {
            kernel: "/images/ab/vmlinuz".into(),
            initrd: "/images/ab/initrd.img".into(),
            command_line: "console=ttyS0 quiet".into(),
        }
    }

    fn disk() -> ImageFiles {
        ImageFiles::Disk { path: "/images/cd/disk".into(), format: DiskFormat::Qcow2 }
    }

    #[test]
    fn a_disk_image_with_hardware_acceleration() {
        insta::assert_snapshot!(lines(
            &machine(disk()),
            &platform(Arch::Amd64, Acceleration::Kvm),
            "pc-q35-7.2"
        ));
    }

    #[test]
    fn an_ephemeral_disk_image_for_arm() {
        let machine = Machine { ephemeral: true, arch: "arm64".into(), ..machine(disk()) };
        insta::assert_snapshot!(lines(&machine, &platform(Arch::Arm64, Acceleration::Hvf), "virt-10.0"));
    }

    #[test]
    fn a_kernel_image_without_acceleration_or_disk() {
        let machine = Machine { disk: ByteSize(0), ..machine(kernel()) };
        let platform = Platform { sandbox: false, ..platform(Arch::Amd64, Acceleration::Tcg) };
        let text = lines(&machine, &platform, "pc-q35-10.0");
        // Whether translated code runs in several threads depends on the host of the test.
        insta::assert_snapshot!(text.replace("tcg,thread=multi,", "tcg,"));
    }

    #[test]
    fn a_synthetic_image_is_refused() {
        let machine = machine(ImageFiles::Synthetic);
        let e = args(&machine, &platform(Arch::Amd64, Acceleration::Tcg), "q35").unwrap_err();
        assert_eq!(e.field.as_deref(), Some("/spec/image"));
    }
}
