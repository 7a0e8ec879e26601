"""NumPy's view of the structs of page tables."""
import numpy as np

cdef PageTables _page_tables
cdef Frames _frames

PAGE_TABLES_DTYPE = np.asarray(<PageTables[:1]>&_page_tables).dtype
FRAMES_DTYPE = np.asarray(<Frames[:1]>&_frames).dtype

#: Names of `Frames.type`, by number.
FRAME_TYPES = ("RW", "PD", "PT", "LDT", "GDT")
