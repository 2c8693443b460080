"""Writes performance.md: everything between the markers is generated, the prose around them stays."""

from figures import Figures
from plot import panels

# Of each section.
MARKERS = {
    "streams": ("<!-- generated from here; `test/Benchmarks/run` writes it -->", "<!-- generated to here -->"),
    "http": ("<!-- HTTP, generated from here; `test/Benchmarks/run` writes it -->", "<!-- HTTP, generated to here -->"),
    "groups": ("<!-- groups, generated from here; `test/Benchmarks/run` writes it -->", "<!-- groups, generated to here -->"),
}
EMPTY_PAGE = "# Performance\n\n{}\n{}\n\n# HTTP\n\n{}\n{}\n\n# Groups\n\n{}\n{}\n".format(*MARKERS["streams"], *MARKERS["http"], *MARKERS["groups"])


def write(section, results, workloads, contenders, output):
    """Writes one section; the other one stays."""
    figures = Figures(results, workloads)
    parts = {"streams": _streams, "http": _http, "groups": _groups}[section](results[0], figures, workloads, contenders, output)
    begin, end = MARKERS[section]
    text = "\n\n".join([begin, *(part for part in parts if part), end])
    page = output / "performance.md"
    old = page.read_text(encoding="utf-8") if page.exists() else EMPTY_PAGE
    before, found_begin, rest = old.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found_begin or not found_end:
        raise RuntimeError(f"{page} has lost its markers, '{begin}' and '{end}'")
    page.write_text(before + text + after, encoding="utf-8")


def _streams(machine, figures, workloads, contenders, output):
    rated = [workload for workload in workloads if not workload.memory]
    plots = _plots(figures, rated, contenders, output / "performance")
    parts = [_machine(machine), *plots, _summary(figures, workloads, contenders)]
    parts += [_details(figures, workload, contenders, "messages") for workload in rated]
    return [*parts, _idle(figures, contenders), _errors(figures)]


def _http(machine, figures, workloads, contenders, _output):
    parts = [_machine(machine), _http_summary(figures, workloads, contenders)]
    parts += [_details(figures, workload, contenders, "requests", level="###") for workload in workloads]
    return [*parts, _http_idle(figures, contenders), _errors(figures, level="###")]


def _groups(machine, figures, workloads, contenders, _output):
    parts = [_machine(machine)]
    for workload in workloads:
        measured = [contender for contender in contenders if figures.has(workload.key, contender.name)]
        table = (_group_memory if workload.memory else _broadcasts)(figures, workload, measured)
        parts.append(f"### {workload.key}: {workload.title}\n\n{table}")
    return [*parts, _errors(figures, level="###")]


def _broadcasts(figures, workload, contenders):
    """All times are for one delivery."""
    header = ["", "deliveries/s", "time µs", "ratio to C", "lowest to highest", "CPU µs", "ratio to C", "lowest to highest", "call µs", "ratio to C",
              "load's core", "others"]
    rows = []
    for contender in contenders:
        row = [contender.title, _number(figures.median(workload.key, contender.name, "rate"), 0)]
        for field in ("wall_us", "server_cpu_us", "call_us"):
            ratios = figures.ratios(workload.key, contender.name, field)
            row += [_number(figures.median(workload.key, contender.name, field)), _number(figures.ratio(workload.key, contender.name, field))]
            row += [f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else ""] if field != "call_us" else []
        row += ["" if (share := figures.median(workload.key, contender.name, field)) is None else f"{share:.0%}" for field in ("load_busy", "others")]
        rows.append(row)
    return _table(header, rows)


def _group_memory(figures, workload, contenders):
    header = ["", "managed", "more than not registered", "resident", "more than not registered"]
    rows = []
    for contender in contenders:
        row = [contender.title]
        for field in ("managed_per_connection", "resident_per_connection"):
            own, none = (figures.median(workload.key, name, field) for name in (contender.name, workload.yardstick))
            row += [_number(own, 0), "" if none is None or contender.name == workload.yardstick else _number(own - none, 0)]
        rows.append(row)
    return _table(header, rows)


def _http_summary(figures, workloads, contenders):
    """A pair of columns for each of this project's transports."""
    own = [contender for contender in contenders if contender.own]
    header = [""]
    for contender in own:
        header += [f"{contender.title}: rate vs stock", "CPU per request vs stock"]
    rows = [[f"{workload.key}: {workload.title}", *(_number(figures.ratio(workload.key, contender.name, field))
                                                    for contender in own for field in ("rate", "server_cpu_us"))] for workload in workloads]
    return ("Rate and server CPU per request as ratios to stock Kestrel's in the same round, medians of the rounds: a higher rate and less CPU are "
            f"better.\n\n{_table(header, rows)}")


def _table(header, rows):
    lines = [header, ["---"] + ["--:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value, digits=2):
    return "" if value is None else f"{value:,.{digits}f}"


def _machine(machine):
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (f"Measured {machine['day']}, revision {machine['revision']}, on {machine['cores']} cores of {machine['cpu']}, "
            f"Linux {machine['kernel']}; {versions}. {machine['rounds']} rounds of {machine['seconds']:g} s after {machine['warmup']:g} s of "
            f"warm-up; servers on core {machine['server_core']}, load on core {machine['load_core']}.")


def _summary(figures, workloads, contenders):
    """The ratio to C of each workload; where memory is measured, that."""
    def cell(workload, name):
        if workload.memory:
            return _number(figures.median(workload.key, name, "kib_per_connection"), 1)
        return _number(figures.ratio(workload.key, name))

    rows = [[contender.title, *(cell(workload, contender.name) for workload in workloads)] for contender in contenders]
    legend = "\n".join(f"- {workload.key}: {workload.title}" for workload in workloads)
    return (f"## Summary\n\nRates as ratios to C's in the same round, with TLS to stock Kestrel's, through relays to nginx's; medians of the rounds. Memory workloads in KiB per "
            f"connection.\n\n{_table(['', *(workload.key for workload in workloads)], rows)}\n\n{legend}")


def _details(figures, workload, contenders, unit, level="##"):
    yardstick = next((contender.title for contender in contenders if contender.name == workload.yardstick), workload.yardstick)
    header = ["", f"{unit}/s", f"ratio to {yardstick}", "lowest to highest", "CPU µs", "system calls", "p50 µs", "p99 µs", "p99.9 µs", "load's core", "others"]
    header += [f"rate to {workload.beside}", f"p99 to {workload.beside}"] if workload.beside else []
    rows = []
    for contender in contenders:
        key, name = workload.key, contender.name
        if not figures.has(key, name):
            continue
        ratios = figures.ratios(key, name)
        row = [contender.title, _number(figures.median(key, name, "rate"), 0), _number(figures.ratio(key, name)),
               f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else "",
               _number(figures.median(key, name, "server_cpu_us")), _number(figures.calls(key, name)),
               *(_number(figures.median(key, name, field), 0) for field in ("p50_us", "p99_us", "p999_us")),
               *("" if (share := figures.median(key, name, field)) is None else f"{share:.0%}" for field in ("load_busy", "others"))]
        if workload.beside:
            row += [_number(_relative(figures, workload, name, field)) for field in ("rate", "p99_us")]
        rows.append(row)
    return f"{level} {workload.key}: {workload.title}\n\n{_table(header, rows)}" if rows else ""


def _relative(figures, workload, name, field):
    """Against the contender's own figure of the workload that this one disturbs."""
    own, undisturbed = (figures.median(key, name, field) for key in (workload.key, workload.beside))
    return None if own is None or undisturbed is None else own / undisturbed


def _idle(figures, contenders):
    table = _idle_table(figures, contenders)
    return table and f"## Idle\n\nThe share of a core that each server uses after these workloads, without a client.\n\n{table}"


def _http_idle(figures, contenders):
    table = _idle_table(figures, contenders)
    return table and f"### Idle\n\nThe share of a core that each server uses after these workloads, without a client.\n\n{table}"


def _idle_table(figures, contenders):
    rows = [[contender.title, f"{figures.idle[contender.name]:.3%}"] for contender in contenders if contender.name in figures.idle]
    return rows and _table(["", "CPU"], rows)


def _errors(figures, level="##"):
    if not figures.errors:
        return ""
    return f"{level} Failures\n\n" + "\n".join(f"- {error['workload']}, {error['contender']}: {error['message']}" for error in figures.errors)


def _plots(figures, workloads, contenders, folder):
    def write_plot(name, title, value):
        shown = [(f"{workload.key}: {workload.title}", [(contender.title, figure, contender.own) for contender in contenders
                                                          if (figure := value(workload.key, contender.name)) is not None])
                 for workload in workloads]
        shown = [(heading, bars) for heading, bars in shown if bars]
        if not shown:
            return ""
        (folder / f"{name}.svg").write_text(panels(title, shown), encoding="utf-8")
        return f"![{title}](performance/{name}.svg)"

    yardsticks = {workload.key: workload.yardstick for workload in workloads}

    def cpu(key, name):
        yardstick, own = (figures.median(key, contender, "server_cpu_us") for contender in (yardsticks[key], name))
        return own / yardstick if own and yardstick else None

    return [write_plot("rate", "Messages per second, C epoll (with TLS: stock Kestrel; relays: nginx) = 1: longer is better", figures.ratio),
            write_plot("cpu", "Server CPU per message, C epoll (with TLS: stock Kestrel; relays: nginx) = 1: shorter is better", cpu)]
