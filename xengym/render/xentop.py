"""An xentop-like table of a host's last control interval."""

from __future__ import annotations

from xengym.hypervisor.host import Host
from xengym.monitor.interval import IntervalMonitor
from xengym.render.parameters import cell, columns, heading
from xengym.render.text_table import text_table

_BEFORE = "NAME", "ID", "VCPUS", "CPU(%)", "STEAL(%)"
_AFTER = "WAKE(ms)", "JOBS", "LATE", "RESP(ms)", "SLA(%)"


def xentop_table(host: Host, monitor: IntervalMonitor) -> str:
    """Text table: one line per domain present; CPU in percent of one pCPU, as xentop prints it."""
    whole = monitor.host_record[0]
    length_ns = max(1, int(whole["end_ns"] - whole["start_ns"]))
    used = 1.0 - float(whole["idle_ns"]) / (length_ns * host.num_pcpus)
    scheduler = host.scheduler
    title = (
        f"xengym  {host.now_ns / 1e9:.3f} s  {host.num_pcpus} pCPUs {100 * used:.0f} % used  "
        f"scheduler {scheduler.name} {scheduler.version}  {int(whole['switches'])} switches"
    )
    present = {
        slot: scheduler.domain_params(slot)
        for slot, record in enumerate(monitor.domain_records)
        if record["is_present"]
    }
    names = columns(present.values())
    rows = []
    for slot, params in present.items():
        record = monitor.domain_records[slot]
        delta = record["delta"]
        done = int(delta["jobs_done"])
        late = done - int(delta["jobs_in_time"]) + int(delta["jobs_dropped"])
        wake_ms = delta["wake_latency_ns"] / delta["wakes"] / 1e6 if delta["wakes"] else 0.0
        rows.append(
            [
                host.domain_names[slot],
                str(host.sections["domain"][slot]["domid"]),
                str(record["num_vcpus"]),
                f"{100 * delta['cpu_ns'] / length_ns:.1f}",
                f"{100 * delta['steal_ns'] / length_ns:.1f}",
                *(cell(name, params.get(name)) for name in names),
                f"{wake_ms:.3f}",
                str(done),
                str(late),
                f"{delta['response_ns'] / done / 1e6:.2f}" if done else "-",
                f"{100 * record['attainment']:.1f}",
            ]
        )
    return title + "\n" + text_table([*_BEFORE, *(_capitals(name) for name in names), *_AFTER], rows)


def _capitals(name: str) -> str:
    """A parameter's heading as xentop's are: ``PERIOD(ms)``, ``WEIGHT``."""
    words = heading(name).split()
    return words[0].upper() + "".join(f"({unit})" for unit in words[1:])
