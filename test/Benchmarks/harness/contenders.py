"""The compared servers: how each is built and started, one row each."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
REPOSITORY = HERE.parent.parent
ARTIFACTS = HERE / "artifacts"
PEERS = HERE / "Peers"
LOAD, BROADCAST = ARTIFACTS / "load", ARTIFACTS / "broadcast"
CERTIFICATE, KEY = ARTIFACTS / "certificate.pem", ARTIFACTS / "key.pem"
# uvloop is Debian's, and so is the interpreter it belongs to.
PYTHON = "/usr/bin/python3"


@dataclass(frozen=True)
class Contender:
    name: str
    title: str
    needs: tuple
    build: tuple
    command: tuple
    unix: bool = True
    blocking: bool = False
    loops: bool = True           # can use more than one core
    own: bool = False            # of this project
    tls: bool = False
    plain: bool = True           # also serves without TLS
    forks: bool = False          # one process per connection: neither their CPU nor their calls are counted
    relay: bool = False          # forwards to another server; measured only in relay workloads
    section: str = "streams"     # of the report: streams, sidecar, cold, http or groups; a server has only the endpoints of its section
    signalr: bool = False        # uses SignalR
    registers: bool = False      # only its memory per connection is measured
    named: bool = False          # measured only if named
    refuses: bool = False        # has a port on which an access list rejects each connection
    environment: tuple = ()      # of the process: pairs of name and value

    def missing(self):
        """The reason why it cannot run here, or None."""
        for need in self.needs:
            if need.startswith("python:"):
                module = need.removeprefix("python:")
                if subprocess.run([PYTHON, "-c", f"import {module}"], capture_output=True).returncode != 0:
                    return f"Python's {module} is not installed"
            elif "*" in need:
                if not list(Path("/").glob(need)):
                    return f"/{need} does not exist"
            elif shutil.which(need) is None:
                return f"{need} is not installed"
        return None


def _c(source, target, *options, libraries=()):
    return ("cc", "-O2", "-Wall", "-Wextra", "-Werror", *options, "-o", str(target), str(source), *libraries)


BUILD_LOADS = (_c(HERE / "Load" / "load.c", LOAD, libraries=("-lssl", "-lcrypto")), _c(HERE / "Load" / "broadcast.c", BROADCAST))


TLS_NEEDS = ("cc", "usr/include/openssl/ssl.h*")
TLS_BUILD = _c(PEERS / "epoll" / "tls.c", ARTIFACTS / "epoll-tls", "-pthread", libraries=("-lssl", "-lcrypto"))


def _cargo():
    return ("cargo", "build", "--quiet", "--release", "--offline", "--manifest-path", str(PEERS / "tokio" / "Cargo.toml"),
            "--config", 'source.crates-io.replace-with="debian"',
            "--config", 'source.debian.directory="/usr/share/cargo/registry"',
            "--target-dir", str(ARTIFACTS / "tokio"))


def _dotnet(name, folder, *options, switches=(), needs=(), **more):
    """The build output is separate from the solution's, so that neither disturbs the other's restore."""
    title = more.pop("title")
    target = ARTIFACTS / more.pop("output", name)
    intermediate = ARTIFACTS / "dotnet" / target.name
    build = ("dotnet", "publish", str(PEERS / folder), "-c", "Release", "-v", "quiet", "--nologo",
             "--artifacts-path", str(intermediate), "-o", str(target), *options)
    return Contender(name, title, ("dotnet", *needs), build, (str(target / f"Benchmarks.{folder}"), *switches), **more)


def _sidecar(name, title, program, script, needs=(), build=(), **more):
    """A relay from TLS to a Unix socket, started by a script."""
    return Contender(name, title, needs, build, (str(PEERS / script / "tls-relay"), *program), unix=False, tls=True, relay=True, section="sidecar", **more)


# The engine of TLS that Auto selects in place of OpenSSL.
SSLSTREAM = (("BYTESTREAMS_TLS_ENGINE", "sslstream"),)


def _streams_host(name, title, **more):
    """The host itself, published as the peers are."""
    target = ARTIFACTS / "streamshost"
    build = ("dotnet", "publish", str(REPOSITORY / "src" / "Host" / "StreamsHost.csproj"), "-c", "Release", "-v", "quiet", "--nologo",
             "--artifacts-path", str(ARTIFACTS / "dotnet" / "streamshost"), "-o", str(target))
    return _sidecar(name, title, (str(target / "StreamsHost"),), "StreamsHost", ("dotnet",), build, own=True, refuses=True, **more)


def _cold(name, title, *options, output="bytestreams", **environment):
    """One program; the contenders differ in how the runtime compiles it."""
    return _dotnet(name, "ByteStreams", *options, title=title, output=output, unix=False, own=True, section="cold", environment=tuple(environment.items()))


def _http(name, transport, **more):
    """One application on Kestrel; contenders differ in the transport."""
    return _dotnet(name, "Http", switches=("--transport", transport), needs=("wrk", "h2load", "nghttp"), output="http",
                   unix=False, tls=True, section="http", **more)


def _groups(name, *switches, **more):
    """The contenders of one program; they differ in the server or in the registration."""
    return _dotnet(name, "Groups", switches=switches, output="groups", unix=False, section="groups", **more)


CONTENDERS = [
    Contender("c", "C, epoll", ("cc",), _c(PEERS / "epoll" / "epoll.c", ARTIFACTS / "epoll", "-pthread"), (str(ARTIFACTS / "epoll"),)),
    Contender("iouring", "C, io_uring", ("cc", "usr/include/liburing*"), _c(PEERS / "iouring" / "iouring.c", ARTIFACTS / "iouring", libraries=("-luring",)),
              (str(ARTIFACTS / "iouring"),), loops=False),
    Contender("tokio", "Tokio", ("cargo", "usr/share/cargo/registry/tokio-1*"), _cargo(), (str(ARTIFACTS / "tokio" / "release" / "echo"),)),
    Contender("go", "Go", ("go",), ("go", "build", "-o", str(ARTIFACTS / "go"), str(PEERS / "go" / "main.go")), (str(ARTIFACTS / "go"),), tls=True),
    _dotnet("bytestreams", "ByteStreams", title="ByteStreams", blocking=True, own=True, tls=True),
    _dotnet("bytestreams-no-middleware", "ByteStreams", title="ByteStreams, no middleware", output="bytestreams", switches=("--no-middleware",), own=True),
    _dotnet("bytestreams-all-middleware", "ByteStreams", title="ByteStreams, all middleware", output="bytestreams", switches=("--all-middleware",),
            own=True, tls=True),
    _dotnet("bytestreams-owned", "ByteStreams", title="ByteStreams, owned arrays", output="bytestreams",
            switches=("--owned",), blocking=True, own=True),
    _dotnet("bytestreams-batch", "ByteStreams", title="ByteStreams, batches", output="bytestreams",
            switches=("--batch",), blocking=True, own=True),
    _dotnet("bytestreams-sslstream", "ByteStreams", title="ByteStreams, SslStream", output="bytestreams",
            unix=False, own=True, tls=True, plain=False, environment=SSLSTREAM),
    _dotnet("bytestreams-socket", "ByteStreams", title="ByteStreams, Socket engine", output="bytestreams",
            switches=("--engine", "socket"), blocking=True, own=True),
    _dotnet("bytestreams-aot", "ByteStreams", "--use-current-runtime", "-p:PublishAot=true",
            title="ByteStreams, Native AOT", needs=("cc",), blocking=True, own=True),
    _dotnet("kestrel", "Kestrel", title="Kestrel, stock", blocking=True, tls=True),
    _dotnet("kestrel-inline", "Kestrel", title="Kestrel, inline", output="kestrel", switches=("--inline",), blocking=True, tls=True),
    _dotnet("dotnetty", "DotNetty", title="DotNetty", unix=False),
    _dotnet("streamreader", "StreamReader", title="System.IO.StreamReader"),
    Contender("haproxy", "HAProxy before C", ("haproxy", "cc"), _c(PEERS / "epoll" / "epoll.c", ARTIFACTS / "epoll", "-pthread"),
              (str(PEERS / "haproxy" / "server"), str(ARTIFACTS / "epoll")), unix=False, tls=True, plain=False),
    Contender("nginx", "nginx stream", ("nginx", "usr/lib/nginx/modules/ngx_stream_module.so*"), (), (str(PEERS / "nginx" / "relay"),), unix=False, relay=True),
    Contender("haproxy-relay", "HAProxy", ("haproxy",), (), (str(PEERS / "haproxy" / "relay"),), unix=False, relay=True),
    Contender("haproxy-splice", "HAProxy, splice", ("haproxy",), (), (str(PEERS / "haproxy" / "relay"), "--splice"), unix=False, relay=True),
    Contender("socat", "socat", ("socat",), (), (str(PEERS / "socat" / "relay"),), unix=False, relay=True, loops=False, forks=True),
    _dotnet("kestrel-relay", "Kestrel", title="Kestrel, copying both ways", output="kestrel", unix=False, relay=True),
    _dotnet("kestrel-relay-inline", "Kestrel", title="Kestrel, inline, copying both ways", output="kestrel", switches=("--inline",), unix=False, relay=True),
    _dotnet("bytestreams-relay", "ByteStreams", title="ByteStreams relay", output="bytestreams", unix=False, relay=True, own=True),
    _dotnet("bytestreams-relay-no-middleware", "ByteStreams", title="ByteStreams relay, no middleware", output="bytestreams",
            switches=("--no-middleware",), unix=False, relay=True, own=True),
    Contender("c-tls", "C, epoll and OpenSSL", TLS_NEEDS, TLS_BUILD, (str(ARTIFACTS / "epoll-tls"),), unix=False, tls=True,
              plain=False),
    _sidecar("sidecar-nginx", "nginx stream", (), "nginx", ("nginx", "usr/lib/nginx/modules/ngx_stream_module.so*"), refuses=True),
    _sidecar("sidecar-haproxy", "HAProxy", (), "haproxy", ("haproxy",), refuses=True),
    _sidecar("sidecar-stunnel", "stunnel", (), "stunnel", ("stunnel4",)),
    _dotnet("sidecar-kestrel", "Kestrel", title="Kestrel, SslStream copying both ways", output="kestrel", unix=False, tls=True, relay=True,
            section="sidecar"),
    _streams_host("sidecar-streamshost", "StreamsHost"),
    _streams_host("sidecar-streamshost-sslstream", "StreamsHost, SslStream", environment=SSLSTREAM),
    Contender("terminated-c", "C, epoll and OpenSSL", TLS_NEEDS, TLS_BUILD, (str(ARTIFACTS / "epoll-tls"),), unix=False, tls=True,
              plain=False, section="sidecar"),
    _dotnet("terminated-kestrel", "Kestrel", title="Kestrel, stock", output="kestrel", unix=False, tls=True, section="sidecar"),
    _dotnet("terminated-bytestreams", "ByteStreams", title="ByteStreams", output="bytestreams", unix=False, tls=True, own=True, section="sidecar"),
    _dotnet("terminated-bytestreams-sslstream", "ByteStreams", title="ByteStreams, SslStream", output="bytestreams", unix=False, tls=True, own=True,
            section="sidecar", environment=SSLSTREAM),
    _cold("cold-default", "default settings"),
    _cold("cold-ready-to-run", "ReadyToRun", "--use-current-runtime", "--self-contained", "false", "-p:PublishReadyToRun=true", output="bytestreams-ready-to-run"),
    _cold("cold-no-pgo", "`TieredPGO` off", DOTNET_TieredPGO="0"),
    _cold("cold-ready-to-run-no-pgo", "ReadyToRun, `TieredPGO` off", "--use-current-runtime", "--self-contained", "false", "-p:PublishReadyToRun=true",
          output="bytestreams-ready-to-run", DOTNET_TieredPGO="0"),
    _cold("cold-no-quick-jit", "`TieredCompilation.QuickJit` off", DOTNET_TC_QuickJit="0"),
    _cold("cold-no-tiers", "`TieredCompilation` off", DOTNET_TieredCompilation="0"),
    _http("http-kestrel", "stock", title="Kestrel, stock"),
    _http("http-bytestreams", "epoll", title="ByteStreams", own=True),
    _http("http-socket", "socket", title="ByteStreams, Socket engine", own=True, named=True),
    Contender("groups-c", "C, one send for each connection", ("cc",), _c(PEERS / "broadcast" / "broadcast.c", ARTIFACTS / "broadcast-server"),
              (str(ARTIFACTS / "broadcast-server"),), unix=False, section="groups"),
    _groups("groups-bytestreams", title="ByteStreams", own=True),
    _groups("groups-signalr", "--server", "signalr", title="SignalR", signalr=True),
    _groups("groups-none", "--registration", "none", title="not registered", registers=True, own=True),
    _groups("groups-connection", "--registration", "connection", title="`Register`", registers=True, own=True),
    _groups("groups-user", "--registration", "user", title="`Register` with a separate user", registers=True, own=True),
    _groups("groups-group", "--registration", "group", title="the same, in one shared group", registers=True, own=True),
    Contender("uvloop", "asyncio, uvloop", (PYTHON, "python:uvloop"), (), (PYTHON, str(PEERS / "asyncio" / "echo.py"), "--uvloop"), loops=False),
    Contender("asyncio", "asyncio", (PYTHON,), (), (PYTHON, str(PEERS / "asyncio" / "echo.py")), loops=False),
]


def _certificate():
    """One for all servers: P-256, the most common type."""
    if not CERTIFICATE.exists():
        subprocess.run(("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650",
                        "-subj", "/CN=localhost", "-keyout", str(KEY), "-out", str(CERTIFICATE)), check=True, capture_output=True)


def build(contenders):
    """Builds each once; returns those that can run, and prints which cannot and why."""
    ARTIFACTS.mkdir(exist_ok=True)
    _certificate()
    for command in BUILD_LOADS:
        subprocess.run(command, check=True)
    done, able = set(), []
    if any(contender.relay for contender in contenders):
        # The echo server that relays forward to.
        subprocess.run(CONTENDERS[0].build, check=True)
        done.add(CONTENDERS[0].build)
    for contender in contenders:
        reason = contender.missing()
        if reason is not None:
            print(f"SKIPPED: {contender.title}: {reason}", flush=True)
            continue
        if contender.build and contender.build not in done:
            print(f"building {contender.title}", flush=True)
            subprocess.run(contender.build, check=True, stdin=subprocess.DEVNULL)
            done.add(contender.build)
        able.append(contender)
    return able
