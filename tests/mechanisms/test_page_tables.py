"""Direct page tables: types and counts, batches, and that operations cost what `machine.privilege` says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xengym.machine.page_table_state import FRAME_TYPES
from xengym.machine.privilege import OPERATIONS, Operation, Platform, PrivilegeCosts, Step, price
from xengym.testing.page_tables import MAX_EXTENTS, PageTablesAlone

COSTS = PrivilegeCosts()


def tables():
    return PageTablesAlone(COSTS)


class TestTypes:
    def test_a_frame_that_is_mapped_writable_cannot_become_a_table(self):
        t = tables()
        assert t.get(0, "RW")
        assert not t.pin(0, "PT")
        assert not t.get(0, "PD")
        assert t.counts["refused"] == 2
        assert t.put(0)
        assert t.pin(0, "PT")

    def test_a_frame_that_is_a_table_cannot_be_mapped_writable(self):
        t = tables()
        assert t.pin(0, "PT")
        assert not t.get(0, "RW")
        assert t.get(0, "PT")  # a directory refers to it
        assert t.unpin(0)
        assert not t.get(0, "RW")  # which still does
        assert t.put(0)
        assert t.get(0, "RW")

    def test_what_is_in_use_is_not_validated_again(self):
        t = tables()
        t.set_pages(0, 3)
        t.get(0, "PT")
        assert t.counts["validated_pages"] == 3
        t.get(0, "PT")
        t.put(0)
        assert t.counts["validated_pages"] == 3
        t.put(0)
        t.get(0, "PT")
        assert t.counts["validated_pages"] == 6

    def test_pinning_saves_the_validation_at_every_switch(self):
        costs_ns = {}
        for pins in (False, True):
            t = tables()
            if pins:
                t.pin(0, "PD")
                t.pin(1, "PD")
            t.change_base(-1, 0)
            before = t.counts["time_ns"]
            for _ in range(10):
                t.change_base(0, 1)
                t.change_base(1, 0)
            costs_ns[pins] = t.counts["time_ns"] - before
        switch_ns = COSTS.entry_ns + COSTS.change_base_ns
        assert costs_ns == {True: 20 * switch_ns, False: 20 * (switch_ns + COSTS.pin_ns)}

    def test_the_pins_reference_cannot_be_put(self):
        t = tables()
        t.pin(0, "PT")
        assert not t.put(0)
        assert not t.pin(0, "PT")
        assert t.extent_of(0) == ("PT", 1, True)

    def test_data_is_not_pinned(self):
        t = tables()
        assert not t.pin(0, "RW")
        assert t.extent_of(0) == ("RW", 0, False)


class TestBatches:
    @pytest.mark.parametrize(("count", "hypercalls"), [(1, 1), (2048, 1), (2049, 2), (10_000, 5)])
    def test_a_hypercall_carries_2048_updates(self, count, hypercalls):
        t = tables()
        t.queue(count)
        t.flush()
        assert t.counts["hypercalls"] == hypercalls
        assert t.counts["updates"] == count
        assert t.counts["time_ns"] == hypercalls * COSTS.entry_ns + count * COSTS.update_ns

    @pytest.mark.parametrize("what", ["flush_tlb", "install", "pin", "unpin", "change_base"])
    def test_what_is_pending_goes_before_anything_that_depends_on_it(self, what):
        t = tables()
        t.pin(1, "PD")
        t.queue(5)
        assert t.counts["pending"] == 5
        arguments = {"pin": (0, "PT"), "unpin": (1,), "change_base": (-1, 1)}.get(what, ())
        getattr(t, what)(*arguments)
        assert t.counts["pending"] == 0
        assert t.counts["updates"] >= 5

    def test_a_fault_may_come_before_what_is_pending(self):
        t = tables()
        t.queue(5)
        t.fault()
        assert t.counts["pending"] == 5
        assert t.counts["entries"] == 1

    def test_batching_is_cheaper_than_one_by_one(self):
        batched, single = tables(), tables()
        batched.queue(1000)
        batched.flush()
        for _ in range(1000):
            single.install()
        assert single.counts["time_ns"] > 5 * batched.counts["time_ns"]


class TestAddressSpaces:
    def test_a_fork_by_the_mechanism_costs_what_its_steps_do(self):
        # A directory and three tables, two switches, a hundred updates, forty faults: `OPERATIONS["fork"]`.
        t = tables()
        t.create(0, 3, 500)
        t.switch(-1, 0)
        before = t.counts
        t.queue(100)
        t.create(1, 3, 500)
        t.switch(0, 1)
        t.switch(1, 0)
        for _ in range(40):
            t.fault()
            t.install()
        t.destroy(1)
        after = t.counts
        fork = OPERATIONS["fork"]
        paid = price(fork, Platform.PV)
        assert after["time_ns"] - before["time_ns"] == paid.time_ns - fork.native_ns
        assert after["hypercalls"] - before["hypercalls"] == paid.hypercalls
        assert after["entries"] - before["entries"] == paid.entries

    def test_exec_builds_the_new_one_before_it_releases_the_old(self):
        t = tables()
        t.create(0, 3, 500)
        t.switch(-1, 0)
        assert not t.destroy(0)
        t.create(1, 5, 900)
        t.switch(0, 1)
        assert t.destroy(0)
        assert t.space_of(0) == {
            "alive": False, "current": False, "directory": ("PD", 0), "tables": ("PT", 0), "data": ("RW", 0),
        }  # fmt: skip
        assert t.space_of(1)["directory"] == ("PD", 2)

    def test_only_tables_cost_more_in_a_larger_process(self):
        def life_ns(num_tables, data_pages):
            t = tables()
            t.create(0, num_tables, data_pages)
            t.destroy(0)
            return t.counts["time_ns"]

        assert life_ns(3, 10**9) == life_ns(3, 10)
        assert life_ns(11, 10) - life_ns(1, 10) == 10 * 2 * (COSTS.entry_ns + COSTS.pin_ns)


steps = st.lists(st.tuples(st.sampled_from(list(Step)), st.integers(1, 3000)), max_size=8)


@given(steps)
def test_any_steps_cost_what_their_price_is(steps):
    t = tables()
    t.set_pages(0, 1)
    t.pin(0, "PD")
    t.pin(1, "PD")
    t.change_base(-1, 0)
    current, before = 0, t.counts
    for step, count in steps:
        if step is Step.UPDATE:
            t.queue(count)
        for _ in range(0 if step is Step.UPDATE else count % 50):
            if step is Step.FAULT:
                t.fault()
            elif step is Step.INSTALL:
                t.install()
            elif step is Step.PIN:
                t.pin(2, "PT") if not t.extent_of(2)[2] else t.unpin(2)
            else:
                t.change_base(current, 1 - current)
                current = 1 - current
    t.flush()
    counted = tuple((step, count if step is Step.UPDATE else count % 50) for step, count in steps)
    paid = price(Operation(0, counted), Platform.PV, COSTS)
    after = t.counts
    assert after["time_ns"] - before["time_ns"] == paid.time_ns
    assert after["entries"] - before["entries"] == paid.entries
    assert after["hypercalls"] - before["hypercalls"] == paid.hypercalls


operations = st.lists(
    st.one_of(
        st.tuples(st.just("get"), st.integers(0, MAX_EXTENTS - 1), st.sampled_from(FRAME_TYPES)),
        st.tuples(st.just("pin"), st.integers(0, MAX_EXTENTS - 1), st.sampled_from(FRAME_TYPES)),
        st.tuples(st.just("put"), st.integers(0, MAX_EXTENTS - 1)),
        st.tuples(st.just("unpin"), st.integers(0, MAX_EXTENTS - 1)),
        st.tuples(st.just("create"), st.integers(0, 3), st.integers(1, 5), st.integers(0, 100)),
        st.tuples(st.just("switch"), st.integers(-1, 3), st.integers(0, 3)),
        st.tuples(st.just("destroy"), st.integers(0, 3)),
    ),
    max_size=60,
)


@given(operations)
def test_laws_of_types_hold_whatever_is_asked(operations):
    t = tables()
    references = [{} for _ in range(MAX_EXTENTS)]  # a twin: how often each type is needed
    pinned = [False] * MAX_EXTENTS
    current = None
    alive = set()
    for name, *arguments in operations:
        i = arguments[0]
        if name == "switch":
            old, new = arguments
            if old != (-1 if current is None else current):
                continue  # a kernel knows which it runs on
            assert t.switch(old, new) == (new in alive and new != current)
            current = new if new in alive else current
        elif name == "create":
            assert t.create(*arguments) == (i not in alive)
            alive.add(i)
        elif name == "destroy":
            assert t.destroy(i) == (i in alive and i != current)
            alive -= {i} - {current}
        else:
            own = references[i]
            if name in ("get", "pin"):
                kind = arguments[1]
                possible = not any(count for other, count in own.items() if other != kind)
                if name == "pin":
                    possible = possible and kind != "RW" and not pinned[i]
                assert getattr(t, name)(i, kind) == possible
                if possible:
                    own[kind] = own.get(kind, 0) + 1
                    pinned[i] |= name == "pin"
            else:
                count = sum(own.values())
                possible = count > pinned[i] if name == "put" else pinned[i]
                assert getattr(t, name)(i) == possible
                if possible:
                    (kind,) = (kind for kind, count in own.items() if count)
                    own[kind] -= 1
                    pinned[i] &= name != "unpin"
        for extent in range(MAX_EXTENTS):
            kind, count, is_pinned = t.extent_of(extent)
            assert count == sum(references[extent].values()) >= 0
            assert is_pinned == pinned[extent]
            assert sum(1 for n in references[extent].values() if n) <= 1, "a frame is two things"
            assert not count or references[extent][kind] == count
        for number in range(4):
            space = t.space_of(number)
            assert space["alive"] == (number in alive)
            assert space["directory"][1] == (number in alive) + (number == current)
            assert space["tables"][1] == space["data"][1] == (number in alive), "something was not released"
