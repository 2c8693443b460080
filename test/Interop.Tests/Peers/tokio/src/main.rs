//! length_delimited PORT big|little|whole: sends frames by tokio_util's LengthDelimitedCodec, and checks that each comes back.
use bytes::Bytes;
use futures_core::Stream;
use futures_sink::Sink;
use std::future::poll_fn;
use std::pin::Pin;
use tokio::net::TcpStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

const SIZES: [usize; 7] = [0, 1, 127, 128, 300, 16384, 65530];

async fn run(port: u16, kind: &str) -> Result<(), Box<dyn std::error::Error>> {
    let codec = match kind {
        "little" => LengthDelimitedCodec::builder().little_endian().length_field_length(2).new_codec(),
        "whole" => LengthDelimitedCodec::builder().length_field_length(3).length_adjustment(-3).num_skip(3).new_codec(),
        _ => LengthDelimitedCodec::new(),
    };
    let mut framed = Framed::new(TcpStream::connect(("127.0.0.1", port)).await?, codec);
    for size in SIZES {
        let frame: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        poll_fn(|context| Pin::new(&mut framed).poll_ready(context)).await?;
        Pin::new(&mut framed).start_send(Bytes::from(frame.clone()))?;
        poll_fn(|context| Sink::<Bytes>::poll_flush(Pin::new(&mut framed), context)).await?;
        let echo = poll_fn(|context| Pin::new(&mut framed).poll_next(context)).await.ok_or("the end")??;
        assert_eq!(echo.as_ref(), &frame[..]);
    }
    println!("{} frames", SIZES.len());
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(run(arguments[1].parse()?, &arguments[2]))
}
