"""The terms that schedulers are compared in: what the experiments find is what is known of each."""

import pytest

from xengym.testing.terms import COMPARED, TERMS, terms_table

#: By scheduler: shares by weight; work-conserving; preemptive; balancing.
KNOWN = {
    "bvt-3.0.0": ("by weight", "always", "yes", "per pCPU"),
    "sedf": ("by weight", "both, by parameter", "yes", "per pCPU"),
    "credit": ("by weight", "both, by parameter", "yes", "global"),
    "credit2": ("by weight", "both, by parameter", "yes", "global"),
    "rtds": ("no weights", "both, by parameter", "yes", "global"),
    "null": ("no weights", "always", "no", "at placement only"),
    "arinc653": ("no weights", "never", "no", "per pCPU"),
}


@pytest.fixture(scope="module")
def found():
    return terms_table()


@pytest.mark.parametrize("name", COMPARED)
def test_what_is_known_is_found(found, name):
    terms = ("shares", "work-conserving", "preemptive", "balancing")
    assert tuple(found[name][term].value for term in terms) == KNOWN[name]


def test_every_finding_rests_on_a_figure(found):
    assert set(found) == set(COMPARED)
    for row in found.values():
        assert set(row) == set(TERMS)
        assert all(finding.evidence for finding in row.values())


def test_the_double_charging_of_bvt_3_0_2_shows():
    assert TERMS["shares"]("bvt-3.0.2").evidence == "0.40 : 0.60"
