"""Migration policies by name; and those that need few words.

*Never* moves nothing. *Follow the load* keeps domains near their clients: where most of all clients are nearest to
another site than a domain's, by a margin, domains go there, those that send most first, a few in each interval, to
the hosts that are least busy. *Scripted* is an administrator's list of times, domains and hosts (what `xm migrate` in
a crontab does). The others are in ``hotspots`` and ``consolidation``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from xengym.policies.control.cluster_view import Decision, MigrationPolicy, View
from xengym.policies.control.consolidation import Consolidation
from xengym.policies.control.hotspots import HotspotsByVolume, ThresholdBalance


class Never:
    """Nothing is ever moved."""

    name = "never"

    def begin(self) -> None:
        """There is nothing to forget."""

    def decide(self, view: View) -> Decision:
        """Nothing."""
        return Decision()


class FollowTheLoad:
    """Domains go to the site where most clients are.

    Args:
        margin_frac: by how much that site's part of the clients has to exceed the own one's.
        moves: most in one interval.
        high_frac: hosts are filled up to this.
    """

    name = "follow-the-load"

    def __init__(self, *, margin_frac: float = 0.2, moves: int = 4, high_frac: float = 0.9) -> None:
        self.margin_frac = margin_frac
        self.moves = moves
        self.high_frac = high_frac

    def begin(self) -> None:
        """There is nothing to forget."""

    def decide(self, view: View) -> Decision:
        """What to do now."""
        hosts, domains = view.hosts, view.domains
        clients = view.sites["clients_frac"]
        best = int(np.argmax(clients))
        used = np.flatnonzero((domains["in_use"] == 1) & (domains["net_bytes_per_s"] > 0) & (domains["move"] < 0))
        own_site = hosts["site"][domains["host"][used]]
        away = used[(own_site != best) & (clients[best] - clients[own_site] > self.margin_frac)]
        sent = domains["net_bytes_per_s"][away] * domains["demand_frac"][away]
        load, pages = hosts["demand_pcpus"].copy(), hosts["free_pages"].copy()
        come = view.moves_per_host - hosts["incoming"]
        go = view.moves_per_host - hosts["outgoing"]
        # Those on their way already count where they go only by the memory set aside; so a few at a time.
        room = self.moves - int((domains["move"] >= 0).sum())
        moves: list[tuple[int, int]] = []
        for domain in away[np.argsort(-sent, kind="stable")].tolist():
            if len(moves) >= room:
                break
            after = (load + domains["demand_pcpus"][domain]) / hosts["capacity_pcpus"]
            takes = view.mask[domain] & (hosts["site"] == best) & (come > 0) & (pages >= domains["pages"][domain])
            takes &= after <= self.high_frac
            source = int(domains["host"][domain])
            if not takes.any() or go[source] <= 0:
                continue
            target = int(np.argmin(np.where(takes, after, np.inf)))
            moves.append((domain, target))
            load[target] += domains["demand_pcpus"][domain]
            pages[target] -= domains["pages"][domain]
            come[target] -= 1
            go[source] -= 1
        return Decision(moves=moves)


class Scripted:
    """An administrator's list.

    Args:
        script: time in ns, slot of a domain, host; carried out at the first interval at or after the time.
    """

    name = "scripted"

    def __init__(self, script: Sequence[tuple[int, int, int]] = ()) -> None:
        self.script = sorted(script)
        self.done = 0

    def begin(self) -> None:
        """Begin at the top of the list."""
        self.done = 0

    def decide(self, view: View) -> Decision:
        """What is due."""
        due = [(domain, host) for at_ns, domain, host in self.script[self.done :] if at_ns <= view.now_ns]
        self.done += len(due)
        return Decision(moves=due)


#: Policies that need nothing but the cluster, by name.
POLICIES: dict[str, Callable[[], MigrationPolicy]] = {
    "never": Never,
    "threshold-balance": ThresholdBalance,
    "hotspots-by-volume": HotspotsByVolume,
    "consolidation": Consolidation,
    "follow-the-load": FollowTheLoad,
}


def make_policy(name: str) -> MigrationPolicy:
    """A migration policy by name.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in POLICIES:
        raise ValueError(f"unknown migration policy {name!r}; expected one of {', '.join(POLICIES)}")
    return POLICIES[name]()
