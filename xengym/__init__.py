"""xengym: a Xen hypervisor, simulated event for event, as Gymnasium environments."""

from pathlib import Path

import gymnasium as gym

__version__ = "0.1.0"


def get_include() -> str:
    """The folder to give Cython as ``-I``, so that a package of your own can ``cimport xengym``.

    It is the one that holds the ``xengym`` package with its ``.pxd`` files: ``site-packages``, or the repository of an
    editable install. See ``docs/your-own-scheduler.md``.
    """
    return str(Path(__file__).resolve().parent.parent)


# Every registered environment, one comment each.

#: One host under one of Xen's schedulers; the agent tunes each domain's scheduler parameters every 10 ms. Native batch.
gym.register(
    id="xengym/Host-v0",
    entry_point="xengym.envs.host.env:HostEnv",
    vector_entry_point="xengym.envs.host.vector:HostVectorEnv",
)

#: One host that the agent schedules: a step is one decision, which vCPU runs next. Native batch, action masks.
gym.register(
    id="xengym/Dispatch-v0",
    entry_point="xengym.envs.dispatch.env:DispatchEnv",
    vector_entry_point="xengym.envs.dispatch.vector:DispatchVectorEnv",
)

#: One host whose driver domains' work is charged to guests; the agent limits guests' CPU and traffic. Native batch.
gym.register(
    id="xengym/DriverDomain-v0",
    entry_point="xengym.envs.driver_domain.env:DriverDomainEnv",
    vector_entry_point="xengym.envs.driver_domain.vector:DriverDomainVectorEnv",
)

#: A cluster of hosts; the agent moves domains between them, or not. Both fidelities, native batch, action masks.
gym.register(
    id="xengym/Cluster-v0",
    entry_point="xengym.envs.cluster.env:ClusterEnv",
    vector_entry_point="xengym.envs.cluster.vector:ClusterVectorEnv",
)

#: The same with the scheduler parameters of every domain in the action: moves and shares together.
gym.register(
    id="xengym/Datacenter-v0",
    entry_point="xengym.envs.cluster.env:DatacenterEnv",
    vector_entry_point="xengym.envs.cluster.vector:DatacenterVectorEnv",
)

#: One migration between two sites; the agent sets rate, write throttle and the stop. Native batch, action masks.
gym.register(
    id="xengym/WanMigration-v0",
    entry_point="xengym.envs.wan_migration.env:WanMigrationEnv",
    vector_entry_point="xengym.envs.wan_migration.vector:WanMigrationVectorEnv",
)

#: One host with less memory than its guests may want at once; the agent sets their balloons' targets. Native batch.
gym.register(
    id="xengym/Memory-v0",
    entry_point="xengym.envs.memory.env:MemoryEnv",
    vector_entry_point="xengym.envs.memory.vector:MemoryVectorEnv",
)
