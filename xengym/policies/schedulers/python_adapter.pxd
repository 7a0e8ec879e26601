"""Schedulers written in plain Python (`python_adapter.pyx`)."""
from xengym.policies.schedulers.shared_queue cimport SharedQueueScheduler

cdef class PythonScheduler(SharedQueueScheduler):
    cdef object policy_class
    cdef dict policy_options
    cdef readonly object policy
    cdef dict values                  # parameters by domain slot
    cdef object error
    cdef void _failed(self, object error)
