# No .pxd: only tests use it, from Python.
"""Page tables and the dirty log by themselves: thin wrappers of the inline functions of `mechanisms`."""
from libc.stdint cimport int64_t
from libc.string cimport memset
from xengym.machine.migration_state cimport WorkingSet
from xengym.machine.page_table_state cimport AddressSpace, Frames, PageTables
from xengym.mechanisms cimport dirty_log, page_tables
from xengym.mechanisms.working_set cimport clear_log, dirty_pages

from xengym.machine.page_table_state import FRAME_TYPES

MAX_EXTENTS = 8


cdef class PageTablesAlone:
    """A guest kernel's page tables, with some sets of frames and address spaces to play with.

    Args:
        costs: ``machine.privilege.PrivilegeCosts``.
    """

    cdef PageTables t
    cdef Frames extent[8]
    cdef AddressSpace space[8]

    def __init__(self, costs):
        memset(&self.t, 0, sizeof(PageTables))
        memset(self.extent, 0, sizeof(self.extent))
        memset(self.space, 0, sizeof(self.space))
        self.t.entry_ns = costs.entry_ns
        self.t.validate_ns = costs.validate_ns
        self.t.update_ns = costs.update_ns
        self.t.pin_ns = costs.pin_ns
        self.t.change_base_ns = costs.change_base_ns
        for i in range(MAX_EXTENTS):
            self.extent[i].pages = 1

    @property
    def counts(self):
        return dict(self.t)

    def extent_of(self, int i):
        return FRAME_TYPES[self.extent[i].type], self.extent[i].count, bool(self.extent[i].is_pinned)

    def space_of(self, int i):
        cdef AddressSpace* s = &self.space[i]
        return {
            "alive": bool(s.is_alive),
            "current": bool(s.is_current),
            "directory": (FRAME_TYPES[s.directory.type], s.directory.count),
            "tables": (FRAME_TYPES[s.tables.type], s.tables.count),
            "data": (FRAME_TYPES[s.data.type], s.data.count),
        }

    def set_pages(self, int i, int64_t pages):
        self.extent[i].pages = pages

    def queue(self, int64_t count):
        page_tables.queue_updates(&self.t, count)

    def flush(self):
        page_tables.flush_updates(&self.t)

    def flush_tlb(self):
        page_tables.flush_tlb(&self.t)

    def install(self):
        page_tables.install_entry(&self.t)

    def fault(self):
        page_tables.take_fault(&self.t)

    def get(self, int i, str type):
        return bool(page_tables.get_type(&self.t, &self.extent[i], FRAME_TYPES.index(type)))

    def put(self, int i):
        return bool(page_tables.put_type(&self.t, &self.extent[i]))

    def pin(self, int i, str type):
        return bool(page_tables.pin(&self.t, &self.extent[i], FRAME_TYPES.index(type)))

    def unpin(self, int i):
        return bool(page_tables.unpin(&self.t, &self.extent[i]))

    def change_base(self, int old, int new):
        return bool(page_tables.change_base(&self.t, &self.extent[old] if old >= 0 else NULL, &self.extent[new]))

    def create(self, int i, int64_t tables, int64_t data_pages):
        return bool(page_tables.create_space(&self.t, &self.space[i], tables, data_pages))

    def switch(self, int old, int new):
        return bool(page_tables.switch_space(&self.t, &self.space[old] if old >= 0 else NULL, &self.space[new]))

    def destroy(self, int i):
        return bool(page_tables.destroy_space(&self.t, &self.space[i]))


cdef class DirtyLogAlone:
    """A working set whose writes are logged.

    Args:
        model: ``machine.memory_model.MemoryModel``.
    """

    cdef object record
    cdef WorkingSet* ws

    def __init__(self, model):
        self.record = model.record()
        cdef WorkingSet[::1] ws = self.record
        self.ws = &ws[0]

    def clear(self):
        clear_log(self.ws)

    def first_writes(self, int64_t dt_ns, double activity=1.0):
        return dirty_log.first_writes(self.ws, dt_ns, activity)

    def dirty(self):
        return sum(dirty_pages(self.ws, i) for i in range(self.ws.num_regions))

    def rebuilt_tables(self, int64_t pages_a_table):
        return dirty_log.rebuilt_tables(self.ws, pages_a_table)

    def cost_ns(self, double faults, double tables, costs):
        return dirty_log.log_cost_ns(faults, tables, costs.exit_ns, costs.shadow_update_ns, costs.shadow_base_ns)
