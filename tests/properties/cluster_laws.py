"""What must hold of a cluster at any time."""

from typing import Any

import numpy as np

from xengym.machine.cluster_state import POWERS
from xengym.machine.migration_state import STAGES

ON = POWERS.index("on")
#: One for each time that books are kept: counters are whole numbers, rates are not.
ROUNDING = 1e-9


def check_laws(c: Any) -> None:
    """Assert that pages, CPU, links and places add up."""
    hosts, domains, moves = c.hosts, c.domains, c.moves
    used = domains["in_use"] == 1
    under_way = moves["in_use"] == 1
    coming = under_way & (moves["is_committed"] == 0)
    size = len(hosts)
    at = domains["host"][used]
    assert ((at >= 0) & (at < size)).all()
    # Pages: each belongs to a domain here, is set aside for one on its way, or is free.
    here = np.bincount(at, domains["pages"][used], size)
    aside = np.bincount(moves["target"][coming], domains["pages"][moves["domain"][coming]], size)
    assert (aside == hosts["reserved_pages"]).all()
    assert (here + aside + hosts["free_pages"] == hosts["memory_pages"]).all()
    assert (hosts["free_pages"] >= 0).all()
    # Places: each domain is on exactly one host, and moves are known at both ends.
    assert (np.bincount(at, minlength=size) == hosts["num_domains"]).all()
    assert (np.bincount(moves["source"][under_way], minlength=size) == hosts["outgoing"]).all()
    assert (np.bincount(moves["target"][under_way], minlength=size) == hosts["incoming"]).all()
    assert under_way.sum() == c.clock["active_moves"][0]
    moving = domains["move"] >= 0
    assert (moving <= used).all()
    assert (moves["domain"][domains["move"][moving]] == np.flatnonzero(moving)).all()
    assert moving.sum() == under_way.sum()
    for i in np.flatnonzero(under_way):
        committed = bool(moves["is_committed"][i])
        assert domains["host"][moves["domain"][i]] == (moves["target"] if committed else moves["source"])[i]
        assert committed == (STAGES[c.migrations["stage"][i]] == "activation")
    # CPU: nobody gets more than it demands, no host gives more than it has, and what is off gives nothing.
    granted = np.bincount(at, domains["granted_pcpus"][used], size)
    assert np.allclose(granted, hosts["granted_pcpus"])
    assert (domains["granted_pcpus"] <= domains["demand_pcpus"] + ROUNDING).all()
    assert (granted + hosts["dom0_pcpus"] <= np.maximum(hosts["capacity_pcpus"], hosts["dom0_pcpus"]) + ROUNDING).all()
    assert (granted[hosts["power"] != ON] == 0).all()
    assert (hosts["watts"] <= hosts["busy_watts"] + ROUNDING).all()
    check_links(c, under_way)


def check_links(c: Any, under_way: Any) -> None:
    """Rates of moves: within the links, and max-min fair."""
    links, moves = c.links, c.moves
    used, wanted = np.zeros(len(links), np.int64), np.zeros(len(links), np.int64)
    for i in np.flatnonzero(under_way):
        way = moves["links"][i][: moves["num_links"][i]]
        used[way] += moves["granted_bytes_per_s"][i]
        wanted[way] += moves["wanted_bytes_per_s"][i]
    assert (used == links["used_bytes_per_s"]).all()
    assert (wanted == links["wanted_bytes_per_s"]).all()
    least = links["bytes_per_s"] * c.clock["least_move_frac"][0]
    room = np.maximum(links["bytes_per_s"] - links["guest_bytes_per_s"], least) * links["is_up"]
    assert (used <= room + 1).all()
    # Whoever gets less than it wants crosses a full link on which nobody gets more (rates are whole bytes a second).
    for i in np.flatnonzero(under_way):
        mine = moves["granted_bytes_per_s"][i]
        if mine >= moves["wanted_bytes_per_s"][i]:
            continue
        way = moves["links"][i][: moves["num_links"][i]]
        assert any(
            used[way][k] >= room[way][k] - 16 and mine >= most_on(c, under_way, link) - 1 for k, link in enumerate(way)
        )


def most_on(c: Any, under_way: Any, link: int) -> int:
    """The largest rate on a link."""
    moves = c.moves
    return max(
        int(moves["granted_bytes_per_s"][i])
        for i in np.flatnonzero(under_way)
        if link in moves["links"][i][: moves["num_links"][i]]
    )


def sums(c: Any) -> dict[str, float]:
    """Totals that only ever grow."""
    names = ("energy_nj", "busy_pcpu_ns", "dom0_pcpu_ns", "on_ns", "overload_ns")
    totals = {name: float(c.hosts[name].sum()) for name in names}
    totals["moved_bytes"] = float(c.clock["moved_bytes"][0])
    totals["downtime_ns"] = float(c.clock["downtime_ns"][0])
    return totals
