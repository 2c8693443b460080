"""Runs the workloads: warm-up, interleaved rounds, and a pass that counts system calls."""

import resource
import subprocess
import time

from contenders import CONTENDERS
from generators import GENERATORS, LoadError
from machine import busy_seconds
from servers import Server, idle_cpu_shares
from workloads import COLD_SECONDS

COUNT_SECONDS = 1
# A warm-up is repeated if others used more than this share of both cores.
WARMUPS, DISTURBED = 3, 0.25


class Measurement:
    """Measures; every result goes to `record` as it comes."""

    def __init__(self, contenders, options, cores, record):
        self._contenders = contenders
        self._options = options
        self._server_core, self._load_core = cores
        self._cores = set(cores)
        self._record = record
        self._shared = {}
        self._echo = None
        self._calls = None if not _can_count_calls() else True
        self.failures = []

    def run(self, workloads):
        if self._calls is None:
            print("SKIPPED: system calls per message: perf cannot count raw_syscalls:sys_enter here", flush=True)
        try:
            if any(contender.relay for contender in self._contenders):
                # All relays forward to it. It shares the core of the load, so that the other core only relays.
                self._echo = Server(CONTENDERS[0], self._load_core)
            if any(not (workload.memory or workload.own_process) for workload in workloads):
                shared = [workload for workload in workloads if not (workload.memory or workload.own_process)]
                self._shared = self._start([c for c in self._contenders if any(_serves(c, workload) for workload in shared)], self._server_core, 1)
            for workload in workloads:
                contenders = [c for c in self._contenders if _serves(c, workload)]
                print(f"{workload.key}: {workload.title}", flush=True)
                (self._memory if workload.memory else self._cold if workload.cold else self._rate)(workload, contenders)
            # After all workloads: a warmed server must not keep a core busy.
            if self._shared:
                for name, share in idle_cpu_shares(self._shared, self._options.seconds).items():
                    self._record("idle", contender=name, cpu_share=round(share, 5))
        finally:
            self._stop(self._shared)
            if self._echo is not None:
                self._echo.stop()

    def _start(self, contenders, core, threads):
        servers = {}
        try:
            for contender in contenders:
                servers[contender.name] = Server(contender, core, threads, self._echo)
        except BaseException:
            self._stop(servers)
            raise
        return servers

    @staticmethod
    def _stop(servers):
        for server in servers.values():
            server.stop()

    def _memory(self, workload, contenders):
        for number in range(min(self._options.rounds, workload.most_rounds)):
            for contender in contenders:
                server = Server(contender, self._server_core, workload.threads, self._echo)
                try:
                    self._attempt("round", workload, server, round=number)
                finally:
                    server.stop()

    def _cold(self, workload, contenders):
        for number in range(min(self._options.rounds, workload.most_rounds)):
            for contender in contenders:
                server = Server(contender, self._server_core, workload.threads)
                try:
                    self._attempt("round", workload, server, seconds=COLD_SECONDS, round=number)
                finally:
                    server.stop()

    def _rate(self, workload, contenders):
        own = self._start(contenders, self._server_core if workload.pinned else None, workload.threads) if workload.own_process else None
        servers = own if own is not None else self._shared
        try:
            standing = [c for c in contenders
                        if self._warm_up(workload, servers[c.name])]
            for number in range(self._options.rounds):
                # Rotated, so that no contender always follows the same one.
                turn = number % max(1, len(standing))
                for contender in standing[turn:] + standing[:turn]:
                    self._attempt("round", workload, servers[contender.name], seconds=self._options.seconds, round=number)
            if workload.section == "sidecar":
                for contender in standing:
                    self._record("footprint", workload=workload.key, contender=contender.name, resident_mib=round(servers[contender.name].resident_mib(), 1))
            if self._calls and workload.count_calls:
                for contender in (contender for contender in standing if not contender.forks):
                    self._attempt("calls", workload, servers[contender.name], seconds=COUNT_SECONDS)
        finally:
            if own is not None:
                self._stop(own)

    def _warm_up(self, workload, server):
        """Repeats a warm-up during which other programs used the cores, because a tiered JIT then is not done."""
        for _ in range(WARMUPS):
            result = self._attempt("warmup", workload, server, seconds=self._options.warmup)
            if not result or result.get("others", 0) < DISTURBED:
                break
        return result

    def _attempt(self, kind, workload, server, seconds=None, **fields):
        name = server.contender.name
        try:
            result = self._load(kind, workload, server, seconds)
        except LoadError as error:
            print(f"FAILED: {workload.key}, {server.contender.title}: {error}", flush=True)
            self._record("error", workload=workload.key, contender=name, message=str(error), **fields)
            self.failures.append((workload.key, name))
            if not server.alive:
                raise RuntimeError(f"{server.contender.title} is gone") from error
            return None
        if kind != "warmup":
            self._record(kind, workload=workload.key, contender=name, **fields, **result)
        return result

    def _load(self, kind, workload, server, seconds):
        generator = GENERATORS[workload.generator]
        core = None if not workload.pinned else self._server_core if workload.shared_core else self._load_core
        command = [] if core is None else ["taskset", "-c", str(core)]
        command += generator.command(workload, server, seconds, kind)
        if kind == "calls":
            command = ["perf", "stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "-p", str(server.pid), "--", *command]
        begun, others = time.monotonic(), self._others(server)
        result, complaint = generator.run(command, workload, server)
        others = (self._others(server) - others) / (time.monotonic() - begun) / len(self._cores)
        if workload.section != "streams":
            server.settle()
        if kind == "calls":
            return {"calls_per_message": int(complaint.split(",")[0]) / result["all_messages"]}
        if server.contender.forks:
            return {name: value for name, value in result.items() if not name.startswith("server_")}
        return result | {"others": round(max(0.0, others), 3)}

    def _others(self, server):
        """Seconds that neither this server nor the load generators have used of the cores: which disturbs a measurement."""
        generators = resource.getrusage(resource.RUSAGE_CHILDREN)
        echo = 0 if self._echo is None else self._echo.cpu_seconds()
        return busy_seconds(self._cores) - server.cpu_seconds() - echo - generators.ru_utime - generators.ru_stime


def _serves(contender, workload):
    if workload.section == "groups":
        return contender.registers == workload.memory
    if workload.endpoint == "refuse":
        return contender.refuses
    return workload.section in ("http", "cold") or (
        contender.relay == workload.relay and (contender.tls if workload.endpoint == "tls" else contender.plain)
        and (contender.unix or not workload.unix) and (contender.blocking or not workload.blocking)
        and (contender.loops or workload.threads == 1))


def _can_count_calls():
    try:
        done = subprocess.run(["perf", "stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "--", "true"], capture_output=True, text=True)
    except FileNotFoundError:
        return False
    return done.returncode == 0 and done.stderr.split(",")[0].isdigit()
