import csv
from pathlib import Path

import pytest

from xengym.baselines.clusters import (
    Contender,
    cluster_table,
    compare_clusters,
    contenders,
    plot_clusters,
    run_episode,
    write_cluster_csv,
)
from xengym.policies.control.migration_policies import Never, Scripted
from xengym.scenarios.cluster_build import build_spec
from xengym.scenarios.cluster_library import load_cluster


def test_rules_without_moves_then_policies_under_the_scenarios_rule() -> None:
    who = contenders(load_cluster("cluster-small"))
    assert [c.placement for c in who if c.policy == "never"] == ["first-fit", "best-fit", "worst-fit", "balance"]
    assert {c.policy for c in who} == {"never", "threshold-balance", "hotspots-by-volume", "consolidation"}
    assert "follow-the-load" in {c.policy for c in contenders(load_cluster("two-sites"))}
    both = contenders(load_cluster("two-sites"), ["never", "consolidation"], ["best-fit", "balance"])
    assert len(both) == 4
    with pytest.raises(ValueError, match="unknown migration policy"):
        contenders(load_cluster("two-sites"), ["x"])
    with pytest.raises(ValueError, match="unknown placement rule"):
        contenders(load_cluster("two-sites"), None, ["x"])


def test_consolidation_saves_energy_on_the_small_cluster_and_the_table_says_the_fidelity(tmp_path: Path) -> None:
    who = [Contender("balance", "never"), Contender("balance", "consolidation")]
    results, demand = compare_clusters("cluster-small", who, [1, 2])
    energy = {(r.contender.policy, r.episode_seed): r.totals.energy_kwh for r in results}
    for seed in (1, 2):
        assert energy["consolidation", seed] < 0.9 * energy["never", seed]
    assert "synthetic day" in demand[0]
    table = cluster_table(results)
    assert "fluid fidelity; median over the episodes [95 % bootstrap interval]" in table
    assert "energy kWh" in table
    write_cluster_csv(results, tmp_path / "all.csv")
    rows = list(csv.DictReader((tmp_path / "all.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["policy"] for row in rows] == ["never", "consolidation"] * 2
    assert float(rows[0]["energy_kwh"]) == results[0].totals.energy_kwh
    plot_clusters(results, tmp_path / "all.png", title="two")
    assert (tmp_path / "all.png").stat().st_size > 1000


def test_the_same_seed_gives_the_same_totals_and_a_script_moves() -> None:
    built = build_spec("cluster-small", seed=5)
    assert run_episode(built, Never(), seed=5) == run_episode(built, Never(), seed=5)
    on = next(host for host in range(4) if host != 0)
    found = run_episode(built, Scripted([(0, 0, on), (10**12, 0, 0)]), seed=5, placement="first-fit")
    assert found.moves >= 1
