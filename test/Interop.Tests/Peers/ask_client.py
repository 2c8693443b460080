"""ask_client.py ADDRESS LINE: sends LINE, reads to the end, and prints the bytes, or the exception's name."""

import asyncio
import sys

import address


async def main():
    reader, writer = await address.open_connection(sys.argv[1])
    writer.write(sys.argv[2].encode() + b"\n")
    try:
        print(await reader.read())
    except ConnectionError as error:
        print(type(error).__name__)


asyncio.run(main())
