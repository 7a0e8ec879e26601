"""What a kernel's operations cost on bare hardware, in a paravirtualised guest and in a fully virtualised one.

**Paravirtualised** (x86, 32 bits): Xen runs in ring 0, the guest's kernel in ring 1, its programs in ring 3. A system
call goes from ring 3 to ring 1 directly, through a handler that Xen has checked when it was installed: it costs what it
costs natively. Whatever concerns the page tables, which the guest may only read, is asked of Xen by a hypercall:

- a **fault** is taken by Xen, which passes it on to the guest's kernel: one entry into Xen;
- a single page-table entry is installed at once by a hypercall that **validates** it (a second entry; so a page fault
  enters Xen twice);
- many are put on a **queue** in the guest and go to Xen up to 2048 at a time, in one hypercall; what is pending goes
  before any other operation on the page tables or the TLB;
- a page that is to become a page table is **pinned**: validated as a whole, so that later switches to it cost nothing;
- a context switch **changes the base** of the page tables by one hypercall.

**Fully virtualised** (HVM): the guest's kernel runs in ring 0 of VT-x's guest mode and its page tables are its own; Xen
keeps **shadow** page tables that follow them. System calls cost nothing extra, but each fault, each write to a page
table and each change of the base leaves guest mode, which is dear, and nothing is batched.

An operation is a list of `Step`s, the same on each platform; what a step costs depends on the platform. The native
column of an operation and the unit costs are inputs; Xen's totals follow.

Sources: Barham et al., "Xen and the art of virtualization", SOSP 2003, sections 2.1, 3.2, 3.3 and tables 3 to 5 (two
2.4 GHz Xeons, Linux 2.4.21, uniprocessor kernel: column L-UP).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

#: Page-table updates that one hypercall carries at most (Barham et al. 2003, section 3.3.3: 8 MB of address space).
BATCH_UPDATES = 2048


class Platform(Enum):
    """Under what a kernel runs."""

    NATIVE = "native"
    PV = "pv"
    HVM = "hvm"


class Step(Enum):
    """What an operation asks of whoever owns the page tables."""

    FAULT = "fault"
    INSTALL = "install"
    UPDATE = "update"
    PIN = "pin"
    CHANGE_BASE = "change base"


class Price(NamedTuple):
    """What an operation comes to.

    Attributes:
        time_ns: CPU time.
        entries: entries into the hypervisor: hypercalls and faults, or exits from guest mode.
        hypercalls: of them, those that the guest's kernel asked for itself.
    """

    time_ns: int
    entries: int
    hypercalls: int


@dataclass(frozen=True)
class PrivilegeCosts:
    """Unit costs, ns.

    Attributes:
        entry_ns: into Xen and back without a change of page tables. Derived: protection fault, 1.40 - 1.06 us
            (table 5), which enters Xen once.
        validate_ns: checking and installing one page-table entry by itself, its TLB entry included. Derived: page
            fault, 2.73 - 1.42 us (table 5), less two entries.
        update_ns: the same within a batch, where the TLB is flushed once for all. Assumed; the paper has none.
        pin_ns: validating a page of 1024 entries as a page table, or forgetting it. Assumed: 2 ns an
            entry.
        change_base_ns: checking a page-table base and loading it, beside the entry. Derived: context switch of two
            processes without data, 1.97 - 0.77 us (table 4), less an entry.
        exit_ns: out of VT-x guest mode and in again. From memory: about 4300 cycles on a Pentium 4 of 3.8 GHz (Adams
            and Agesen, ASPLOS 2006, table 1); to be taken as an order of magnitude.
        shadow_update_ns: decoding a guest's write to a page table and bringing the shadow in line. Assumed.
        shadow_base_ns: finding or building the shadow of another page-table base. Assumed.
    """

    entry_ns: int = 340
    validate_ns: int = 630
    update_ns: int = 150
    pin_ns: int = 2_000
    change_base_ns: int = 860
    exit_ns: int = 1_140
    shadow_update_ns: int = 1_000
    shadow_base_ns: int = 2_500

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(f"privilege: {name} must be an integer >= 0 (ns), found {value!r}")


@dataclass(frozen=True)
class Operation:
    """An operation of the guest's kernel.

    Attributes:
        native_ns: its cost on bare hardware, measured (L-UP of tables 3 to 5).
        steps: what it does to page tables, ``(step, how often)`` in order.
    """

    native_ns: int
    steps: tuple[tuple[Step, int], ...] = ()


def price(operation: Operation, platform: Platform, costs: PrivilegeCosts | None = None) -> Price:
    """What an operation costs on a platform; it begins and ends with nothing pending."""
    costs = costs if costs is not None else PrivilegeCosts()
    if platform is Platform.NATIVE:
        return Price(operation.native_ns, 0, 0)
    extra = _paravirtualised(operation.steps, costs) if platform is Platform.PV else _shadowed(operation.steps, costs)
    return extra._replace(time_ns=operation.native_ns + extra.time_ns)


def _paravirtualised(steps: Sequence[tuple[Step, int]], costs: PrivilegeCosts) -> Price:
    time_ns = faults = hypercalls = pending = 0

    def flush() -> None:
        nonlocal time_ns, hypercalls, pending
        if pending:
            time_ns += costs.entry_ns + pending * costs.update_ns
            hypercalls += 1
            pending = 0

    beyond_entry_ns = {
        Step.INSTALL: costs.validate_ns,
        Step.PIN: costs.pin_ns,
        Step.CHANGE_BASE: costs.change_base_ns,
    }
    for step, count in steps:
        if step is Step.UPDATE:
            for _ in range(count):
                pending += 1
                if pending == BATCH_UPDATES:
                    flush()
        elif step is Step.FAULT:
            # Xen passes it on; what the guest has pending may wait.
            time_ns += count * costs.entry_ns
            faults += count
        else:
            flush()
            time_ns += count * (costs.entry_ns + beyond_entry_ns[step])
            hypercalls += count
    flush()
    return Price(time_ns, faults + hypercalls, hypercalls)


def _shadowed(steps: Sequence[tuple[Step, int]], costs: PrivilegeCosts) -> Price:
    # A fault may be the shadow's or the guest's: Xen looks, and passes it on. A write to a page table faults, for the
    # page is write-protected, and Xen carries it out on both tables; an entry that was installed for a fault is found
    # missing in the shadow once more at the instruction's second try. Pinning is no notion of such a guest: its page
    # tables are shadowed at their first use, which the change of the base pays for.
    exits_of = {Step.FAULT: 1, Step.INSTALL: 2, Step.UPDATE: 1, Step.PIN: 0, Step.CHANGE_BASE: 1}
    beyond_exit_ns = {
        Step.FAULT: 0,
        Step.INSTALL: costs.shadow_update_ns,
        Step.UPDATE: costs.shadow_update_ns,
        Step.PIN: 0,
        Step.CHANGE_BASE: costs.shadow_base_ns,
    }
    exits = sum(count * exits_of[step] for step, count in steps)
    time_ns = exits * costs.exit_ns + sum(count * beyond_exit_ns[step] for step, count in steps)
    return Price(time_ns, exits, 0)


def _repeated(fault_and_install: int) -> tuple[tuple[Step, int], ...]:
    """So many page faults: the order does not matter while nothing is pending."""
    return ((Step.FAULT, fault_and_install), (Step.INSTALL, fault_and_install))


# Counts of steps. Those of the simple operations follow from the paper's text; those of fork, exec, sh and mmap are
# FITTED: the total in Xen's column fixes one number of each (here the page faults, given plausible numbers of page
# tables and of updates for a small process), and no trace of a real kernel was looked at.
_FORK: tuple[tuple[Step, int], ...] = (
    (Step.UPDATE, 100),      # the parent's writable pages become copy-on-write, the child's table is filled
    (Step.PIN, 8),           # a directory and three tables: pinned now, unpinned at the child's end
    (Step.CHANGE_BASE, 2),   # to the child and back
    *_repeated(40),          # pages copied when written to, in both
)  # fmt: skip
_EXEC: tuple[tuple[Step, int], ...] = (
    *_FORK,
    (Step.UPDATE, 80),       # the old address space is taken apart
    (Step.PIN, 8),
    (Step.CHANGE_BASE, 1),
    *_repeated(90),          # the new program is paged in
)  # fmt: skip

#: Operations by name, as in lmbench: fork, exec and sh include the child's end and the parent's wait for it.
OPERATIONS: dict[str, Operation] = {
    "null_call": Operation(450),
    "signal_install": Operation(680),
    "signal_handle": Operation(2_490),
    "protection_fault": Operation(1_060, ((Step.FAULT, 1),)),
    "page_fault": Operation(1_420, _repeated(1)),
    "context_switch": Operation(770, ((Step.CHANGE_BASE, 1),)),
    "mmap": Operation(68_000, (*_repeated(44), (Step.UPDATE, 44), (Step.PIN, 2))),
    "fork": Operation(110_000, _FORK),
    "exec": Operation(530_000, _EXEC),
    # A shell, with its libraries, and the program that it starts.
    "sh": Operation(4_000_000, (*_EXEC, *_EXEC, *_repeated(240))),
}
