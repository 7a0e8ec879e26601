# No .pxd: only Python uses it.
"""A domain's state leaves one host and is taken over by another: what a migration's last stages come down to.

Hosts share one clock, so instants stay what they are: timers that were set fire at the destination when they would have
fired at the source; one that is overdue fires at once. What the guest's programs do, what work is left on each vCPU, which of
them wait for an event, and the domain's own counters go along. What the source's scheduler thought of it does not: at the
destination it is a new domain with the same parameters, as under Xen's tools.
"""
from libc.stdint cimport INT64_MAX
from xengym.hypervisor.host cimport Host
from xengym.machine.state cimport (
    BLOCKED, PAUSE_BLOCKED, PAUSE_DOWN, Domain, Vcpu, domain_timer, guest_timer, is_current, program_left_ns,
)
from xengym.sim.timers cimport timer_disarm

from typing import NamedTuple

from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.portable import load_rows, save_rows

#: Counters of a domain that go on at the destination.
_COUNTERS = (
    "jobs_submitted", "jobs_done", "jobs_in_time", "jobs_dropped", "work_submitted_ns", "response_ns", "response_max_ns",
    "response_bins",
)


class VcpuImage(NamedTuple):
    """What a vCPU was doing."""

    work_left_ns: int
    is_blocked: bool
    is_down: bool
    has_started: bool
    event_pending: bool
    is_polling: bool
    timer_ns: int


class DomainImage(NamedTuple):
    """A domain, off the CPU, as it can be taken to another host.

    Attributes:
        kind: name of its program's kind.
        counters: its ``DOMAIN_DTYPE`` record.
        vcpus: a ``VcpuImage`` each.
        timer_ns: when the domain's own timer fires; 2**63 - 1: not set.
        memory: its ``DOMAIN_MEMORY_DTYPE`` record.
        state: what its kind saved.
    """

    kind: str
    counters: object
    vcpus: tuple
    timer_ns: int
    memory: object
    state: object


def save_domain(Host host, int domid):
    """Take the state of a paused domain, whose vCPUs are off the CPU; the domain stays.

    Raises:
        ValueError: it is not paused, still runs, or runs a program that cannot be moved.
    """
    cdef int d = Domctl(host).slot(domid)
    cdef Domain* dom = &host.m.domain[d]
    cdef Vcpu* vc
    cdef int v
    if dom.pause_count == 0:
        raise ValueError(f"domain {domid} must be paused before its state is taken")
    kind = host.guest_kinds[host.guest_kind_of[dom.first_vcpu]]
    vcpus = []
    for v in range(dom.first_vcpu, dom.first_vcpu + dom.num_vcpus):
        vc = &host.m.vcpu[v]
        if is_current(&host.m, v):
            raise ValueError(f"domain {domid}: vCPU {vc.vcpu_in_domain} has not left its pCPU yet")
        vcpus.append(VcpuImage(
            program_left_ns(&host.m, v), bool(vc.pause_flags & PAUSE_BLOCKED), bool(vc.pause_flags & PAUSE_DOWN), bool(vc.has_started),
            bool(vc.event_pending), bool(vc.is_polling), host.m.timer[guest_timer(&host.m, v)].at_ns,
        ))
    return DomainImage(
        kind.name, host.arena.sections["domain"][d].copy(), tuple(vcpus), host.m.timer[domain_timer(&host.m, d)].at_ns,
        host.arena.sections["memory"][d].copy(), _save_state(host, kind, d),
    )


def _save_state(Host host, kind, int d):
    """What a domain's kind of program keeps of it; a kind that has `portable` or `save` can be moved."""
    if hasattr(kind, "save"):
        return kind.save(d)
    if not hasattr(kind, "portable"):
        raise ValueError(f"a domain that runs {kind.name!r} cannot be moved to another host")
    return save_rows(host, d, kind.portable())


def load_domain(Host host, int domid, image, program, *, devices=None, **settings):
    """Create a domain that goes on where the image's stopped; it is paused.

    Args:
        host: where it is to run; its clock must not be before the image's.
        domid: its id there.
        image: ``DomainImage``.
        program: the program specification that it was created with.
        devices: called with its slot once it exists: gives it its devices.
        settings: further arguments of ``Domctl.create_domain``.

    Returns:
        Its slot.
    """
    control = Domctl(host)
    memory = image.memory
    if "memory_pages" not in settings:
        settings |= {
            "memory_pages": int(memory["pages"] + memory["lent_pages"]), "max_memory_pages": int(memory["max_pages"]),
            "min_memory_pages": int(memory["floor_pages"]),
        }
    cdef int d = control.create_domain(domid, program, num_vcpus=len(image.vcpus), **settings)
    _load_memory(host.arena.sections["memory"][d:d + 1], memory)
    cdef Domain* dom = &host.m.domain[d]
    cdef Vcpu* vc
    cdef int v
    record = host.arena.sections["domain"][d:d + 1]
    for name in _COUNTERS:
        record[name] = image.counters[name]
    control.pause_domain(domid)
    if devices is not None:
        devices(d)
    for v, saved in enumerate(image.vcpus, dom.first_vcpu):
        vc = &host.m.vcpu[v]
        vc.work_left_ns = saved.work_left_ns
        vc.has_started = saved.has_started
        vc.event_pending = saved.event_pending
        vc.is_polling = saved.is_polling
        vc.pause_flags = (PAUSE_BLOCKED if saved.is_blocked else 0) | (PAUSE_DOWN if saved.is_down else 0)
        if saved.is_blocked:
            vc.runstate = BLOCKED
        timer_disarm(&host.m, guest_timer(&host.m, v))
        if saved.timer_ns != INT64_MAX:
            host.arm_guest_timer(v, max(saved.timer_ns, host.m.clock.now_ns))
    if image.timer_ns != INT64_MAX:
        host.arm_domain_timer(d, max(image.timer_ns, host.m.clock.now_ns))
    kind = host.guest_kinds[host.guest_kind_of[dom.first_vcpu]]
    if hasattr(kind, "load"):
        kind.load(d, image.state)
    else:
        load_rows(host, d, kind.portable(), image.state)
    host.run_balloon(d)
    return d


def _load_memory(record, saved):
    """Take over what a domain's balloon and program have come to; a batch that was under way begins anew."""
    if record["pages"][0] != saved["pages"] + saved["lent_pages"] or record["max_pages"][0] != saved["max_pages"]:
        return  # it was given other memory
    for name in record.dtype.names:
        if name not in ("pages", "lent_pages", "batch_pages", "is_retrying", "reserved"):
            record[name] = saved[name]


def release_domain(Host host, int domid):
    """The source forgets a domain whose state it has given away."""
    control = Domctl(host)
    cdef int d = control.slot(domid)
    kind = host.guest_kinds[host.guest_kind_of[host.m.domain[d].first_vcpu]]
    if hasattr(kind, "released"):
        kind.released(d)
    control.destroy_domain(domid)
