"""How fast the next round of a live migration is sent, and when to stop the domain and send the rest.

Two laws for the rate. The paper's (Clark et al., NSDI 2005, section 4.2): the first round at the lowest rate, each later one
at the dirty rate of the round before plus a step, within the limits. The shipped program's (`xc_linux_save` of Xen 2.0 and
3.0): the rate is only ever raised, when the dirty rate exceeds it, to the dirty rate plus the step.

Two rules for the stop. The paper's: the rate that the law asks for exceeds the highest, or less than 256 KB are dirty. The
shipped program's: a round sent more than the one before at the highest rate; or 29 rounds beyond the first; or a round of fewer
than 50 pages; or more than three times the memory has been sent. The paper's published runs followed the paper's law and the
program's rule: the memory writer had one more round after the law had asked for more than the highest rate, and SPECweb99
stopped below both of the paper's limits, each after a round at the highest rate that sent more than the one before.
"""
from libc.stdint cimport int64_t
from xengym.machine.migration_state cimport Migration

cdef enum:
    LAW_PAPER = 0
    LAW_SHIPPED = 1
    LAW_CONSTANT = 2          # the rate stays what it is

cdef enum:
    STOP_PAPER = 0
    STOP_SHIPPED = 1
    STOP_ROUNDS = 2           # after `max_rounds` rounds
    STOP_ASKED = 3            # when somebody outside says so

cdef struct RoundAnswer:
    double rate_bytes_per_s
    int stops

cdef RoundAnswer after_round(const Migration* g, int64_t memory_pages) noexcept nogil
