//! Kinds of files, told by their first bytes.

/// How much of a file's beginning is looked at.
pub(crate) const HEAD: usize = 4096;

/// A disk image format other than the plain bytes, or `None`. A guest that may write to a disk declared raw could
/// otherwise put such a header there and have a later, guessing reader open another file of the host.
pub(crate) fn disk_format(head: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..offset + magic.len()) == Some(magic);
    let formats: [(usize, &[u8], &str); 14] = [
        (0, b"QFI\xfb", "qcow2"),
        (0, b"QED\0", "qed"),
        (0, b"KDMV", "vmdk"),
        (0, b"COWD", "vmdk"),
        (0, b"# Disk DescriptorFile", "vmdk"),
        (64, b"\x7f\x10\xda\xbe", "vdi"),
        (0, b"vhdxfile", "vhdx"),
        (0, b"conectix", "vpc"),
        (0, b"WithoutFreeSpace", "parallels"),
        (0, b"WithouFreSpacExt", "parallels"),
        (0, b"LUKS\xba\xbe", "luks"),
        (0, b"Bochs Virtual HD Image", "bochs"),
        (0, b"#!/bin/sh\n#V2.0 Format", "cloop"),
        (0, b"OOOM", "user-mode linux copy-on-write"),
    ];
    formats.iter().find(|(offset, magic, _)| at(*offset, magic)).map(|(.., name)| *name)
}

/// The name of a compression, or `None`.
pub(crate) fn compression(head: &[u8]) -> Option<&'static str> {
    let kinds: [(&[u8], &str); 8] = [
        (b"\x1f\x8b", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\xfd7zXZ\0", "xz"),
        (b"BZh", "bzip2"),
        (b"\x02\x21\x4c\x18", "lz4"),
        (b"\x04\x22\x4d\x18", "lz4"),
        (b"\x89LZO", "lzop"),
        (b"\x5d\0\0", "lzma"),
    ];
    kinds.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, name)| *name)
}

/// Whether this begins like a Linux kernel: bzImage (Documentation/arch/x86/boot.rst), arm64 `Image`
/// (Documentation/arch/arm64/booting.rst), an EFI zboot image, ELF, or a compressed one.
pub(crate) fn is_kernel(head: &[u8]) -> bool {
    let at = |offset: usize, magic: &[u8]| head.get(offset..offset + magic.len()) == Some(magic);
    at(0x202, b"HdrS")
        || at(0x38, b"ARM\x64")
        || (at(0, b"MZ") && at(4, b"zimg"))
        || at(0, b"\x7fELF")
        || at(0, b"\x1f\x8b")
        || at(0, b"\x28\xb5\x2f\xfd")
}

/// Whether this begins like an initial RAM disk: a cpio archive (Documentation/driver-api/early-userspace/
/// buffer-format.rst), compressed or not.
pub(crate) fn is_initrd(head: &[u8]) -> bool {
    head.starts_with(b"070701") || head.starts_with(b"070702") || compression(head).is_some()
}
