use super::*;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

const SOON: Duration = Duration::from_secs(20);

async fn probe(answer: &[u8]) -> Result<String> {
    read_banner(answer, SOON).await
}

#[tokio::test]
async fn only_a_banner_is_a_success() {
    assert_eq!(probe(b"SSH-2.0-dropbear_2022.83\r\n\0\0\x01").await.unwrap(), "SSH-2.0-dropbear_2022.83");
    assert_eq!(probe(b"hello\r\nworld\nSSH-1.99-x\n").await.unwrap(), "SSH-1.99-x");
    let endless = "x".repeat(100_000);
    let long = format!("SSH-2.0-{}\r\n", "x".repeat(300));
    let refused: [&[u8]; 6] = [
        b"",
        b"SSH-2.0-half",
        b"SSH-1.5-old\r\n",
        b"HTTP/1.1 400\r\n\r\n",
        long.as_bytes(),
        endless.as_bytes(),
    ];
    for answer in refused {
        let e = probe(answer).await.unwrap_err();
        assert_eq!((e.code, e.cause.is_some()), (Code::Unavailable, true), "{e}");
    }
}

#[tokio::test]
async fn a_banner_in_pieces_is_read() {
    let (ours, mut theirs) = tokio::io::duplex(4);
    let talk = rt::task::spawn("talk", async move {
        theirs.write_all(b"welcome\r\nSSH-2.0-slow\r\nmore").await.unwrap();
    });
    assert_eq!(read_banner(ours, SOON).await.unwrap(), "SSH-2.0-slow");
    drop(talk);
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let (ours, _theirs) = tokio::io::duplex(4);
    assert_eq!(read_banner(ours, Duration::from_millis(50)).await.unwrap_err().code, Code::Timeout);
}

proptest! {
    #[test]
    fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        if let Ok(line) = runtime.block_on(probe(&bytes)) {
            prop_assert!(line.starts_with("SSH-"));
        }
    }
}
