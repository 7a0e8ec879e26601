"""XenMon's figures of one interval as a table, all on one page."""

from __future__ import annotations

from xengym.monitor.xenmon import Usage, Window
from xengym.render.text_table import text_table

_HEADINGS = (
    "NAME", "ID", "CPU(%)", "WAIT(%)", "BLOCK(%)", "EX/s", "CPU/ex(us)", "WAIT/ex(us)", "ALLOC/ex(ms)", "min", "max",
    "IO/s", "IO/ex", "BLOCK/io(us)",
)  # fmt: skip


def xenmon_table(window: Window, *, vcpus: bool = False) -> str:
    """Text table: a line for each domain, and for each vCPU of those with several if ``vcpus``.

    Percentages are of one pCPU. A second table follows if there are driver domains: whose their CPU time was.
    """
    length_s = (window.end_ns - window.start_ns) / 1e9
    rows = []
    for domain in window.domains:
        rows.append(_row(domain, domain.name))
        own = [vcpu for vcpu in window.vcpus if vcpu.domid == domain.domid]
        if vcpus and len(own) > 1:
            rows += [_row(vcpu, f"  vcpu{vcpu.vcpu}") for vcpu in own]
    title = f"xenmon  {window.start_ns / 1e9:.1f} .. {window.end_ns / 1e9:.1f} s"
    text = title + "\n" + text_table(_HEADINGS, rows)
    if window.driver and length_s > 0:
        shares = [
            [
                share.name,
                str(share.domid),
                f"{share.by_packets_ns / length_s / 1e7:.2f}",
                f"{share.true_ns / length_s / 1e7:.2f}",
            ]
            for share in window.driver
        ]
        text += "\n\n" + text_table(("DRIVER CPU OF", "ID", "by packets(%)", "in truth(%)"), shares)
        text += f"\nthe heuristic books {100 * window.driver_error:.1f} % of it to the wrong domain"
    return text


def _row(usage: Usage, name: str) -> list[str]:
    elapsed_s = usage.elapsed_ns / 1e9
    io_per_s = None if usage.io_pages is None or not elapsed_s else usage.io_pages / elapsed_s
    return [
        name,
        str(usage.domid),
        f"{usage.pct(usage.gotten_ns):.1f}",
        f"{usage.pct(usage.waited_ns):.1f}",
        f"{usage.pct(usage.blocked_ns):.1f}",
        f"{usage.executions_per_s:.0f}",
        _number(usage.per_execution(usage.gotten_ns), 1e3, 0),
        _number(usage.per_execution(usage.waited_ns), 1e3, 0),
        _number(usage.allocated_mean_ns, 1e6, 2),
        _number(usage.allocated_min_ns or None, 1e6, 2),
        _number(usage.allocated_max_ns or None, 1e6, 2),
        _number(io_per_s, 1, 0),
        _number(usage.io_per_execution, 1, 2),
        _number(usage.blocked_per_io_ns, 1e3, 0),
    ]


def _number(value: float | None, unit: float, digits: int) -> str:
    return "-" if value is None else f"{value / unit:.{digits}f}"
