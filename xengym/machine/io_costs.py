"""What input and output cost in CPU time, each figure with its source.

Three machines that must not be mixed: that of Barham et al. 2003 (drivers in the hypervisor), that of Menon et al.
2006 (split drivers), and what an HVM guest's emulated devices cost on the latter. Figures marked *fitted* were chosen
so that the rates named beside them come out; the division among the steps of a path is assumed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class IoCosts:
    """CPU time of each step of the paths of input and output, in ns (per KiB where the name says so).

    Who pays: the guest for its stack and front end, the back end's domain for driver, bridge and back end (where the
    hypervisor works in a hypercall, its caller).

    Attributes:
        hypercall_ns: entry and exit of one hypercall.
        upcall_ns: entry into a domain's event handler.
        port_ns: handling of one pending port in it.
        nic_irq_ns: interrupt of a network card, once for a batch of packets.
        nic_rx_ns: driver, for a packet received.
        nic_tx_ns: driver, for a packet sent.
        bridge_ns: finding out whom a packet is for.
        netback_rx_ns: back end, for a packet to a guest.
        netback_tx_ns: back end, for a packet from a guest.
        flip_ns: page exchange of one packet, its entries of the batched hypercalls included.
        flip_batch_ns: the batched hypercalls themselves with their one TLB flush.
        copy_ns: copy of one packet by the hypervisor, its fixed part.
        copy_per_kib_ns: and for its bytes.
        map_ns: mapping and unmapping a granted page.
        netfront_rx_ns: front end, for a packet received.
        netfront_tx_ns: front end, for a packet sent.
        tx_done_ns: front end, for a packet that has been sent.
        stack_rx_ns: the guest's protocols, for a packet received.
        stack_rx_per_kib_ns: and for its bytes.
        stack_tx_ns: the guest's protocols, for a packet sent.
        stack_tx_per_kib_ns: and for its bytes.
        checksum_per_kib_ns: checksum in software, where the card does not do it.
        small_pages_ns: TLB misses of a paravirtualised guest's sending path without large pages, a packet.
        ack_ns: the guest's protocols, for an acknowledgement either way.
        echo_ns: the guest's protocols, for a ping.
        inline_rx_ns: Xen 1.x, demultiplexing and page exchange, a packet.
        inline_tx_ns: Xen 1.x, its packet scheduler, a packet.
        exit_ns: an HVM guest's exit into the hypervisor and back.
        exits_per_packet: exits that an emulated card takes for a packet.
        emulate_ns: the emulating process, for a packet.
        blk_stack_ns: the guest's file system and block layer, for a request.
        blk_done_ns: and for its answer.
        blk_front_ns: front end, for a request put into the ring.
        blk_front_segment_ns: front end, granting a page and taking it back.
        blk_back_ns: back end, for a request taken.
        blk_back_segment_ns: back end, mapping and unmapping a page; many go in one hypercall.
        blk_back_done_ns: back end, for an answer.
        blk_disk_ns: the disk's driver, for a request.
        blk_disk_irq_ns: interrupt of the disk's controller, once for all requests done by then.
        blk_inline_ns: Xen 1.x, translating and checking a request.
        blk_tap_wake_ns: blktap, waking the process and its system calls, once for a batch.
        blk_tap_ns: blktap, the process, for a request.
        blk_tap_done_ns: and for its answer, back through the kernel.
        blk_exits: exits that an emulated IDE disk takes for a request.
        blk_emulate_ns: the emulating process, for a request.
    """

    hypercall_ns: int = 400
    upcall_ns: int = 600
    port_ns: int = 300
    nic_irq_ns: int = 1_500
    nic_rx_ns: int = 1_000
    nic_tx_ns: int = 400
    bridge_ns: int = 900
    netback_rx_ns: int = 1_200
    netback_tx_ns: int = 1_000
    flip_ns: int = 4_000
    flip_batch_ns: int = 2_000
    copy_ns: int = 300
    copy_per_kib_ns: int = 1_082
    map_ns: int = 1_600
    netfront_rx_ns: int = 1_300
    netfront_tx_ns: int = 800
    tx_done_ns: int = 200
    stack_rx_ns: int = 1_750
    stack_rx_per_kib_ns: int = 1_082
    stack_tx_ns: int = 2_000
    stack_tx_per_kib_ns: int = 600
    checksum_per_kib_ns: int = 700
    small_pages_ns: int = 2_400
    ack_ns: int = 500
    echo_ns: int = 1_000
    inline_rx_ns: int = 890
    inline_tx_ns: int = 670
    exit_ns: int = 2_500
    exits_per_packet: int = 6
    emulate_ns: int = 9_000
    blk_stack_ns: int = 4_000
    blk_done_ns: int = 2_000
    blk_front_ns: int = 1_000
    blk_front_segment_ns: int = 200
    blk_back_ns: int = 2_500
    blk_back_segment_ns: int = 900
    blk_back_done_ns: int = 1_500
    blk_disk_ns: int = 1_500
    blk_disk_irq_ns: int = 1_500
    blk_inline_ns: int = 1_200
    blk_tap_wake_ns: int = 5_000
    blk_tap_ns: int = 12_000
    blk_tap_done_ns: int = 5_000
    blk_exits: int = 12
    blk_emulate_ns: int = 15_000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 10**9:
                raise ValueError(f"costs of input and output: {field.name} must be an integer 0..1e9, found {value!r}")


#: Split drivers on the 2.4 GHz Xeon of Menon, Cox and Zwaenepoel, "Optimizing network virtualization in Xen", USENIX
#: 2006. Fitted to its rates at 1500 bytes, from memory: native receive 2508 Mbit/s, guest receive 820 (flip) and 970
#: (copy), guest send 750 and 3310 Mbit/s (offloading). Its abstract has their ratios. `hypercall_ns` and `upcall_ns`
#: are a third and a half of the 1.2 us that a trap with a change of page tables takes (derived from lmbench in Barham
#: et al.), assumed. The costs of an HVM guest (exits, emulation) are assumed, and so are those of block devices
#: (`blk_...`), but for their order: little per byte, since pages are mapped and not copied, so that a disk read at full
#: speed takes a few per cent of a driver domain's CPU (Cherkasova, Gupta and Vahdat 2007 found it nearly insensitive to
#: that domain's share); blktap's process dearer than the kernel's back end; `blk_inline_ns` as the 1.2 us of a packet.
SPLIT_COSTS = IoCosts()

#: The 2.4 GHz Xeon of Barham et al., "Xen and the art of virtualization", SOSP 2003, table 6. Fitted at a packet size
#: of 500 bytes: native 7.35 us for a packet received and 6.64 us for one sent, and 1.2 and 1.1 us more under Xen.
INLINE_COSTS = IoCosts(
    hypercall_ns=200,
    upcall_ns=300,
    port_ns=100,
    nic_irq_ns=1_000,
    nic_rx_ns=1_500,
    nic_tx_ns=800,
    stack_rx_ns=4_200,
    stack_rx_per_kib_ns=1_330,
    stack_tx_ns=3_700,
    stack_tx_per_kib_ns=1_310,
    ack_ns=1_200,
    checksum_per_kib_ns=0,
    small_pages_ns=0,
    netfront_rx_ns=0,
    netfront_tx_ns=0,
    tx_done_ns=0,
)

#: Presets by the name that configurations use.
IO_COSTS = {"split": SPLIT_COSTS, "inline": INLINE_COSTS}
