"""Writes docs/faults.md from the matrix and from results of the tests: report.py [--rows XML...] [--soak MINUTES XML] DOCUMENT

A part without new results (the rows, or the soak) is kept. Exits with 1 if a row has no test, or one that has not passed.
"""

import argparse
import collections
import json
import pathlib
import re
import sys
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).parent
ROWS = ("<!-- rows -->", "<!-- end of rows -->")
SOAK = ("<!-- soak -->", "<!-- end of soak -->")

TEMPLATE = f"""# Faults and abuse

This page lists faults of peers, networks, clients and operators, the required reaction of the service, and the test result. The tests use real
sockets, and real processes if the row is about a process. After each test of `test/Faults.Tests` the same invariants are checked: a canary is echoed within a
second; open sockets, live connections and pooled memory are back at their earlier values; and each connection has one summary line with the correct
close reason. `!` marks a fault on which stock Kestrel (10.0) was measured to fail. *missed* marks a requirement that is not met, with the measured value.

`test/Faults.Tests/run` runs every test of every row and writes this page. `test/Faults.Tests/soak MINUTES` writes the section on soaking. The rows are in
`test/Faults.Tests/matrix.json`.

{ROWS[0]}
{ROWS[1]}

## Soak

F50 repeatedly opens a connection, echoes a line and closes it, 16 at a time. F51 sends lines through a seeded chaos relay that splits, delays, coalesces,
resets and half-closes, and compares checksums of sent and received data. Both measure the process of StreamsHost after a quarter of the time and at
the end, each time after a full garbage collection.

{SOAK[0]}
{SOAK[1]}
"""


class Results:
    """Tests that ran, by the row that they name."""

    def __init__(self, paths):
        self.tests = collections.defaultdict(list)
        for path in paths:
            for test in xml.etree.ElementTree.parse(path).getroot().iter("test"):
                for trait in test.iter("trait"):
                    if trait.get("name") == "Fault":
                        self.tests[trait.get("value")].append(test)

    def ids(self):
        return self.tests.keys()

    def result(self, row):
        tests = self.tests[row]
        for outcome, word in (("Fail", "failed"), ("Skip", "skipped"), ("NotRun", "not run")):
            of = [test for test in tests if test.get("result") == outcome]
            if of:
                why = of[0].findtext("reason") or ""
                return f"{word}: {of[0].get('method')} {' '.join(why.split())}".strip()
        if not tests:
            return "not run"
        missed = self.attached(row, "missed")
        return f"passed; missed: {'; '.join(missed)}" if missed else "passed"

    def figures(self, row):
        return "; ".join(self.attached(row, "figure")) or "-"

    def attached(self, row, kind):
        return [
            attached.text.strip()
            for test in self.tests[row]
            for attached in test.iter("attachment")
            if attached.get("name", "").startswith(f"{kind} ")
        ]


def cell(text):
    return text.replace("|", "\\|")


def rows_table(matrix, results):
    yield "| Row | Case | Must happen | Result | Measured | Tests |"
    yield "|---|---|---|---|---|---|"
    for row in matrix:
        mark = " !" if row["failsStockKestrel"] else ""
        tests = ", ".join(f"`{test.split('.')[-1]}`" for test in row["tests"])
        count = len(results.tests[row["id"]])
        yield (
            f"| {row['id']}{mark} | {cell(row['case'])} | {cell(row['mustHappen'])} | {cell(results.result(row['id']))} "
            f"| {cell(results.figures(row['id']))} | {tests}; {count} in all |"
        )


def soak_table(minutes, results):
    yield f"{minutes} minutes:"
    yield ""
    yield "| Row | Result | Measured |"
    yield "|---|---|---|"
    for row in sorted(results.ids()):
        yield f"| {row} | {results.result(row)} | {cell(results.figures(row))} |"


def replace(document, marks, lines):
    begin, end = marks
    pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    return pattern.sub(lambda _: f"{begin}\n" + "\n".join(lines) + f"\n{end}", document)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("document", type=pathlib.Path)
    parser.add_argument("--rows", nargs="+", default=[], metavar="XML")
    parser.add_argument("--soak", nargs=2, metavar=("MINUTES", "XML"))
    arguments = parser.parse_args()
    matrix = json.loads((HERE / "matrix.json").read_text(encoding="utf-8"))
    old = arguments.document.read_text(encoding="utf-8") if arguments.document.exists() else ""
    document = TEMPLATE
    for marks in (ROWS, SOAK):
        kept = re.search(f"{re.escape(marks[0])}\n(.*)\n{re.escape(marks[1])}", old, re.DOTALL)
        if kept:
            document = replace(document, marks, [kept[1]])
    wrong = []
    if arguments.rows:
        results = Results(arguments.rows)
        document = replace(document, ROWS, rows_table(matrix, results))
        wrong += [f"{row['id']}: {results.result(row['id'])}" for row in matrix if not results.result(row["id"]).startswith("passed")]
    if arguments.soak:
        results = Results(arguments.soak[1:])
        document = replace(document, SOAK, soak_table(arguments.soak[0], results))
        wrong += [f"{row}: {results.result(row)}" for row in ("F50", "F51") if not results.result(row).startswith("passed")]
    arguments.document.write_text(document, encoding="utf-8")
    for line in wrong:
        print(line)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
