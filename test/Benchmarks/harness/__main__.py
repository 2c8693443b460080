"""Measures the servers against each other and writes the report. Started by `run`."""

import argparse
import json
import os
import resource
import sys
import tempfile
from pathlib import Path

from contenders import CONTENDERS, REPOSITORY, build
from machine import describe
from measure import Measurement
from report import write
from workloads import workloads

# What a process needs of its descriptors for itself, and for the measured connections beside the idle ones.
OWN_DESCRIPTORS = 500


def parse(known):
    names = [contender.name for contender in CONTENDERS]
    parser = argparse.ArgumentParser(prog="run", allow_abbrev=False, description=__doc__.splitlines()[0],
                                     epilog=f"workloads: {', '.join(known)}; contenders: {', '.join(names)}")
    parser.add_argument("--workloads", type=_list_of(known), help="some of them, separated by commas (all)")
    parser.add_argument("--contenders", type=_list_of(names), help="some of them; one that is named has to run here (all that can)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of a round (2)")
    parser.add_argument("--warmup", type=float, default=8, help="seconds for each contender and workload before its first round (8)")
    parser.add_argument("--server-core", type=int, default=1)
    parser.add_argument("--load-core", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="one round of a second after a second, into a temporary folder: does all work?")
    parser.add_argument("--output", type=Path, help="where performance.md and performance/ go (docs)")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.warmup = 1, 1, 1
    return options


def _list_of(known):
    def parse_list(text):
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
        return names
    return parse_list


def main():
    idle = min(10000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - OWN_DESCRIPTORS)
    every = workloads(idle)
    options = parse([workload.key for workload in every])
    cores = os.sched_getaffinity(0)
    if not {options.server_core, options.load_core} <= cores:
        sys.exit(f"cores {options.server_core} and {options.load_core} are wanted, {sorted(cores)} are here")
    chosen = [workload for workload in every if options.workloads is None or workload.key in options.workloads]
    contenders = build([contender for contender in CONTENDERS if options.contenders is None or contender.name in options.contenders])
    missing = set(options.contenders or []) - {contender.name for contender in contenders}
    if missing:
        sys.exit(f"asked for, and not to be had: {', '.join(sorted(missing))}")

    output = options.output or (Path(tempfile.mkdtemp(prefix="bench-")) if options.quick else REPOSITORY / "docs")
    (output / "performance").mkdir(parents=True, exist_ok=True)
    results = []
    with open(output / "performance" / "results.jsonl", "w", encoding="utf-8") as log:
        def record(kind, **fields):
            results.append({"kind": kind, **fields})
            print(json.dumps(results[-1]), file=log, flush=True)

        record("machine", **describe(options))
        measurement = Measurement(contenders, options, (options.server_core, options.load_core), record)
        measurement.run(chosen)
    write(results, chosen, contenders, output)
    print(f"written: {output / 'performance.md'}")
    for key, name in measurement.failures:
        print(f"FAILED: {key}, {name}")
    sys.exit(1 if measurement.failures else 0)


main()
