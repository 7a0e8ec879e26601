"""Lottery scheduling in plain Python: each decision is a draw among those who can run, weighted by their tickets.

Registered by ``register_python_policy``, it is a scheduler like any other in this process; and the last lines make the
file an `xengym` command that knows it:

    python tests/examples/lottery.py run consolidation --scheduler lottery

Source: Waldspurger and Weihl, "Lottery Scheduling" (OSDI 1994).
"""

import random

from xengym.policies.schedulers.python_policy import PythonPolicy, register_python_policy
from xengym.policies.schedulers.tunables import Share, Tunable


class Lottery(PythonPolicy):
    """Each vCPU has its domain's tickets; the option ``quantum_us`` is how long a draw holds."""

    name = "lottery"
    tunables = (Tunable("tickets", 1, 10_000, 256, log_scale=True),)

    def __init__(self, quantum_us=10_000):
        self.quantum_ns = 1000 * quantum_us

    def attached(self, pool):
        self.random = random.Random(pool.seed)

    def choose(self, pcpu, candidates, now_ns):
        tickets = [self.pool.param(vcpu, "tickets") for vcpu in candidates]
        return self.random.choices(candidates, tickets)[0], self.quantum_ns

    # Tickets mean what weights mean elsewhere, so scenarios written for Credit keep their meaning.

    def share(self, params):
        return Share(weight=params["tickets"])

    def params_from(self, share, num_vcpus):
        if share.weight is None:
            return {}, share.stated()
        tickets = min(max(round(share.weight), 1), 10_000)
        return {"tickets": tickets}, [term for term in share.stated() if term != "weight"]


if __name__ == "__main__":
    from xengym.cli.app import main

    register_python_policy(Lottery)
    main()
