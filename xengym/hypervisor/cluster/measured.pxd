"""The books of a cluster whose hosts are simulated elsewhere (`measured.pyx`)."""
from xengym.hypervisor.cluster.fluid cimport FluidCluster

cdef class MeasuredCluster(FluidCluster):
    cdef readonly object pcpus        # float64 (slots,): what each domain gets, in reference pCPUs
    cdef readonly object dom0_pcpus   # float64 (hosts,): and Dom0, for moves
    cdef readonly object rates        # float64 (move slots,): bytes a second that each move's stream carries
    cdef double* pcpus_of
    cdef double* dom0_pcpus_of
    cdef double* rate_of
