"""NumPy's view of the machine's structs: dtypes derived from the C definitions, and the arena that holds them."""
from libc.string cimport memset

import numpy as np

cdef Clock _clock
cdef Pcpu _pcpu
cdef Vcpu _vcpu
cdef Domain _domain
cdef DomainIo _domain_io
cdef Pool _pool
cdef Timer _timer
cdef TraceRecord _trace_record

CLOCK_DTYPE = np.asarray(<Clock[:1]>&_clock).dtype
PCPU_DTYPE = np.asarray(<Pcpu[:1]>&_pcpu).dtype
VCPU_DTYPE = np.asarray(<Vcpu[:1]>&_vcpu).dtype
DOMAIN_DTYPE = np.asarray(<Domain[:1]>&_domain).dtype
DOMAIN_IO_DTYPE = np.asarray(<DomainIo[:1]>&_domain_io).dtype
POOL_DTYPE = np.asarray(<Pool[:1]>&_pool).dtype
TIMER_DTYPE = np.asarray(<Timer[:1]>&_timer).dtype
TRACE_DTYPE = np.asarray(<TraceRecord[:1]>&_trace_record).dtype

RUNSTATES = ("running", "runnable", "blocked", "offline")

_ALIGNMENT = 64


class Arena:
    """One block of memory holding every section of a host's state.

    Args:
        sections: ``(name, dtype, count)`` in layout order.

    Attributes:
        block: the whole state, ``uint8`` of shape ``(num_bytes,)``, aligned to 64 bytes and zeroed.
        sections: name to structured-array view into ``block``.
    """

    def __init__(self, sections):
        offsets = []
        end = 0
        for _, dtype, count in sections:
            offsets.append(end)
            size = np.dtype(dtype).itemsize * count
            end += -(-size // _ALIGNMENT) * _ALIGNMENT
        raw = np.zeros(end + _ALIGNMENT, dtype=np.uint8)
        start = -raw.ctypes.data % _ALIGNMENT
        self.block = raw[start:start + end]
        self.sections = {
            name: self.block[offset:offset + np.dtype(dtype).itemsize * count].view(dtype)
            for offset, (name, dtype, count) in zip(offsets, sections, strict=True)
        }


def response_bin_floor_ns(index):
    """Lower edge in ns of response-time bin ``index`` (see the ``response_bins`` field of a domain)."""
    if index <= 0:
        return 0
    octave, quarter = divmod(index - 1, 4)
    return 1000 * ((4 + quarter) << octave) // 4
