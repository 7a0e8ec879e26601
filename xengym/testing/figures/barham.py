"""What Xen adds to a kernel's operations: the micro-benchmarks of Barham et al. 2003, tables 3 to 5.

A guest with a pCPU of its own does nothing but one operation; its CPU time divided by the operations done is the
figure, as lmbench takes it. The native column and the unit costs are inputs (`machine.privilege`, where it stands which
counts were fitted), so the agreement of fork, exec, sh and mmap is a calibration; what the model adds is how the total
moves with the number of updates, the batch's size and the domain's type.
"""

from __future__ import annotations

from xengym.guests.programs import Process
from xengym.machine.privilege import OPERATIONS
from xengym.policies.schedulers.credit import CreditScheduler
from xengym.testing.figures.single_host import SECOND, DomainSetup, build, cpu_ns

#: Column Xen of tables 3 to 5, microseconds; "context_switch" is 2p/0K.
XEN_US = {
    "null_call": 0.46,
    "protection_fault": 1.40,
    "page_fault": 2.73,
    "context_switch": 1.97,
    "mmap": 139.0,
    "fork": 198.0,
    "exec": 768.0,
    "sh": 4800.0,
}


def operation_us(operation: str, *, is_hvm: bool = False) -> float:
    """R9: CPU time of one operation in a guest, us, over a second at most."""
    burst = max(1, 1_000_000 // OPERATIONS[operation].native_ns)
    program = Process(((operation, 1.0),), burst_ops=burst)
    host = build(CreditScheduler("3.2"), 1, [DomainSetup(program, is_hvm=is_hvm)])
    host.run_until(SECOND)
    # Go on to the end of the burst under way.
    host.run_until(int(host.sections["domain"]["work_submitted_ns"][0]), inclusive=True)
    done = int(host.sections["process"]["done"][0].sum())
    return float(cpu_ns(host)[0]) / done / 1000


def hypercalls_per_operation(operation: str) -> float:
    """Hypercalls that the guest makes for one operation."""
    program = Process(((operation, 1.0),), burst_ops=1)
    host = build(CreditScheduler("3.2"), 1, [DomainSetup(program)])
    host.run_until(SECOND)
    done = int(host.sections["process"]["done"][0].sum())
    return float(host.sections["vcpu"]["hypercalls"][0]) / done
