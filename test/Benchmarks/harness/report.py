"""Writes performance.md: everything between the markers is generated, the prose around them stays."""

from statistics import median

from figures import Figures
from plot import panels
from workloads import COLD_FULL, COLD_SECONDS, COLD_SLICE

# Of each section.
MARKERS = {
    "streams": ("<!-- generated from here; `test/Benchmarks/run` writes it -->", "<!-- generated to here -->"),
    "sidecar": ("<!-- sidecar, generated from here; `test/Benchmarks/run` writes it -->", "<!-- sidecar, generated to here -->"),
    "cold": ("<!-- cold, generated from here; `test/Benchmarks/run` writes it -->", "<!-- cold, generated to here -->"),
    "http": ("<!-- HTTP, generated from here; `test/Benchmarks/run` writes it -->", "<!-- HTTP, generated to here -->"),
    "groups": ("<!-- groups, generated from here; `test/Benchmarks/run` writes it -->", "<!-- groups, generated to here -->"),
}
TITLES = {"streams": "# Performance", "sidecar": "## TLS sidecar", "cold": "## Cold start", "http": "## HTTP", "groups": "## Groups"}
EMPTY_PAGE = "\n\n".join(f"{title}\n\n" + "\n".join(MARKERS[section]) for section, title in TITLES.items()) + "\n"

# The relays whose CPU is the goal of the TLS sidecar: the lower of both.
RIVALS = ("sidecar-haproxy", "sidecar-nginx")
# The times of the cold start, in seconds; a rate is that of the last slices before it.
COLD_TIMES, COLD_WINDOW = (0.5, 1, 2, 5), 0.2


def write(section, results, workloads, contenders, output):
    """Writes one section; the other one stays."""
    figures = Figures(results, workloads)
    parts = {"streams": _streams, "sidecar": _sidecar, "cold": _cold, "http": _http, "groups": _groups}[section](results[0], figures, workloads, contenders, output)
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


def _sidecar(machine, figures, workloads, contenders, _output):
    rated = [workload for workload in workloads if not workload.memory]
    memory = [workload for workload in workloads if workload.memory]
    relays = [contender for contender in contenders if contender.relay]
    parts = [_machine(machine), _sidecar_summary(figures, rated, relays) if rated else ""]
    parts += [_details(figures, workload, contenders, "connections" if set(workload.load) & {"--churn", "--refused"} else "frames", "###") for workload in rated]
    parts += [_sidecar_memory(figures, memory, contenders), _footprint(figures, rated, relays)]
    table = _idle_table(figures, contenders)
    parts.append(table and f"### Idle sidecar\n\nThe share of a core that each relay uses after these workloads, without a client.\n\n{table}")
    return [*parts, _errors(figures, level="###")]


def _sidecar_summary(figures, workloads, contenders):
    rows = []
    for contender in contenders:
        row = [contender.title]
        for workload in workloads:
            ratios = figures.ratios_to_best(workload.key, contender.name, RIVALS, "server_cpu_us")
            row.append(f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if ratios else "")
        rows.append(row)
    legend = "\n".join(f"- {workload.key}: {workload.title}" for workload in workloads)
    return ("The relay's CPU for each frame or connection, as a ratio to the lower of HAProxy's and nginx's in the same round; medians of the rounds, "
            f"and the lowest and highest.\n\n{_table(['', *(workload.key for workload in workloads)], rows)}\n\n{legend}")


def _sidecar_memory(figures, workloads, contenders):
    rows = []
    for contender in contenders:
        row = [contender.title + (", relayed" if contender.relay else ", terminated")]
        for name in ("t4", "t4-stalled"):
            key = f"{name}-{'relayed' if contender.relay else 'terminated'}"
            values = figures.values(key, contender.name, "kib_per_connection")
            row += [_number(median(values), 1), f"{min(values):.1f} to {max(values):.1f}"] if values else ["", ""]
        if any(row[1:]):
            rows.append(row)
    legend = "\n".join(f"- {workload.key}: {workload.title}" for workload in workloads)
    return rows and (f"### t4: resident memory of a TLS connection\n\n{_table(['', 'idle, KiB', 'lowest to highest', 'stalled, KiB', 'lowest to highest'], rows)}"
                     f"\n\n{legend}")


def _footprint(figures, workloads, contenders):
    rows = [[contender.title, *(_number(figures.footprint.get((workload.key, contender.name)), 1) for workload in workloads)] for contender in contenders]
    return figures.footprint and ("### Resident memory of the relay\n\nMiB of one process after the rounds of each workload, without a client.\n\n"
                                  f"{_table(['', *(workload.key for workload in workloads)], rows)}")


def _cold(machine, figures, workloads, contenders, _output):
    return [_machine(machine), *(_cold_table(figures, workload, contenders) for workload in workloads), _errors(figures, level="###")]


def _cold_table(figures, workload, contenders):
    """The speed before each time as a share of that of the last seconds in the same round: by rate, and by CPU per message."""
    def grown(totals, until, seconds):
        end, count = round(until / COLD_SLICE), round(seconds / COLD_SLICE)
        return totals[end - 1] - (totals[end - 1 - count] if end > count else 0)

    def rates(name, time, seconds):
        return [grown(totals, time, seconds) / seconds for totals in figures.values(workload.key, name, "slices")]

    def costs(name, time, seconds):
        return [grown(cpu, time, seconds) / max(1, grown(totals, time, seconds))
                for totals, cpu in zip(figures.values(workload.key, name, "slices"), figures.values(workload.key, name, "slices_cpu_us"), strict=True)]

    def shares(parts, wholes):
        return f"{median(part / whole for part, whole in zip(parts, wholes, strict=True)):.0%}"

    header = ["", *(f"rate, {time:g} s" for time in COLD_TIMES), *(f"CPU, {time:g} s" for time in COLD_TIMES), "full speed, messages/s", "CPU µs",
              "CPU ratio to the default", "lowest to highest"]
    rows = []
    for contender in contenders:
        name = contender.name
        if not figures.has(workload.key, name):
            continue
        full, cost = rates(name, COLD_SECONDS, COLD_FULL), costs(name, COLD_SECONDS, COLD_FULL)
        ratios = [own / other for own, other in zip(cost, costs(workload.yardstick, COLD_SECONDS, COLD_FULL), strict=False)]
        rows.append([contender.title, *(shares(rates(name, time, COLD_WINDOW), full) for time in COLD_TIMES),
                     *(shares(cost, costs(name, time, COLD_WINDOW)) for time in COLD_TIMES), _number(median(full), 0), _number(median(cost)),
                     _number(median(ratios) if ratios else None), f"{min(ratios):.2f} to {max(ratios):.2f}" if ratios else ""])
    return _table(header, rows)


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
    return (f"## Summary\n\nRates as ratios to C's in the same round, with TLS to those of C with OpenSSL, through relays to nginx's; medians of the rounds. Memory workloads in KiB per "
            f"connection.\n\n{_table(['', *(workload.key for workload in workloads)], rows)}\n\n{legend}")


def _details(figures, workload, contenders, unit, level="##"):
    yardstick = next((contender.title for contender in contenders if contender.name == workload.yardstick), workload.yardstick)
    header = ["", f"{unit}/s", f"ratio to {yardstick}", "lowest to highest", "CPU µs", "system calls", "p50 µs", "p99 µs", "p99.9 µs", "load's core", "others"]
    shares = {contender.name: figures.median(workload.key, contender.name, "resumed") for contender in contenders}
    header += ["resumed"] if any(share is not None for share in shares.values()) else []
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
        if "resumed" in header:
            row.append("" if shares[name] is None else f"{shares[name]:.0%}")
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

    return [write_plot("rate", "Messages per second, C epoll (with TLS: C with OpenSSL; relays: nginx) = 1: longer is better", figures.ratio),
            write_plot("cpu", "Server CPU per message, C epoll (with TLS: C with OpenSSL; relays: nginx) = 1: shorter is better", cpu)]
