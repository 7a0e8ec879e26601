"""Steppers that a pool of threads steps in one call (`pooled.pyx`)."""
from cpython.ref cimport PyObject
from xengym.sim.worker_pool cimport Piece, WorkerPool

cdef class PooledBatch:
    cdef list steppers
    cdef object kind              # class of the steppers
    cdef PyObject** pointers      # to them, for code without the interpreter
    cdef WorkerPool* pool
    cdef readonly int num_threads
    cdef readonly int num_envs

    # Take the steppers; `piece(job, i)` steps number i.
    cdef int gather(self, steppers, kind, int num_threads, Piece piece, void* job) except -1
