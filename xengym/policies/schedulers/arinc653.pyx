"""ARINC653: time partitioning by a fixed table, as avionics demand it.

Design. A *major frame* repeats for ever. In it each entry of a table gives one vCPU a *window*: its time, all of it,
whatever anybody else does. A vCPU that blocks leaves its window idle, one that wakes waits for its own next window, and
what the windows leave of the frame is idle. So what a partition can observe of the others is nothing:

    frame n is [n M, (n + 1) M),  window i begins at  n M + r_0 + ... + r_(i-1)  and lasts r_i,  sum r <= M

There is no state but where the frame and the window end; a pass that comes late goes to the window that time has reached.

A new table counts from the next pass on, and the first of its frames begins when it was set. Guests do not run until a
table names them, so a domain that moves here stands still until then. Dom0 is the exception, as it has to set the table:
each of its vCPUs enters itself with a window of 10 ms when it is created, and from the second on the frame grows by that.

The frame is the pool's, not the pCPU's: it is meant for pools of one pCPU. With several, a window's vCPU runs where it
lives, the other pCPUs idle.

The parameters are not numbers: `adjust` and the boot option take the table as a sequence of tuples. There are none of
domains: what another scheduler gave a domain is lost when it moves here.

Simplified against Xen: entries name domains by their number, Xen's by their UUID.

Source: Xen 4.22; ARINC Specification 653, part 1; VanderLeest, "ARINC 653 Hypervisor" (DASC 2010).
"""
from libc.stdint cimport int32_t, int64_t
from xengym.machine.state cimport NO_VCPU, Machine, Vcpu, is_current, is_runnable
from xengym.mechanisms.softirq cimport raise_schedule
from xengym.policies.schedulers.api cimport Decision, Scheduler

from collections.abc import Iterable, Sequence

import numpy as np

from xengym.policies.schedulers.tunables import check_integer

cdef ArincFrame _frame
cdef ArincEntry _entry
cdef ArincVcpu _vcpu

cdef enum:
    _MAX_ENTRIES = 64        # of Xen's interface

MAX_ENTRIES = _MAX_ENTRIES
MAX_DOMID = 32751            # of a domain
MAX_VCPU = 65535             # vCPUs a machine can hold here
MAX_NS = 2**62               # so that now and a frame add up
cdef int64_t DEFAULT_WINDOW_NS = 10_000_000  # of a Dom0 vCPU, and the major frame without a table


cdef class Arinc653Scheduler(Scheduler):
    """Xen's ARINC653 scheduler.

    Args:
        version: only the current release, 4.22.
        table: the windows in their order, each ``(domid, vcpu_in_domain, runtime_ns)``; default none, as Xen boots.
        major_frame_ns: the major frame; default as long as the windows.
    """

    versions = ("4.22", "current")

    def __init__(self, version="current", *, table=(), major_frame_ns=None):
        if version not in self.versions:
            raise ValueError(
                f"unknown version {version!r} of scheduler 'arinc653'; expected one of {', '.join(self.versions)}"
            )
        self.name = "arinc653"
        self.version = self.versions[0]
        self.table = ()
        self.boot_major_frame_ns = DEFAULT_WINDOW_NS
        if table != () or major_frame_ns is not None:
            self.boot_major_frame_ns, entries = self._check_table(major_frame_ns, table)
            self.table = tuple(entries)

    def __reduce__(self):
        return _rebuild, (self.version, self.table, self.boot_major_frame_ns)

    # -- state ---------------------------------------------------------------------------------------------------

    def sections(self, num_pcpus, max_vcpus, max_domains):
        return [
            ("arinc653", np.asarray(<ArincFrame[:1]>&_frame).dtype, 1),
            ("arinc653_entry", np.asarray(<ArincEntry[:1]>&_entry).dtype, MAX_ENTRIES),
            ("arinc653_vcpu", np.asarray(<ArincVcpu[:1]>&_vcpu).dtype, max_vcpus),
        ]

    def bind(self, views):
        cdef ArincFrame[::1] frame = views["arinc653"]
        cdef ArincEntry[::1] entry = views["arinc653_entry"]
        cdef ArincVcpu[::1] vcpu = views["arinc653_vcpu"]
        self.frame = &frame[0]
        self.entry = &entry[0]
        self.vcpu = &vcpu[0]
        self.entry[0].runtime_ns = DEFAULT_WINDOW_NS
        self._write(self.boot_major_frame_ns, self.table)

    def queued(self):
        """VCPUs that want to run and do not, by number: they wait for their windows, or for ever."""
        cdef Machine* m = self.m
        return [
            v for v in range(m.max_vcpus) if self.vcpu[v].is_here and is_runnable(m, v) and not is_current(m, v)
        ]

    cdef int _find(self, int domid, int vcpu_in_domain) noexcept nogil:
        """Number of a vCPU that this scheduler has, or NO_VCPU."""
        cdef Machine* m = self.m
        cdef int v
        for v in range(m.max_vcpus):
            if (self.vcpu[v].is_here and m.vcpu[v].vcpu_in_domain == vcpu_in_domain
                    and m.domain[m.vcpu[v].domain].domid == domid):
                return v
        return NO_VCPU

    cdef void insert_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef ArincFrame* frame = self.frame
        cdef Vcpu* vc = &m.vcpu[v]
        cdef ArincEntry* entry
        cdef int i
        self.vcpu[v].is_here = 1
        self.vcpu[v].is_awake = 0
        if m.domain[vc.domain].is_privileged and frame.num_entries < _MAX_ENTRIES:
            if frame.num_entries > 0:
                frame.major_frame_ns += DEFAULT_WINDOW_NS
            entry = &self.entry[frame.num_entries]
            entry.runtime_ns = DEFAULT_WINDOW_NS
            entry.domid = m.domain[vc.domain].domid
            entry.vcpu_in_domain = vc.vcpu_in_domain
            frame.num_entries += 1
        for i in range(frame.num_entries):
            entry = &self.entry[i]
            if entry.domid == m.domain[vc.domain].domid and entry.vcpu_in_domain == vc.vcpu_in_domain:
                entry.vcpu = v

    cdef void remove_vcpu(self, int v, int64_t now_ns) noexcept nogil:
        cdef int i
        self.vcpu[v].is_here = 0
        for i in range(self.frame.num_entries):
            if self.entry[i].vcpu == v:
                self.entry[i].vcpu = NO_VCPU

    # -- run queue -----------------------------------------------------------------------------------------------

    cdef void wake(self, int v, int64_t now_ns) noexcept nogil:
        self.vcpu[v].is_awake = 1
        raise_schedule(self.m, self.m.vcpu[v].pcpu)

    cdef void sleep(self, int v, int64_t now_ns) noexcept nogil:
        self.vcpu[v].is_awake = 0
        if is_current(self.m, v):
            raise_schedule(self.m, self.m.vcpu[v].pcpu)

    cdef Decision do_schedule(self, int p, int64_t now_ns) noexcept nogil:
        cdef Machine* m = self.m
        cdef ArincFrame* frame = self.frame
        cdef Decision decision
        cdef int64_t into_frame_ns
        cdef int v = NO_VCPU
        if now_ns >= frame.next_major_ns:
            into_frame_ns = (now_ns - frame.next_major_ns) % frame.major_frame_ns
            frame.index = 0
            frame.next_major_ns = now_ns - into_frame_ns + frame.major_frame_ns
            frame.next_switch_ns = now_ns - into_frame_ns + self.entry[0].runtime_ns
        while now_ns >= frame.next_switch_ns:
            frame.index += 1
            if frame.index >= frame.num_entries:
                break
            frame.next_switch_ns += self.entry[frame.index].runtime_ns
        if frame.index >= frame.num_entries:
            frame.next_switch_ns = frame.next_major_ns
        else:
            v = self.entry[frame.index].vcpu
        if v == NO_VCPU or not self.vcpu[v].is_awake or not is_runnable(m, v) or m.vcpu[v].pcpu != p:
            v = m.max_vcpus + p
        decision.next_vcpu = v
        decision.slice_ns = frame.next_switch_ns - now_ns
        return decision

    # -- the table -----------------------------------------------------------------------------------------------

    def _check_table(self, major_frame_ns, entries):
        """Major frame and windows as plain integers; None: as long as the windows. ValueError if they do not fit."""
        where = f"scheduler arinc653 {self.version}"
        if not isinstance(entries, Iterable):
            raise ValueError(f"{where}: table must be a sequence of (domid, vcpu_in_domain, runtime_ns), found {entries!r}")
        checked = []
        for number, entry in enumerate(entries):
            at = f"{where}: table entry {number}"
            if not isinstance(entry, Sequence) or len(entry) != 3:
                raise ValueError(f"{at}: expected (domid, vcpu_in_domain, runtime_ns), found {entry!r}")
            domid, vcpu_in_domain, runtime_ns = entry
            checked.append((
                check_integer(at, "domid", domid, 0, MAX_DOMID),
                check_integer(at, "vcpu_in_domain", vcpu_in_domain, 0, MAX_VCPU),
                check_integer(at, "runtime_ns", runtime_ns, 1, MAX_NS),
            ))
        if not 1 <= len(checked) <= MAX_ENTRIES:
            raise ValueError(f"{where}: the table must have 1..{MAX_ENTRIES} entries, found {len(checked)}")
        total_ns = sum(runtime_ns for *_, runtime_ns in checked)
        if major_frame_ns is None:
            major_frame_ns = total_ns
        major_frame_ns = check_integer(where, "major_frame_ns", major_frame_ns, 1, MAX_NS)
        if total_ns > major_frame_ns:
            raise ValueError(
                f"{where}: the windows take {total_ns} ns, more than the major frame of {major_frame_ns} ns"
            )
        return major_frame_ns, checked

    def _write(self, major_frame_ns, entries):
        cdef int i
        self.frame.major_frame_ns = major_frame_ns
        self.frame.num_entries = len(entries)
        for i, (domid, vcpu_in_domain, runtime_ns) in enumerate(entries):
            self.entry[i].domid = domid
            self.entry[i].vcpu_in_domain = vcpu_in_domain
            self.entry[i].runtime_ns = runtime_ns
            self.entry[i].vcpu = self._find(domid, vcpu_in_domain)

    def set_table(self, major_frame_ns, entries):
        """Set the table while running, as the tools do: from the next pass on, in frames that begin now.

        Args:
            major_frame_ns: the major frame.
            entries: 1..64 windows in their order, each ``(domid, vcpu_in_domain, runtime_ns)``. A vCPU may have several;
                one that does not exist leaves its window idle until it does.

        Raises:
            ValueError: an impossible entry, or the windows are longer than the frame; nothing is changed then.
        """
        self._write(*self._check_table(major_frame_ns, entries))
        self.frame.next_major_ns = self.m.clock.now_ns

    def adjust(self, params):
        """Set ``major_frame_ns``, ``table`` (see `set_table`) or both; the other stays."""
        unknown = set(params) - {"major_frame_ns", "table"}
        if unknown:
            raise ValueError(
                f"scheduler arinc653 {self.version}: unknown parameter {', '.join(sorted(unknown))}; "
                "expected major_frame_ns or table"
            )
        if params:
            present = self.params()
            self.set_table(
                params.get("major_frame_ns", present["major_frame_ns"]), params.get("table", present["table"])
            )

    def params(self):
        cdef int i
        return {
            "major_frame_ns": self.frame.major_frame_ns,
            "table": [
                (self.entry[i].domid, self.entry[i].vcpu_in_domain, self.entry[i].runtime_ns)
                for i in range(self.frame.num_entries)
            ],
        }


def _rebuild(version, table, major_frame_ns):
    return Arinc653Scheduler(version, table=table, major_frame_ns=major_frame_ns if table else None)
