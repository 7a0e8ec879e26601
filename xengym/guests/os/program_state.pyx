"""NumPy's view of the structs of programs and clients."""
import numpy as np

cdef Service _service
cdef Request _request
cdef Loop _loop
cdef Programs _programs
cdef Population _population
cdef Client _client
cdef Stream _stream

SERVICE_DTYPE = np.asarray(<Service[:1]>&_service).dtype
REQUEST_DTYPE = np.asarray(<Request[:1]>&_request).dtype
LOOP_DTYPE = np.asarray(<Loop[:1]>&_loop).dtype
PROGRAMS_DTYPE = np.asarray(<Programs[:1]>&_programs).dtype
POPULATION_DTYPE = np.asarray(<Population[:1]>&_population).dtype
CLIENT_DTYPE = np.asarray(<Client[:1]>&_client).dtype
STREAM_DTYPE = np.asarray(<Stream[:1]>&_stream).dtype

#: Names of the kinds of clients, by number.
CLIENT_KINDS = ("closed", "open", "stream", "flood", "ping")
