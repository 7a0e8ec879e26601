"""BVT's state."""
from libc.stdint cimport int32_t, int64_t
from xengym.policies.schedulers.api cimport Scheduler

cdef extern from *:
    """
    #define XENGYM_BVT_XEN_MAX INT64_C(0xFFFFFFFF)
    """
    const int64_t XEN_MAX "XENGYM_BVT_XEN_MAX"  # greatest virtual time of Xen, that of the idle vCPU

cdef struct BvtPool:
    int64_t ctx_allow_ns

cdef struct BvtPcpu:
    int64_t svt               # virtual time of the system: the least avt of those that can run
    int32_t head              # its queue, the running vCPU among them
    int32_t tail

# Virtual times are units of advance: per MCU in 32 bits without sign in Xen, per ns in 64 bits where charging is exact.
cdef struct BvtVcpu:
    int64_t avt               # actual virtual time: what it has used, by its advance
    int64_t evt               # effective: less what it borrows while it warps
    int64_t charged_to_ns     # running since then without being charged
    int32_t next              # queue neighbours
    int32_t prev
    int32_t is_queued
    int32_t has_moved         # to another pCPU since its last wake-up
    int32_t is_inserted
    int32_t reserved

cdef struct BvtDomain:
    int64_t warp_value        # in units per MCU
    int64_t warp_limit_ns     # longest time to run warped; 0: no limit
    int64_t unwarp_ns         # time that must pass until it may warp again
    int32_t mcu_adv           # advance of virtual time in an MCU: the inverse of a weight
    int32_t warpback          # it may warp
    int32_t is_warping
    int32_t reserved

# The release's rules, copied out of BvtRules for use without the interpreter.
cdef struct Rules:
    int32_t refresh_stamp, whole_mcus, unit_slip, holds_allowance

cdef class BvtState(Scheduler):
    cdef Rules rules
    cdef int64_t mcu_ns
    cdef BvtPool* pool
    cdef BvtPcpu* pcpu
    cdef BvtVcpu* vcpu
    cdef BvtDomain* domain

    cdef void _link(self, int v, bint at_head) noexcept nogil
    cdef void _unlink(self, int v) noexcept nogil
    cdef BvtDomain* _domain_of(self, int v) noexcept nogil
    cdef int64_t _charged(self, int v, int64_t now_ns) noexcept nogil
    cdef int64_t _effective(self, int v, int64_t avt) noexcept nogil
    cdef int64_t _least_avt(self, int p, int64_t now_ns) noexcept nogil
    cdef void _set_svt(self, int p) noexcept nogil
    cdef void _rebase(self, int p) noexcept nogil
