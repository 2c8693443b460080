"""Traffic for docker/test.sh and for the walkthroughs of the compose files. Needs only Python.

client.py HOST:PORT [--tls CA.crt] ask TEXT    sends a line and prints the answer, and its own address on standard error
client.py HOST:PORT [--tls CA.crt] hold N      opens N connections, sends 4 MiB over each and reads the echo slowly; prints
                                               "under way" when each has begun, and at the end how many were whole
client.py HOST:PORT [--tls CA.crt] knock N     N tasks connect, send one line and close, until standard input ends; prints how
                                               many requests were sent and how many were not answered
"""
import argparse
import asyncio
import ssl
import sys

SIZE = 4 << 20
LINE = b"x" * 1023 + b"\n"


def connect(arguments):
    host, _, port = arguments.address.rpartition(":")
    # The certificate is for localhost, also if the address is another one.
    tls = {"ssl": ssl.create_default_context(cafile=arguments.tls), "server_hostname": "localhost"} if arguments.tls else {}
    return asyncio.wait_for(asyncio.open_connection(host, int(port), limit=1 << 20, **tls), 30)


async def ask(arguments):
    reader, writer = await connect(arguments)
    print(f"from {writer.get_extra_info('sockname')[0]}", file=sys.stderr)
    writer.write(arguments.what.encode() + b"\n")
    print((await asyncio.wait_for(reader.readline(), 30)).decode(), end="")
    writer.close()


async def hold(arguments):
    sent = LINE * (SIZE // len(LINE))
    count = int(arguments.what)

    async def one(begun):
        try:
            reader, writer = await connect(arguments)
            sending = asyncio.create_task(send(writer))
            received = bytearray()
            while len(received) < SIZE and (some := await asyncio.wait_for(reader.read(65536), 30)):
                received += some
                begun.set()
                await asyncio.sleep(0.05)  # about 1.3 MB/s, so that a stop falls into the transfer
            await asyncio.wait_for(sending, 30)
            writer.close()
            return received == sent
        except OSError as error:
            print(error, file=sys.stderr)
            return False
        finally:
            begun.set()

    async def send(writer):
        writer.write(sent)
        await writer.drain()

    begun = [asyncio.Event() for _ in range(count)]
    connections = [asyncio.create_task(one(event)) for event in begun]
    await asyncio.gather(*(event.wait() for event in begun))
    print("under way", flush=True)
    print(f"{sum(await asyncio.gather(*connections))} of {count} whole")


async def knock(arguments):
    asked = lost = 0
    over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

    async def one(name):
        nonlocal asked, lost
        while not over.done():
            asked += 1
            question = b"%d %d\n" % (name, asked)
            try:
                reader, writer = await connect(arguments)
                writer.write(question)
                answer = await asyncio.wait_for(reader.readline(), 30)
                writer.close()
            except OSError as error:
                answer = str(error).encode()
            if answer != question:
                lost += 1
                print(f"asked {question!r}, got {answer!r}", file=sys.stderr)
            if name == 0 and asked > 100:
                print("under way", flush=True)
                name = -1

    await asyncio.gather(*(one(name) for name in range(int(arguments.what))))
    print(f"{asked} asked, {lost} lost")


parser = argparse.ArgumentParser()
parser.add_argument("address")
parser.add_argument("--tls")
parser.add_argument("how", choices=["ask", "hold", "knock"])
parser.add_argument("what")
arguments = parser.parse_args()
asyncio.run({"ask": ask, "hold": hold, "knock": knock}[arguments.how](arguments))
