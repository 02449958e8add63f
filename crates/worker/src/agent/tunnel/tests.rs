use super::*;
use api::{routes::encode, stream::ExecRequest};

#[test]
fn targets() {
    let uid = rt::ids::uid();
    let parse = |rest: &str| Goal::parse(&format!("vms/{uid}/{rest}"));
    assert_eq!(parse("ports/22").unwrap(), Goal::Stream(uid, Target::Port(22)));
    assert_eq!(parse("vnc").unwrap(), Goal::Stream(uid, Target::Vnc));
    assert_eq!(parse("console").unwrap(), Goal::Stream(uid, Target::Console));
    let query = logs::Query { offset: Some(5), limit: None, follow: true, header: false };
    assert_eq!(
        parse("logs/startup?offset=5&follow=true").unwrap(),
        Goal::Log(uid, logs::Log::Startup, query)
    );
    let line = "echo 'a & b' + ü";
    let text = format!("exec?command={}&tty=true&rows=40&wait=5", encode(line));
    let request = ExecRequest {
        command: Some(line.into()),
        tty: true,
        rows: 40,
        wait: Some(5),
        ..ExecRequest::default()
    };
    assert_eq!(parse(&text).unwrap(), Goal::Exec(uid, request));
    assert_eq!(parse("exec").unwrap(), Goal::Exec(uid, ExecRequest::default()));
    for (wrong, code) in [
        ("ports/0", Code::Invalid),
        ("ports/65536", Code::Invalid),
        ("ports/22/x", Code::NotFound),
        ("logs/other", Code::NotFound),
        ("exec?rows=x", Code::Invalid),
        ("", Code::NotFound),
    ] {
        assert_eq!(parse(wrong).unwrap_err().code, code, "{wrong}");
    }
    assert_eq!(Goal::parse("vms/x/vnc").unwrap_err().code, Code::Invalid);
}
