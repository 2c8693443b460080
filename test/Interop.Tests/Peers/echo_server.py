"""echo_server.py ADDRESS: echoes lines until the client's end, or the line "bye"; the line "reset" resets.

Prints its port (0 for a Unix socket) when it listens; ends when its own input does.
"""

import asyncio
import socket
import struct
import sys

import address


async def echo(reader, writer):
    async for line in reader:
        if line == b"reset\n":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return
        writer.write(line)
        await writer.drain()
        if line == b"bye\n":
            break
    writer.close()


async def main():
    server = await address.start_server(echo, sys.argv[1])
    name = server.sockets[0].getsockname()
    print(name[1] if isinstance(name, tuple) else 0, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


asyncio.run(main())
