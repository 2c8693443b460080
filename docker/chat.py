"""Clients of samples/cluster-chat, for docker/test.sh and for the sample's README. Needs only Python 3.11.

chat.py HOST:PORT meet    connects until each of three hosts has a client; checks that lines and private lines reach the clients of the other
                          hosts, that /who lists all clients, and that a nick has one connection in the cluster
chat.py HOST:PORT talk N  N clients send lines to each other and reconnect when their host stops, until EOF on standard input; prints
                          "under way" when each client has received a line from each, and at the end the lost, duplicated and reordered lines
"""
import argparse
import asyncio
import itertools
import sys
import time

PAUSE = 0.05  # seconds between two lines of a client
SETTLE = 20  # seconds to wait for the last lines


class Client:
    """A connection that has entered the lobby. A talker's lines are "CONNECTION NUMBER"."""

    def __init__(self, nick):
        self.nick = nick
        self.sent = []  # times; line N is at index N - 1
        self.received = {}  # numbers of lines, by connection
        self.is_open = True

    async def open(self, address):
        host, _, port = address.rpartition(":")
        async with asyncio.timeout(30):
            self.reader, self.writer = await asyncio.open_connection(host, int(port))
            self.host = (await self.line()).split(" ")[1]
        self.send(self.nick)
        await self.until(f"* {self.nick} on {self.host} entered lobby")
        self.entered = time.monotonic()
        return self

    def send(self, line):
        self.writer.write(f"{line}\n".encode())

    async def line(self):
        line = await self.reader.readline()
        if not line:
            raise ConnectionError("closed")
        return line.decode().rstrip("\n")

    async def until(self, expected):
        async with asyncio.timeout(30):
            while await self.line() != expected:
                pass


async def meet(address):
    # HAProxy balances by least connections.
    clients = [await Client(f"client{number}").open(address) for number in range(3)]
    while len({client.host for client in clients}) < 3 and len(clients) < 30:
        clients.append(await Client(f"client{len(clients)}").open(address))
    first, second, third = {client.host: client for client in clients}.values()
    print("clients on", first.host, second.host, third.host)
    for sender, receiver in itertools.product((first, second, third), repeat=2):
        sender.send(f"hello {receiver.nick}")
        await receiver.until(f"{sender.nick}: hello {receiver.nick}")
    first.send(f"/to {third.nick} only you")
    await third.until(f"{first.nick} to you: only you")
    second.send("/who")
    await second.until("* " + ", ".join(sorted(f"{client.nick} on {client.host}" for client in clients)))
    # Reconnects the first client until it is on another host.
    while (newer := await Client(first.nick).open(address)).host == first.host:
        first = newer
    await asyncio.wait_for(first.reader.read(), 30)
    print(f"{newer.nick} on {newer.host} replaced {first.nick} on {first.host}")


async def talk(address, count):
    clients = []
    over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    deadline = asyncio.Event()

    async def run(nick):
        while not over.done():
            client = Client(nick)
            try:
                await client.open(address)
            except OSError as error:
                print(f"{nick}: {error}", file=sys.stderr)
                await asyncio.sleep(0.2)
                continue
            clients.append(client)
            sending = asyncio.create_task(send(client, len(clients) - 1))
            try:
                await receive(client)
            except OSError:
                client.is_open = False
                print(f"{nick}: {client.host} closed the connection", file=sys.stderr)
            sending.cancel()
            client.writer.close()

    async def send(client, connection):
        while not over.done():
            client.sent.append(time.monotonic())
            client.send(f"{connection} {len(client.sent)}")
            await asyncio.sleep(PAUSE)

    async def receive(client):
        while not (over.done() and (deadline.is_set() or has_all())):
            try:
                line = await asyncio.wait_for(client.line(), 1)
            except TimeoutError:
                continue
            if not line.startswith("*"):
                connection, number = map(int, line.partition(": ")[2].split(" "))
                client.received.setdefault(connection, []).append(number)

    def has_all():
        """Whether each open connection has received the last line of each open connection."""
        still_open = [(connection, client) for connection, client in enumerate(clients) if client.is_open]
        return all(receiver.received.get(connection, [0])[-1] == len(sender.sent) for connection, sender in still_open for _, receiver in still_open)

    async def watch():
        while len(clients) < count or any(len(client.received) < count for client in clients):
            await asyncio.sleep(0.1)
        print("under way", flush=True)
        await over
        await asyncio.sleep(SETTLE)
        deadline.set()

    watching = asyncio.create_task(watch())
    await asyncio.gather(*(run(f"client{number}") for number in range(count)))
    watching.cancel()

    # A line that any connection has received was accepted by the sender's host, and must reach each open connection. Lines that the sender's host
    # had not read when it stopped, or had not delivered to its own connections, are not counted.
    accepted = [max(max(client.received.get(connection, [0])) for client in clients) for connection in range(len(clients))]
    arrived = lost = duplicated = reordered = 0
    for receiver in clients:
        for connection, sender in enumerate(clients):
            numbers = receiver.received.get(connection, [])
            first = next((number for number, at in enumerate(sender.sent, 1) if at > receiver.entered), len(sender.sent) + 1)
            if not receiver.is_open:
                last = max(numbers, default=0)
            elif not sender.is_open:
                last = accepted[connection]
            else:
                last = len(sender.sent)
            arrived += len(numbers)
            lost += len(set(range(first, last + 1)) - set(numbers))
            duplicated += len(numbers) - len(set(numbers))
            reordered += sum(after < before for before, after in itertools.pairwise(numbers))
    hosts = len({client.host for client in clients})
    print(f"{len(clients) - count} reconnects, {hosts} hosts, {arrived} lines arrived, {lost} lost, {duplicated} duplicated, {reordered} reordered")


parser = argparse.ArgumentParser()
parser.add_argument("address")
how = parser.add_subparsers(dest="how", required=True)
how.add_parser("meet")
how.add_parser("talk").add_argument("count", type=int)
arguments = parser.parse_args()
asyncio.run(meet(arguments.address) if arguments.how == "meet" else talk(arguments.address, arguments.count))
