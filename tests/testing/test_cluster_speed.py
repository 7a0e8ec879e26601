import pytest

from xengym.testing.cluster_speed import consolidated_day, growth, masks_per_s, planetlab_cluster, quiet_step_ms


def test_a_short_day_is_measured() -> None:
    found = consolidated_day(4, 20, steps=6)
    assert found["domains"] == 20
    assert found["wall_s"] > 0
    assert quiet_step_ms(4, 20, steps=2) > 0
    assert masks_per_s(0.001) > 0
    assert sum(group.count for group in planetlab_cluster(5, 1).hosts) == 5


def test_growth_is_the_exponent() -> None:
    assert growth([(10, 3.0), (100, 30.0), (1000, 300.0)]) == pytest.approx(1.0)
    assert growth([(10, 1.0), (100, 100.0)]) == pytest.approx(2.0)
