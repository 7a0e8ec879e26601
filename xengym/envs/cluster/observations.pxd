"""What an agent sees of a cluster (`observations.pyx`)."""
from libc.stdint cimport int64_t
from xengym.machine.cluster_state cimport ClusterArrays
from xengym.machine.migration_state cimport Migration

cdef enum:
    NUM_GLOBAL = 6
    NUM_HOST = 11
    NUM_DOMAIN = 13

# Counters of one domain when the interval began.
cdef struct DomainMark:
    int64_t serial
    int64_t violation_ns

cdef struct Scale:
    double pcpus              # of the largest host, in reference pCPUs
    double pages              # of the largest host
    double moves              # most that may leave or come to a host
    double nic                # bytes a second of the fastest card

cdef void encode_cluster(
    const ClusterArrays* a, const Migration* migrations, const DomainMark* marks, const Scale* scale, double episode_frac,
    int64_t interval_ns, float* obs
) noexcept nogil
