"""The laws of input and output on a host at rest between two calls: nothing is lost without being counted."""

from collections import Counter

import numpy as np

from xengym.guests.os.kind import OsKind
from xengym.machine.io_state import VIF_MODES

WRAP = 2**32
NET_SLOTS = 256
MAX_GRANTS = 1024
FRAGMENT = 5
ITEM_NIC, ITEM_NETBACK_TX, ITEM_NETBACK_RX, ITEM_NETFRONT, ITEM_SEND = 1, 2, 3, 4, 5
#: Kinds of clients that wait for an answer to each request; the others are a flood and pings.
CLOSED, OPEN, STREAM, FLOOD, PING = range(5)
BATCH = 64
FLOW_FREE = 0
NO_DEVICE = -1
FLIP = VIF_MODES.index("flip")


def count(fifo):
    return int(fifo["tail"] - fifo["head"])


def positions(first, last):
    """Ring positions of the indices from ``first`` up to ``last``, which may have wrapped."""
    return [(int(first) + k) % NET_SLOTS for k in range((int(last) - int(first)) % WRAP)]


class IoLaws:
    """One look at a host's input and output; each public method is a law.

    Args:
        host: the host.
        past: what went out of the accounts with domains that were there before (``Past``).
    """

    def __init__(self, host, past):
        self.host = host
        self.past = past
        (self.kind,) = (kind for kind in host.guest_kinds if isinstance(kind, OsKind))
        self.sections = host.sections
        self.io = self.sections["domain_io"]
        self.domains = [int(d) for d in self.sections["domain"]["in_use"].nonzero()[0]]
        self.vifs = [i for i in range(self.kind.max_vifs) if self.sections["vif"]["in_use"][i]]

    # -- packets -------------------------------------------------------------------------------------------------

    def _packets_in(self, i, which, first, last):
        """Of an interface's ring: packets in these slots, not counting their further pages."""
        vif = self.sections["vif"][i]
        ids = vif[f"{which}_slot"][positions(first, last)]
        kinds = self.sections[f"vif_{which}"]["kind"][i * NET_SLOTS + ids.astype(int)]
        return int((kinds != FRAGMENT).sum())

    def staged(self):
        """Packets that drivers have in hand, by what they do with them."""
        staged = Counter()
        os, vcpus = self.sections["os_vcpu"], self.sections["vcpu"]
        for v in os["num_staged"].nonzero()[0]:
            item = int(os["item"][v]) >> 16
            number = int(os["num_staged"][v])
            if item == ITEM_NETBACK_TX:
                d = int(vcpus["domain"][v])
                number = int((self.sections["staged_vif"][d * BATCH : d * BATCH + number] != NO_DEVICE).sum())
            staged[item] += number
        return staged

    def places(self):
        """Packets by where they are between a cable and a program."""
        here = Counter({f"staged {item}": number for item, number in self.staged().items()})
        here["buffers"] = sum(count(nic["buffered"]) for nic in self.sections["nic"])
        here["loose"] = sum(count(queue["loose"]) for queue in self.sections["send_queue"])
        for i in self.vifs:
            vif = self.sections["vif"][i]
            if vif["is_connected"]:
                here["held"] += count(vif["queue"])
                here["tx ring"] += self._packets_in(i, "tx", vif["tx"]["req_cons"], vif["tx"]["req_prod"])
                here["rx ring"] += self._packets_in(i, "rx", vif["rx"]["rsp_cons"], vif["rx"]["rsp_prod"])
        return here

    def missing_packets(self):
        """Packets that came from a cable or were made, and of which nobody knows where they are."""
        nics, shared = self.sections["nic"], self.sections["io_host"][0]
        came = nics["wire_in"]["head"].sum() + shared["made"]
        went = nics["wire_out"]["tail"].sum() + self.io["rx_packets"].sum()
        lost = self.io["rx_dropped"].sum() + self.io["tx_dropped"].sum() + shared["orphaned"]
        return int(came - went - lost) - self.places().total()

    def no_packet_is_lost_or_doubled(self):
        assert self.missing_packets() == self.past.missing_packets, f"packets are at {dict(self.places())}"

    def cards_count_what_they_did(self):
        for nic in self.sections["nic"]:
            if nic["in_use"]:
                assert nic["rx_packets"] == nic["buffered"]["tail"]
                assert nic["tx_packets"] == nic["wire_out"]["tail"]
                assert 0 <= count(nic["wire_in"]) <= 1024
                assert 0 <= count(nic["wire_out"]) <= 1024
                assert (
                    nic["wire_out"]["head"] <= max(nic["departed"], nic["wire_out"]["head"]) <= nic["wire_out"]["tail"]
                )
                assert 0 <= count(nic["buffered"]) <= nic["rx_buffers"]

    # -- rings, grants, pages ------------------------------------------------------------------------------------

    def rings_are_in_order(self):
        for i in self.vifs:
            vif = self.sections["vif"][i]
            for which in ("tx", "rx"):
                ring = vif[which]
                first = int(ring["rsp_cons"])
                at = [(int(ring[name]) - first) % WRAP for name in ("rsp_cons", "rsp_prod", "req_cons", "req_prod")]
                if not vif["is_connected"]:
                    continue
                assert at == sorted(at)
                assert at[-1] <= ring["size"] == NET_SLOTS
                free = vif[f"{which}_free"][: vif[f"num_{which}_free"]].tolist()
                used = vif[f"{which}_slot"][positions(first, ring["req_prod"])].tolist()
                assert sorted(free + used) == list(range(NET_SLOTS)), f"vif {i}: ids of {which} are lost or used twice"

    def grants_are_those_of_the_rings(self):
        granted, mapped = Counter(), Counter()
        for i in self.vifs:
            vif = self.sections["vif"][i]
            if vif["is_connected"]:
                granted[int(vif["frontend"])] += sum(
                    (int(vif[which]["req_prod"]) - int(vif[which]["rsp_cons"])) % WRAP for which in ("tx", "rx")
                )
                mapped[int(vif["frontend"])] += (int(vif["tx"]["req_cons"]) - int(vif["tx"]["rsp_prod"])) % WRAP
        for d in self.domains:
            if not self.sections["os_domain"]["has_os"][d]:
                continue
            table = self.sections["grants"][d]
            entries = self.sections["grant"][d * MAX_GRANTS : (d + 1) * MAX_GRANTS]
            in_use = entries["peer"] >= 0
            assert table["num_granted"] == in_use.sum() == granted[d]
            assert entries["num_mapped"].min() >= 0
            assert entries["num_mapped"].sum() == mapped[d]
            assert not entries["num_mapped"][~in_use].any(), "a page was taken back while it was mapped"
            assert table["refused"] == 0
            free, ref = [], int(table["first_free"])
            while ref >= 0 and len(free) <= MAX_GRANTS:
                free.append(ref)
                ref = int(entries["next_free"][ref])
            assert sorted(free) == (~in_use).nonzero()[0].tolist(), "the list of free grants is unsound"

    def page_frames_are_conserved(self):
        memory = self.sections["memory"]
        given = Counter()
        for i in self.vifs:
            vif = self.sections["vif"][i]
            if vif["is_connected"] and vif["mode"] == FLIP:
                given[int(vif["frontend"])] += (int(vif["rx"]["req_prod"]) - int(vif["rx"]["req_cons"])) % WRAP
        for d in self.domains:
            if self.sections["os_domain"]["has_os"][d]:
                assert memory["lent_pages"][d] == given[d]
                moved = int(memory["deflated_pages"][d]) - int(memory["inflated_pages"][d])
                assert memory["pages"][d] + given[d] == self.past.memory_pages[d] + moved, f"domain slot {d}: pages"

    def pending_is_what_waits(self):
        rx, tx, cards = Counter(), Counter(), Counter()
        for i in self.vifs:
            vif = self.sections["vif"][i]
            if vif["is_connected"]:
                d = int(vif["frontend"])
                rx[d] += self._packets_in(i, "rx", vif["rx"]["rsp_cons"], vif["rx"]["rsp_prod"])
                tx[d] += (int(vif["tx"]["req_prod"]) - int(vif["tx"]["req_cons"])) % WRAP
        for nic in self.sections["nic"]:
            if nic["in_use"] and nic["backend"] >= 0:
                cards[int(nic["backend"])] += count(nic["buffered"])
        for d in self.domains:
            pending = [int(self.io[f"{name}_pending"][d]) for name in ("rx", "tx", "nic")]
            assert pending == [rx[d], tx[d], cards[d]], f"domain slot {d}"

    # -- whose CPU time it was -----------------------------------------------------------------------------------

    def cpu_time_is_accounted_for(self):
        served = self.kind.served_ns()
        vcpus = self.sections["vcpu"]
        for d in self.domains:
            if not self.sections["os_domain"]["has_os"][d] or self.sections["programs"]["has_background"][d]:
                continue
            first, number = (int(self.sections["domain"][name][d]) for name in ("first_vcpu", "num_vcpus"))
            own = range(first, first + number)
            running = sum(self.host.runstate_ns(v)["running"] for v in own)
            overhead = sum(int(vcpus["overhead_ns"][v]) for v in own)
            accounted = int(served[d].sum() + self.io["idle_ns"][d]) + overhead - self.kind.outstanding_ns(d)
            assert running == accounted, f"domain slot {d} ran {running - accounted} ns that nobody knows of"

    def served_and_serving_are_the_matrix(self):
        served = self.kind.served_ns()
        others = served - np.diag(np.diag(served))
        assert (served >= 0).all()
        for d in self.domains:
            assert self.io["served_ns"][d] == others[:, d].sum() + self.past.served_ns[d]
            assert self.io["serving_ns"][d] == others[d].sum() + self.past.serving_ns[d]

    # -- connections ---------------------------------------------------------------------------------------------

    def connections_are_sound(self):
        flows, halves = self.sections["flow"], self.sections["half"]
        free, f = [], int(self.sections["free_flow"][0])
        while f >= 0 and len(free) <= len(flows):
            free.append(f)
            f = int(flows["next_free"][f])
        assert sorted(free) == (flows["state"] == FLOW_FREE).nonzero()[0].tolist()
        in_use = np.repeat(flows["state"] != FLOW_FREE, 2)
        used = halves[in_use]
        assert (used["acked"] <= used["received"]).all(), "what has not arrived is acknowledged"
        assert (used["acked"] <= used["next"]).all()
        assert (used["next"] <= used["end"]).all()
        assert (used["received"] <= used["end"]).all()
        assert (used["acks_due"] >= 0).all()
        queued = set()
        for d in self.domains:
            if self.sections["os_domain"]["has_os"][d]:
                entry, last = int(self.sections["send_queue"]["first"][d]), -1
                while entry >= 0:
                    assert entry not in queued, "a connection is queued twice"
                    queued.add(entry)
                    assert flows["end"][entry >> 1][entry & 1] == d
                    last, entry = entry, int(halves["next_queued"][entry])
                assert self.sections["send_queue"]["last"][d] == last
        assert queued == set((in_use & (halves["is_queued"] == 1)).nonzero()[0].tolist())

    # -- requests ------------------------------------------------------------------------------------------------

    def _asking(self, population):
        first, number = int(population["first"]), int(population["num"])
        return int(self.sections["client"]["is_asking"][first : first + number].sum())

    def every_request_ends_once(self):
        for population in self.sections["population"]:
            if population["kind"] < 0:
                continue
            issued, answered, failed = (int(population[name]) for name in ("issued", "answered", "failed"))
            if population["kind"] in (CLOSED, OPEN, STREAM):
                assert issued == answered + failed + self._asking(population)
            elif population["kind"] == PING:
                assert answered <= issued
            else:
                assert (answered, failed) == (0, 0)
            assert population["in_time"] <= answered

    def clients_are_in_one_place(self):
        clients = self.sections["client"]
        for population in self.sections["population"]:
            first, number = int(population["first"]), int(population["num"])
            everyone = list(range(first, first + number))
            asking = [c for c in everyone if clients["is_asking"][c]]
            idle = []
            if population["kind"] in (CLOSED, STREAM):
                idle = clients["heap"][first : first + population["num_waiting"]].tolist()
                at_ns = clients["at_ns"][idle].tolist()
                assert all(at_ns[(k - 1) // 2] <= at_ns[k] for k in range(1, len(at_ns)))
            elif population["kind"] == OPEN:
                idle = clients["heap"][first : first + population["num_free"]].tolist()
            else:
                continue
            assert sorted(asking + idle) == everyone

    def processes_and_jobs_are_accounted_for(self):
        requests, flows, domains = (self.sections[name] for name in ("request", "flow", "domain"))
        asking, calls = Counter(), Counter()
        for population in self.sections["population"]:
            if population["kind"] in (CLOSED, OPEN, STREAM):
                asking[int(population["domain"])] += self._asking(population)
        for request in requests[requests["domain"] >= 0]:
            calls[int(request["domain"])] += request["flow"] >= 0 and flows["owner"][request["flow"]] < 0
        for d in self.domains:
            if not self.sections["os_domain"]["has_os"][d]:
                continue
            assert self.sections["service"]["num_requests"][d] == (requests["domain"] == d).sum()
            assert (
                not self.past.has_service[d]
                or (requests["domain"] == d).sum() <= self.sections["service"]["max_requests"][d]
            )
            loops = self.sections["loop"][self.sections["loop"]["domain"] == d]
            first = int(domains["first_vcpu"][d])
            turning = int((loops["wake_at_ns"] < 0).sum()) if self.sections["vcpu"]["has_started"][first] else 0
            open_jobs = domains["jobs_submitted"][d] - domains["jobs_done"][d] - domains["jobs_dropped"][d]
            assert open_jobs == asking[d] + calls[d] + turning, f"domain slot {d}: {asking[d]} {calls[d]} {turning}"

    def __iter__(self):
        helpers = ("staged", "places", "missing_packets")
        return (getattr(self, name) for name in vars(IoLaws) if not name.startswith("_") and name not in helpers)


class Past:
    """What the laws have to know of domains that were in the slots before: the accounts of a slot begin anew."""

    def __init__(self, max_domains):
        self.missing_packets = 0
        self.served_ns = [0] * max_domains
        self.serving_ns = [0] * max_domains
        self.memory_pages = [0] * max_domains
        self.has_service = [False] * max_domains

    def domain_created(self, host, kind, d, served_before, spec):
        """Slot ``d`` was given to a new domain; ``served_before`` is who served whom before that."""
        for other in range(len(self.served_ns)):
            if other != d:
                self.served_ns[other] += int(served_before[d, other])
                self.serving_ns[other] += int(served_before[other, d])
        self.served_ns[d] = self.serving_ns[d] = 0
        self.memory_pages[d] = spec.memory_pages
        self.has_service[d] = spec.service is not None
        self.accounts_began_anew(host)

    def accounts_began_anew(self, host):
        self.missing_packets = IoLaws(host, self).missing_packets()
