"""NumPy's view of the structs of a move between sites."""
import numpy as np

cdef DiskCopy _disk
cdef Line _line
cdef Condition _condition
cdef Client _client
cdef Redirection _redirection
cdef WideState _state

DISK_DTYPE = np.asarray(<DiskCopy[:1]>&_disk).dtype
LINE_DTYPE = np.asarray(<Line[:1]>&_line).dtype
CONDITION_DTYPE = np.asarray(<Condition[:1]>&_condition).dtype
CLIENT_DTYPE = np.asarray(<Client[:1]>&_client).dtype
REDIRECTION_DTYPE = np.asarray(<Redirection[:1]>&_redirection).dtype
WIDE_STATE_DTYPE = np.asarray(<WideState[:1]>&_state).dtype

#: Of `Client.address`, by number.
ADDRESSES = ("old", "new")
#: Who decides what comes after a round of memory, by number (`WideState.decides`).
DECIDERS = ("rules", "request")
