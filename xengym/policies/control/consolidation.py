"""Consolidation: as few hosts on as the demand allows.

Every interval, as in the studies of Beloglazov and Buyya (Concurrency and Computation 24(13), 2012) on PlanetLab's
demand:

1. *Overload*: a host is overloaded if its guests demand more than the part ``1 - safety * MAD`` of it, MAD being the
   median absolute deviation of its demand over the last intervals (at most 30; with fewer than 12, a fixed part).
   Unsteady hosts keep more in reserve.
2. *Minimum migration time*: from an overloaded host the domain with the smallest memory goes, then the next, until
   the host is no longer overloaded.
3. *Best fit decreasing by power* (``power_fit``): those domains, largest demand first, go where they raise power
   least. If none of the hosts that are on can take one, a suspended host is woken, and takes it at the next interval.
4. *Underload*: hosts that are not overloaded and got nothing, emptiest first, are given up if all their domains can
   go to the others that have domains, without overloading them.
5. Hosts without domains and without moves are suspended.

Simplified against the study: a host's past demand is that of those who were on it then; the study recomputes it from
the past of those who are on it now. A domain that has no place waits for a woken host instead of being there at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xengym.policies.control.cluster_view import SUSPENDED, Decision, View
from xengym.policies.control.power_fit import fit_all

#: The study's: with fewer readings a fixed threshold is used.
MIN_HISTORY, MAX_HISTORY = 12, 30


def overload_limit(
    history: NDArray[np.float64], *, safety: float = 2.5, fixed_frac: float = 0.7
) -> NDArray[np.float64]:
    """Part of each host that its guests may demand.

    Args:
        history: ``(readings, hosts)``, demand as part of the capacity, oldest first.
        safety: how much is kept in reserve for each unit of deviation.
        fixed_frac: the limit while there are fewer than 12 readings.

    Returns:
        ``(hosts,)``, 0..1.
    """
    if len(history) < MIN_HISTORY:
        return np.full(history.shape[1], fixed_frac)
    middle = np.median(history, axis=0)
    deviation = np.median(np.abs(history - middle), axis=0)
    return np.clip(1.0 - safety * deviation, 0.0, 1.0)


def leaving(pages: NDArray[np.int64], demand: NDArray[np.float64], excess: float) -> list[int]:
    """Which of a host's domains go so that its demand falls by more than ``excess``: smallest memory first.

    Args:
        pages: ``(n,)``, of the domains that may be moved.
        demand: ``(n,)``, their demand in pCPUs.
        excess: pCPUs by which the host is over its limit.
    """
    chosen: list[int] = []
    for i in np.argsort(pages, kind="stable"):
        if excess <= 0:
            break
        if demand[i] > 0:
            chosen.append(int(i))
            excess -= demand[i]
    return chosen


class Plan:
    """Hosts as they would be after the moves planned so far."""

    def __init__(self, view: View, limit: NDArray[np.float64]) -> None:
        hosts = view.hosts
        self.view = view
        self.mask = view.mask.view(np.uint8)
        self.domain_demand = np.ascontiguousarray(view.domains["demand_pcpus"])
        self.domain_pages = np.ascontiguousarray(view.domains["pages"])
        self.free_pages = hosts["free_pages"].copy()
        self.demand = hosts["demand_pcpus"].copy()
        # Those on their way have been promised room, but do not demand anything there yet.
        moving = view.domains["move"] >= 0
        self.limit = limit * hosts["capacity_pcpus"]
        self.watts_a_pcpu = (hosts["busy_watts"] - hosts["idle_watts"]) / hosts["capacity_pcpus"]
        self.idle_watts = np.ascontiguousarray(hosts["idle_watts"])
        self.num_domains = hosts["num_domains"] + hosts["incoming"]
        self.may_come = (view.moves_per_host - hosts["incoming"]).astype(np.int32)
        self.may_go = (view.moves_per_host - hosts["outgoing"]).astype(np.int32)
        self.is_moving = moving
        self.moves: list[tuple[int, int]] = []

    def place(self, domains: NDArray[np.int64], allowed: NDArray[np.bool_], *, all_or_none: bool) -> NDArray[np.int64]:
        """Plan moves of domains, largest demand first; returns those without a place."""
        order = domains[np.argsort(-self.domain_demand[domains], kind="stable")]
        out = np.full(len(order), -1, dtype=np.int64)
        placed = fit_all(
            order, self.domain_demand, self.domain_pages, self.mask, allowed.view(np.uint8), self.free_pages,
            self.demand,
            self.limit, self.watts_a_pcpu, self.idle_watts, self.num_domains, self.may_come, out, all_or_none,
        )  # fmt: skip
        if all_or_none and placed < len(order):
            return order
        sources = self.view.domains["host"]
        for domain, host in zip(order.tolist(), out.tolist(), strict=True):
            if host >= 0:
                source = sources[domain]
                self.demand[source] -= self.domain_demand[domain]
                self.num_domains[source] -= 1
                self.may_go[source] -= 1
                self.moves.append((domain, host))
        left: NDArray[np.int64] = order[out < 0]
        return left


class Consolidation:
    """The policy of the module's text.

    Args:
        safety: see ``overload_limit``; the study's best is 2.5.
        fixed_frac: limit while there is no history.
    """

    name = "consolidation"

    def __init__(self, *, safety: float = 2.5, fixed_frac: float = 0.7) -> None:
        self.safety = safety
        self.fixed_frac = fixed_frac
        self.history: list[NDArray[np.float64]] = []

    def begin(self) -> None:
        """Forget the hosts' past."""
        self.history = []

    def decide(self, view: View) -> Decision:
        """What to do now."""
        self.history = [*self.history[1 - MAX_HISTORY :], view.cpu_frac()]
        limit = overload_limit(np.array(self.history), safety=self.safety, fixed_frac=self.fixed_frac)
        hosts = view.hosts
        is_on = view.is_on()
        plan = Plan(view, limit)
        may_move = (view.domains["in_use"] == 1) & (view.domains["is_pinned"] == 0) & ~plan.is_moving
        by_host = _by_host(view.domains, len(hosts))
        is_over = is_on & (hosts["demand_pcpus"] > plan.limit) & (hosts["num_domains"] > 0)
        # Those that are leaving already count as gone.
        gone = np.bincount(view.domains["host"][plan.is_moving], plan.domain_demand[plan.is_moving], len(hosts))
        going: list[int] = []
        for host in np.flatnonzero(is_over & (hosts["demand_pcpus"] - gone > plan.limit)).tolist():
            here = by_host[host]
            here = here[may_move[here]]
            excess = float(hosts["demand_pcpus"][host] - gone[host] - plan.limit[host])
            chosen = leaving(plan.domain_pages[here], plan.domain_demand[here], excess)
            going += here[chosen][: max(0, int(plan.may_go[host]))].tolist()
        left = plan.place(np.array(going, dtype=np.int64), is_on & ~is_over, all_or_none=False)
        wake = _hosts_to_wake(view, plan, left)
        self._empty_underloaded(view, plan, is_on & ~is_over, may_move, by_host)
        targets = np.zeros(len(hosts), dtype=np.bool_)
        targets[[host for _, host in plan.moves]] = True
        is_idle = is_on & (hosts["num_domains"] == 0) & (hosts["incoming"] == 0) & (hosts["outgoing"] == 0) & ~targets
        # What has been woken for those without a place is not suspended before they are there.
        suspend = np.flatnonzero(is_idle).tolist() if len(left) == 0 else []
        return Decision(wake=wake, moves=plan.moves, suspend=suspend)

    def _empty_underloaded(
        self,
        view: View,
        plan: Plan,
        is_candidate: NDArray[np.bool_],
        may_move: NDArray[np.bool_],
        by_host: list[NDArray[np.int64]],
    ) -> None:
        hosts = view.hosts
        has_got = np.zeros(len(hosts), dtype=np.bool_)
        has_got[[host for _, host in plan.moves]] = True
        is_quiet = (hosts["incoming"] == 0) & (hosts["outgoing"] == 0)
        allowed = is_candidate & (hosts["num_domains"] > 0)
        candidates = np.flatnonzero(is_candidate & is_quiet & (hosts["num_domains"] > 0) & ~has_got)
        for host in candidates[np.argsort(view.cpu_frac()[candidates], kind="stable")].tolist():
            here = by_host[host]
            if has_got[host] or not may_move[here].all() or len(here) > plan.may_go[host]:
                continue
            allowed[host] = False
            before = len(plan.moves)
            if len(plan.place(here, allowed, all_or_none=True)):
                allowed[host] = True
            else:
                has_got[[target for _, target in plan.moves[before:]]] = True


def _by_host(domains: Any, num_hosts: int) -> list[NDArray[np.int64]]:
    """Slots of the domains on each host, ascending."""
    slots = np.flatnonzero(domains["in_use"] == 1)
    order = slots[np.argsort(domains["host"][slots], kind="stable")]
    ends = np.searchsorted(domains["host"][order], np.arange(num_hosts + 1))
    return [order[ends[i] : ends[i + 1]] for i in range(num_hosts)]


def _hosts_to_wake(view: View, plan: Plan, left: NDArray[np.int64]) -> list[int]:
    """Suspended hosts for domains without a place: first fit, those first that use least for a pCPU."""
    if len(left) == 0:
        return []
    hosts = view.hosts
    asleep = np.flatnonzero(hosts["power"] == SUSPENDED)
    asleep = asleep[np.argsort(plan.watts_a_pcpu[asleep], kind="stable")].tolist()
    wake: list[int] = []
    pages = demand = 0.0
    for domain in left.tolist():
        pages -= plan.domain_pages[domain]
        demand -= plan.domain_demand[domain]
        if not wake or pages < 0 or demand < 0:
            if len(wake) == len(asleep):
                break
            host = asleep[len(wake)]
            wake.append(host)
            pages = float(hosts["free_pages"][host] - plan.domain_pages[domain])
            demand = float(plan.limit[host] - plan.domain_demand[domain])
    return wake
