"""Write the pages that say what the code says: each registered environment, and the schedulers side by side.

`python docs/make_pages.py` writes them; `--check` exits with 1 if one is out of date.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from xengym.envs.cluster.env import ClusterEnv, DatacenterEnv
from xengym.envs.cluster.observations import DOMAIN_FEATURES as CLUSTER_DOMAIN_FEATURES
from xengym.envs.cluster.observations import GLOBAL_FEATURES as CLUSTER_FEATURES
from xengym.envs.cluster.observations import HOST_FEATURES as CLUSTER_HOST_FEATURES
from xengym.envs.cluster.stepper import CAP_LEVELS, CLUSTER_TERMS, RESERVED_FRACS, WEIGHT_LEVELS
from xengym.envs.dispatch.env import DispatchEnv
from xengym.envs.dispatch.observations import DECISION_FEATURES, VCPU_FEATURES
from xengym.envs.driver_domain.actions import LIMITS
from xengym.envs.driver_domain.env import DriverDomainEnv
from xengym.envs.host.env import HostEnv
from xengym.envs.host.observations import DOMAIN_FEATURES, HOST_FEATURES, IO_FEATURES
from xengym.envs.host.rewards import REWARD_TERMS
from xengym.envs.memory.env import MemoryEnv
from xengym.envs.memory.observations import DOMAIN_FEATURES as MEMORY_FEATURES
from xengym.envs.memory.observations import HOST_FEATURES as MEMORY_HOST_FEATURES
from xengym.envs.wan_migration.env import WanMigrationEnv
from xengym.envs.wan_migration.observations import MOVE_FEATURES
from xengym.envs.wan_migration.stepper import MOVE_TERMS
from xengym.policies.schedulers.registry import make_scheduler, scheduler_versions
from xengym.scenarios.cluster_config import ClusterRewardConfig
from xengym.scenarios.cluster_library import cluster_names, load_cluster
from xengym.scenarios.wide_area import MoveRewardConfig, load_move_scenario, move_scenario_names
from xengym.testing.terms import COMPARED, TERMS, terms_table

DOCS = Path(__file__).parent
MADE = "<!-- written by docs/make_pages.py from the code -->"

#: Schedulers in the order in which Xen got them.
XEN = ("bvt", "sedf", "credit", "credit2", "arinc653", "rtds", "null", "external")
#: Policies from papers that build on SEDF.
ON_SEDF = ("sedf-dc", "share-guard", "communication-aware", "workload-manager")
SCHEDULERS = (*XEN, *ON_SEDF)


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return [*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)]


def features(names: Iterable[tuple[str, str]], start: int = 0) -> list[str]:
    """The table of a part of an observation."""
    rows = [(number, f"`{name}`", 0, 1, meaning) for number, (name, meaning) in enumerate(names, start=start)]
    return table(("index", "name", "min", "max", "meaning"), rows)


def tunables(name: str) -> list[str]:
    """The table of what an agent may set under a scheduler; empty if nothing."""
    rows = []
    for tunable in make_scheduler(name).tunables():
        high = "100 for each vCPU" if tunable.high is None else tunable.high
        scale = "limit, 0 is none" if tunable.zero_means_none else "log" if tunable.log_scale else "linear"
        rows.append((f"`{tunable.name}`", tunable.low, tunable.default, high, scale))
    return table(("parameter", "least (-1)", "default (0)", "greatest (1)", "scale"), rows) if rows else []


def reward_terms() -> list[str]:
    """The table of the reward's terms."""
    return ["## Reward terms", *table(("term", "meaning"), [(f"`{name}`", meaning) for name, meaning in REWARD_TERMS])]


def docstring(cls: type) -> str:
    """A class's docstring without its indentation."""
    return inspect.cleandoc(cls.__doc__ or "")


def host_page() -> str:
    """The page of `xengym/Host-v0`."""
    of_credit = [(tunable.name, "the parameter, as its action scaled to 0..1; 0.5: default")
                 for tunable in make_scheduler("credit").tunables()]  # fmt: skip
    of_domain = [*DOMAIN_FEATURES, *of_credit]
    parameters = [line for name in SCHEDULERS if tunables(name) for line in (f"### {name}", "", *tunables(name), "")]
    return "\n".join(
        [
            MADE, "# xengym/Host-v0", "", "![a frame of rgb_array rendering](images/host-v0.png)", "",
            docstring(HostEnv), "", "## Parameters by scheduler",
            "What an agent sets on each domain, in the order of its entries. Units are in the names; `_ppm` is",
            "parts per million of the period. [schedulers.md](schedulers.md) says what each scheduler does.", "",
            *parameters,
            "## Observation table",
            f"Features of domain slot 0 under Credit; those of slot d begin at index {len(of_domain)} d. Under another",
            f"scheduler its parameters stand in the place of Credit's two, from index {len(DOMAIN_FEATURES)} on.", "",
            *features(of_domain), "",
            "Features of the host, under Credit with the default of 8 domain slots:", "",
            *features(HOST_FEATURES, start=8 * len(of_domain)), "",
            "On a host with devices (some domain's program is `os`) each domain has these as well, before its",
            f"parameters; under Credit those of slot d begin at index {len(of_domain) + len(IO_FEATURES)} d then:", "",
            *features(IO_FEATURES, start=len(DOMAIN_FEATURES)), "",
            *reward_terms(), "",
        ]
    )  # fmt: skip


def driver_domain_page() -> str:
    """The page of `xengym/DriverDomain-v0`."""
    limits = [(name, "the limit, as its action scaled to 0..1; 0.5: what was agreed on, or none") for name in LIMITS]
    of_domain = [*DOMAIN_FEATURES, *IO_FEATURES, *limits]
    return "\n".join(
        [
            MADE, "# xengym/DriverDomain-v0", "", docstring(DriverDomainEnv), "",
            "## Observation table",
            f"Features of domain slot 0; those of slot d begin at index {len(of_domain)} d.", "",
            *features(of_domain), "",
            "Features of the host, with the default of 8 domain slots:", "",
            *features(HOST_FEATURES, start=8 * len(of_domain)), "",
            *reward_terms(), "",
            "## Against fixed limits",
            "`xengym compare isolation --victim victim` shows the same host under Credit, SEDF, communication-aware",
            "scheduling, SEDF-DC and ShareGuard, each with the limits that the scenario states. `xengym compare",
            "isolation --limits` holds fixed limits against each other in this environment: SEDF-DC, ShareGuard at a",
            "half and a fifth of what was agreed on, and the best static limits that a search finds.", "",
        ]
    )  # fmt: skip


def memory_page() -> str:
    """The page of `xengym/Memory-v0`."""
    return "\n".join(
        [
            MADE, "# xengym/Memory-v0", "",
            "![what guests have and want, and how busy the swap disk is](images/memory-v0.png)", "",
            docstring(MemoryEnv), "",
            "## Observation table",
            f"Features of domain slot 0; those of slot d begin at index {len(MEMORY_FEATURES)} d.", "",
            *features(MEMORY_FEATURES), "",
            "Features of the host, with the default of 8 domain slots:", "",
            *features(MEMORY_HOST_FEATURES, start=8 * len(MEMORY_FEATURES)), "",
            *reward_terms(), "",
            "## Against fixed rules",
            "`xengym compare memory-pressure --balloons` holds a static split, targets in proportion to what is",
            "wanted, max-min fair targets and random ones against each other on the same episodes;",
            "[memory.md](memory.md) has the figures, and tells what happens on the host.", "",
        ]
    )  # fmt: skip


def dispatch_page() -> str:
    """The page of `xengym/Dispatch-v0`."""
    return "\n".join(
        [
            MADE, "# xengym/Dispatch-v0", "", docstring(DispatchEnv), "",
            "## Observation table",
            f"Features of vCPU slot 0; those of slot v begin at index {len(VCPU_FEATURES)} v.", "",
            *features(VCPU_FEATURES), "",
            "Features of the decision, with the default of 32 vCPU slots:", "",
            *features(DECISION_FEATURES, start=32 * len(VCPU_FEATURES)), "",
            *reward_terms(), "",
            "## Xen's schedulers on this side of the interface",
            "Credit of Xen 3.2 and RTDS's deadlines, written as agents in some twenty lines each, give the same",
            "schedule, switch for switch, as the compiled ones: `tests/envs/dispatch/test_env.py`, at its end.",
            "What a decision costs is in [performance.md](performance.md).", "",
        ]
    )  # fmt: skip


def wan_migration_page() -> str:
    """The page of `xengym/WanMigration-v0`."""
    terms = [(f"`{name}`", getattr(MoveRewardConfig(), name), meaning) for name, meaning in MOVE_TERMS]
    scenarios = [(f"`{name}`", load_move_scenario(name).description) for name in move_scenario_names()]
    return "\n".join(
        [
            MADE, "# xengym/WanMigration-v0", "", "![a frame of rgb_array rendering](images/wan-migration-v0.png)", "",
            docstring(WanMigrationEnv), "",
            "## Observation table", *features(MOVE_FEATURES), "",
            "## Reward terms", *table(("term", "weight by default", "meaning"), terms), "",
            "## Scenarios", *table(("name", "what moves"), scenarios), "",
            "`random` is another one in each episode: 128 MB to 1 GB of memory, 256 MB to 4 GB of disk, lines of 4 to",
            "64 Mbit/s between sites or 64 to 1024 inside one, writes from a hundredth of what the line carries to 1.6",
            "times that. What a scenario's file holds is in [wide-area.md](wide-area.md), and so is how fixed rules",
            "fare.", "",
        ]
    )  # fmt: skip


def _cluster_tables() -> list[str]:
    """What Cluster-v0 and Datacenter-v0 share."""
    terms = [(f"`{name}`", getattr(ClusterRewardConfig(), name), meaning) for name, meaning in CLUSTER_TERMS]
    scenarios = [(f"`{name}`", load_cluster(name).description) for name in cluster_names()]
    parts = (
        ("Of the cluster", CLUSTER_FEATURES),
        ("Then of each host", CLUSTER_HOST_FEATURES),
        ("Then of each domain slot", CLUSTER_DOMAIN_FEATURES),
    )
    lines = ["## Observation table"]
    for title, names in parts:
        rows = [(number, f"`{name}`", meaning) for number, (name, meaning) in enumerate(names)]
        lines += [
            f"{title}, {len(rows)} features, each in [-1, 1]:",
            "",
            *table(("index", "name", "meaning"), rows),
            "",
        ]
    return [
        *lines,
        "## Reward terms", *table(("term", "weight by default", "meaning"), terms), "",
        "## Scenarios", *table(("name", "what it is"), scenarios), "",
    ]  # fmt: skip


def cluster_page() -> str:
    """The page of `xengym/Cluster-v0`."""
    return "\n".join(
        [
            MADE, "# xengym/Cluster-v0", "", "![a frame of rgb_array rendering](images/cluster-v0.png)", "",
            docstring(ClusterEnv), "", *_cluster_tables(),
            "## One agent a host",
            "`xengym.envs.cluster.parallel.parallel_env` is the same cluster in PettingZoo's parallel interface (extra",
            "`multiagent`): the agent of a host may ask one domain in, and all get the cluster's reward.", "",
            "## Against fixed rules",
            "`xengym compare cluster-small` holds migration policies and placement rules against each other;",
            "[clusters.md](clusters.md) tells how a cluster works and how far the fluid one is from full hosts.", "",
        ]
    )  # fmt: skip


def datacenter_page() -> str:
    """The page of `xengym/Datacenter-v0`."""
    levels = list(zip(range(len(WEIGHT_LEVELS)), WEIGHT_LEVELS, CAP_LEVELS, RESERVED_FRACS, strict=True))
    return "\n".join(
        [
            MADE, "# xengym/Datacenter-v0", "", docstring(DatacenterEnv), "",
            "## Levels",
            *table(("level", "weight", "cap, % of its vCPUs (0: none)", "under SEDF: reserved part"), levels), "",
            *_cluster_tables(),
        ]
    )  # fmt: skip


def schedulers_page() -> str:
    """The schedulers side by side: the survey's terms by experiment, then each with its versions and parameters."""
    found = terms_table()
    experiments = [f"- **{term}**: {inspect.cleandoc(run.__doc__ or '')}" for term, run in TERMS.items()]
    rows = [
        (name, *(f"{found[name][term].value}<br>*{found[name][term].evidence}*" for term in TERMS)) for name in COMPARED
    ]
    lines = [
        MADE, "# The schedulers", "",
        "## Side by side",
        "Every cell is the outcome of an experiment that runs when this page is made, with the figure that it",
        "rests on; nothing here is written by hand. The experiments are in `xengym/testing/terms.py`:", "",
        *experiments,
        "", *table(("scheduler", *TERMS), rows), "",
        "Each is its newest release, of BVT the last without the double charging of 3.0.2.", "",
    ]  # fmt: skip
    for name in SCHEDULERS:
        scheduler = make_scheduler(name)
        essay = inspect.cleandoc(importlib.import_module(type(scheduler).__module__).__doc__ or "")
        versions = ", ".join(f"`{version}`" for version in scheduler_versions(name))
        lines += [f"## {name}", "", essay.split("\n\n")[0], "", f"Versions: {versions}.", ""]
        if tunables(name):
            lines += ["Domain parameters for an agent:", "", *tunables(name), ""]
        lines += ["```text", docstring(type(scheduler)), "```", ""]
    return "\n".join(lines)


PAGES = {
    "host-v0.md": host_page,
    "dispatch-v0.md": dispatch_page,
    "driver-domain-v0.md": driver_domain_page,
    "cluster-v0.md": cluster_page,
    "datacenter-v0.md": datacenter_page,
    "wan-migration-v0.md": wan_migration_page,
    "memory-v0.md": memory_page,
    "schedulers.md": schedulers_page,
}


def main() -> int:
    """Write or check every page."""
    stale = []
    for name, make in PAGES.items():
        path = DOCS / name
        text = make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(text, encoding="utf-8")
    if stale:
        print(f"{'out of date' if '--check' in sys.argv else 'written'}: {', '.join(stale)}")
    return 1 if stale and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
