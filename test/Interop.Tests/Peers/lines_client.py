"""lines_client.py ADDRESS COUNT: sends COUNT lines while it reads, ends its direction, and reads to the end.

asyncio cannot half-close over TLS; there the line "bye" asks the server to end instead.
"""

import asyncio
import sys

import address


async def main():
    reader, writer = await address.open_connection(sys.argv[1])
    lines = [b"line %d\n" % i for i in range(int(sys.argv[2]))]
    if not writer.can_write_eof():
        lines.append(b"bye\n")

    async def send():
        for line in lines:
            writer.write(line)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    async def receive():
        return [line async for line in reader]

    _, received = await asyncio.gather(send(), receive())
    assert received == lines, "what came back is not what was sent"
    writer.close()
    await writer.wait_closed()
    print(sys.argv[2], "lines, then the end")


asyncio.run(main())
