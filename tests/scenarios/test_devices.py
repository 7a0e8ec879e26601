"""Devices in scenarios: what is impossible is said with domain and key; random ones have hosts of one layout."""

import copy

import pytest

from xengym.scenarios.build import build_host, check_scenario, populate
from xengym.scenarios.config import ScenarioError, parse_scenario
from xengym.scenarios.io_generator import random_io_scenario
from xengym.scenarios.library import load_scenario, scenario_names

BASE = {
    "name": "two",
    "description": "a server behind a driver domain",
    "machine": {"cores_per_socket": 1},
    "devices": {"nics": [{"name": "eth0", "backend": "net"}], "disks": [{"name": "sda", "backend": "net"}]},
    "domains": [
        {"name": "net", "program": {"kind": "os"}},
        {
            "name": "web",
            "program": {"kind": "os", "service": {"before": {"kind": "constant", "mean_ms": 1}, "disk_frac": 0.5}},
            "vifs": [{"nic": "eth0"}],
            "vbds": [{"disk": "sda", "mib": 64}],
            "clients": [{"kind": "closed", "think": {"kind": "exponential", "mean_ms": 10}, "num": 2}],
        },
        {"name": "batch", "program": {"kind": "hog"}},
    ],
}


def changed(path, value):
    data = copy.deepcopy(BASE)
    *parents, last = path
    place = data
    for key in parents:
        place = place[key]
    place[last] = value
    return data


def test_it_runs_and_answers():
    config = parse_scenario(BASE, "two")
    host = build_host(config)
    populate(host, config, seed=1)
    host.run_until(10**9)
    population = host.sections["population"][0]
    assert population["answered"] > 50
    assert population["failed"] == 0
    assert host.sections["domain_io"]["block_requests"][1] > 10


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("domains", 1, "vifs", 0, "nic"), "eth7", "nic 'eth7' is not among devices.nics .eth0."),
        (("domains", 1, "vbds", 0, "disk"), "sdz", "disk 'sdz' is not among devices.disks .sda."),
        (
            ("domains", 1, "vbds"),
            [],
            "a program goes to the disk .disk_frac above 0., so a block device .vbds. is needed",
        ),
        (("domains", 1, "vifs"), [], "clients need a network interface"),
        (("domains", 1, "calls"), "batch", "'batch' is no domain whose program is 'os'"),
        (("domains", 2, "vifs"), [{"nic": "eth0"}], "only a domain whose program is 'os' has devices"),
        (("domains", 1, "vifs", 0, "backend"), "batch", "backend 'batch' is no domain whose program is 'os'"),
        (("devices", "nics"), [{"name": "eth0"}, {"name": "eth0"}], "name 'eth0' is used 2 times"),
        (("devices", "model"), "xen9", "devices.model"),
        (("domains", 1, "program", "service", "disk_frac"), 1.5, "disk_frac"),
        (("domains", 1, "clients", 0, "kind"), "shy", "clients.0.kind"),
    ],
)
def test_what_does_not_fit_together_is_refused(path, value, message):
    with pytest.raises(ScenarioError, match=message):
        parse_scenario(changed(path, value), "two.yaml")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("devices", "nics", 0, "backend"), "nobody", "backend 'nobody' of 'eth0' is no domain"),
        (("devices", "nics", 0, "backend"), "batch", "back end 2 runs no operating system"),
        (("devices", "nics", 0, "allowed"), ["net"], "domain 1 may not use network card 0"),
        (("devices", "disks", 0, "allowed"), ["net"], "domain 1 may not use disk 0"),
        (("domains", 1, "vbds", 0, "mib"), 2**20, "sectors .* are not on disk 0"),
        (("domains", 1, "vifs", 0, "backend"), "web", "cannot be the back end of its own interface"),
        (("limits",), {"max_domains": 100}, "two.yaml: key 'limits': os: at most 64 domains .*, found 100"),
        (("domains", 1, "program", "memory_mib"), 4096, "needs 1048576 pages, but"),
    ],
)
def test_what_cannot_be_built_is_refused(path, value, message):
    with pytest.raises(ScenarioError, match=message):
        check_scenario(parse_scenario(changed(path, value), "two.yaml"), "two.yaml")


def test_parameters_for_another_scheduler_are_used_there():
    from xengym.scenarios.build import with_scheduler

    data = changed(
        ("domains", 1, "params_under"), {"share-guard": {"io_limit_ppm": 50_000, "weight": 1, "extratime": 1}}
    )
    config = with_scheduler(parse_scenario(data, "two"), "share-guard")
    assert config.domains[1].params["io_limit_ppm"] == 50_000


def test_every_named_scenario_with_devices_serves_its_clients():
    for name in scenario_names():
        config = load_scenario(name)
        if not config.devices.nics:
            continue
        host = build_host(config)
        populate(host, config, seed=0)
        host.run_until(2 * 10**9)
        populations = host.sections["population"]
        for population in populations[(populations["kind"] >= 0) & (populations["kind"] != 3)]:
            assert population["answered"] > 0, name


def test_random_hosts_with_devices_repeat_and_have_one_layout():
    sizes = set()
    for number in range(30):
        config = random_io_scenario(number)
        assert config == random_io_scenario(number)
        host = build_host(config)
        populate(host, config, seed=number)
        sizes.add(host.arena.block.nbytes)
        assert any(domain.clients for domain in config.domains)
    assert len(sizes) == 1
    assert len({random_io_scenario(number).model_dump_json() for number in range(30)}) == 30
