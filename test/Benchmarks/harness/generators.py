"""The load generators: how each is started, and how its output is parsed."""

import json
import math
import re
import resource
import subprocess
import tempfile
import time

from contenders import ARTIFACTS, BROADCAST, HERE, LOAD
from workloads import COLD_SLICE

# The connections of a round are opened and answered once before its window opens.
ROUND_WARMUP = 0.2
VERIFIED_WITHIN = 10


class LoadError(Exception):
    """The load generator found an error of the server."""


class Load:
    """load.c: compares every byte, and reads the server's CPU clock itself."""

    def command(self, workload, server, seconds, kind):
        # A connection that is refused sends nothing, so that its endpoint needs no name of its own.
        endpoint = "line" if workload.endpoint == "refuse" else workload.endpoint
        command = [str(LOAD), f"--{endpoint}", str(server.endpoints[workload.endpoint]), "--pid", str(server.pid), *workload.load]
        if workload.blocking:
            command += ["--block", str(server.endpoints["block"])]
        if seconds is not None:
            command += ["--seconds", str(seconds), "--warmup", "0" if kind == "calls" or workload.cold else str(ROUND_WARMUP)]
        if workload.cold:
            command += ["--slices", str(COLD_SLICE)]
        return command

    def run(self, command, workload, server):
        """Returns the result, and the rest of stderr."""
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise LoadError(done.stderr.strip() or f"exit code {done.returncode}")
        return json.loads(done.stdout), done.stderr


class Broadcast(Load):
    """broadcast.c: the server sends each line to all connections."""

    def command(self, workload, server, seconds, kind):
        receivers = "--signalr" if server.contender.signalr else "--messages"
        command = [str(BROADCAST), receivers, str(server.endpoints["messages"]), "--control", str(server.endpoints["control"]), "--pid", str(server.pid),
                   *workload.load]
        if seconds is not None:
            command += ["--seconds", str(seconds), "--warmup", "0" if kind == "calls" else str(ROUND_WARMUP)]
        return command


class _Windowed:
    """A generator without access to the server's CPU clock. It prints a line when its measured window opens and closes."""

    begins = ends = None

    def run(self, command, workload, server):
        lines, marks = [], []
        used = _children_seconds()
        with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL, text=True)
            began = time.monotonic()
            with process.stdout:
                for line in process.stdout:
                    if line.startswith(self.begins if not marks else self.ends):
                        marks.append(server.cpu_seconds())
                    lines.append(line)
            code = process.wait()
            elapsed = time.monotonic() - began
            errors.seek(0)
            complaint = errors.read()
        output = "".join(lines)
        if code != 0 or len(marks) != 2:
            raise LoadError(f"exit code {code}: {complaint.strip() or output.strip()}")
        result = self.result(output, workload)
        cpu = marks[1] - marks[0]
        return result | {
            "all_messages": result["messages"], "rate": round(result["messages"] / result["seconds"], 1),
            "load_busy": round((_children_seconds() - used) / elapsed, 3), "server_busy": round(cpu / result["seconds"], 3),
            "server_cpu_us": round(cpu / result["messages"] * 1e6, 3)}, complaint

    def result(self, output, workload):
        raise NotImplementedError

    @staticmethod
    def url(workload, server):
        scheme = "https" if workload.endpoint == "https" else "http"
        return f"{scheme}://127.0.0.1:{server.endpoints[workload.endpoint]}{workload.path}"


class Wrk(_Windowed):
    """wrk with Load/wrk.lua: HTTP/1.1. The warm-up compares every body; a round, every status and the number of bytes."""

    begins, ends = "begin", "{"

    def command(self, workload, server, seconds, kind):
        command = ["wrk", "--threads", "1", "--duration", f"{math.ceil(seconds)}s", "--script", str(HERE / "Load" / "wrk.lua"), *workload.load,
                   self.url(workload, server), "--", *workload.script]
        if kind == "warmup":
            expected = ARTIFACTS / f"{workload.key}.expected"
            expected.write_bytes(workload.answer)
            command.append(f"expect={expected}")
        return command

    def result(self, output, workload):
        result = json.loads(output[output.rindex("\n{"):])
        faults = {name: result[name] for name in ("wrong", "connect_errors", "read_errors", "write_errors", "status_errors", "timeouts") if result[name]}
        if faults or result["requests"] == 0 or result["bytes"] < result["requests"] * len(workload.answer):
            raise LoadError(f"{result['requests']} responses in {result['bytes']} bytes, of {len(workload.answer)} each; {faults}")
        return {"messages": result["requests"], "seconds": result["seconds"], **{name: result[name] for name in ("p50_us", "p99_us", "p999_us")}}


class H2load(_Windowed):
    """h2load: HTTP/2. It compares no bodies, so one response is compared before the warm-up; then statuses and the number of bytes."""

    begins, ends = "Main benchmark duration is started", "Main benchmark duration is over"

    def command(self, workload, server, seconds, kind):
        url = self.url(workload, server)
        if kind == "warmup":
            self._verify(workload, url)
        return ["h2load", "--threads", "1", "--duration", f"{round(seconds * 1000)}ms",
                "--warm-up-time", "0" if kind == "calls" else f"{round(ROUND_WARMUP * 1000)}ms", *workload.load, url]

    @staticmethod
    def _verify(workload, url):
        try:
            body = subprocess.run(["nghttp", "--no-verify-peer", url], capture_output=True, stdin=subprocess.DEVNULL, timeout=VERIFIED_WITHIN).stdout
        except subprocess.TimeoutExpired as error:
            raise LoadError(f"no response within {VERIFIED_WITHIN} s") from error
        if body != workload.answer:
            raise LoadError(f"the response is {body!r}, not {workload.answer!r}")

    def result(self, output, workload):
        total, done, succeeded, failed, errored, timeouts = (
            self._number(rf"(\d+) {name}[,\n]", output) for name in ("total", "done", "succeeded", "failed", "errored", "timeout"))
        well, data = self._number(r"(\d+) 2xx", output), self._number(r"\((\d+)\) data", output)
        # A response whose headers arrive within the window and whose end does not has a status and is not done.
        if failed or errored or timeouts or not 0 < total == done == succeeded <= well or data < succeeded * len(workload.answer):
            raise LoadError("; ".join(re.findall(r"^(?:requests|status codes|traffic): .*$", output, re.MULTILINE)))
        return {"messages": succeeded, "seconds": round(succeeded / float(re.search(r", ([\d.]+) req/s", output).group(1)), 6)}

    @staticmethod
    def _number(pattern, output):
        return int(re.search(pattern, output).group(1))


def _children_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


GENERATORS = {"load": Load(), "broadcast": Broadcast(), "wrk": Wrk(), "h2load": H2load()}
