"""The machine and the versions that the figures were measured with."""

import datetime
import os
import platform
import re
import subprocess

from contenders import PYTHON, REPOSITORY

# The number in the output of each.
VERSIONS = {
    "gcc": ("cc", "-dumpfullversion"),
    "Go": ("go", "env", "GOVERSION"),
    "Rust": ("rustc", "--version"),
    ".NET SDK": ("dotnet", "--version"),
    "Python": (PYTHON, "--version"),
    "OpenSSL": ("openssl", "version"),
    "nginx": ("sh", "-c", "nginx -v 2>&1"),
    "HAProxy": ("haproxy", "-v"),
    "stunnel": ("sh", "-c", "stunnel4 -version 2>&1 | grep ^stunnel"),
    "wrk": ("sh", "-c", "wrk --version | head -n 1"),
    "nghttp2": ("sh", "-c", "h2load --version | cut -d / -f 2"),
    "uvloop": (PYTHON, "-c", "import uvloop; print(uvloop.__version__)"),
}


def describe(options):
    return {
        "day": datetime.date.today().isoformat(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "versions": {name: re.search(r"\d[\w.]*", text).group() for name, command in VERSIONS.items() if (text := _output(command))},
        "revision": _output(("git", "-C", str(REPOSITORY), "describe", "--always", "--dirty")),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "warmup": options.warmup,
        "server_core": options.server_core,
        "load_core": options.load_core,
    }


def busy_seconds(cores):
    """CPU time of all processes on these cores, in kernel ticks of usually 10 ms."""
    total = 0
    with open("/proc/stat", encoding="utf-8") as statistics:
        for line in statistics:
            name, *ticks = line.split()
            if name.removeprefix("cpu").isdigit() and int(name.removeprefix("cpu")) in cores:
                user, nice, system, _idle, _iowait, irq, softirq = map(int, ticks[:7])
                total += user + nice + system + irq + softirq
    return total / os.sysconf("SC_CLK_TCK")


def _cpu():
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def _output(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
