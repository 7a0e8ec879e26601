import copy
from pathlib import Path

import numpy as np
import pytest
import yaml

from xengym.scenarios.cluster_build import build_cluster, build_spec
from xengym.scenarios.cluster_config import ClusterConfig, parse_cluster
from xengym.scenarios.cluster_library import CLUSTERS_DIR, cluster_names, is_cluster, load_cluster
from xengym.scenarios.config import ScenarioError
from xengym.scenarios.library import scenario_names

SMALL = {
    "kind": "cluster",
    "name": "two",
    "description": "two hosts",
    "hosts": [{"name": "h", "count": 2, "memory_mib": 1024, "devices": ["gpu"]}],
    "domains": [
        {
            "name": "d",
            "count": 3,
            "memory_mib": [128, 256],
            "demand": {"kind": "constant", "pct": 40},
            "devices": ["gpu"],
        }
    ],
}


def changed(**changes) -> dict:
    return {**copy.deepcopy(SMALL), **changes}


def test_a_small_cluster_is_built_as_described() -> None:
    built = build_spec(parse_cluster(SMALL, "here"), seed=0)
    assert [host.memory_pages for host in built.spec.hosts] == [262_144, 262_144]
    assert [domain.memory.pages for domain in built.spec.domains] == [32_768, 65_536, 32_768]
    assert {domain.devices for domain in built.spec.domains} == {host.devices for host in built.spec.hosts} == {1}
    assert built.host_names == ("h-0", "h-1")
    assert built.group_of_domain == ("d", "d", "d")
    c = build_cluster(parse_cluster(SMALL, "here"), seed=0)
    assert c.domains["demand_pcpus"].tolist() == [0.4, 0.4, 0.4]


@pytest.mark.parametrize("name", cluster_names())
def test_named_clusters_are_built_alike_from_one_seed_and_run(name: str) -> None:
    assert load_cluster(name).name == name
    one, other = build_cluster(name, seed=3), build_cluster(name, seed=3)
    assert (one.clock["refused_arrivals"] == 0).all()
    for c in (one, other):
        c.run_until(3600 * 10**9)
    assert one.digest() == other.digest()
    assert one.hosts["busy_pcpu_ns"].sum() > 0


def test_seeds_differ() -> None:
    one, other = (build_spec("rack-hotspots", seed=seed).spec for seed in (0, 1))
    assert not np.array_equal(one.demand.demand, other.demand.demand)


def test_arrivals_come_and_go_and_are_like_their_group() -> None:
    config = parse_cluster(changed(arrivals=[{"group": "d", "per_hour": 60, "life_h": 0.1}], max_domains=30), "here")
    spec = build_spec(config, seed=0).spec
    come = [domain for domain in spec.domains if domain.arrives_ns is not None]
    # A Poisson process of 1440 a day: within four standard deviations.
    assert abs(len(come) - 1440) < 4 * 38
    lives_h = np.array([(d.leaves_ns - d.arrives_ns) / 3.6e12 for d in come])
    assert lives_h.mean() == pytest.approx(0.1, rel=0.12)
    c = build_cluster(config, seed=0)
    c.run_until(12 * 3600 * 10**9)
    assert c.clock["left"][0] > 500


def test_sites_have_links_and_clients() -> None:
    spec = build_spec("two-sites", seed=0).spec
    assert set(spec.sites) == {(0, 1), (1, 0)}
    assert spec.clients is not None
    assert (np.abs(spec.clients.sum(axis=1, dtype=int) - 10_000) <= 1).all()
    # At 6 h most clients are in the east, at 18 h in the west.
    assert spec.clients[72, 0] > 9000
    assert spec.clients[216, 1] > 9000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hosts": [{"name": "h", "count": 2, "racks": ["attic"]}]}, "'attic' is not one of rack"),
        ({"colour": "blue"}, "key 'colour': not known here"),
        ({"kind": "host"}, "key 'kind'"),
        ({"hosts": [{"name": "h", "count": 0}]}, "key 'hosts.0.count'"),
        ({"hosts": [{"name": "h", "count": 1, "power": {"idle_watts": 3}}]}, "either a preset"),
        ({"hosts": [{"name": "h", "count": 1}, {"name": "h", "count": 1}]}, "name 'h' is used 2 times"),
        ({"domains": [{"name": "d", "demand": {"kind": "wave"}}]}, "count is needed"),
        ({"domains": [{"name": "d", "count": 1, "demand": {"kind": "moon"}}]}, "moon"),
        ({"arrivals": [{"group": "x", "per_hour": 1, "life_h": 1}]}, "'x' is not one of d"),
        ({"site_links": [{"between": ["site", "moon"], "mbit_per_s": 1}]}, "'moon' is not one of site"),
        ({"sites": [{"name": "site", "peak_h": 3}, {"name": "b"}]}, "either all have a peak_h"),
    ],
)
def test_errors_name_key_and_what_was_expected(changes: dict, message: str) -> None:
    with pytest.raises(ScenarioError, match=message) as error:
        parse_cluster(changed(**changes), "file.yaml")
    assert "file.yaml" in str(error.value)


def test_names_files_and_what_is_none(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    assert isinstance(load_cluster(path), ClusterConfig)
    assert is_cluster(path)
    assert is_cluster("planetlab-day")
    assert not is_cluster("consolidation")
    assert not is_cluster(tmp_path / "none.yaml")
    assert set(cluster_names()).isdisjoint(scenario_names())
    assert all((CLUSTERS_DIR / f"{name}.yaml").is_file() for name in cluster_names())
    with pytest.raises(ScenarioError, match="unknown cluster 'x'"):
        load_cluster("x")


def test_traces_are_taken_where_they_are_and_missing_ones_are_errors(shared_dir: Path, tmp_path: Path) -> None:
    data = shared_dir / "data"
    built = build_spec("planetlab-day", seed=0, data=data)
    assert "PlanetLab day" in built.demand[0]
    assert len(built.spec.domains) == 1052
    built = build_spec("bitbrains-week", seed=0, data=data)
    assert "Bitbrains 2013-8" in built.demand[0]
    assert "synthetic" in build_spec("bitbrains-week", seed=0).demand[0]
    with pytest.raises(ScenarioError, match="found no Bitbrains machines"):
        build_spec("bitbrains-week", seed=0, data=tmp_path)
    azure = parse_cluster(changed(domains=[{"name": "d", "demand": {"kind": "azure"}}]), "here")
    assert len(build_spec(azure, seed=0, data=data).spec.domains) == 20
    with pytest.raises(ScenarioError, match="has no generator"):
        build_spec(azure, seed=0)
