"""What a kernel's operations cost, worked by hand from unit costs that are round numbers."""

import pytest

from xengym.machine.privilege import (
    BATCH_UPDATES,
    OPERATIONS,
    Operation,
    Platform,
    Price,
    PrivilegeCosts,
    Step,
    price,
)

#: Each unit cost a digit of its own.
UNITS = PrivilegeCosts(
    entry_ns=1,
    validate_ns=10,
    update_ns=100_000,
    pin_ns=100,
    change_base_ns=1000,
    exit_ns=1,
    shadow_update_ns=100,
    shadow_base_ns=10_000,
)


def extra(platform, *steps):
    return price(Operation(0, steps), platform, UNITS)


class TestParavirtualised:
    def test_a_system_call_costs_what_it_costs_natively(self):
        assert price(OPERATIONS["null_call"], Platform.PV) == Price(450, 0, 0)

    def test_a_page_fault_enters_xen_twice_and_one_entry_is_a_hypercall(self):
        assert extra(Platform.PV, (Step.FAULT, 1), (Step.INSTALL, 1)) == Price(1 + 1 + 10, 2, 1)

    def test_a_batch_is_one_hypercall(self):
        assert extra(Platform.PV, (Step.UPDATE, BATCH_UPDATES)) == Price(1 + BATCH_UPDATES * 100_000, 1, 1)

    @pytest.mark.parametrize(("updates", "hypercalls"), [(0, 0), (1, 1), (2048, 1), (2049, 2), (4096, 2), (4097, 3)])
    def test_the_number_of_batches(self, updates, hypercalls):
        found = extra(Platform.PV, (Step.UPDATE, updates))
        assert found == Price(hypercalls + updates * 100_000, hypercalls, hypercalls)

    @pytest.mark.parametrize(("step", "cost_ns"), [(Step.PIN, 101), (Step.CHANGE_BASE, 1001), (Step.INSTALL, 11)])
    def test_what_is_pending_goes_first_in_a_hypercall_of_its_own(self, step, cost_ns):
        # Three updates before and two after cannot share a batch.
        found = extra(Platform.PV, (Step.UPDATE, 3), (step, 1), (Step.UPDATE, 2))
        assert found == Price((1 + 3 * 100_000) + cost_ns + (1 + 2 * 100_000), 3, 3)

    def test_a_fault_leaves_the_queue_alone(self):
        found = extra(Platform.PV, (Step.UPDATE, 3), (Step.FAULT, 1), (Step.UPDATE, 2))
        assert found == Price(1 + 5 * 100_000 + 1, 2, 1)


class TestFullyVirtualised:
    def test_nothing_is_batched_and_nothing_is_a_hypercall(self):
        assert extra(Platform.HVM, (Step.UPDATE, 5)) == Price(5 * 101, 5, 0)

    def test_a_page_fault_leaves_guest_mode_three_times(self):
        assert extra(Platform.HVM, (Step.FAULT, 1), (Step.INSTALL, 1)) == Price(3 + 100, 3, 0)

    def test_a_change_of_base_finds_the_shadow_and_pinning_is_unknown(self):
        assert extra(Platform.HVM, (Step.CHANGE_BASE, 1), (Step.PIN, 7)) == Price(10_001, 1, 0)


def test_native_is_the_column_itself():
    assert all(price(op, Platform.NATIVE) == Price(op.native_ns, 0, 0) for op in OPERATIONS.values())


def test_whatever_touches_page_tables_is_dearest_with_shadows():
    for name, operation in OPERATIONS.items():
        native, pv, hvm = (price(operation, platform).time_ns for platform in Platform)
        assert native <= pv <= hvm, name
        assert (native < pv < hvm) == bool(operation.steps), name


def test_bigger_processes_cost_more_to_fork():
    def fork(pages):
        return price(Operation(0, ((Step.UPDATE, pages), (Step.PIN, 8))), Platform.PV).time_ns

    assert fork(2048) - fork(2047) == PrivilegeCosts().update_ns
    assert fork(2049) - fork(2048) == PrivilegeCosts().update_ns + PrivilegeCosts().entry_ns


@pytest.mark.parametrize("value", [-1, 1.5, True])
def test_a_cost_is_a_number_of_nanoseconds(value):
    with pytest.raises(ValueError, match="privilege: entry_ns must be an integer >= 0"):
        PrivilegeCosts(entry_ns=value)
