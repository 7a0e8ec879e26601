"""What happened to each domain in one control interval (`interval.pyx`)."""
from libc.stdint cimport int32_t, int64_t
from xengym.hypervisor.host cimport Host
from xengym.machine.state cimport Machine

cdef enum:
    NUM_BASIC_TOTALS = 18         # of DomainTotals, those before the ones of devices

# Running totals of one domain; the difference of two is an interval.
cdef struct DomainTotals:
    int64_t cpu_ns
    int64_t steal_ns              # runnable, not running
    int64_t held_ns               # wanted to run, but parked by its cap
    int64_t blocked_ns
    int64_t overhead_ns           # of cpu_ns: switch and cache-refill cost
    int64_t wakes                 # wake-ups that reached a pCPU
    int64_t wake_latency_ns
    int64_t jobs_submitted
    int64_t jobs_done
    int64_t jobs_in_time
    int64_t jobs_dropped
    int64_t work_submitted_ns
    int64_t response_ns
    int64_t first_touches         # page faults on pages never touched before
    int64_t swap_reads            # pages read from the swap disk
    int64_t swap_writes           # and written to it
    int64_t swap_wait_ns          # that its vCPUs have waited for the swap disk
    int64_t ballooned             # pages that its balloon has moved, either way
    # From here on only on hosts with devices.
    int64_t packets               # network packets to and from it
    int64_t dropped               # of them, lost on this host
    int64_t block_requests
    int64_t page_exchanges
    int64_t served_ns             # CPU time that driver domains spent on its behalf
    int64_t serving_ns            # CPU time that it spent on behalf of others

cdef struct DomainInterval:
    DomainTotals total            # at the interval's end
    DomainTotals delta            # of the interval
    int64_t backlog               # jobs neither done nor dropped at its end
    int64_t backlog_before        # the same at its beginning
    double attainment             # of the service level, 0..1
    double shortfall              # of the agreed CPU, 0..1
    double agreed_pcpus
    int32_t is_present            # exists and has started
    int32_t ring_pending          # packets and requests in its rings at its end that wait for the other side
    int32_t reserved
    int32_t num_vcpus

cdef struct HostInterval:
    int64_t start_ns
    int64_t end_ns
    int64_t idle_ns
    int64_t idle_total_ns
    int64_t switches
    int64_t switches_total
    int64_t passes
    int64_t passes_total
    int64_t swap_busy_ns          # that the swap disk was busy
    int64_t swap_busy_total_ns

cdef class IntervalMonitor:
    cdef Host host
    cdef Machine* m
    cdef readonly object host_record
    cdef readonly object domain_records
    cdef HostInterval* whole
    cdef DomainInterval* domain
    cdef void measure(self) noexcept nogil
