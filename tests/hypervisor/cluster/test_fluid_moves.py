import pytest

from tests.hypervisor.cluster.rig import PAGES, PLAIN_MOVE, S, cluster, domain, host
from xengym.hypervisor.cluster.specs import LinkSpec
from xengym.hypervisor.move import Move
from xengym.hypervisor.move_spec import MoveSpec
from xengym.machine.cluster_state import REASONS
from xengym.machine.memory_model import MemoryModel, Region
from xengym.machine.migration_state import STAGES
from xengym.units import MS_NS

#: Of a quiet domain's memory at 100 Mbit/s.
COPY_NS = PAGES * 4096 * 80


def where(c, d=0):
    return int(c.domains["host"][d])


def test_a_quiet_domain_takes_as_long_as_its_memory() -> None:
    c = cluster(2, [domain(1.0, host=0)])
    assert c.order_move(0, 1) == 0
    assert c.hosts["reserved_pages"].tolist() == [0, PAGES]
    assert c.hosts["free_pages"].tolist() == [3 * PAGES, 3 * PAGES]
    c.run_until(COPY_NS - 1000)
    assert where(c) == 0
    c.run_until(COPY_NS + 1000)
    assert where(c) == 1
    assert c.hosts["reserved_pages"].tolist() == [0, 0]
    assert c.hosts["free_pages"].tolist() == [4 * PAGES, 3 * PAGES]
    assert c.domains["moves"][0] == 1
    assert c.clock["moves_done"][0] == 1
    assert c.clock["moved_bytes"][0] == pytest.approx(PAGES * 4096, rel=1e-6)


def test_alone_it_is_what_the_engine_does_by_itself() -> None:
    memory = MemoryModel((Region(2_000, 1_000.0), Region(6_000, 50.0)))
    spec = MoveSpec()
    c = cluster(2, [domain(1.0, memory=memory, host=0)], move=spec)
    c.order_move(0, 1)
    c.run_until(60 * S)
    move = Move(memory, spec)
    move.begin()
    move.finish(125e6)
    g = c.migrations[0]
    assert STAGES[g["stage"]] == "done"
    assert g["round"] == len(move.rounds)
    assert g["elapsed_ns"] == pytest.approx(move.elapsed_ns, abs=1000)
    assert g["downtime_ns"] == pytest.approx(move.downtime_ns, abs=1000)
    assert c.domains["downtime_ns"][0] == pytest.approx(move.downtime_ns, abs=1000)


def test_while_it_stands_still_it_gets_nothing() -> None:
    spec = MoveSpec(
        kind="stop", min_mbit_per_s=100, max_mbit_per_s=100, request_ms=0, suspend_ms=0, resume_ms=500, commit_ms=0
    )
    c = cluster(2, [domain(1.0, host=0)], move=spec)
    c.order_move(0, 1)
    c.run_until(10 * S)
    still_ns = COPY_NS + 500 * MS_NS
    assert c.domains["downtime_ns"][0] == pytest.approx(still_ns, abs=1000)
    assert c.domains["granted_ns"][0] == pytest.approx(10 * S - still_ns, abs=1000)
    assert c.domains["violation_ns"][0] == pytest.approx(still_ns, abs=1000)


def test_dom0_pays_at_both_ends_and_guests_get_what_is_left() -> None:
    # 12.5 MB/s at 9.6 ms a MB: 0.12 pCPUs of Dom0.
    c = cluster(2, [domain(2.0, host=0), domain(2.0, host=1)], dom0_s_per_byte=9.6e-9)
    c.order_move(0, 1)
    c.run_until(1 * S)
    assert c.hosts["dom0_pcpus"] == pytest.approx([0.12, 0.12])
    assert c.domains["granted_pcpus"] == pytest.approx([1.88, 1.88])
    assert c.hosts["dom0_pcpu_ns"] == pytest.approx([0.12 * S, 0.12 * S])
    assert c.moves["activity"][0] == pytest.approx(0.94)


def test_moves_share_the_card_of_their_source() -> None:
    # The card has 16 MB/s; both want 12.5.
    c = cluster([host(nic_bytes_per_s=16e6), host(), host()], [domain(0.1, host=0), domain(0.1, host=0)])
    c.order_move(0, 1)
    c.order_move(1, 2)
    c.run_until(S // 2)
    assert c.moves["granted_bytes_per_s"][:2].tolist() == [8_000_000, 8_000_000]
    assert c.links["used_bytes_per_s"][1] == 16_000_000
    c.run_until(10 * S)
    assert c.clock["moves_done"][0] == 2
    assert c.links["used_bytes_per_s"].sum() == 0
    # Both at 8 MB/s to the end, at the same instant.
    assert c.clock["move_ns"][0] == pytest.approx(2 * PAGES * 4096 * 1e9 / 8e6, rel=1e-6)


def test_a_move_that_is_held_up_elsewhere_leaves_its_part_to_the_other() -> None:
    # From host 0 (16 MB/s) to host 1 (3 MB/s) and to host 2.
    hosts = [host(nic_bytes_per_s=16e6), host(nic_bytes_per_s=3e6), host()]
    c = cluster(hosts, [domain(0.1, host=0), domain(0.1, host=0)])
    c.order_move(0, 1)
    c.order_move(1, 2)
    c.run_until(S // 2)
    assert c.moves["granted_bytes_per_s"][:2].tolist() == [3_000_000, 12_500_000]


def test_guests_own_traffic_comes_first_but_not_all_of_it() -> None:
    c = cluster([host(nic_bytes_per_s=20e6), host()], [domain(0.1, host=0, net_bytes_per_s=15e6)])
    c.order_move(0, 1)
    c.run_until(S // 2)
    assert c.moves["granted_bytes_per_s"][0] == 5_000_000
    c = cluster([host(nic_bytes_per_s=20e6), host()], [domain(0.1, host=0, net_bytes_per_s=50e6)])
    c.order_move(0, 1)
    c.run_until(S // 2)
    assert c.moves["granted_bytes_per_s"][0] == 2_000_000


def test_racks_and_sites_lie_on_the_way() -> None:
    hosts = [host(rack=0), host(rack=0), host(rack=1), host(rack=2, site=1)]
    c = cluster(
        hosts,
        [domain(0.1, host=0), domain(0.1, host=0), domain(0.1, host=0)],
        racks=(LinkSpec(10e6), LinkSpec(1e9), LinkSpec(1e9)),
        sites={(0, 1): LinkSpec(2e6, delay_ns=50 * MS_NS)},
    )
    assert c.order_move(0, 1) == 0
    assert c.order_move(1, 2) == 0
    assert c.order_move(2, 3) == 0
    c.run_until(S // 2)
    # Inside the rack what it wants; the site's link gives 2 MB/s; the rest of the rack's uplink to the other.
    assert c.moves["granted_bytes_per_s"][:3].tolist() == [12_500_000, 8_000_000, 2_000_000]
    # A question and its answer, 50 ms each way.
    assert c.migrations["request_ns"][2] == 100 * MS_NS


def test_local_disks_go_first() -> None:
    hosts = [host(storage=None), host(storage=None), host(storage=3), host(storage=3)]
    c = cluster(hosts, [domain(0.1, host=0, disk_bytes=25_000_000), domain(0.1, host=2, disk_bytes=25_000_000)])
    c.order_move(0, 1)
    c.order_move(1, 3)
    c.run_until(1 * S)
    assert [STAGES[s] for s in c.migrations["stage"][:2]] == ["disk", "pre-copy"]
    assert c.moves["disk_left_bytes"][0] == pytest.approx(12_500_000)
    c.run_until(2 * S + COPY_NS - 1000)
    assert c.domains["host"].tolist() == [0, 3]
    c.run_until(2 * S + COPY_NS + 1000)
    assert c.domains["host"].tolist() == [1, 3]


@pytest.mark.parametrize("how", ["cancel", "link", "target", "source"])
def test_an_aborted_move_leaves_both_hosts_as_before(how: str) -> None:
    c = cluster(3, [domain(1.0, host=0), domain(1.0, host=1)])
    before = {name: c.hosts[name].tolist() for name in ("free_pages", "reserved_pages", "num_domains", "granted_pcpus")}
    c.order_move(0, 1)
    c.run_until(1 * S)
    if how == "cancel":
        assert c.cancel_move(0)
        assert not c.cancel_move(0)
    elif how == "link":
        c.fail_link(1)
        assert c.order_move(0, 2) == REASONS["link-down"]
        c.restore_link(1)
    elif how == "target":
        c.fail_host(1)
        c.wake(1)
    else:
        c.fail_host(0)
        c.wake(0)
    c.run_until(20 * S)
    assert {name: c.hosts[name].tolist() for name in before} == before
    assert c.hosts["incoming"].tolist() == c.hosts["outgoing"].tolist() == [0, 0, 0]
    assert (c.domains["aborted_moves"][0], c.domains["moves"][0]) == (1, 0)
    assert c.clock["moves_aborted"][0].sum() == 1
    assert c.clock["moved_bytes"][0] == pytest.approx(12_500_000)
    assert (c.working_sets["exposure"] == 0).all()
    assert c.order_move(0, 2) == 0


def test_after_the_commitment_a_dead_source_does_not_matter() -> None:
    spec = MoveSpec(
        law="constant", stop_rule="rounds", max_rounds=1, min_mbit_per_s=100, max_mbit_per_s=100, request_ms=0,
        suspend_ms=0,
        resume_ms=1000, commit_ms=0,
    )  # fmt: skip
    c = cluster(2, [domain(1.0, host=0)], move=spec)
    c.order_move(0, 1)
    c.run_until(COPY_NS + 100 * MS_NS)
    assert STAGES[c.migrations["stage"][0]] == "activation"
    assert where(c) == 1
    c.fail_host(0)
    c.run_until(10 * S)
    assert c.domains["moves"][0] == 1
    assert c.domains["granted_pcpus"][0] == 1.0


def test_a_domain_may_leave_during_its_move() -> None:
    c = cluster(2, [domain(1.0, host=0, leaves_ns=1 * S)])
    c.order_move(0, 1)
    c.run_until(2 * S)
    assert c.hosts["free_pages"].tolist() == [4 * PAGES, 4 * PAGES]
    assert c.hosts["reserved_pages"].tolist() == [0, 0]
    assert not c.domains["in_use"].any()


def test_reasons_for_refusing_a_move() -> None:
    hosts = [
        host(devices=1), host(devices=1), host(), host(devices=1, memory_pages=PAGES // 2), host(devices=1, subnet=1),
        host(devices=1, rack=1, site=1),
    ]  # fmt: skip
    c = cluster(
        hosts,
        [
            domain(0.1, host=0, devices=1), domain(0.1, host=0, is_pinned=True), domain(0.1, host=0, group=0),
            domain(0.1, host=1, group=0),
        ],
        racks=(None, None),
        num_domain_slots=5,
    )  # fmt: skip
    expected = {
        (0, 0): "already-there", (0, 2): "devices", (0, 3): "memory", (0, 4): "unreachable", (0, 5): "unreachable",
        (0, 9): "unknown-host", (4, 0): "unknown-domain", (9, 0): "unknown-domain", (1, 2): "pinned", (2,
        1): "anti-affinity",
        (0, 1): "accepted",
    }  # fmt: skip
    for (d, h), reason in expected.items():
        assert c.check_move(d, h) == REASONS[reason], (d, h)
    assert c.order_move(0, 1) == 0
    assert c.order_move(0, 1) == REASONS["already-moving"]
    assert c.clock["refused_orders"][0][REASONS["already-moving"]] == 1


def test_only_so_many_moves_leave_a_host_at_once() -> None:
    c = cluster(3, [domain(0.1, host=0) for _ in range(3)], moves_per_host=2)
    assert [c.order_move(d, 1 + d % 2) for d in range(3)] == [0, 0, REASONS["too-many-moves"]]
    c = cluster(3, [domain(0.1, host=d) for d in range(2)], num_move_slots=1)
    assert [c.order_move(d, 2) for d in range(2)] == [0, REASONS["too-many-moves"]]


def test_the_group_of_a_moving_domain_counts_at_both_ends() -> None:
    c = cluster(3, [domain(0.1, host=0, group=1), domain(0.1, host=2, group=1)])
    c.order_move(0, 1)
    assert c.check_move(1, 0) == c.check_move(1, 1) == REASONS["anti-affinity"]
    c.run_until(10 * S)
    assert c.check_move(1, 0) == 0
    assert PLAIN_MOVE.max_rounds == 1
