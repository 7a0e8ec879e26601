"""Against hot hosts: threshold balance, and mitigation by volume.

*Threshold balance.* While the busiest host is above a threshold and the gap to the least busy one is large, one
domain goes from
the former to the latter: the one that comes closest to halving the gap, never one that would turn it round.

*By volume*, after Sandpiper (Wood et al., NSDI 2007, black-box): a host is a hot spot if its processors or its
network card have been above a threshold in ``k`` of the last ``n`` intervals. The *volume* of a host or of a domain
is

    1 / (1 - cpu)  *  1 / (1 - net)  *  1 / (1 - mem) ,

each as part of the host. From the hot spot with the largest volume the domain with the largest volume for its memory
goes to the host with the least volume where nothing gets above the threshold; then the next, until the host is no
longer hot. That moves most load with least copying.

Simplified against Sandpiper: no prediction of the next interval, and no swaps where no host has room.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xengym.policies.control.cluster_view import FULL_FRAC, Decision, View

#: Two hosts that would be exactly alike may differ by rounding.
_ROUNDING = 1e-9


class ThresholdBalance:
    """Threshold balance.

    Args:
        high_frac: a host above this is busy.
        gap_frac: least difference to the least busy host.
        moves: most in one interval.
    """

    name = "threshold-balance"

    def __init__(self, *, high_frac: float = 0.8, gap_frac: float = 0.2, moves: int = 8) -> None:
        self.high_frac = high_frac
        self.gap_frac = gap_frac
        self.moves = moves

    def begin(self) -> None:
        """There is nothing to forget."""

    def decide(self, view: View) -> Decision:
        """What to do now."""
        hosts, domains = view.hosts, view.domains
        capacity = hosts["capacity_pcpus"]
        load = _promised_load(view)
        free = hosts["free_pages"].copy()
        come = view.moves_per_host - hosts["incoming"]
        go = view.moves_per_host - hosts["outgoing"]
        is_on = view.is_on()
        mask = view.mask.copy()
        moves: list[tuple[int, int]] = []
        is_done = ~is_on
        while len(moves) < self.moves:
            frac = load / capacity
            source = int(np.argmax(np.where(is_done, -1.0, frac)))
            if is_done[source] or frac[source] <= self.high_frac:
                break
            here = np.flatnonzero((domains["in_use"] == 1) & (domains["host"] == source) & mask.any(axis=1))
            best = None
            for target in np.argsort(np.where(is_on, frac, np.inf), kind="stable")[:4].tolist():
                if frac[source] - frac[target] < self.gap_frac or come[target] <= 0 or go[source] <= 0:
                    continue
                fits = here[mask[here, target] & (domains["pages"][here] <= free[target])]
                demand = domains["demand_pcpus"][fits]
                after = (load[source] - demand) / capacity[source] - (load[target] + demand) / capacity[target]
                useful = np.flatnonzero((after >= -_ROUNDING) & (demand > 0))
                if useful.size:
                    best = int(fits[useful[np.argmin(after[useful])]]), target
                    break
            if best is None:
                is_done[source] = True
                continue
            domain, target = best
            moves.append(best)
            mask[domain] = False
            load[source] -= domains["demand_pcpus"][domain]
            load[target] += domains["demand_pcpus"][domain]
            free[target] -= domains["pages"][domain]
            come[target] -= 1
            go[source] -= 1
        return Decision(moves=moves)


def _promised_load(view: View) -> NDArray[np.float64]:
    """Demand of each host; domains under way still count at their source, which they are leaving already."""
    load: NDArray[np.float64] = view.hosts["demand_pcpus"].copy()
    moving = view.domains["move"] >= 0
    np.subtract.at(load, view.domains["host"][moving], view.domains["demand_pcpus"][moving])
    return load


def volume(cpu: NDArray[np.float64], net: NDArray[np.float64], mem: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sandpiper's volume of utilisations in 0..1; full ones count as 0.99."""
    product = np.ones_like(cpu)
    for part in (cpu, net, mem):
        product = product / (1.0 - np.clip(part, 0.0, FULL_FRAC))
    return product


class HotspotsByVolume:
    """Mitigation of hot spots by volume.

    Args:
        high_frac: a resource above this is hot (Sandpiper: 75 %).
        k, n: hot in ``k`` of the last ``n`` intervals.
    """

    name = "hotspots-by-volume"

    def __init__(self, *, high_frac: float = 0.75, k: int = 2, n: int = 3) -> None:
        if not 1 <= k <= n:
            raise ValueError(f"hotspots: expected 1 <= k <= n, found k = {k}, n = {n}")
        self.high_frac = high_frac
        self.k = k
        self.n = n
        self.history: list[NDArray[np.bool_]] = []

    def begin(self) -> None:
        """Forget which hosts were hot."""
        self.history = []

    def decide(self, view: View) -> Decision:
        """What to do now."""
        hosts, domains = view.hosts, view.domains
        net = hosts["guest_bytes_per_s"] / hosts["nic_bytes_per_s"]
        mem = 1.0 - hosts["free_pages"] / np.maximum(hosts["memory_pages"], 1)
        is_on = view.is_on()
        self.history = [*self.history[1 - self.n :], (np.maximum(view.cpu_frac(), net) > self.high_frac) & is_on]
        is_hot = np.sum(self.history, axis=0) >= self.k
        is_hot &= self.history[-1]
        cpu_load, net_load, pages = (
            _promised_load(view),
            hosts["guest_bytes_per_s"].astype(float),
            hosts["free_pages"].copy(),
        )
        come = view.moves_per_host - hosts["incoming"]
        go = view.moves_per_host - hosts["outgoing"]
        mask = view.mask
        moves: list[tuple[int, int]] = []
        for source in np.argsort(-volume(view.cpu_frac(), net, mem), kind="stable").tolist():
            if not is_hot[source]:
                continue
            here = np.flatnonzero((domains["in_use"] == 1) & (domains["host"] == source) & (domains["move"] < 0))
            sent = domains["net_bytes_per_s"][here] * domains["demand_frac"][here]
            size = domains["pages"][here]
            own = volume(
                domains["demand_pcpus"][here] / hosts["capacity_pcpus"][source],
                sent / hosts["nic_bytes_per_s"][source],
                size / hosts["memory_pages"][source],
            )
            for i in np.argsort(-own / size, kind="stable").tolist():
                hot_cpu = cpu_load[source] / hosts["capacity_pcpus"][source]
                hot_net = net_load[source] / hosts["nic_bytes_per_s"][source]
                if max(hot_cpu, hot_net) <= self.high_frac or go[source] <= 0:
                    break
                domain = int(here[i])
                cpu_after = (cpu_load + domains["demand_pcpus"][domain]) / hosts["capacity_pcpus"]
                net_after = (net_load + sent[i]) / hosts["nic_bytes_per_s"]
                takes = mask[domain] & (come > 0) & (pages >= size[i]) & (cpu_after <= self.high_frac)
                takes &= (net_after <= self.high_frac) & ~is_hot
                if not takes.any():
                    continue
                there = volume(
                    cpu_load / hosts["capacity_pcpus"],
                    net_load / hosts["nic_bytes_per_s"],
                    1.0 - pages / np.maximum(hosts["memory_pages"], 1),
                )
                target = int(np.argmin(np.where(takes, there, np.inf)))
                moves.append((domain, target))
                cpu_load[[source, target]] += np.array([-1.0, 1.0]) * domains["demand_pcpus"][domain]
                net_load[[source, target]] += np.array([-1.0, 1.0]) * sent[i]
                pages[target] -= size[i]
                come[target] -= 1
                go[source] -= 1
        return Decision(moves=moves)
