"""Admission: what fits is admitted, what does not is refused for the right reason, with numbers."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xengym.policies.control.admission import (
    PPM,
    DeviceOnHost,
    DomainWish,
    HostView,
    admit,
    place_shares,
    share_ppm,
)

HOST = HostView(free_pages=1000, num_pcpus=2, promise="partitioned", shares_ppm=(0, 0))
WISH = DomainWish("web")


def reason(wish, host=HOST):
    refusal = admit(wish, host)
    return refusal.reason if refusal is not None else None


def test_who_wants_nothing_is_admitted():
    assert admit(WISH, HOST) is None


@pytest.mark.parametrize(("pages", "expected"), [(1000, None), (1001, "memory")])
def test_memory(pages, expected):
    assert reason(replace(WISH, pages=pages)) == expected


def test_a_refusal_says_what_was_wanted_and_what_there_is():
    assert admit(replace(WISH, pages=1001), HOST) == ("memory", "1001 pages", "1000 free pages")
    refusal = admit(replace(WISH, shares_ppm=(700_000,)), replace(HOST, shares_ppm=(400_000, 500_000)))
    assert refusal == ("reservation", "0.700 pCPUs in 1 vCPUs", "left on each pCPU: 0.600 pCPUs, 0.500 pCPUs")


class TestPartitioned:
    @pytest.mark.parametrize(
        ("shares", "reserved", "expected"),
        [
            ((1_000_000,), (0, 0), None),
            ((600_000, 600_000), (0, 0), None),
            ((600_000, 600_000, 600_000), (0, 0), "reservation"),  # 1.8 of 2 pCPUs, but not on two bins
            ((500_000,), (500_000, 500_000), None),
            ((500_001,), (500_000, 500_000), "reservation"),
            ((300_000, 700_000), (300_000, 700_000), None),
            ((1_000_001,), (0, 0), "reservation"),
        ],
    )
    def test_every_vcpu_needs_a_pcpu(self, shares, reserved, expected):
        assert reason(replace(WISH, shares_ppm=shares), replace(HOST, shares_ppm=reserved)) == expected

    def test_affinity_counts(self):
        host = replace(HOST, shares_ppm=(900_000, 0))
        wish = replace(WISH, shares_ppm=(200_000,))
        assert reason(wish, host) is None
        assert reason(replace(wish, allowed_pcpus=(0,)), host) == "reservation"

    def test_stated_places_count_as_stated(self):
        host = replace(HOST, shares_ppm=(900_000, 0))
        wish = replace(WISH, shares_ppm=(100_000, 100_000))
        assert reason(replace(wish, places=(0, 1)), host) is None
        assert reason(replace(wish, places=(0, 0)), host) == "reservation"

    def test_where_nothing_is_promised_nothing_is_refused(self):
        assert reason(replace(WISH, shares_ppm=(PPM, PPM, PPM)), replace(HOST, promise="none", shares_ppm=())) is None


class TestGlobal:
    HOST = HostView(free_pages=0, num_pcpus=2, promise="global", shares_ppm=(500_000,))

    @pytest.mark.parametrize(
        ("shares", "expected"),
        [
            ((500_000, 500_000, 500_000), None),  # 2.0 of 2 pCPUs
            ((500_000, 500_000, 500_001), "reservation"),
            ((1_000_001,), "reservation"),  # more than one vCPU can ever run
        ],
    )
    def test_the_sum_counts(self, shares, expected):
        assert reason(replace(WISH, shares_ppm=shares), self.HOST) == expected


class TestDevices:
    HOST = replace(
        HOST,
        devices=(
            DeviceOnHost("eth0", users=("mail",)),
            DeviceOnHost("gpu", users=("mail",), is_taken=True),
            DeviceOnHost("disk", allowed=("db",)),
        ),
    )

    @pytest.mark.parametrize(
        ("devices", "exclusive", "found"),
        [
            (("eth0",), (), None),
            (("eth1",), (), "devices of the host: eth0, gpu, disk"),
            (("eth0",), ("eth0",), "eth0 is used by mail with others"),
            (("gpu",), (), "gpu is used by mail for itself"),
            (("eth0", "disk"), (), "disk is allowed to db"),
        ],
    )
    def test_they_must_be_there_and_free(self, devices, exclusive, found):
        refusal = admit(replace(WISH, devices=devices, exclusive=frozenset(exclusive)), self.HOST)
        assert (refusal and refusal.found) == found
        assert (refusal and refusal.reason) == (found and "devices")

    def test_ones_own_is_not_anothers(self):
        assert reason(replace(WISH, name="mail", devices=("gpu",)), self.HOST) is None


def test_anti_affinity():
    host = replace(HOST, groups=frozenset({"replicas"}))
    assert reason(replace(WISH, group="replicas"), host) == "anti-affinity"
    assert reason(replace(WISH, group="others"), host) is None


def test_the_first_reason_counts():
    wish = replace(WISH, pages=2000, shares_ppm=(2 * PPM,), devices=("none",), group="g")
    host = replace(HOST, groups=frozenset({"g"}))
    reasons = []
    for change in ({"pages": 0}, {"shares_ppm": ()}, {"devices": ()}, {}):
        reasons.append(reason(wish, host))
        wish = replace(wish, **change)
    assert reasons == ["memory", "reservation", "devices", "anti-affinity"]


def test_a_share_is_rounded_up():
    assert share_ppm(1, 3) == 333_334
    assert share_ppm(10, 20) == 500_000


shares = st.integers(0, PPM)


@given(st.lists(shares, max_size=6), st.lists(shares, min_size=1, max_size=5))
def test_places_are_never_over_full(wanted, reserved):
    places = place_shares(wanted, reserved)
    if places is None:
        assert sum(wanted) + sum(reserved) > PPM * len(reserved) // 2 or max(wanted) + min(reserved) > PPM
        return
    after = list(reserved)
    for place, share in zip(places, wanted, strict=True):
        after[place] += share
    assert max(after) <= PPM
