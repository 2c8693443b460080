"""What is measured. One row each; `load` are the load generator's own options."""

from dataclasses import dataclass

from contenders import HERE

# Idle TLS connections at most: a relayed one has two descriptors.
SECURE = 5000
# Connections that are stalled, whose messages have a size of 1 KiB. Each has about 8 MiB in the kernel's buffers, which must stay below tcp_mem.
STALLED = 125
_STALLED = ("--memory", str(STALLED), "--stalled", "--size", "1024")
# A cold process is measured for COLD_SECONDS, in slices of COLD_SLICE; its full speed is that of the last COLD_FULL.
COLD_SECONDS, COLD_SLICE, COLD_FULL = 12, 0.1, 3
HELLO = b"Hello, World!"
# Those of Peers/Http.
LARGE = bytes(ord("a") + i % 26 for i in range(64 * 1024))
GREETING = b'{"message":"Hello, World!"}'
ORDER, ORDER_TOTAL = HERE / "Load" / "order.json", b'{"id":7,"quantity":210}'


@dataclass(frozen=True)
class Workload:
    key: str
    title: str
    load: tuple = ()
    endpoint: str = "line"       # line, frame, tls, unix, unix-frame; refuse; http, https, h2c, websocket
    shared_core: bool = False    # client and server on one core
    pinned: bool = True
    threads: int = 1
    own_process: bool = False    # a server process of its own, of the same warm-up
    memory: bool = False         # resident memory instead of a rate
    most_rounds: int = 100       # a run has no more, however many were wanted
    blocking: bool = False       # needs --block
    count_calls: bool = True
    beside: str = ""             # the workload that this one disturbs
    yardstick: str = "c"         # the contender that the others are measured by
    relay: bool = False          # through relays, to the C server's Unix socket
    cold: bool = False           # a new process for each round, measured from its start
    section: str = "streams"     # of the report: streams, sidecar, cold, http, groups
    generator: str = "load"      # load, broadcast, wrk, h2load
    path: str = ""               # requested over HTTP
    answer: bytes = b""          # the body of each response
    script: tuple = ()           # arguments of Load/wrk.lua

    @property
    def unix(self):
        return self.endpoint.startswith("unix")


def _wrk(key, title, path="/plaintext", answer=HELLO, script=(), connections=64, endpoint="http", **more):
    return Workload(key, title, ("--connections", str(connections)), endpoint, section="http", yardstick="http-kestrel", generator="wrk", path=path,
                    answer=answer, script=script, **more)


def _h2load(key, title, endpoint):
    return Workload(key, title, ("--clients", "8", "--max-concurrent-streams", "32"), endpoint, section="http", yardstick="http-kestrel",
                    generator="h2load", path="/plaintext", answer=HELLO)


def _sidecar(key, title, load=(), endpoint="tls", relay=True, **more):
    return Workload(key, title, load, endpoint, relay=relay, section="sidecar", yardstick="sidecar-nginx" if relay else "terminated-c",
                    most_rounds=3 if more.get("memory") else 100, **more)


def workloads(idle):
    """All of them, with `idle` connections where connections idle."""
    secure = min(SECURE, idle // 2)
    return [
        Workload("a", "64-byte lines, 64 connections, 1 in flight"),
        Workload("b", "64-byte lines, 64 connections, 16 in flight", ("--depth", "16")),
        Workload("c", "1 KiB frames, 64 connections", ("--size", "1024"), "frame"),
        Workload("d", "64 KiB frames, 8 connections", ("--size", "65536", "--connections", "8"), "frame"),
        Workload("e", "one connection, client and server on one core", ("--connections", "1"), shared_core=True),
        Workload("f", "connect, one line, close; 64 at a time", ("--churn",)),
        Workload("g", f"KiB per idle connection, {idle:,} only connected", ("--memory", str(idle)), memory=True),
        Workload("g1", f"KiB per idle connection, {idle:,} after one echoed line each", ("--memory", str(idle), "--idle-echo"), memory=True),
        Workload("h", "1 KiB frames within TLS 1.3, 64 connections", ("--size", "1024"), "tls", yardstick="c-tls"),
        Workload("h1", "connect, full TLS 1.3 handshake, one frame, close; 64 at a time", ("--churn",), "tls", yardstick="c-tls"),
        Workload("h1-resumed", "h1, each session resumed by a ticket", ("--churn", "--resume"), "tls", yardstick="c-tls"),
        Workload("i1", "64-byte lines through a relay from TCP to a Unix socket, 64 connections", relay=True, yardstick="nginx"),
        Workload("i2", "64 KiB frames through the relay, 8 connections", ("--size", "65536", "--connections", "8"), "frame", relay=True,
                 yardstick="nginx"),
        Workload("i3", "connect, one line through the relay, close; 64 at a time", ("--churn",), relay=True, yardstick="nginx"),
        Workload("j", "a, two loops on two cores, nothing pinned", pinned=False, threads=2, own_process=True),
        Workload("k", f"a, while {idle:,} connections idle", ("--idle", str(idle), "--idle-echo"), own_process=True, count_calls=False, beside="a"),
        Workload("l", "a, next to 200 handlers that block", ("--blocking", "200"), own_process=True, blocking=True, count_calls=False, beside="a"),
        Workload("m", "one connection, client and server on two idle cores", ("--connections", "1")),
        Workload("u", "a over a Unix socket", endpoint="unix"),
        Workload("v", "b over a Unix socket", ("--depth", "16"), "unix"),
        _sidecar("t1", "1 KiB frames from TLS 1.3 to a Unix socket, 64 connections", ("--size", "1024")),
        _sidecar("t2", "64 KiB frames, 8 connections", ("--size", "65536", "--connections", "8")),
        _sidecar("t3", "connect, full handshake, one frame, close; 64 at a time", ("--churn",)),
        _sidecar("t3-resumed", "t3, each session resumed by a ticket", ("--churn", "--resume")),
        _sidecar("r", "connections refused by an access list; 64 at a time", ("--refused",), "refuse"),
        _sidecar("t4-terminated", f"KiB per idle TLS connection, {secure:,} after one echoed frame each, terminated",
                 ("--memory", str(secure), "--idle-echo"), relay=False, memory=True),
        _sidecar("t4-relayed", f"the same, {secure:,} relayed", ("--memory", str(secure), "--idle-echo"), memory=True),
        _sidecar("t4-stalled-terminated", f"KiB per TLS connection that sends and takes no answers, {STALLED} terminated", _STALLED, relay=False, memory=True),
        _sidecar("t4-stalled-relayed", f"the same, {STALLED} relayed", _STALLED, memory=True),
        Workload("cold", f"a in the first {COLD_SECONDS} seconds of a process", section="cold", yardstick="cold-default", cold=True, own_process=True, most_rounds=3,
                 count_calls=False),
        _wrk("http-plaintext", "plaintext, 64 connections"),
        _wrk("http-json", "JSON in two flushes, 64 connections", "/json", GREETING),
        _wrk("http-post", "JSON of 1 KiB posted, 64 connections", "/order", ORDER_TOTAL, (f"post={ORDER}",)),
        _wrk("http-pipelined", "plaintext, 64 connections, 16 in each batch", script=("depth=16",)),
        _wrk("http-large", "64 KiB responses, 8 connections", "/large", LARGE, connections=8),
        _wrk("http-one", "plaintext, one connection, client and server on two cores", connections=1),
        _wrk("http-new", "plaintext, a connection for each request, 64 at a time", script=("close",)),
        _wrk("http-new-2", "http-new, two cores for the server, nothing pinned", script=("close",), pinned=False, own_process=True),
        _wrk("http-tls", "plaintext over TLS 1.3, 64 connections", endpoint="https"),
        _h2load("http-h2c", "HTTP/2 without TLS, 8 connections of 32 streams", "h2c"),
        _h2load("http-h2", "HTTP/2 over TLS 1.3, 8 connections of 32 streams", "https"),
        Workload("http-websocket", "WebSocket messages of 128 bytes, 64 connections", ("--size", "128"), "websocket", section="http",
                 yardstick="http-kestrel"),
        Workload("groups-broadcast", f"messages of 100 bytes, each to {idle:,} connections", ("--connections", str(idle)), section="groups",
                 yardstick="groups-c", generator="broadcast", count_calls=False),
        Workload("groups-memory", f"bytes per connection, {idle:,} connections", ("--connections", str(idle), "--memory"), memory=True, section="groups",
                 yardstick="groups-none", generator="broadcast"),
    ]
