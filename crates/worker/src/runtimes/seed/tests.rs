use super::*;
use crate::runtimes::ImageFiles;
use base::{ByteSize, Name, Secret, Uid};
use proptest::prelude::*;

/// Reads an image as a guest does, independently of what wrote it: ISO 9660 (ECMA-119) directory records with Rock Ridge
/// names (the `NM` fields of RRIP 1.12), or a Joliet tree (UCS-2 names) where the volume descriptor is of that type.
struct Reader<'a>(&'a [u8]);

const SECTOR: usize = 2048;

impl Reader<'_> {
    fn volume(&self, kind: u8) -> &[u8] {
        let descriptors = self.0.chunks(SECTOR).skip(16);
        descriptors.take_while(|d| &d[1..6] == b"CD001").find(|d| d[0] == kind).unwrap()
    }

    /// All files below the root of a volume: path and content.
    fn files(&self, kind: u8) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        self.walk(&self.volume(kind)[156..190], "", kind == 2, &mut found);
        found
    }

    fn walk(&self, record: &[u8], path: &str, joliet: bool, found: &mut BTreeMap<String, Vec<u8>>) {
        let extent = self.extent(record);
        for sector in extent.chunks(SECTOR) {
            let mut rest = sector;
            while let Some(&length @ 1..) = rest.first() {
                let (record, after) = rest.split_at(length as usize);
                rest = after;
                let identifier = &record[33..33 + record[32] as usize];
                if identifier.len() == 1 && identifier[0] < 2 {
                    continue; // the directory itself and its parent
                }
                let name = format!("{path}{}", if joliet { ucs2(identifier) } else { rock_ridge(record) });
                if record[25] & 2 == 0 {
                    found.insert(name, self.extent(record).to_vec());
                } else {
                    self.walk(record, &format!("{name}/"), joliet, found);
                }
            }
        }
    }

    fn extent(&self, record: &[u8]) -> &[u8] {
        let number = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().unwrap()) as usize;
        &self.0[number(2) * SECTOR..][..number(10)]
    }
}

fn ucs2(bytes: &[u8]) -> String {
    let units: Vec<u16> = bytes.chunks(2).map(|c| u16::from_be_bytes([c[0], c[1]])).collect();
    String::from_utf16(&units).unwrap().trim_end_matches(";1").to_owned()
}

fn rock_ridge(record: &[u8]) -> String {
    let identifier = record[32] as usize;
    let mut fields = &record[33 + identifier + usize::from(identifier.is_multiple_of(2))..];
    while fields.len() > 4 && fields[2] > 0 {
        let (field, rest) = fields.split_at(fields[2] as usize);
        if &field[..2] == b"NM" {
            return String::from_utf8(field[5..].to_vec()).unwrap();
        }
        fields = rest;
    }
    panic!("a record without a Rock Ridge name");
}

fn machine(user: &str) -> Machine {
    Machine {
        uid: Uid::from_parts(1_700_000_000_000, &[7; 10]),
        epoch: 1,
        name: Name::new("demo").unwrap(),
        arch: "amd64".into(),
        cpus: 1,
        memory: ByteSize::mib(64),
        disk: ByteSize(0),
        ephemeral: false,
        image: ImageFiles::Synthetic,
        seed: Seed {
            hostname: "demo".into(),
            user: user.into(),
            authorized_keys: vec!["ssh-ed25519 AAAA one".into(), "ssh-ed25519 BBBB \"two\": #3\n".into()],
            host_key_private: Secret::new(
                "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----",
            ),
            host_key_public: "ssh-ed25519 CCCC".into(),
        },
        synthetic: None,
    }
}

#[test]
fn a_guest_finds_its_files_by_their_names() {
    let iso = seed(&machine("dev")).unwrap();
    let reader = Reader(&iso);
    assert_eq!(&reader.volume(1)[40..72], format!("{:32}", "cidata").as_bytes());
    let files = reader.files(1);
    assert_eq!(files, reader.files(2), "Rock Ridge and Joliet show the same");
    let text = |name: &str| String::from_utf8(files[name].clone()).unwrap();
    let mut shown = String::new();
    for name in files.keys() {
        shown.extend(["--- ", name, "\n", &text(name)]);
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn cloud_init_gets_what_was_meant() {
    let root = user_data(&machine("root").seed);
    assert_eq!((&root["disable_root"], root["users"][0].get("sudo")), (&json!(false), None));
    let files = files(&machine("dev"));
    let user_data = &files.iter().find(|(name, _)| name == "user-data").unwrap().1;
    let yaml = user_data.strip_prefix(b"#cloud-config\n").unwrap();
    let parsed: Value = serde_json::from_slice(yaml).unwrap();
    assert_eq!(parsed["users"][0]["ssh_authorized_keys"][1], "ssh-ed25519 BBBB \"two\": #3");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever the sizes, what is read is what was written.
    #[test]
    fn contents_survive(contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5000), 1..9)) {
        let names: Vec<String> =
            (0..contents.len()).map(|n| if n % 2 == 0 { format!("file-{n}") } else { format!("dir/file-{n}.pub") }).collect();
        let files: Vec<_> = names.iter().map(String::as_str).zip(contents.iter().map(Vec::as_slice)).collect();
        let iso = seed_iso(&files).unwrap();
        let expected: BTreeMap<String, Vec<u8>> =
            names.iter().cloned().zip(contents.iter().cloned()).collect();
        prop_assert_eq!(Reader(&iso).files(1), expected.clone());
        prop_assert_eq!(Reader(&iso).files(2), expected);
        prop_assert!(iso.len().is_multiple_of(SECTOR));
    }
}
