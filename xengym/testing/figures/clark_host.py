"""R26: Clark et al., NSDI 2005, section 6.2: a web server moved live between two hosts, each the full model.

A hundred clients fetch one file of 512 kB each, again and again, over a gigabit link, from a domain of 800 MB. The
stream of the migration competes with the answers for the source's card and for Dom0's processor. The domain's
connections, what its server was doing and its clients go along. Its memory is `memory_presets.RUNS["apache"]`, written
in step with the CPU time that the domain gets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from xengym.guests.host_move import Endpoint, Mover
from xengym.guests.os.devctl import Devctl
from xengym.guests.os.specs import Os
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.move import Move
from xengym.hypervisor.move_spec import MoveSpec
from xengym.machine.memory_presets import RUNS
from xengym.scenarios.build_devices import os_program
from xengym.scenarios.devices import OsConfig
from xengym.testing.figures.migration_host import stream_host
from xengym.units import S_NS

_NUM_CLIENTS = 100
_FILE_BYTES = 512_000
_STEP_NS = 10_000_000
_SHORT_STEP_NS = 1_000_000
_PROGRAM: dict[str, Any] = {
    "kind": "os",
    "service": {
        "before": {"kind": "exponential", "mean_ms": 0.5},
        "sizes_bytes": [[1.0, _FILE_BYTES]],
        "processes": _NUM_CLIENTS,
    },
}
_GUEST = {
    "program": _PROGRAM,
    "clients": [{"kind": "closed", "num": _NUM_CLIENTS, "think": {"kind": "constant", "mean_ms": 0.0}, "window": 4}],
}


@dataclass
class WebServerMove:
    """What came of it.

    Attributes:
        move: the engine's record.
        began_ns: when it began.
        samples: what the server sent: ``(begin of the interval in ns, its length, bytes)``.
        stages: ``(ns, stage)`` at each change.
        counts: of the clients' requests at the end: issued, answered, failed.
    """

    move: Move
    began_ns: int
    samples: list[tuple[int, int, int]] = field(default_factory=list)
    stages: list[tuple[int, str]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def at_ns(self, stage: str) -> int:
        """When a stage was entered first."""
        return next(at for at, name in self.stages if name == stage)

    def mbit_per_s(self, begin_ns: int, end_ns: int) -> float:
        """The server's mean throughput in between."""
        inside = [(ns, sent) for at, ns, sent in self.samples if begin_ns <= at < end_ns]
        return sum(sent for _, sent in inside) * 8e3 / sum(ns for ns, _ in inside)


def web_server_move(*, memory: str = "apache", seed: int = 1, spec: MoveSpec | None = None) -> WebServerMove:
    """Move the web server and watch its clients."""
    ends = []
    for number in range(2):
        host, kind = stream_host(guest=_GUEST, offloads=False, num_pcpus=2, seed=seed + number)
        ends.append(Endpoint(host, kind))
    Domctl(ends[1].host).destroy_domain(1)
    run = _Run(ends, os_program(OsConfig.model_validate(_PROGRAM), []), memory, spec or MoveSpec(resume_ms=20))
    run.alone(2 * S_NS)
    run.migrate()
    run.alone(3 * S_NS)
    return run.result()


class _Run:
    """Both hosts, and the engine between them."""

    def __init__(self, ends: list[Endpoint], program: Os, memory: str, spec: MoveSpec) -> None:
        self.ends = ends
        self.at = 0
        self.program = program
        self.engine = Move(RUNS[memory], spec)
        self.samples: list[tuple[int, int, int]] = []
        self.stages: list[tuple[int, str]] = []
        self.began_ns = 0
        self.cpu_frac = 1.0
        self._bytes = 0

    @property
    def now_ns(self) -> int:
        return self.ends[0].host.now_ns

    def _go(self, ns: int) -> None:
        until_ns = self.now_ns + ns
        for end in self.ends:
            end.host.run_until(until_ns)
        sent = self._sent_bytes()
        self.samples.append((until_ns - ns, ns, sent - self._bytes))
        self._bytes = sent

    def _sent_bytes(self) -> int:
        host = self.ends[self.at].host
        return int(host.sections["domain_io"]["tx_bytes"][Domctl(host).slot(1)])

    def _cpu_ns(self) -> int:
        host = self.ends[self.at].host
        return host.runstate_ns(Domctl(host).vcpu_number(1))["running"]

    def alone(self, ns: int) -> None:
        """Nobody moves anything; the second half tells how much CPU the domain uses."""
        before = 0
        for step in range(ns // _STEP_NS):
            if step == ns // _STEP_NS // 2:
                before = self._cpu_ns()
            self._go(_STEP_NS)
        self.cpu_frac = (self._cpu_ns() - before) / (ns / 2)

    def migrate(self) -> None:
        """To the end of the last stage."""
        source, target = self.ends

        def devices(_slot: int) -> None:
            Devctl(target.host).create_vif(1, nic=0, mode="copy")

        mover = Mover(source, target, 1, self.program, devices=devices)
        self.began_ns = self.now_ns
        self.engine.begin()
        cpu_ns = self._cpu_ns()
        while not self.engine.is_over:
            self._note()
            mover.set_rate(self.engine.wanted_bytes_per_s)
            mover.exchange()
            step_ns = self._step_ns()
            self._go(step_ns)
            taken = mover.exchange()
            used_ns = self._cpu_ns()
            activity = max(0, used_ns - cpu_ns) / step_ns / self.cpu_frac
            cpu_ns = used_ns
            self._advance(step_ns, taken, activity, mover)
            if self.at:  # its CPU time begins anew at the target
                cpu_ns = self._cpu_ns()
        self._note()
        mover.resume()

    def _step_ns(self) -> int:
        """Short where something is about to end."""
        left = int(self.engine.migration["stage_left_ns"][0])
        if left > 0:
            return min(left, _STEP_NS)
        return _SHORT_STEP_NS if len(self.engine.rounds) > 2 else _STEP_NS

    def _advance(self, step_ns: int, taken: int, activity: float, mover: Mover) -> None:
        """Let the engine follow what has happened."""
        left_ns = step_ns
        while not self.engine.is_over:
            before = self.engine.stage
            left_ns -= self.engine.run(left_ns, taken / step_ns * 1e9, activity)
            after = self.engine.stage
            if after == "round-end":
                self.engine.follow_rules()
                if self.engine.stage == "stop-and-copy":
                    mover.stop()
                    self._note()
                    return
            elif after == "activation" and before == "commitment":
                mover.hand_over()
                self.at, self._bytes = 1, 0
            if left_ns <= 0 and not self._is_instant():
                return

    def _is_instant(self) -> bool:
        return (
            self.engine.stage in ("pre-migration", "reservation", "commitment", "activation")
            and self.engine.migration["stage_left_ns"][0] == 0
        )

    def _note(self) -> None:
        if not self.stages or self.stages[-1][1] != self.engine.stage:
            self.stages.append((self.now_ns, self.engine.stage))

    def result(self) -> WebServerMove:
        population = self.ends[self.at].host.sections["population"]
        row = population[population["kind"] >= 0][0]
        counts = {name: int(row[name]) for name in ("issued", "answered", "failed")}
        return WebServerMove(self.engine, self.began_ns, self.samples, self.stages, counts)
