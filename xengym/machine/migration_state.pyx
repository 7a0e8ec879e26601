"""NumPy's view of the structs of moving a domain."""
import numpy as np

cdef WorkingSet _working_set
cdef Migration _migration

WORKING_SET_DTYPE = np.asarray(<WorkingSet[:1]>&_working_set).dtype
MIGRATION_DTYPE = np.asarray(<Migration[:1]>&_migration).dtype

#: Names of `Migration.stage`, by number.
STAGES = (
    "none", "pre-migration", "reservation", "disk", "pre-copy", "round-end", "stop-and-copy", "commitment", "activation",
    "done", "aborted",
)
#: Names of `Migration.kind`.
MOVES = ("live", "stop", "self")
#: What `Migration.reason` says, by number.
REASONS = (
    "", "the link between the hosts failed", "the destination refused", "the destination died", "the source died",
    "cancelled by the operator", "the destination has no memory for it",
)
