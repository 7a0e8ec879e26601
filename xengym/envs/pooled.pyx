"""What all native batches share: references to the steppers, and threads to step them.

Steppers share nothing, so what comes out of a batch does not depend on the number of threads.
"""
from cpython.ref cimport PyObject
from libc.stdlib cimport free, malloc
from xengym.sim.worker_pool cimport Piece, pool_create, pool_destroy


cdef class PooledBatch:
    """Base of the batches; a subclass has `step`."""

    cdef int gather(self, steppers, kind, int num_threads, Piece piece, void* job) except -1:
        self.kind = kind
        self.steppers = list(steppers)
        self.num_envs = len(self.steppers)
        self.num_threads = max(1, min(num_threads, self.num_envs))
        self.pointers = <PyObject**>malloc(self.num_envs * sizeof(PyObject*))
        if self.pointers == NULL:
            raise MemoryError("batch")
        for i, stepper in enumerate(self.steppers):
            self.replace(i, stepper)
        self.pool = pool_create(piece, job, self.num_envs, self.num_threads)
        if self.pool == NULL:
            raise MemoryError("thread pool")
        return 0

    def __dealloc__(self):
        pool_destroy(self.pool)
        free(self.pointers)

    def replace(self, int index, stepper):
        """Put another stepper in a place of the batch, for its next episode."""
        if not isinstance(stepper, self.kind):
            raise TypeError(f"expected a {self.kind.__name__}, found {type(stepper).__name__}")
        self.steppers[index] = stepper
        self.pointers[index] = <PyObject*>stepper
