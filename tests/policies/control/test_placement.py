import numpy as np
import pytest

from tests.hypervisor.cluster.rig import PAGES, cluster, domain, host
from xengym.machine.cluster_state import REASONS
from xengym.machine.memory_model import MemoryModel, Region
from xengym.policies.control.placement import PLACEMENTS


def size(pages: int) -> MemoryModel:
    return MemoryModel((Region(pages),))


def placed(rule: str, **changes: object) -> int:
    """Hosts with 3, 1 and 2 holes of a domain's size, whose processors are at 75, 0 and 25 %."""
    standing = [
        domain(1.5, host=0, memory=size(PAGES)), domain(0.0, host=1, memory=size(3 * PAGES)),
        domain(0.5, host=2, memory=size(2 * PAGES)),
    ]  # fmt: skip
    c = cluster(3, [*standing, domain(0.5, **changes)], placement=rule)
    return int(c.domains["host"][3])


@pytest.mark.parametrize(("rule", "chosen"), [("first-fit", 0), ("best-fit", 1), ("worst-fit", 0), ("balance", 1)])
def test_each_rule_on_three_hosts(rule: str, chosen: int) -> None:
    assert placed(rule) == chosen


@pytest.mark.parametrize(("rule", "chosen"), [("first-fit", 0), ("best-fit", 2), ("worst-fit", 0), ("balance", 2)])
def test_a_larger_domain_does_not_fit_the_smallest_hole(rule: str, chosen: int) -> None:
    assert placed(rule, memory=size(2 * PAGES)) == chosen


def test_ties_go_to_the_lowest_number() -> None:
    for rule in PLACEMENTS:
        assert cluster(3, [domain(0.5)], placement=rule).domains["host"].tolist() == [0]


def test_balance_sees_those_that_came_at_the_same_instant() -> None:
    c = cluster(3, [domain(1.0) for _ in range(3)], placement="balance")
    assert c.domains["host"].tolist() == [0, 1, 2]


def test_groups_devices_reservations_and_power_are_kept_to() -> None:
    hosts = [host(is_on=False), host(devices=1), host(devices=3, shares="sedf"), host(devices=3)]
    reserved = {"slice_ns": 8, "period_ns": 10, "vcpus": 2}
    c = cluster(hosts, [domain(1.0, devices=2, **reserved) for _ in range(3)], placement="worst-fit")
    # The first takes 1.6 of host 2's 2 pCPUs; nothing is reserved on host 3, whose scheduler is not SEDF.
    assert c.domains["host"].tolist() == [2, 3, 3]
    c = cluster(3, [domain(1.0, group=0) for _ in range(3)])
    assert c.domains["host"].tolist() == [0, 1, 2]
    c = cluster(3, [domain(1.0, group=0) for _ in range(4)])
    assert c.clock["refused_arrivals"][0][REASONS["anti-affinity"]] == 1
    assert cluster(hosts, [domain(1.0, devices=4)]).clock["refused_arrivals"][0][REASONS["devices"]] == 1


def test_the_mask_is_what_orders_would_be_answered() -> None:
    rng = np.random.default_rng(5)
    for round_ in range(30):
        hosts = [
            host(
                devices=int(rng.integers(4)), rack=(rack := int(rng.integers(3))), site=rack // 2,
                subnet=int(rng.integers(2)),
                shares=("credit", "sedf")[rng.integers(2)], memory_pages=int(rng.integers(2, 8)) * PAGES,
            )
            for _ in range(7)
        ]  # fmt: skip
        domains = [
            domain(
                0.5, host=int(rng.integers(7)), memory=size(int(rng.integers(1, PAGES))), vcpus=2,
                slice_ns=int(rng.integers(4)), period_ns=10, is_pinned=bool(rng.integers(8) == 0),
            )
            for _ in range(8)
        ]  # fmt: skip
        from xengym.hypervisor.cluster.specs import LinkSpec

        try:
            c = cluster(
                hosts, domains, racks=(None, None, None), sites={(0, 1): LinkSpec(1e6)} if round_ % 2 else {},
                moves_per_host=1 + round_ % 2, num_domain_slots=10, crosses_subnets=round_ % 3 == 0,
            )  # fmt: skip
        except ValueError:
            continue  # a domain does not fit its host
        c.links["is_up"][rng.integers(len(c.links))] = 0
        empty = np.flatnonzero(c.hosts["num_domains"] == 0)
        if empty.size:
            c.suspend(int(empty[0]))
        for _ in range(4):
            c.order_move(int(rng.integers(8)), int(rng.integers(7)))
            expected = np.array([[c.check_move(d, h) == 0 for h in range(7)] for d in range(10)])
            assert (c.move_mask() == expected).all()


def test_a_mask_of_the_wrong_shape_is_refused() -> None:
    c = cluster(2, [domain()])
    with pytest.raises(ValueError, match="move_mask"):
        c.move_mask(np.empty((2, 2), dtype=np.bool_))
