"""The two ends of a migration between hosts at event fidelity: the stream, and who runs the domain.

The engine (`hypervisor.migration`) says how fast it wants to send and when the domain stops, is handed over and
resumes; this carries it out on both hosts, whose clocks are the same whenever it is called. What the stream really gets
is up to the processors and cards of both hosts.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from xengym.guests.os.kind import OsKind
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.handover import load_domain, release_domain, save_domain
from xengym.hypervisor.host import Host
from xengym.hypervisor.program import ProgramSpec

#: CPU time on 64 KiB of a stream beside the packets' own costs. Fitted: with them a sender uses 12 % of a CPU at
#: 100 Mbit/s (Clark et al. 2005, section 6.2); the taker is assumed to use as much.
SEND_PIECE_NS = 529_000
RECEIVE_PIECE_NS = 312_000

#: What may lie between both ends; with more the sender waits. Sockets' buffers, and what both hosts' taking turns adds.
_MOST_UNDER_WAY_BYTES = 8 << 20


@dataclass
class Endpoint:
    """A host that can send and take domains: its domain 0 has a network stack of its own on card 0.

    Attributes:
        host: the simulated machine.
        kind: its guests with an operating system, domain 0 among them.
        nic: card of the streams.
    """

    host: Host
    kind: OsKind
    nic: int = 0

    def done_bytes(self, stream: int) -> int:
        """What a stream's end has sent and knows to have arrived, or has taken in and worked on."""
        return int(self.host.sections["stream"]["done_bytes"][stream])


@dataclass
class Mover:
    """Moves one domain from one host to another.

    Attributes:
        source, target: the hosts.
        domid: of the domain, at both.
        program: what it runs at the target.
        settings: further arguments of ``Domctl.create_domain`` there.
        devices: gives the domain its devices at the target, called with its slot.
    """

    source: Endpoint
    target: Endpoint
    domid: int
    program: ProgramSpec
    settings: dict[str, Any] = field(default_factory=dict)
    devices: Callable[[int], object] | None = None

    def __post_init__(self) -> None:
        self._wanted = 0
        self._forwarded = self._taken = 0
        self.is_stopped = self.is_handed_over = False
        self._out = self.source.kind.open_stream(0, True, SEND_PIECE_NS, nic=self.source.nic)
        self._in = self.target.kind.open_stream(0, False, RECEIVE_PIECE_NS, nic=self.target.nic)

    def state(self) -> dict[str, Any]:
        """What ``from_state`` goes on from, beside the hosts' own state."""
        state = {name: value for name, value in vars(self).items() if name not in ("source", "target")}
        return {**state, "settings": copy.deepcopy(self.settings)}

    @classmethod
    def from_state(cls, source: Endpoint, target: Endpoint, state: dict[str, Any]) -> Mover:
        """A move that was under way, between hosts that have been restored."""
        mover = cls.__new__(cls)
        vars(mover).update(state, source=source, target=target, settings=copy.deepcopy(state["settings"]))
        return mover

    def set_rate(self, bytes_per_s: float) -> None:
        """Let the stream send at most so much from now on."""
        self._wanted = round(bytes_per_s)

    def exchange(self) -> int:
        """What has left the source goes to the target; returns the bytes taken there since the last time."""
        sent = self.source.done_bytes(self._out)
        if sent > self._forwarded:
            self.target.kind.feed_stream(self._in, sent - self._forwarded)
            self._forwarded = sent
        taken = self.target.done_bytes(self._in)
        new, self._taken = taken - self._taken, taken
        is_held_back = sent - taken > _MOST_UNDER_WAY_BYTES
        self.source.kind.set_stream_rate(self._out, 0 if is_held_back else self._wanted)
        return new

    def stop(self) -> None:
        """The domain stands still from now on."""
        Domctl(self.source.host).pause_domain(self.domid)
        self.source.host.run_until(self.source.host.now_ns, inclusive=True)
        self.is_stopped = True

    def hand_over(self) -> None:
        """The target has acknowledged: the domain is there, and still stands."""
        image = save_domain(self.source.host, self.domid)
        load_domain(self.target.host, self.domid, image, self.program, devices=self.devices, **self.settings)
        release_domain(self.source.host, self.domid)
        self.is_handed_over = True

    def resume(self) -> None:
        """It runs at the target; the move is over."""
        Domctl(self.target.host).unpause_domain(self.domid)
        self._close()

    def abort(self) -> None:
        """The domain goes on at the source as if nothing had been."""
        if self.is_stopped and not self.is_handed_over:
            Domctl(self.source.host).unpause_domain(self.domid)
        self._close()

    def _close(self) -> None:
        self.source.kind.close_stream(self._out)
        self.target.kind.close_stream(self._in)
