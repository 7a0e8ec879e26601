"""An xentop-like table of a host's last control interval."""

from __future__ import annotations

from xengym.hypervisor.host import Host
from xengym.monitor.interval import IntervalMonitor

_COLUMNS = "NAME", "ID", "VCPUS", "CPU(%)", "STEAL(%)", "WEIGHT", "CAP", "WAKE(ms)", "JOBS", "LATE", "RESP(ms)", "SLA(%)"


def xentop_table(host: Host, monitor: IntervalMonitor) -> str:
    """Text table: one line per domain present; CPU in percent of one pCPU, as xentop prints it."""
    whole = monitor.host_record[0]
    length_ns = max(1, int(whole["end_ns"] - whole["start_ns"]))
    used = 1.0 - float(whole["idle_ns"]) / (length_ns * host.num_pcpus)
    scheduler = host.scheduler
    lines = [
        f"xengym  {host.now_ns / 1e9:.3f} s  {host.num_pcpus} pCPUs {100 * used:.0f} % used  "
        f"scheduler {scheduler.name} {scheduler.version}  {int(whole['switches'])} switches",
        "{:>12} {:>4} {:>5} {:>7} {:>8} {:>6} {:>5} {:>8} {:>5} {:>5} {:>8} {:>6}".format(*_COLUMNS),
    ]
    for slot, record in enumerate(monitor.domain_records):
        if not record["is_present"]:
            continue
        delta = record["delta"]
        params = scheduler.domain_params(slot)
        done = int(delta["jobs_done"])
        late = done - int(delta["jobs_in_time"]) + int(delta["jobs_dropped"])
        wake_ms = delta["wake_latency_ns"] / delta["wakes"] / 1e6 if delta["wakes"] else 0.0
        response = f"{delta['response_ns'] / done / 1e6:.2f}" if done else "-"
        lines.append(
            f"{host.domain_names[slot]:>12} {int(host.sections['domain'][slot]['domid']):>4} {int(record['num_vcpus']):>5} "
            f"{100 * delta['cpu_ns'] / length_ns:>7.1f} {100 * delta['steal_ns'] / length_ns:>8.1f} "
            f"{params.get('weight', '-'):>6} {params.get('cap', '-'):>5} {wake_ms:>8.3f} {done:>5} {late:>5} "
            f"{response:>8} {100 * record['attainment']:>6.1f}"
        )
    return "\n".join(lines)
