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

SECTIONS = ("streams", "sidecar", "cold", "http", "groups")

# Descriptors of the process itself and of the measured connections, in addition to the idle ones.
OWN_DESCRIPTORS = 500


def parse(groups):
    known = [key for keys in groups.values() for key in keys]
    names = [contender.name for contender in CONTENDERS]
    parser = argparse.ArgumentParser(prog="run", allow_abbrev=False, description=__doc__.splitlines()[0],
                                     epilog=f"workloads: {', '.join(known)}; groups of them: {', '.join(groups)}; contenders: {', '.join(names)}")
    parser.add_argument("--workloads", type=_list_of(known, groups), help="some of them, or a group, separated by commas (all)")
    parser.add_argument("--contenders", type=_list_of(names), help="some of them; a named one must be able to run here (all that can, except http-socket)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of a round (2)")
    parser.add_argument("--warmup", type=float, default=8, help="seconds for each contender and workload before its first round (8)")
    parser.add_argument("--idle", type=int, default=10000, help="connections of the workloads with idle ones, if the limit of descriptors allows (10,000)")
    parser.add_argument("--server-core", type=int, default=1)
    parser.add_argument("--load-core", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="a smoke test: one round of a second after a second of warm-up, into a temporary folder")
    parser.add_argument("--output", type=Path, help="folder of performance.md and performance/ (docs)")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.warmup = 1, 1, 1
    return options


def _list_of(known, groups=None):
    def parse_list(text):
        names = [name for part in text.split(",") for name in (groups or {}).get(part, [part])]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
        return names
    return parse_list


def main():
    options = parse({section: [workload.key for workload in workloads(0) if workload.section == section] for section in SECTIONS})
    every = workloads(min(options.idle, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - OWN_DESCRIPTORS))
    cores = os.sched_getaffinity(0)
    if not {options.server_core, options.load_core} <= cores:
        sys.exit(f"cores {options.server_core} and {options.load_core} are wanted, {sorted(cores)} are here")
    chosen = {section: [workload for workload in every if workload.section == section and (options.workloads is None or workload.key in options.workloads)]
              for section in SECTIONS}
    chosen = {section: some for section, some in chosen.items() if some}
    wanted = [contender for contender in CONTENDERS if (contender.name in options.contenders if options.contenders is not None else not contender.named)]
    needless = [contender.name for contender in wanted if contender.section not in chosen]
    if options.contenders is not None and needless:
        sys.exit(f"measured in none of these workloads: {', '.join(needless)}")
    unserved = [section for section in chosen if not any(contender.section == section for contender in wanted)]
    if options.workloads is not None and unserved:
        sys.exit(f"no contender serves {', '.join(workload.key for section in unserved for workload in chosen[section])}")
    contenders = build([contender for contender in wanted if contender.section in chosen])
    missing = set(options.contenders or []) - {contender.name for contender in contenders}
    if missing:
        sys.exit(f"cannot run here: {', '.join(sorted(missing))}")

    output = options.output or (Path(tempfile.mkdtemp(prefix="bench-")) if options.quick else REPOSITORY / "docs")
    (output / "performance").mkdir(parents=True, exist_ok=True)
    path = output / "performance" / "results.jsonl"
    others = _records_of_others(path, {contender.section for contender in contenders})
    failures = []
    with open(path, "w", encoding="utf-8") as log:
        log.writelines(others)
        for section, some in chosen.items():
            serving = [contender for contender in contenders if contender.section == section]
            if serving:
                failures += _measure(section, some, serving, options, log, output)
    print(f"written: {output / 'performance.md'}")
    for key, name in failures:
        print(f"FAILED: {key}, {name}")
    sys.exit(1 if failures else 0)


def _records_of_others(path, sections):
    """The lines of the sections that are not measured now."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8") as log:
        return [line for line in log if json.loads(line).get("section", SECTIONS[0]) not in sections]


def _measure(section, chosen, contenders, options, log, output):
    results = []

    def record(kind, **fields):
        results.append({"kind": kind, **({} if section == SECTIONS[0] else {"section": section}), **fields})
        print(json.dumps(results[-1]), file=log, flush=True)

    record("machine", **describe(options))
    measurement = Measurement(contenders, options, (options.server_core, options.load_core), record)
    measurement.run(chosen)
    write(section, results, chosen, contenders, output)
    return measurement.failures


main()
