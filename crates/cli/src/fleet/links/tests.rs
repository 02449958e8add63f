use super::{options, tools::TOOLS, translate};
use std::ffi::OsString;

fn meant(name: &str, args: &[&str]) -> Result<String, String> {
    let tool = TOOLS.iter().find(|t| t.name == name).unwrap();
    let args: Vec<OsString> = args.iter().map(Into::into).collect();
    let ours = translate(tool, &args).map_err(|f| f.error.error.message.clone())?;
    Ok(ours[1..].iter().map(|a| a.to_str().unwrap()).collect::<Vec<_>>().join(" "))
}

#[test]
fn names_may_be_short_in_each_word_and_spelled_freely() {
    for all in ["--all", "--all-nodes", "--ALL_nodes", "--a-n", "-a"] {
        assert_eq!(meant("report", &[all]).unwrap(), "report --all");
    }
    assert_eq!(meant("report", &["--node-service", "s"]).unwrap(), "report --node-service s");
    assert_eq!(
        meant("report", &["--node=web1", "-n/w/", "-an", "x"]).unwrap(),
        "report --node web1 --node /w/ --all --node x"
    );
    assert_eq!(
        meant("report", &["--nodes", "x"]).unwrap_err(),
        "'--nodes' may be --nodes-list or --nodes-service or --nodes-platform or --nodes-git-impact"
    );
    assert_eq!(meant("report", &["--nothing"]).unwrap_err(), "unknown option '--nothing'");
    assert_eq!(meant("report", &["web1"]).unwrap_err(), "unknown argument 'web1'");
    assert_eq!(meant("report", &["--node"]).unwrap_err(), "--node needs a value");
    assert_eq!(meant("report", &["--all=1"]).unwrap_err(), "--all-nodes takes no value");
}

#[test]
fn no_option_is_dropped_in_silence() {
    for tool in TOOLS {
        for option in tool.options() {
            let arg = OsString::from(format!("--{}", option.long));
            let value = option.value.then(|| OsString::from("1"));
            let args: Vec<_> = [arg].into_iter().chain(value).collect();
            let given = options::read(tool, &args).unwrap();
            assert!(std::ptr::eq(given[0].option, option) || given[0].option.long == option.long);
        }
    }
}

#[test]
fn what_is_usual_needs_no_word_of_ours() {
    assert_eq!(meant("report", &["--format", "stdout"]).unwrap(), "report");
    let other = meant("report", &["--format", "mediawiki"]).unwrap_err();
    assert_eq!(other, "report does not know --format mediawiki yet");
    assert_eq!(
        meant("test", &["--report=stdout", "-t", "ports", "-r", "stdout"]).unwrap(),
        "test --test ports"
    );
}
