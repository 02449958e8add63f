use super::*;
use futures::FutureExt;
use proptest::prelude::*;

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    /// Whatever the sizes of messages and of the pieces in which they travel, and however often a read is dropped, what
    /// arrives is what was sent.
    #[test]
    fn messages_arrive_whole(messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20), pipe in 1usize..64) {
        run(async {
            let (near, far) = tokio::io::duplex(pipe);
            let sent = messages.clone();
            let send = async move {
                let mut writer = FrameWriter::new(near);
                for message in &sent {
                    writer.send(message).await.unwrap();
                }
                writer.shutdown().await.unwrap();
            };
            let receive = async move {
                let mut reader = FrameReader::new(far);
                let mut got = Vec::new();
                loop {
                    let next = match reader.next().now_or_never() { // dropped unless it is ready
                        Some(next) => next,
                        None => reader.next().await,
                    };
                    match next.unwrap() {
                        Some(message) => got.push(message.to_vec()),
                        None => return got,
                    }
                }
            };
            let ((), got) = tokio::join!(send, receive);
            assert_eq!(got, messages);
        });
    }

    #[test]
    fn any_bytes_are_messages_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        run(async {
            let mut reader = FrameReader::new(&bytes[..]);
            while let Ok(Some(_)) = reader.next_on_channel().await {}
        });
    }
}

#[tokio::test]
async fn a_dropped_send_does_not_break_the_framing() {
    let (near, far) = tokio::io::duplex(3);
    let mut writer = FrameWriter::new(near);
    assert!(writer.send(b"first").now_or_never().is_none()); // stuck in the pipe, then dropped
    let mut reader = FrameReader::new(far);
    let (sent, first) = tokio::join!(writer.send(b"second"), async {
        (reader.next().await.unwrap().unwrap(), reader.next().await.unwrap().unwrap())
    });
    sent.unwrap();
    assert_eq!((&first.0[..], &first.1[..]), (&b"first"[..], &b"second"[..]));
}

#[tokio::test]
async fn limits_hold() {
    let mut header = u32::try_from(MAX_FRAME + 1).unwrap().to_be_bytes().to_vec();
    header.extend([0; 8]);
    let too_long = FrameReader::new(&header[..]).next().await.unwrap_err();
    assert_eq!(too_long.kind(), io::ErrorKind::InvalidData);
    assert!(FrameWriter::new(Vec::new()).send(&vec![0; MAX_FRAME + 1]).await.is_err());
    let cut = FrameReader::new(&[0, 0, 0, 2, 7][..]).next().await.unwrap_err();
    assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn channels_split_long_output() {
    let long = vec![7; MAX_FRAME + 10];
    let mut out = Vec::new();
    FrameWriter::new(&mut out).send_on(Channel::Stdout, &long).await.unwrap();
    let mut reader = FrameReader::new(&out[..]);
    let mut got = Vec::new();
    while let Some((channel, bytes)) = reader.next_on_channel().await.unwrap() {
        assert_eq!(channel, Channel::Stdout);
        got.extend_from_slice(&bytes);
    }
    assert!(got == long);
}
