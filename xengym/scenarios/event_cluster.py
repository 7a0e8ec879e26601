"""A cluster at event fidelity: every host is the full model, moves are streams between their Dom0s.

What the fluid cluster computes is measured here. The books (`hypervisor.cluster.measured`: orders, admission, memory,
power, arrivals, the stages of moves) and the hosts go on in turns: hosts first, for a few tens of milliseconds; then
the books, with what domains got in the last second and what streams carried; then what the books ask for is done on the
hosts (a domain stops, is handed over, resumes). A turn ends where a stage of a move is about to end, so that what the
books say and what the hosts do differ by about a millisecond.

A domain replays its demand as work: every 20 ms each of its vCPUs is given its share (`guests.programs.Replay`), and
what it could not do in time waits. Its scheduler parameters are those of the books. Dom0 has a vCPU of its own and a
network card for moves; the guests' own network traffic (``net_bytes_per_s``) is not simulated at this fidelity.
"""

from __future__ import annotations

import copy
import hashlib
from collections import deque
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xengym.guests.host_move import Endpoint, Mover
from xengym.guests.os.devctl import Devctl
from xengym.guests.os.kind import OsKind
from xengym.guests.os.specs import Os
from xengym.guests.programs import Replay
from xengym.guests.server import ReplayKind
from xengym.hypervisor.cluster.measured import MeasuredCluster
from xengym.hypervisor.cluster.specs import DEMAND_ONE, ClusterSpec, HostSpec
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.cluster_state import POWERS
from xengym.machine.costs import Costs
from xengym.machine.io_costs import IoCosts
from xengym.machine.migration_state import STAGES
from xengym.machine.topology import Topology
from xengym.policies.schedulers.api import Scheduler
from xengym.policies.schedulers.credit import CreditScheduler
from xengym.policies.schedulers.sedf import SedfScheduler
from xengym.units import MS_NS, S_NS

_TURN_NS = 500 * MS_NS
_MOVING_TURN_NS = 50 * MS_NS
_STANDING_TURN_NS = 2 * MS_NS
_SHORTEST_TURN_NS = MS_NS
_WINDOW_NS = S_NS
_QUEUE_SLOTS = 4096
_SIMULATED_LINKS = 4
#: SEDF knows no reservation of nothing.
_LEAST_SLICE_NS = 5_000
_ON = POWERS.index("on")
_STOP = STAGES.index("stop-and-copy")
_ABORTED = STAGES.index("aborted")


class _CpuTimes(NamedTuple):
    """CPU time so far, in reference pCPU-ns, at an instant.

    Attributes:
        at_ns: when.
        domains_ns: of each slot's domain.
        demanded_ns: what it demanded.
        dom0_ns: of each host's Dom0.
    """

    at_ns: int
    domains_ns: NDArray[np.int64]
    demanded_ns: NDArray[np.int64]
    dom0_ns: NDArray[np.int64]


class EventCluster:
    """Hosts, domains and moves at event fidelity; what it offers is ``hypervisor.cluster.interface.Cluster``.

    Args:
        spec: ``hypervisor.cluster.specs.ClusterSpec``; at most 62 domains on a host at once.
        seed: of the episode: of every random stream of every host.

    Raises:
        ValueError: the description contradicts itself, or a domain of the beginning fits no host.
    """

    fidelity: Literal["event"] = "event"

    def __init__(self, spec: ClusterSpec, *, seed: int = 0) -> None:
        self.books = MeasuredCluster(spec, seed=seed)
        # Not seed + number: then the next seed's cluster would share all hosts' streams but one.
        seeds = np.random.SeedSequence(seed).generate_state(len(spec.hosts), np.uint64)
        self.machines = [_make_machine(spec, host, int(one)) for host, one in zip(spec.hosts, seeds, strict=True)]
        num_slots = len(self.books.domains)
        self._serials = np.full(num_slots, -1)
        self._places = np.full(num_slots, -1)
        self._before_ns = np.zeros(num_slots, dtype=np.int64)
        self._movers: dict[int, Mover] = {}
        self._history: deque[_CpuTimes] = deque()
        self._dead: set[int] = set()
        self._obey()
        self._history.append(self._cpu_times())

    # -- views: the books' -----------------------------------------------------------------------------------------

    @property
    def spec(self) -> ClusterSpec:
        """What it was built from."""
        return self.books.spec

    @property
    def now_ns(self) -> int:
        """Simulated time in ns."""
        return self.books.now_ns

    @property
    def clock(self) -> NDArray[Any]:
        """``CLUSTER_CLOCK_DTYPE`` array of shape ``(1,)``, live."""
        return self.books.clock

    @property
    def hosts(self) -> NDArray[Any]:
        """``CLUSTER_HOST_DTYPE`` array of shape ``(hosts,)``, live."""
        return self.books.hosts

    @property
    def domains(self) -> NDArray[Any]:
        """``CLUSTER_DOMAIN_DTYPE`` array of shape ``(slots,)``, live."""
        return self.books.domains

    @property
    def moves(self) -> NDArray[Any]:
        """``CLUSTER_MOVE_DTYPE`` array of shape ``(move slots,)``, live."""
        return self.books.moves

    @property
    def migrations(self) -> NDArray[Any]:
        """``MIGRATION_DTYPE`` array of shape ``(move slots,)``, live."""
        return self.books.migrations

    @property
    def working_sets(self) -> NDArray[Any]:
        """``WORKING_SET_DTYPE`` array of shape ``(slots,)``, live."""
        return self.books.working_sets

    @property
    def links(self) -> NDArray[Any]:
        """``CLUSTER_LINK_DTYPE`` array, live."""
        return self.books.links

    @property
    def sites(self) -> NDArray[Any]:
        """``CLUSTER_SITE_DTYPE`` array of shape ``(sites,)``, live."""
        return self.books.sites

    # -- time ------------------------------------------------------------------------------------------------------

    def run_until(self, t_ns: int) -> None:
        """Let time pass; everything in the arrays is true at ``t_ns``."""
        if t_ns < self.now_ns:
            raise ValueError(f"run_until: expected {self.now_ns} ns (now) or later, found {t_ns} ns")
        while self.now_ns < t_ns:
            self._turn(min(t_ns, self._end_of_turn()))

    def _end_of_turn(self) -> int:
        longest = _MOVING_TURN_NS if self._movers else _TURN_NS
        if any(mover.is_stopped for mover in self._movers.values()):
            longest = _STANDING_TURN_NS
        to_end = self.books.next_end_ns() - self.now_ns
        # Rates vary: come closer in steps, to the last millisecond.
        cautious = to_end if to_end <= _SHORTEST_TURN_NS else max(_SHORTEST_TURN_NS, to_end // 4)
        return self.now_ns + max(1, min(longest, cautious))

    def _turn(self, end_ns: int) -> None:
        begin_ns = self.now_ns
        for slot, mover in self._movers.items():
            mover.set_rate(self._rate(slot))
            mover.exchange()
        for machine in self.machines:
            machine.host.run_until(end_ns, inclusive=True)
        self.books.rates[:] = 0.0
        for slot, mover in self._movers.items():
            self.books.rates[slot] = mover.exchange() * S_NS / (end_ns - begin_ns)
        self._measure(end_ns)
        self.books.take_measures()
        self.books.run_until(end_ns)
        self._obey()

    def _rate(self, slot: int) -> float:
        """What a move's stream may send: what it wants, within its part of the uplinks and of the link between sites.

        Dom0's processors and network cards, the first links of its way, are simulated.
        """
        way = self.moves["links"][slot][: self.moves["num_links"][slot]]
        rate = float(self.moves["wanted_bytes_per_s"][slot])
        for link in way[_SIMULATED_LINKS:]:
            one = self.links[link]
            others = [self.moves["links"][k][: self.moves["num_links"][k]] for k in self._movers]
            least = one["bytes_per_s"] * self.clock["least_move_frac"][0]
            room = max(one["bytes_per_s"] - one["guest_bytes_per_s"], least) * one["is_up"]
            rate = min(rate, float(room) / sum(link in other for other in others))
        return rate

    def _cpu_times(self) -> _CpuTimes:
        """CPU time of all so far."""
        times = self._before_ns.copy()
        dom0 = np.zeros(len(self.machines), dtype=np.int64)
        slots = np.flatnonzero(self._places >= 0)
        for number, machine in enumerate(self.machines):
            speed = float(self.hosts["speed"][number])
            running = _running_ns(machine.host)
            dom0[number] = round(running[0] * speed)
            for slot in slots[self._places[slots] == number]:
                times[slot] += round(running[Domctl(machine.host).slot(int(slot) + 1)] * speed)
        demanded = self.domains["demanded_ns"] + np.rint(
            self.domains["demand_pcpus"] * (self.machines[0].host.now_ns - self.now_ns)
        ).astype(np.int64)
        return _CpuTimes(self.machines[0].host.now_ns, times, demanded, dom0)

    def _measure(self, now_ns: int) -> None:
        """What domains and Dom0s got over the last second; of a domain, its demand without what it missed."""
        now = self._cpu_times()
        while len(self._history) > 1 and now_ns - self._history[1].at_ns >= _WINDOW_NS:
            self._history.popleft()
        then = self._history[0]
        self._history.append(now)
        window_ns = now_ns - then.at_ns
        missed_ns = (now.demanded_ns - then.demanded_ns) - (now.domains_ns - then.domains_ns)
        self.books.pcpus[:] = np.maximum(0.0, self.domains["demand_pcpus"] - missed_ns / window_ns)
        self.books.dom0_pcpus[:] = (now.dom0_ns - then.dom0_ns) / window_ns

    # -- what the books ask for --------------------------------------------------------------------------------------

    def _obey(self) -> None:
        """Do on the hosts what has happened in the books."""
        for slot in np.flatnonzero(self._serials >= 0):
            if not self.domains["in_use"][slot] or self.domains["serial"][slot] != self._serials[slot]:
                self._remove(int(slot))
        for number in list(self._movers):
            self._follow(number)
        for slot in np.flatnonzero((self.domains["in_use"] != 0) & (self._serials < 0)):
            self._create(int(slot))
        for slot in np.flatnonzero(self.moves["in_use"]):
            if int(slot) not in self._movers:
                self._begin(int(slot))
        self._follow_power()

    def _create(self, slot: int) -> None:
        place = int(self.domains["host"][slot])
        control = Domctl(self.machines[place].host)
        control.create_domain(
            slot + 1,
            self._program(slot, place),
            num_vcpus=int(self.domains["vcpus"][slot]),
            params=self._params(slot, place),
            start_ns=self.now_ns,
        )
        self._serials[slot] = self.domains["serial"][slot]
        self._places[slot] = place
        self._before_ns[slot] = 0
        for times in self._history:
            times.domains_ns[slot] = times.demanded_ns[slot] = 0

    def _remove(self, slot: int) -> None:
        for number, mover in list(self._movers.items()):
            if mover.domid == slot + 1:
                mover.abort()
                del self._movers[number]
        place = int(self._places[slot])
        Domctl(self.machines[place].host).destroy_domain(slot + 1)
        self._serials[slot] = self._places[slot] = -1
        self._before_ns[slot] = 0

    def _begin(self, number: int) -> None:
        move = self.moves[number]
        slot, target = int(move["domain"]), int(move["target"])
        self._movers[number] = Mover(
            self.machines[int(move["source"])],
            self.machines[target],
            slot + 1,
            self._program(slot, target),
            {"params": self._params(slot, target)},
        )

    def _follow(self, number: int) -> None:
        """Bring a move's hosts to where the books are."""
        mover, move = self._movers[number], self.moves[number]
        stage = int(self.migrations["stage"][number])
        slot = mover.domid - 1
        if stage == _ABORTED:
            mover.abort()
            del self._movers[number]
            return
        if stage >= _STOP and not mover.is_stopped:
            mover.stop()
        if move["is_committed"] and not mover.is_handed_over:
            speed = float(self.hosts["speed"][int(move["source"])])
            host = mover.source.host
            self._before_ns[slot] += round(int(_running_ns(host)[Domctl(host).slot(slot + 1)]) * speed)
            mover.hand_over()
            self._places[slot] = int(move["target"])
        if not move["in_use"]:
            mover.resume()
            del self._movers[number]

    def _follow_power(self) -> None:
        """Domains of a dead host get nothing until it is on again."""
        for number, machine in enumerate(self.machines):
            is_dead = int(self.hosts["power"][number]) != _ON
            if is_dead == (number in self._dead):
                continue
            control = Domctl(machine.host)
            for slot in np.flatnonzero(self._places == number):
                (control.pause_domain if is_dead else control.unpause_domain)(int(slot) + 1)
            (self._dead.add if is_dead else self._dead.discard)(number)

    def _program(self, slot: int, place: int) -> Replay:
        """What a domain runs at a host: its demand in per cent of that host's pCPUs."""
        domain = self.domains[slot]
        row, speed = int(domain["trace_row"]), float(self.hosts["speed"][place])
        factor = 100 * float(domain["size_pcpus"]) / speed / int(domain["vcpus"])
        if row >= 0 and self.spec.demand is not None:
            percent = self.spec.demand.demand[row] / DEMAND_ONE * factor
            sample_ns, samples = self.spec.demand.sample_ns, len(percent)
            first = (self.now_ns // sample_ns + int(domain["trace_phase"])) % samples
        else:
            percent, sample_ns, first = np.array([float(domain["constant_frac"]) * factor]), S_NS, 0
        return Replay(np.minimum(100, np.rint(percent)).astype(np.uint8), sample_ns=sample_ns, first_sample=int(first))

    def _params(self, slot: int, place: int) -> dict[str, int]:
        domain = self.domains[slot]
        if self.spec.hosts[place].shares == "credit":
            return {"weight": int(domain["weight"]), "cap": int(domain["cap_pct"])}
        if domain["period_ns"] > 0:
            return {
                "period_ns": int(domain["period_ns"]),
                "slice_ns": max(_LEAST_SLICE_NS, int(domain["slice_ns"])),
                "extratime": int(domain["has_extra"]),
            }
        return {}

    # -- control -----------------------------------------------------------------------------------------------------

    def order_move(self, domain: int, host: int) -> int:
        """Begin to move the domain in a slot to a host; returns the reason code, 0 if the move has begun."""
        reason = self.books.order_move(domain, host)
        self._obey()
        return reason

    def check_move(self, domain: int, host: int) -> int:
        """The reason code that ``order_move`` would return."""
        return self.books.check_move(domain, host)

    def move_mask(self, out: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        """Which moves would be accepted now, shape ``(slots, hosts)``; written into ``out`` if given."""
        return self.books.move_mask(out)

    def set_params(self, domain: int, **params: Any) -> int:
        """Change a domain's scheduler parameters; returns the reason code."""
        reason = self.books.set_params(domain, **params)
        if reason == 0:
            place = int(self._places[domain])
            changed = self._params(domain, place)
            if changed:
                Domctl(self.machines[place].host).adjust_domain(domain + 1, **changed)
            for mover in self._movers.values():
                if mover.domid == domain + 1:
                    mover.settings["params"] = self._params(domain, self.machines.index(mover.target))
        return reason

    def suspend(self, host: int) -> int:
        """Begin to suspend an empty host; returns the reason code."""
        return self.books.suspend(host)

    def wake(self, host: int) -> int:
        """Begin to wake a suspended or dead host; returns the reason code."""
        return self.books.wake(host)

    def cancel_move(self, domain: int) -> bool:
        """Give up the move of a domain; returns whether it was."""
        is_cancelled = self.books.cancel_move(domain)
        self._obey()
        return is_cancelled

    def fail_link(self, link: int) -> None:
        """Let a link go down: moves across it that are not committed are aborted."""
        self.books.fail_link(link)
        self._obey()

    def restore_link(self, link: int) -> None:
        """Let it come up again."""
        self.books.restore_link(link)

    def fail_host(self, host: int) -> None:
        """Let a host die."""
        self.books.fail_host(host)
        self._obey()

    # -- keeping -----------------------------------------------------------------------------------------------------

    def snapshot(self) -> Any:
        """The whole state, to be given to ``restore``."""
        return {
            "books": (
                self.books.snapshot(),
                self.books.pcpus.copy(),
                self.books.dom0_pcpus.copy(),
                self.books.rates.copy(),
            ),
            "hosts": [machine.host.snapshot() for machine in self.machines],
            "slots": (self._serials.copy(), self._places.copy(), self._before_ns.copy()),
            "history": copy.deepcopy(self._history),
            "dead": set(self._dead),
            "movers": {number: mover.state() for number, mover in self._movers.items()},
        }

    def restore(self, state: Any) -> None:
        """Go on from a snapshot of this cluster or of one built alike."""
        books, pcpus, dom0_pcpus, rates = state["books"]
        self.books.restore(books)
        self.books.pcpus[:], self.books.dom0_pcpus[:], self.books.rates[:] = pcpus, dom0_pcpus, rates
        for machine, snapshot in zip(self.machines, state["hosts"], strict=True):
            machine.host.restore(snapshot)
        self._serials, self._places, self._before_ns = (part.copy() for part in state["slots"])
        self._history = copy.deepcopy(state["history"])
        self._dead = set(state["dead"])
        self._movers = {
            number: Mover.from_state(
                self.machines[int(self.moves["source"][number])],
                self.machines[int(self.moves["target"][number])],
                saved,
            )
            for number, saved in state["movers"].items()
        }

    def digest(self) -> str:
        """A hash of the whole state: equal states have equal digests, on every platform."""
        digest = hashlib.sha256(self.books.digest().encode())
        for machine in self.machines:
            digest.update(machine.host.digest().encode())
        return digest.hexdigest()

    def __reduce__(self) -> Any:
        return _rebuilt, (self.spec, int(self.clock["seed"][0]), self.snapshot())


def _rebuilt(spec: ClusterSpec, seed: int, state: Any) -> EventCluster:
    cluster = EventCluster(spec, seed=seed)
    cluster.restore(state)
    return cluster


def _running_ns(host: Host) -> NDArray[np.int64]:
    """CPU time of each domain slot's vCPUs so far, ns."""
    sections = host.sections
    vcpus = sections["vcpu"][sections["vcpu"]["is_idle"] == 0]
    running = vcpus["runstate_ns"][:, 0] + np.where(vcpus["runstate"] == 0, host.now_ns - vcpus["runstate_at_ns"], 0)
    running[vcpus["in_use"] == 0] = 0
    return np.bincount(vcpus["domain"], weights=running, minlength=len(sections["domain"])).astype(np.int64)


def _make_machine(spec: ClusterSpec, one: HostSpec, seed: int) -> Endpoint:
    """A host with Dom0 and a network card, and room for the cluster's domains."""
    num_slots = spec.num_domain_slots if spec.num_domain_slots is not None else len(spec.domains)
    max_domains = min(64, num_slots + 2)
    most_vcpus = max((domain.vcpus for domain in spec.domains), default=1)
    max_vcpus = 1 + max_domains * most_vcpus
    max_streams = 2 * spec.moves_per_host
    kind = OsKind(
        IoCosts(), max_domains, max_vcpus, max_vifs=1, max_flows=max_streams, max_requests=1, max_loops=1,
        max_populations=1, max_clients=1, max_streams=max_streams,
    )  # fmt: skip
    host = Host(
        Topology.flat(one.pcpus),
        _scheduler(one),
        [ReplayKind(queue_slots=_QUEUE_SLOTS), kind],
        costs=Costs(),
        max_domains=max_domains,
        max_vcpus=max_vcpus,
        seed=seed,
    )
    Domctl(host).create_domain(0, Os())
    control = Devctl(host)
    nic = control.create_nic(0, mbit_per_s=one.nic_bytes_per_s * 8e-6, delay_ns=50_000, irq_gap_ns=30_000)
    control.create_vif(0, nic=nic, mode="native", is_offloading=True)
    return Endpoint(host, kind, nic)


def _scheduler(one: HostSpec) -> Scheduler:
    return CreditScheduler() if one.shares == "credit" else SedfScheduler()
