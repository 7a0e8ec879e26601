"""A device that a guest reaches past the hypervisor, and how it moves along (Nomad).

W. Huang, J. Liu, M. Koop, B. Abali, D. Panda, "Nomad: migrating OS-bypass networks in virtual machines", VEE 2007: an
InfiniBand adapter gives its user *queue pairs*, whose operations the hypervisor does not see, and *handles* that say
where they are: a port's number (LID), queue pairs' numbers (QPN), keys of memory. The guest keeps virtual handles, and
a thin map translates them. To move, both ends stop sending, what is on the wire is waited for (drain), the guest moves,
the map and the peers' addresses are renewed (remap), and what had been posted meanwhile goes out (resume).

Reliable service: operations of a queue pair have numbers, the peer does only the one that it expects and acknowledges,
and whoever has no acknowledgement sends again. So an operation is done once, in order, even if a fault cuts the drain
short. Numbers of the paper are not at hand: all costs are assumed.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

QueueState = Literal["ready", "draining", "drained"]


class Handles(NamedTuple):
    """Where one queue pair is to be found: numbers that mean something on one adapter only."""

    lid: int
    qpn: int
    key: int


@dataclass(frozen=True)
class BypassCosts:
    """Times and sizes; all assumed.

    Attributes:
        operation_bytes: of one operation.
        bytes_per_s: of the wire (4x SDR: 8 Gbit/s of data).
        delay_ns: one way.
        window: operations of a queue pair that may be without an acknowledgement.
        translate_ns: to renew one handle in the map.
        handshake_ns: to bring one queue pair into its working state again, beside a round trip to its peer.
    """

    operation_bytes: int = 2048
    bytes_per_s: int = 1_000_000_000
    delay_ns: int = 3_000
    window: int = 16
    translate_ns: int = 20_000
    handshake_ns: int = 500_000

    def __post_init__(self) -> None:
        if min(self.operation_bytes, self.bytes_per_s, self.window) < 1:
            raise ValueError(f"bypass device: sizes, rate and window must be positive, found {self}")
        if min(self.delay_ns, self.translate_ns, self.handshake_ns) < 0:
            raise ValueError(f"bypass device: times must not be negative, found {self}")

    @property
    def send_ns(self) -> int:
        """Of one operation on the wire."""
        return -(-self.operation_bytes * 1_000_000_000 // self.bytes_per_s)


@dataclass
class QueuePair:
    """One end at the guest, and what its peer knows of it.

    Attributes:
        number: its virtual handle, which the guest keeps wherever it is.
        posted: operations that the guest has handed in; they are numbered from 0.
        sent: the next to be sent.
        completed: those below it have been acknowledged, and the guest knows.
        expected: the next that the peer will do.
        peer_sees: the handles under which the peer looks for it.
    """

    number: int
    peer_sees: Handles
    posted: int = 0
    sent: int = 0
    completed: int = 0
    expected: int = 0
    state: QueueState = "ready"

    @property
    def in_flight(self) -> int:
        """Sent and not acknowledged."""
        return self.sent - self.completed


class Done(NamedTuple):
    """An operation that a peer has done."""

    at_ns: int
    queue_pair: int
    operation: int


@dataclass
class BypassDevice:
    """The queue pairs of one guest on one adapter, and their peers.

    Attributes:
        num_queue_pairs: each with a peer of its own.
        costs: times and sizes.
        lid: of the port that the guest is at.
        now_ns: time.
        done: what the peers have done, in order of time.
        resent: operations that were sent again.
        ignored: operations that a peer had done already and did not do again.
    """

    num_queue_pairs: int
    costs: BypassCosts = field(default_factory=BypassCosts)
    lid: int = 1
    now_ns: int = 0
    done: list[Done] = field(default_factory=list)
    resent: int = 0
    ignored: int = 0

    def __post_init__(self) -> None:
        self.is_cut = False
        self._free_ns = self.now_ns
        self._next_qpn = 0x40
        # (time, order, is an acknowledgement, queue pair, operation, handles it was sent under)
        self._wire: list[tuple[int, int, bool, int, int, Handles]] = []
        self._order = 0
        #: Virtual to physical: what the guest uses, and where that is at the moment.
        self.handles = {number: self._new_handles(self.lid) for number in range(self.num_queue_pairs)}
        self.queue_pairs = [QueuePair(number, self.handles[number]) for number in range(self.num_queue_pairs)]

    def _new_handles(self, lid: int) -> Handles:
        self._next_qpn += 1
        return Handles(lid, self._next_qpn, self._next_qpn * 16 + lid)

    # -- the guest ---------------------------------------------------------------------------------------------------

    def post(self, number: int, count: int = 1) -> None:
        """Hand operations in, past the hypervisor; they wait if the queue pair does not send."""
        self.queue_pairs[number].posted += count

    # -- time --------------------------------------------------------------------------------------------------------

    def run(self, dt_ns: int) -> None:
        """Let time pass."""
        end_ns = self.now_ns + dt_ns
        while True:
            sender = self._next_sender()
            send_ns = max(self.now_ns, self._free_ns) if sender is not None else end_ns + 1
            wire_ns = self._wire[0][0] if self._wire else end_ns + 1
            if min(send_ns, wire_ns) > end_ns:
                break
            if wire_ns <= send_ns:
                self.now_ns = wire_ns
                self._land(*heapq.heappop(self._wire)[2:])
            else:
                assert sender is not None
                self.now_ns = send_ns
                self._send(sender)
        self.now_ns = end_ns

    def _next_sender(self) -> QueuePair | None:
        """Who has something to send and may: the one with the fewest operations on their way."""
        waiting = [
            pair
            for pair in self.queue_pairs
            if pair.state == "ready" and pair.sent < pair.posted and pair.in_flight < self.costs.window
        ]
        return min(waiting, key=lambda pair: (pair.in_flight, pair.number), default=None)

    def _put(self, at_ns: int, is_ack: bool, pair: QueuePair, operation: int, handles: Handles) -> None:
        if not self.is_cut:
            heapq.heappush(self._wire, (at_ns, self._order, is_ack, pair.number, operation, handles))
            self._order += 1

    def _send(self, pair: QueuePair) -> None:
        self._free_ns = self.now_ns + self.costs.send_ns
        self._put(self._free_ns + self.costs.delay_ns, False, pair, pair.sent, self.handles[pair.number])
        pair.sent += 1

    def _land(self, is_ack: bool, number: int, operation: int, handles: Handles) -> None:
        pair = self.queue_pairs[number]
        if is_ack:
            if handles != self.handles[number]:
                return  # addressed to where the guest was
            pair.completed = max(pair.completed, operation + 1)
            pair.sent = max(pair.sent, pair.completed)
            if pair.state == "draining" and pair.in_flight == 0:
                pair.state = "drained"
            return
        if handles != pair.peer_sees or operation > pair.expected:
            return  # from nobody the peer knows, or one before it is missing
        if operation == pair.expected:
            self.done.append(Done(self.now_ns, number, operation))
            pair.expected += 1
        else:
            self.ignored += 1
        self._put(self.now_ns + self.costs.delay_ns, True, pair, operation, handles)

    # -- moving ------------------------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Operations of all queue pairs that are sent and not acknowledged."""
        return sum(pair.in_flight for pair in self.queue_pairs)

    @property
    def is_drained(self) -> bool:
        """No queue pair waits for an acknowledgement, and none sends."""
        return all(pair.state == "drained" for pair in self.queue_pairs)

    @property
    def drain_ns(self) -> int:
        """How long a drain that begins now takes, if nothing is lost."""
        ends = (at_ns + (0 if is_ack else self.costs.delay_ns) for at_ns, _, is_ack, *_ in self._wire)
        return max(ends, default=self.now_ns) - self.now_ns

    @property
    def remap_ns(self) -> int:
        """How long it takes to renew all handles, and to have all queue pairs and their peers work again."""
        handles = self.num_queue_pairs * len(Handles._fields)
        pairs = self.num_queue_pairs * (self.costs.handshake_ns + 2 * self.costs.delay_ns)
        return handles * self.costs.translate_ns + pairs

    def drain(self) -> None:
        """Send nothing more; what is on the wire goes on."""
        for pair in self.queue_pairs:
            pair.state = "draining" if pair.in_flight else "drained"

    def move(self, lid: int) -> None:
        """At another adapter: every handle means something else; the map and the peers learn it. The guest does not."""
        self.lid = lid
        for pair in self.queue_pairs:
            if pair.state == "ready":
                raise ValueError(f"queue pair {pair.number} is not suspended: drain the device before it moves")
            self.handles[pair.number] = pair.peer_sees = self._new_handles(lid)

    def resume(self) -> None:
        """Work again, here or where it was: what has no acknowledgement is sent again, then what waits."""
        for pair in self.queue_pairs:
            if pair.state != "ready":
                self._go_back(pair)
                pair.state = "ready"

    def _go_back(self, pair: QueuePair) -> None:
        self.resent += pair.in_flight
        pair.sent = pair.completed

    def cut(self) -> None:
        """The wire goes down: what is on it is lost."""
        self.is_cut = True
        self._wire.clear()

    def mend(self) -> None:
        """It is up again: what has no acknowledgement is sent again."""
        self.is_cut = False
        for pair in self.queue_pairs:
            self._go_back(pair)
            if pair.state == "draining":
                pair.state = "drained"
