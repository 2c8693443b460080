"""The application of compose.sidecar.yml: an echo on a Unix socket, without TLS or ports.

python3 echo.py /run/app/app.sock
"""
import asyncio
import signal
import sys


async def echo(reader, writer):
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def main(path):
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = await asyncio.start_unix_server(echo, path, limit=1 << 20)
    print(f"Serving on {path}", flush=True)
    await stop.wait()
    server.close()


asyncio.run(main(sys.argv[1]))
