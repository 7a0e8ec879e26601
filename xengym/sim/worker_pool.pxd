"""A pool of threads for many short, independent pieces of work (`worker_pool.h`)."""

cdef extern from "worker_pool.h" nogil:
    ctypedef struct WorkerPool "xengym_pool":
        int num_threads
    ctypedef void (*Piece "xengym_piece")(void* job, int index) noexcept nogil
    WorkerPool* pool_create "xengym_pool_create"(Piece piece, void* job, int total, int num_threads)
    void pool_run "xengym_pool_run"(WorkerPool* pool)
    void pool_destroy "xengym_pool_destroy"(WorkerPool* pool)
