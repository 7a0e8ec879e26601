"""XenMon: what each domain and vCPU got, was given, waited for and was blocked over, in samples of 100 ms.

The figures are those of HPL-2005-187 and XenMon's README: CPU gotten, allocated, waited, blocked, executions and I/O
count, as totals, in percent, and per execution or per I/O, averaged over the last second and the last ten. Reading
changes nothing and costs the simulated machine nothing; what the real tool costs is modelled where it arises, as
records that the hypervisor writes (`Costs.monitor_record_ns`) and as a process in Dom0 (`guests.xenbaked`).

Conventions:

- **gotten + waited + blocked = the interval**, exactly, for each vCPU. XenMon knows three states and Xen four: time
  offline (paused, parked by its cap, not yet started, taken offline) counts as **blocked**, for in it the vCPU neither
  ran nor waited for a pCPU; `offline_ns` says how much of it there is.
- A vCPU younger than the interval has an interval from its creation on. Domains that are gone are not shown.
- **allocated** is the slice given at a dispatch. It differs from what was gotten, as slices are cut short, and a guest
  that goes on at the end of its slice is given another without an execution. Dispatches without a slice do not count.
- **I/O count**: pages exchanged between a domain and its driver domain. The mechanisms count each for the guest and
  once more for the driver domain (`DomainIo`). The XenMon of 3.0 sees only pages that change owner
  (`count_transfers_only`).
- Shortest and longest slice are those of the samples if the host runs `xenbaked`, else those since the vCPU's creation.
"""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xengym.hypervisor.host import Host
from xengym.monitor.attribution import IoCounters, io_counters, split_by_packets, split_error, split_true

SAMPLE_NS = 100_000_000

#: The averages that XenMon shows.
WINDOWS_NS = (1_000_000_000, 10_000_000_000)

_NEVER = np.iinfo(np.int64).max

# Columns of a sample's totals.
_GOTTEN, _WAITED, _BLOCKED, _OFFLINE, _EXECUTIONS, _UNBOUNDED, _ALLOCATED, _FLIP_FREE, _HYPERCALLS = range(9)


@dataclass(frozen=True)
class Usage:
    """What one domain, or one vCPU, came to in an interval.

    Attributes:
        name: the domain's.
        domid: its id.
        vcpu: number of the vCPU in its domain; None: the whole domain.
        interval_ns: length of the interval, summed over vCPUs.
        gotten_ns: CPU time.
        waited_ns: runnable, not running.
        blocked_ns: neither.
        offline_ns: of ``blocked_ns``: paused, parked, not started or offline.
        executions: dispatches.
        allocations: dispatches with a slice.
        allocated_ns: sum of those slices.
        allocated_min_ns: the shortest; 0: none.
        allocated_max_ns: the longest.
        flip_free: of a driver domain on a monitored host: executions, ended by now, in which no page changed owner.
        hypercalls: made by programs that count them.
        io_pages: I/O count; None for a vCPU: pages are a domain's.
        elapsed_ns: wall time of the interval; percentages are of one pCPU.
    """

    name: str
    domid: int
    vcpu: int | None
    interval_ns: int
    gotten_ns: int
    waited_ns: int
    blocked_ns: int
    offline_ns: int
    executions: int
    allocations: int
    allocated_ns: int
    allocated_min_ns: int
    allocated_max_ns: int
    flip_free: int
    hypercalls: int
    io_pages: int | None
    elapsed_ns: int

    def pct(self, part_ns: int) -> float:
        """A time in percent of one pCPU."""
        return 100 * part_ns / self.elapsed_ns if self.elapsed_ns else 0.0

    def per_execution(self, part: int) -> float | None:
        """A total by executions; None if there were none."""
        return part / self.executions if self.executions else None

    @property
    def allocated_mean_ns(self) -> float | None:
        """Mean slice given; None if none was."""
        return self.allocated_ns / self.allocations if self.allocations else None

    @property
    def blocked_per_io_ns(self) -> float | None:
        """Time blocked for each page of I/O; None without I/O."""
        return self.blocked_ns / self.io_pages if self.io_pages else None

    @property
    def io_per_execution(self) -> float | None:
        """Pages for each execution."""
        return None if self.io_pages is None else self.per_execution(self.io_pages)

    @property
    def executions_per_s(self) -> float:
        """Executions in a second of wall time."""
        return 1e9 * self.executions / self.elapsed_ns if self.elapsed_ns else 0.0

    def as_plain_data(self) -> dict[str, Any]:
        """Totals and what follows from them, for JSON."""
        return {
            **asdict(self),
            "gotten_pct": self.pct(self.gotten_ns),
            "waited_pct": self.pct(self.waited_ns),
            "blocked_pct": self.pct(self.blocked_ns),
            "gotten_per_execution_ns": self.per_execution(self.gotten_ns),
            "waited_per_execution_ns": self.per_execution(self.waited_ns),
            "allocated_mean_ns": self.allocated_mean_ns,
            "blocked_per_io_ns": self.blocked_per_io_ns,
            "io_per_execution": self.io_per_execution,
            "executions_per_s": self.executions_per_s,
        }


@dataclass(frozen=True)
class DriverShare:
    """A guest's part of the driver domains' CPU time in an interval.

    Attributes:
        name: the guest's.
        domid: its id.
        by_packets_ns: by XenMon's heuristic, in proportion to packets.
        true_ns: what was in fact spent on its behalf.
    """

    name: str
    domid: int
    by_packets_ns: float
    true_ns: int


@dataclass(frozen=True)
class Window:
    """An interval of a host.

    Attributes:
        start_ns: its begin.
        end_ns: its end.
        domains: of each domain, by slot.
        vcpus: of each vCPU, by number.
        driver: of each guest, if there are driver domains.
        driver_error: part of the driver domains' work for guests that the heuristic books to the wrong one, 0..1.
    """

    start_ns: int
    end_ns: int
    domains: list[Usage]
    vcpus: list[Usage]
    driver: list[DriverShare]
    driver_error: float

    def as_plain_data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "start_ns": self.start_ns,
            "end_ns": self.end_ns,
            "domains": [usage.as_plain_data() for usage in self.domains],
            "vcpus": [usage.as_plain_data() for usage in self.vcpus],
            "driver": [asdict(share) for share in self.driver],
            "driver_error": self.driver_error,
        }


class _Sample(NamedTuple):
    """Running totals at one instant; the difference of two is an interval.

    ``owner`` is each vCPU's ``(domid, creation)``, -1 where there is none.
    """

    at_ns: int
    totals: NDArray[np.int64]
    slices: NDArray[np.int64]
    owner: NDArray[np.int64]
    io: IoCounters


class XenMon:
    """Samples of one host in a ring.

    Args:
        host: the machine to watch; sampling begins now.
        sample_ns: length of a sample.
        history_ns: so far back the ring reaches.
        count_transfers_only: I/O count as in Xen 3.0: only pages that change owner.

    Raises:
        ValueError: a length is not positive.
    """

    def __init__(
        self,
        host: Host,
        *,
        sample_ns: int = SAMPLE_NS,
        history_ns: int = WINDOWS_NS[-1],
        count_transfers_only: bool = False,
    ) -> None:
        if sample_ns < 1 or history_ns < sample_ns:
            raise ValueError(f"xenmon: expected 1 <= sample_ns <= history_ns, found {sample_ns} and {history_ns}")
        self.host = host
        self.sample_ns = sample_ns
        self._io_field = "page_transfers" if count_transfers_only else "page_exchanges"
        self._ring: deque[_Sample] = deque([self._read()], maxlen=history_ns // sample_ns + 1)

    def run_until(self, until_ns: int) -> bool:
        """Let the host run, taking a sample at each multiple of the sample's length and at the end.

        Returns:
            Whether the instant was reached (as ``Host.run_until``).
        """
        while self.host.now_ns < until_ns:
            next_ns = min(until_ns, (self.host.now_ns // self.sample_ns + 1) * self.sample_ns)
            if not self.host.run_until(next_ns):
                return False
            self.look()
        return True

    def look(self) -> None:
        """End the sample that is under way. One that is cut short is replaced when its end has come."""
        newest = self._ring[-1]
        if len(self._ring) > 1 and newest.at_ns % self.sample_ns:
            self._ring.pop()
        elif newest.at_ns == self.host.now_ns:
            return
        self._ring.append(self._read())

    def window(self, length_ns: int = WINDOWS_NS[-1]) -> Window:
        """The newest samples that lie within ``length_ns``, as one interval; all there are if that is less."""
        new = self._ring[-1]
        first = next(i for i, sample in enumerate(self._ring) if sample.at_ns >= new.at_ns - length_ns)
        old = self._ring[first]
        is_same = (old.owner == new.owner).all(axis=1)
        delta = new.totals - np.where(is_same[:, None], old.totals, 0)
        interval_ns = new.at_ns - np.maximum(old.at_ns, new.owner[:, 1])
        slices = np.stack([sample.slices for sample in self._ring][first + 1 :] or [new.slices])
        lengths = np.stack(
            [np.where(slices[..., 0] > 0, slices[..., 0], _NEVER).min(axis=0), slices[..., 1].max(axis=0)]
        )
        lengths[0, lengths[1] == 0] = 0
        pages = self._pages(old.io, new.io)
        vcpus, domains = [], []
        state = self.host.sections["domain"]
        for slot, name in sorted(self.host.domain_names.items()):
            first_vcpu, count = int(state["first_vcpu"][slot]), int(state["num_vcpus"][slot])
            numbers = slice(first_vcpu, first_vcpu + count)
            if new.io.created_at_ns[slot] < 0 or new.owner[first_vcpu, 0] != state["domid"][slot]:
                continue  # newer than the newest sample
            key = name, int(state["domid"][slot])
            elapsed_ns = int(interval_ns[first_vcpu])
            vcpus += [
                _usage(*key, i, delta[v : v + 1], lengths[:, v : v + 1], elapsed_ns, None)
                for i, v in enumerate(range(first_vcpu, first_vcpu + count))
            ]
            domains.append(_usage(*key, None, delta[numbers], lengths[:, numbers], elapsed_ns, pages[slot]))
        by_packets, true = split_by_packets(old.io, new.io), split_true(old.io, new.io)
        has_driver = bool((new.io.io["is_backend"] != 0).any())
        driver = [
            DriverShare(name, int(state["domid"][slot]), float(by_packets[slot]), int(true[slot]))
            for slot, name in sorted(self.host.domain_names.items())
            if has_driver and not new.io.io["is_backend"][slot]
        ]
        error = split_error(by_packets, old.io, new.io)
        return Window(old.at_ns, new.at_ns, domains, vcpus, driver, error)

    def _pages(self, old: IoCounters, new: IoCounters) -> list[int]:
        """I/O count of each slot; a slot's new domain began at 0."""
        is_same = old.created_at_ns == new.created_at_ns
        gained = new.io[self._io_field] - np.where(is_same, old.io[self._io_field], 0)
        return [int(pages) for pages in gained]

    def _read(self) -> _Sample:
        vcpus = self.host.sections["vcpu"][: len(self.host.sections["guest_kind"])]
        domains = self.host.sections["domain"]
        now_ns = self.host.now_ns
        in_state = vcpus["runstate_ns"].copy()
        in_state[np.arange(len(vcpus)), vcpus["runstate"]] += now_ns - vcpus["runstate_at_ns"]
        totals = np.column_stack(
            [
                in_state[:, 0],
                in_state[:, 1],
                in_state[:, 2] + in_state[:, 3],
                in_state[:, 3],
                *(vcpus[field] for field in ("dispatches", "unbounded", "allocated_ns", "flip_free", "hypercalls")),
            ]
        )
        owner = np.column_stack([domains["domid"][vcpus["domain"]], domains["created_at_ns"][vcpus["domain"]]])
        owner[vcpus["in_use"] == 0] = -1
        slices = np.column_stack([vcpus["allocated_min_ns"], vcpus["allocated_max_ns"]])
        return _Sample(now_ns, totals, slices, owner.astype(np.int64), io_counters(self.host))


def _usage(
    name: str,
    domid: int,
    vcpu: int | None,
    delta: NDArray[np.int64],
    lengths: NDArray[np.int64],
    elapsed_ns: int,
    io_pages: int | None,
) -> Usage:
    total = delta.sum(axis=0).tolist()
    shortest = lengths[0][lengths[0] > 0]
    return Usage(
        name=name,
        domid=domid,
        vcpu=vcpu,
        interval_ns=elapsed_ns * len(delta),
        gotten_ns=total[_GOTTEN],
        waited_ns=total[_WAITED],
        blocked_ns=total[_BLOCKED],
        offline_ns=total[_OFFLINE],
        executions=total[_EXECUTIONS],
        allocations=total[_EXECUTIONS] - total[_UNBOUNDED],
        allocated_ns=total[_ALLOCATED],
        allocated_min_ns=int(shortest.min()) if len(shortest) else 0,
        allocated_max_ns=int(lengths[1].max()),
        flip_free=total[_FLIP_FREE],
        hypercalls=total[_HYPERCALLS],
        io_pages=io_pages,
        elapsed_ns=elapsed_ns,
    )
