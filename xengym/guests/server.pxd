"""State of the open-arrival programs (`server.pyx`)."""
from libc.stdint cimport int64_t, uint8_t, uint64_t
from xengym.hypervisor.core cimport GuestKind
from xengym.sim.random cimport Distribution

cdef struct Job:
    int64_t arrived_at_ns
    int64_t work_ns

cdef struct JobQueue:
    int64_t head              # jobs taken so far
    int64_t tail              # jobs put so far

cdef struct ServerState:
    Distribution arrival
    Distribution service
    uint64_t arrival_key
    uint64_t arrival_counter
    uint64_t service_key
    uint64_t service_counter

cdef struct ReplayState:
    Distribution factor       # of each job's work, mean 1 000 000 (parts per million)
    int64_t first             # of the trace in the pool of samples
    int64_t count
    int64_t first_sample
    int64_t sample_ns
    int64_t job_period_ns
    int64_t started_at_ns
    uint64_t key
    uint64_t counter

cdef class QueueKind(GuestKind):
    cdef readonly int queue_slots
    cdef JobQueue* queue
    cdef Job* jobs            # queue_slots of each domain
    cdef int64_t* serving     # arrival of the job that a vCPU serves, or -1
    cdef void submit(self, int d, int64_t work_ns, int64_t now_ns) noexcept nogil
    # Give v a job, which needs so much CPU time.
    cdef void begin_job(self, int v, int64_t work_ns, int64_t now_ns) noexcept nogil
    cdef void open_domain(self, int d, int64_t now_ns) noexcept nogil

cdef class ServerKind(QueueKind):
    cdef ServerState* state

cdef class ReplayKind(QueueKind):
    cdef ReplayState* state
    cdef object pool
    cdef const uint8_t* samples
