"""From an agent's numbers to limits of guests (`actions.pyx`)."""
from xengym.envs.host.actions cimport ActionDecoder

cdef class LimitDecoder(ActionDecoder):
    pass
