use super::*;
use proptest::prelude::*;
use std::time::Duration;

fn run(line: &str, dir: &std::path::Path) -> base::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut command = rt::process::command("sh");
    command.arg("-c").arg(line).current_dir(dir).env("HOME", dir).env("CDPATH", "/").env("OLDPWD", "/");
    runtime.block_on(rt::process::run(command, Duration::from_secs(30))).map(|o| o.stdout)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_real_shell_sees_the_very_values(
        values in prop::collection::vec("[^\0]{0,40}", 1..8),
        dir in "[^/\0]{1,30}",
    ) {
        // "." and ".." are there already and are not what is meant.
        prop_assume!(dir != "." && dir != "..");
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(&dir)).unwrap();
        let env: Vec<_> = values.iter().enumerate().map(|(i, v)| (format!("V_{i}"), v.clone())).collect();
        let words: Vec<String> = (0..values.len()).map(|i| format!("\"$V_{i}\"")).collect();
        let show = format!("printf '%s\\037' {}; printf '%s' \"$PWD\"", words.join(" "));
        let line = shell_command_with_env(Some(&show), &env, Some(&dir)).unwrap();
        let real = home.path().canonicalize().unwrap().join(&dir);
        let mut expected: Vec<String> = values;
        expected.push(real.to_str().unwrap().to_owned());
        // Outputs are text here; the separator is a control character that may itself be a value.
        prop_assert_eq!(run(&line, real.parent().unwrap()).unwrap(), expected.join("\u{1f}"));
    }

    #[test]
    fn a_quoted_word_is_one_word(text in "[^\0]{0,60}") {
        let home = tempfile::tempdir().unwrap();
        let line = format!("set -- {}; printf '%s:%s' $# \"$1\"", quote(&text));
        prop_assert_eq!(run(&line, home.path()).unwrap(), format!("1:{text}"));
    }
}

#[test]
fn directories_that_shells_find_special() {
    let home = tempfile::tempdir().unwrap();
    let real = home.path().canonicalize().unwrap();
    for dir in ["-", "-P", "etc", "~x", "a b", "~", "~/a b", "sub/.."] {
        let plain = dir.strip_prefix("~/").unwrap_or(dir);
        if plain != "~" {
            std::fs::create_dir_all(home.path().join(plain)).unwrap();
        }
        let line = shell_command_with_env(Some("pwd"), &[], Some(dir)).unwrap();
        let expected = match plain {
            "~" | "sub/.." => real.clone(),
            _ => real.join(plain),
        };
        assert_eq!(run(&line, &real).unwrap().trim_end(), expected.to_str().unwrap(), "{dir}");
    }
}

#[test]
fn a_missing_directory_ends_the_command() {
    let home = tempfile::tempdir().unwrap();
    let line = shell_command_with_env(Some("echo reached"), &[], Some("/no/such/place")).unwrap();
    assert!(run(&line, home.path()).is_err());
}

#[test]
fn without_a_command_the_login_shell_follows() {
    let line = shell_command_with_env(None, &[("A".into(), "1".into())], None).unwrap();
    assert_eq!(line, "export A='1'; exec \"${SHELL:-/bin/sh}\" -l");
}

#[test]
fn bad_names_and_values_are_refused() {
    for (name, value) in
        [("", "x"), ("1A", "x"), ("A-B", "x"), ("A=B", "x"), ("A;id", "x"), ("Ä", "x"), ("A", "a\0b")]
    {
        let e = shell_command_with_env(Some("id"), &[(name.into(), value.into())], None).unwrap_err();
        assert_eq!((e.code, e.field.as_deref()), (base::Code::Invalid, Some("env")), "{name:?}");
    }
    for dir in ["", "a\0"] {
        let e = shell_command_with_env(Some("id"), &[], Some(dir)).unwrap_err();
        assert_eq!(e.field.as_deref(), Some("workdir"));
    }
}
