//! An echo server on Tokio: a task for each connection, buffered reader and writer, and a flush when all received data is
//! processed. One thread is the current-thread runtime, more are the multi-thread one.

use std::io;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Builder;
use tokio::signal::unix::{signal, SignalKind};

#[derive(Default)]
struct Arguments {
    line: Option<u16>,
    frame: Option<u16>,
    unix: Option<String>,
    unix_frame: Option<String>,
    threads: usize,
}

fn arguments() -> Arguments {
    let mut parsed = Arguments { threads: 1, ..Default::default() };
    let mut words = std::env::args().skip(1);
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        match name.as_str() {
            "--line" => parsed.line = Some(value.parse().expect("a port")),
            "--frame" => parsed.frame = Some(value.parse().expect("a port")),
            "--unix" => parsed.unix = Some(value),
            "--unix-frame" => parsed.unix_frame = Some(value),
            "--threads" => parsed.threads = value.parse().expect("a number"),
            _ => panic!("{name} is not an option"),
        }
    }
    parsed
}

async fn echo_lines(input: impl AsyncRead + Unpin, output: impl AsyncWrite + Unpin) -> io::Result<()> {
    let (mut reader, mut writer) = (BufReader::new(input), BufWriter::new(output));
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).await? > 0 {
        writer.write_all(&line).await?;
        line.clear();
        if reader.buffer().is_empty() {
            writer.flush().await?;
        }
    }
    Ok(())
}

async fn echo_frames(input: impl AsyncRead + Unpin, output: impl AsyncWrite + Unpin) -> io::Result<()> {
    let (mut reader, mut writer) = (BufReader::new(input), BufWriter::new(output));
    let mut frame = vec![0; 4];
    while !reader.fill_buf().await?.is_empty() {
        reader.read_exact(&mut frame[..4]).await?;
        let length = u32::from_be_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
        frame.resize(4 + length, 0);
        reader.read_exact(&mut frame[4..]).await?;
        writer.write_all(&frame).await?;
        if reader.buffer().is_empty() {
            writer.flush().await?;
        }
    }
    Ok(())
}

fn report(result: io::Result<()>) {
    if let Err(error) = result {
        eprintln!("{error}");
    }
}

async fn serve_tcp(port: u16, frames: bool) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("accept");
            stream.set_nodelay(true).expect("TCP_NODELAY");
            tokio::spawn(async move {
                let (input, output) = stream.split();
                report(if frames { echo_frames(input, output).await } else { echo_lines(input, output).await });
            });
        }
    });
    Ok(())
}

fn serve_unix(path: &str, frames: bool) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("accept");
            tokio::spawn(async move {
                let (input, output) = stream.split();
                report(if frames { echo_frames(input, output).await } else { echo_lines(input, output).await });
            });
        }
    });
    Ok(())
}

async fn run(arguments: Arguments) -> io::Result<()> {
    for (port, frames) in [(arguments.line, false), (arguments.frame, true)] {
        if let Some(port) = port {
            serve_tcp(port, frames).await?;
        }
    }
    for (path, frames) in [(arguments.unix, false), (arguments.unix_frame, true)] {
        if let Some(path) = path {
            serve_unix(&path, frames)?;
        }
    }
    let mut ends = signal(SignalKind::terminate())?;
    println!("ready");
    ends.recv().await;
    Ok(())
}

fn main() -> io::Result<()> {
    let arguments = arguments();
    let mut builder = if arguments.threads == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if arguments.threads > 1 {
        builder.worker_threads(arguments.threads);
    }
    builder.enable_all().build()?.block_on(run(arguments))
}
