"""starttls_client.py ADDRESS CERTIFICATE: upgrades a plain connection with start_tls and prints the answer behind it."""

import asyncio
import sys

import address


async def main():
    if not hasattr(asyncio.StreamWriter, "start_tls"):
        print("too old")
        return
    reader, writer = await address.open_connection(sys.argv[1])
    writer.write(b"STARTTLS\n")
    assert await reader.readline() == b"ready\n"
    await writer.start_tls(address.client_context(sys.argv[2]), server_hostname="localhost")
    writer.write(b"secret\n")
    await writer.drain()
    print(await reader.readline(), writer.get_extra_info("ssl_object").version())


asyncio.run(main())
