import numpy as np

from xengym.policies.control.power_fit import fit_all


def place(order: list[int], *, all_or_none: bool = False, mask: np.ndarray | None = None, may_come: int = 9):
    """Domains of 0.5, 0.4 and 0.3 pCPUs; hosts of 1 pCPU that use 20, 10 and 10 W for it, the last with a domain."""
    demand, num_domains = np.array([0.0, 0.0, 0.3]), np.array([0, 0, 1], np.int32)
    free = np.array([100, 100, 50])
    out = np.full(len(order), -1)
    placed = fit_all(
        np.array(order), np.array([0.5, 0.4, 0.3]), np.array([40, 40, 40]),
        np.ones((3, 3), np.uint8) if mask is None else mask, np.ones(3, np.uint8), free, demand, np.ones(3),
        np.array([20.0, 10.0, 10.0]), np.array([50.0, 50.0, 50.0]), num_domains, np.full(3, may_come, np.int32), out,
        all_or_none,
    )  # fmt: skip
    return placed, out.tolist(), demand.tolist(), free.tolist(), num_domains.tolist()


def test_the_running_host_first_then_the_thrifty_one() -> None:
    placed, out, demand, free, num_domains = place([0, 1])
    # 40 of 50 pages are taken on host 2; the second domain goes to host 1, which uses less than host 0.
    assert (placed, out) == (2, [2, 1])
    assert np.allclose(demand, [0.0, 0.4, 0.8])
    assert (free, num_domains) == ([100, 60, 10], [0, 1, 2])


def test_all_or_none_leaves_no_trace() -> None:
    mask = np.ones((3, 3), np.uint8)
    mask[2] = 0
    placed, _, demand, free, num_domains = place([0, 1, 2], all_or_none=True, mask=mask)
    assert placed == 0
    assert np.allclose(demand, [0.0, 0.0, 0.3])
    assert (free, num_domains) == ([100, 100, 50], [0, 0, 1])
    assert place([0, 1, 2], mask=mask)[:2] == (2, [2, 1, -1])


def test_no_more_moves_than_may_come() -> None:
    assert place([0, 1, 2], may_come=1)[1] == [2, 1, 0]
    assert place([0], may_come=0)[0] == 0
