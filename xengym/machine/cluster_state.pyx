"""NumPy's view of the structs of a cluster."""
import numpy as np

cdef ClusterClock _clock
cdef ClusterHost _host
cdef ClusterDomain _domain
cdef ClusterMove _move
cdef ClusterLink _link
cdef ClusterSite _site

CLUSTER_CLOCK_DTYPE = np.asarray(<ClusterClock[:1]>&_clock).dtype
CLUSTER_HOST_DTYPE = np.asarray(<ClusterHost[:1]>&_host).dtype
CLUSTER_DOMAIN_DTYPE = np.asarray(<ClusterDomain[:1]>&_domain).dtype
CLUSTER_MOVE_DTYPE = np.asarray(<ClusterMove[:1]>&_move).dtype
CLUSTER_LINK_DTYPE = np.asarray(<ClusterLink[:1]>&_link).dtype
CLUSTER_SITE_DTYPE = np.asarray(<ClusterSite[:1]>&_site).dtype

#: Names of `ClusterHost.power`, by number.
POWERS = ("suspended", "waking", "on", "suspending", "failed")
#: Names of `ClusterHost.shares`.
SHARES = ("credit", "sedf")
#: Names of `ClusterLink.kind`.
LINKS = ("dom0", "send", "receive", "rack-up", "rack-down", "site")
#: Why something is refused, by reason code; "" if it is not.
REFUSALS = (
    "",
    "there is no such domain",
    "there is no such host",
    "the domain is there already",
    "the domain is being moved already",
    "the host is not on",
    "the host has not enough free memory",
    "the host cannot keep the domain's reservation",
    "the host lacks a device that the domain needs",
    "the host has another domain of the same anti-affinity group",
    "the domain is pinned to its host",
    "the domain's addresses cannot move to that host's subnet or site",
    "as many moves are under way as may be",
    "a link on the way is down",
    "there are domains on the host or on their way to it",
    "all slots for domains are taken",
)
#: Reason codes by name, for Python.
REASONS = {
    "accepted": ACCEPTED,
    "unknown-domain": REFUSED_UNKNOWN_DOMAIN,
    "unknown-host": REFUSED_UNKNOWN_HOST,
    "already-there": REFUSED_ALREADY_THERE,
    "already-moving": REFUSED_ALREADY_MOVING,
    "host-off": REFUSED_HOST_OFF,
    "memory": REFUSED_MEMORY,
    "reservation": REFUSED_RESERVATION,
    "devices": REFUSED_DEVICES,
    "anti-affinity": REFUSED_ANTI_AFFINITY,
    "pinned": REFUSED_PINNED,
    "unreachable": REFUSED_UNREACHABLE,
    "too-many-moves": REFUSED_TOO_MANY_MOVES,
    "link-down": REFUSED_LINK_DOWN,
    "host-in-use": REFUSED_HOST_IN_USE,
    "no-slot": REFUSED_NO_SLOT,
}
