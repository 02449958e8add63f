//! Images: what VMs start from.

use crate::meta::{Condition, Object};
use base::{ByteSize, Secret};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What VMs start from. Shared by all projects.
pub type Image = Object<ImageSpec, ImageStatus>;

/// What an image is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageSpec {
    /// Its kind of content.
    pub format: ImageFormat,
    /// `amd64` or `arm64`.
    pub arch: String,
    /// `linux` or `macos`.
    #[serde(default = "linux")]
    pub os: String,
    /// The kernel's command line, for `kernel` images.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub command_line: String,
    /// The name one logs in with.
    #[serde(default = "user")]
    pub user: String,
    /// Whether the guest reads a NoCloud seed. One that does not needs `password` or `key`.
    #[serde(default = "yes")]
    pub seed: bool,
    /// The password of an image without a seed. Write-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// A private key without a passphrase that may log in to an image without a seed. Write-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Secret>,
}

fn linux() -> String {
    "linux".into()
}
fn user() -> String {
    "hostler".into()
}
fn yes() -> bool {
    true
}

/// Kinds of image content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImageFormat {
    /// A bootable disk in QEMU's format.
    Qcow2,
    /// A bootable disk, byte for byte.
    Raw,
    /// A kernel and an initial RAM disk, started directly; the VM's disk is blank at first.
    Kernel,
    /// Nothing: for the synthetic runtime.
    Synthetic,
}

impl ImageFormat {
    /// The files an image of this format consists of.
    pub fn parts(self) -> &'static [&'static str] {
        match self {
            ImageFormat::Qcow2 | ImageFormat::Raw => &["disk"],
            ImageFormat::Kernel => &["kernel", "initrd"],
            ImageFormat::Synthetic => &[],
        }
    }
}

/// What was seen of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageStatus {
    /// Whether all its parts are there: only then it can be used.
    pub ready: bool,
    /// Its parts, as far as they have arrived.
    pub parts: Vec<ImagePart>,
    /// Size of the disk that a guest sees; 0 where the image has none.
    pub virtual_size: ByteSize,
    /// `Ready`.
    pub conditions: Vec<Condition>,
}

/// One file of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImagePart {
    /// `disk`, `kernel` or `initrd`.
    pub name: String,
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Size of the file.
    pub size: ByteSize,
}
