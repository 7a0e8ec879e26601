"""NumPy's view of the structs of input and output."""
import numpy as np

cdef Ports _ports
cdef GrantTable _grants
cdef Vif _vif
cdef Nic _nic
cdef Packet _packet
cdef Port _port
cdef Grant _grant
cdef Half _half
cdef Flow _flow
cdef SendQueue _send_queue
cdef IoHost _io_host

PORTS_DTYPE = np.asarray(<Ports[:1]>&_ports).dtype
GRANTS_DTYPE = np.asarray(<GrantTable[:1]>&_grants).dtype
VIF_DTYPE = np.asarray(<Vif[:1]>&_vif).dtype
NIC_DTYPE = np.asarray(<Nic[:1]>&_nic).dtype
IO_HOST_DTYPE = np.asarray(<IoHost[:1]>&_io_host).dtype
FLOW_DTYPE = np.asarray(<Flow[:1]>&_flow).dtype
SEND_QUEUE_DTYPE = np.asarray(<SendQueue[:1]>&_send_queue).dtype
PORT_DTYPE = np.asarray(<Port[:1]>&_port).dtype
GRANT_DTYPE = np.asarray(<Grant[:1]>&_grant).dtype
HALF_DTYPE = np.asarray(<Half[:1]>&_half).dtype
PACKET_DTYPE = np.asarray(<Packet[:1]>&_packet).dtype

#: Names of the ways of a virtual interface's packets, by number.
VIF_MODES = ("flip", "copy", "inline", "native", "emulated")
