"""Server processes: start, readiness, CPU and memory, stop."""

import errno
import os
import random
import select
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from contenders import ARTIFACTS, CERTIFICATE, KEY

READY_WITHIN = 30
ENDS_WITHIN = 20
SETTLES_WITHIN = 5
# Idle: less than this share of a core in so many seconds.
SETTLED_SHARE, SETTLED_SECONDS = 0.1, 0.1


class Server:
    """One process of a contender, with every endpoint it has."""

    def __init__(self, contender, core, threads=1, upstream=None):
        self.contender = contender
        self._folder = tempfile.TemporaryDirectory(prefix="bench-")
        folder = Path(self._folder.name)
        if contender.section == "http":
            self.endpoints = {name: self._port() for name in ("http", "https", "h2c", "websocket")}
        elif contender.section == "groups":
            self.endpoints = {name: self._port() for name in ("messages", "control")}
        elif contender.section == "sidecar":
            self.endpoints = {name: self._port() for name in ("tls", "refuse") if name == "tls" or contender.refuses}
        else:
            self.endpoints = self._stream_endpoints(contender, folder)
        command = [] if core is None else ["taskset", "-c", str(core)]
        command += [*contender.command, "--threads", str(threads)]
        for name, value in self.endpoints.items():
            command += [f"--{name}", str(value)]
        if contender.relay:
            command += ["--upstream", upstream.endpoints["unix"], "--upstream-frame", upstream.endpoints["unix-frame"]]
        if contender.tls:
            command += ["--certificate", str(CERTIFICATE), "--key", str(KEY)]
        self._log = open(ARTIFACTS / f"{contender.name}.log", "ab")
        # A separate folder without configuration files.
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._log, stdin=subprocess.DEVNULL, cwd=folder,
                                         env=os.environ | dict(contender.environment))
        self.pid = self._process.pid
        self._await_ready()

    def _stream_endpoints(self, contender, folder):
        endpoints = {"line": self._port(), "frame": self._port()} if contender.plain else {}
        if contender.unix:
            endpoints |= {"unix": str(folder / "line"), "unix-frame": str(folder / "frame")}
        if contender.blocking:
            endpoints["block"] = self._port()
        if contender.tls:
            endpoints["tls"] = self._port()
        return endpoints

    @staticmethod
    def _port():
        """A free port below the range of outgoing connections."""
        while True:
            port = random.randrange(10000, 32000)
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                    return port
                except OSError as error:
                    if error.errno != errno.EADDRINUSE:
                        raise

    def _await_ready(self):
        readable, _, _ = select.select([self._process.stdout], [], [], READY_WITHIN)
        if not readable or self._process.stdout.readline() != b"ready\n":
            self.stop()
            raise RuntimeError(f"{self.contender.title} did not start; its output is in {self._log.name}")

    @property
    def alive(self):
        return self._process.poll() is None

    def cpu_seconds(self):
        """Processor time of all its threads, past and present. The clock id is the kernel's for another process."""
        return time.clock_gettime(~self.pid << 3 | 2)

    def resident_mib(self):
        with open(f"/proc/{self.pid}/status", encoding="utf-8") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024

    def settle(self):
        """Waits until the server is idle, so that closing its connections does not count for the next contender."""
        deadline = time.monotonic() + SETTLES_WITHIN
        share = 1
        while share > SETTLED_SHARE and time.monotonic() < deadline:
            share = idle_cpu_shares({"": self}, SETTLED_SECONDS)[""]

    def stop(self):
        self._process.terminate()
        try:
            self._process.wait(ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            print(f"{self.contender.title} did not end on SIGTERM within {ENDS_WITHIN} s: killed", flush=True)
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()
        self._folder.cleanup()


def idle_cpu_shares(servers, seconds):
    """The share of a core that each server uses without a client."""
    before = {name: server.cpu_seconds() for name, server in servers.items()}
    began = time.monotonic()
    time.sleep(seconds)
    elapsed = time.monotonic() - began
    return {name: (server.cpu_seconds() - before[name]) / elapsed for name, server in servers.items()}
