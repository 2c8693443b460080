#!/usr/bin/env python3
"""Measures the host: the size of its files, the time from its start to the first echo, its memory at rest.

    dotnet publish src/Host --use-current-runtime -p:PublishAot=true -o /tmp/aot
    docker/footprint.py /tmp/aot/StreamsHost
"""
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import time

RUNS = 15
REST = 5


def files(executable):
    # Symbols and documentation are not deployed.
    return sum(path.stat().st_size for path in executable.parent.rglob("*")
               if path.is_file() and path.suffix not in (".dbg", ".pdb", ".xml"))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def echo(port):
    """Returns whether the host has answered. While it does not listen yet, waits a millisecond before the next attempt."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(b"hello\n")
            return client.recv(16) == b"hello\n"
    except ConnectionRefusedError:
        time.sleep(0.001)
        return False


def resident(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as facts:
        kib = {line.split()[0]: int(line.split()[1]) for line in facts if line.split()[-1] == "kB"}
    # Private pages: the rest is the code of libraries, which processes share.
    return kib["Rss:"] / 1024, (kib["Private_Clean:"] + kib["Private_Dirty:"]) / 1024


def start(executable):
    port = free_port()
    begun = time.perf_counter()
    host = subprocess.Popen(
        [executable, "--Admin:Url=http://127.0.0.1:0", f"--ByteStreams:Endpoints:echo:Url=tcp://127.0.0.1:{port}",
         "--ByteStreams:Endpoints:chat:Url=tcp://127.0.0.1:0", f"--ByteStreams:Endpoints:echo-unix:Url=unix:@footprint-{os.getpid()}"],
        stdout=subprocess.DEVNULL)
    while not echo(port):
        if host.poll() is not None or time.perf_counter() - begun > 30:
            host.kill()
            raise SystemExit(f"{executable} does not serve")
    return host, (time.perf_counter() - begun) * 1000


def main(executable):
    starts, memory = [], []
    for run in range(RUNS):
        host, milliseconds = start(executable)
        starts.append(milliseconds)
        if run % 5 == 0:
            time.sleep(REST)  # the activity of the start has ended by then
            memory.append(resident(host.pid))
        host.terminate()
        if host.wait(30) != 0:
            raise SystemExit(f"{executable} ended with {host.returncode}")
    total, own = (statistics.median(column) for column in zip(*memory))
    print(f"{executable}")
    print(f"  files             {files(executable) / 1e6:8.1f} MB")
    print(f"  executable        {executable.stat().st_size / 1e6:8.1f} MB")
    print(f"  first echo        {statistics.median(starts):8.0f} ms, median of {RUNS} starts ({min(starts):.0f} to {max(starts):.0f})")
    print(f"  memory at rest    {total:8.1f} MiB resident, {own:.1f} MiB of it private, {REST} s after the first echo")


main(pathlib.Path(sys.argv[1]).resolve())
