"""NumPy's view of the structs of block input and output."""
import numpy as np

cdef DiskRequest _disk_request
cdef Disk _disk
cdef BlockOp _block_op
cdef BlockRequest _block_request
cdef Vbd _vbd
cdef BlockDomain _block_domain
cdef BlockRecord _block_record

DISK_REQUEST_DTYPE = np.asarray(<DiskRequest[:1]>&_disk_request).dtype
DISK_DTYPE = np.asarray(<Disk[:1]>&_disk).dtype
BLOCK_OP_DTYPE = np.asarray(<BlockOp[:1]>&_block_op).dtype
BLOCK_REQUEST_DTYPE = np.asarray(<BlockRequest[:1]>&_block_request).dtype
VBD_DTYPE = np.asarray(<Vbd[:1]>&_vbd).dtype
BLOCK_DOMAIN_DTYPE = np.asarray(<BlockDomain[:1]>&_block_domain).dtype
BLOCK_RECORD_DTYPE = np.asarray(<BlockRecord[:1]>&_block_record).dtype

#: Names of the ways of a virtual block device's requests, by number.
VBD_MODES = ("split", "tap", "inline", "native", "emulated")
