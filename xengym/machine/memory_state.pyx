"""NumPy's view of the structs of a host's memory."""
import numpy as np

cdef HostMemory _host_memory
cdef DomainMemory _domain_memory

HOST_MEMORY_DTYPE = np.asarray(<HostMemory[:1]>&_host_memory).dtype
DOMAIN_MEMORY_DTYPE = np.asarray(<DomainMemory[:1]>&_domain_memory).dtype
