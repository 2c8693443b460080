"""An echo server on asyncio's streams; --uvloop runs it on uvloop's event loop."""

import argparse
import asyncio
import signal


async def echo_lines(reader, writer):
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()


async def echo_frames(reader, writer):
    try:
        while True:
            header = await reader.readexactly(4)
            body = await reader.readexactly(int.from_bytes(header, "big"))
            writer.write(header + body)
            await writer.drain()
    except asyncio.IncompleteReadError as end:
        if end.partial:
            raise
    writer.close()


async def serve(arguments):
    # The same maximum line as the other servers, and a backlog for connections that arrive faster than they are accepted.
    options = {"limit": 1 << 20, "backlog": 4096}
    # A server lives as long as it is referenced.
    servers = []
    for port, handler in (arguments.line, echo_lines), (arguments.frame, echo_frames):
        if port:
            servers.append(await asyncio.start_server(handler, "127.0.0.1", port, **options))
    for path, handler in (arguments.unix, echo_lines), (arguments.unix_frame, echo_frames):
        if path:
            servers.append(await asyncio.start_unix_server(handler, path, **options))

    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    print("ready", flush=True)
    await ended.wait()
    for server in servers:
        server.close()


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--line", type=int)
    parser.add_argument("--frame", type=int)
    parser.add_argument("--unix")
    parser.add_argument("--unix-frame")
    parser.add_argument("--threads", type=int, default=1, help="taken and not used: an event loop has one thread")
    parser.add_argument("--uvloop", action="store_true")
    arguments = parser.parse_args()
    if arguments.uvloop:
        import uvloop

        uvloop.install()
    asyncio.run(serve(arguments))


if __name__ == "__main__":
    main()
