"""Verdicts of the published results about input and output, as in `verdicts`; a row that is missed says why."""

from __future__ import annotations

from xengym.testing.figures import barham_hosts, communication, credit_io, driver_domain, network
from xengym.testing.reproduce import Outcome

#: Ratios of R3b: Xen to native, by the number of domains.
SPECWEB_RATIOS = {1: 0.84, 2: 0.92, 4: 1.01, 8: 1.08, 16: 0.99}

#: Packet sizes of R36, bytes.
COPY_OR_FLIP_BYTES = (100, 250, 500, 1000, 1500)


def specweb_instances() -> Outcome:
    """R3b."""
    rates = {n: barham_hosts.specweb_requests_per_s(n) for n in SPECWEB_RATIOS}
    scale = barham_hosts.SPECWEB_XEN[2] / rates[2]
    ratios = {n: rate * scale / barham_hosts.SPECWEB_NATIVE[n] for n, rate in rates.items()}
    off = {n: ratio - SPECWEB_RATIOS[n] for n, ratio in ratios.items()}
    return Outcome(
        "Xen to native " + ", ".join(f"{n}: {ratio:.2f}" for n, ratio in ratios.items()) + " (fitted at 2)",
        all(abs(error) <= 0.05 for error in off.values()),
        "one domain leaves a pCPU idle that took its interrupts in the paper, while here the hypervisor's work is done "
        "where the domain runs; many domains come closer if refilling the caches costs several times as much",
    )


def oltp_by_weight() -> Outcome:
    """R6."""
    result = barham_hosts.oltp_by_weight()
    per_s = result.per_s
    return Outcome(
        f"weight 8 gets {per_s[-1] / per_s[0]:.1f} times what weight 1 gets; up to {result.error_max_pct:.0f} % off "
        f"its share; {sum(per_s):.0f} transactions a second in all",
        # Within 4 % of its share each is what the paper calls proportional.
        result.error_max_pct > 4 and 1 < per_s[-1] / per_s[0] < 4,
    )


def antisocial_neighbours() -> Outcome:
    """R7."""
    loss = barham_hosts.antisocial_neighbours()
    return Outcome(
        f"database loses {loss.database_pct:.1f} %, web server {loss.web_pct:.1f} % "
        "(what neighbours do to the caches is not in it)",
        max(loss) <= 6,
    )


def tcp_by_mtu() -> Outcome:
    """R8."""
    parts, is_met = [], True
    for mtu, published in ((1500, 0.0), (500, -0.14)):
        for direction in ("send", "receive"):
            native, xen = (
                network.bulk_mbit_per_s(model, direction, mtu=mtu) for model in ("native", "xen1_in_hypervisor")
            )
            parts.append(f"{mtu} {direction} {100 * (xen / native - 1):+.1f} % ({native:.0f} to {xen:.0f})")
            is_met &= abs(xen / native - 1 - published) <= 0.03
    return Outcome(", ".join(parts) + " Mbit/s", is_met)


def dom0_weight() -> Outcome:
    """R16."""
    weights = credit_io.DOM0_WEIGHTS
    parts, has_optimum, spread = [], {}, {}
    for load in credit_io.LOADS:
        rates = [credit_io.mbit_per_s(load, weight) for weight in weights]
        parts.append(f"{load} {', '.join(f'{rate:.0f}' for rate in rates)}")
        spread[load] = max(rates) / min(rates)
        # Both ends at least 5 % below the best.
        has_optimum[load] = max(rates[0], rates[-1]) <= 0.95 * max(rates)
    return Outcome(
        f"Mbit/s by weights {weights[0]} to {weights[-1]}: " + "; ".join(parts),
        spread["dd"] <= 1.15 and all(spread[load] >= 1.3 and has_optimum[load] for load in ("web", "iperf")),
        "iperf takes from the guest beside it, which computes, whatever Dom0's weight lets it, and keeps growing. The "
        "web server's optimum is shallow, and plain only if a switch is several times as dear. Beside a guest with the "
        "same load the web server loses with Dom0's weight and iperf gains little",
    )


def limit_for_both() -> Outcome:
    """R19."""
    parts, is_met = [], True
    for name, measure in (("outbound", driver_domain.limited_server), ("inbound", driver_domain.limited_receiver)):
        plain, collected = measure("sedf"), measure("sedf-dc")
        parts.append(
            f"{name}: {plain.guest_pct:.1f} + {plain.driver_pct:.1f} = {plain.total_pct:.1f} % under SEDF, "
            f"{collected.guest_pct:.1f} + {collected.driver_pct:.1f} = {collected.total_pct:.1f} % under SEDF-DC"
        )
        is_met &= abs(plain.total_pct - 50) <= 2 and abs(plain.guest_pct - 30) <= 2
        is_met &= abs(collected.total_pct - 30) <= 2
    return Outcome("; ".join(parts), is_met)


def inbound_flood() -> Outcome:
    """R20."""
    limit_pct = driver_domain.IO_LIMIT_PCT
    parts, is_met = [], True
    for rate in driver_domain.FLOODS_PER_S:
        collected = driver_domain.flood("sedf-dc", packets_per_s=rate)
        guarded, by_truth = (
            driver_domain.flood("share-guard", packets_per_s=rate, attribution=attribution)
            for attribution in ("packets", "true")
        )
        parts.append(
            f"{rate / 1000:.0f}: {collected.served_pct:.1f} % under SEDF-DC; under ShareGuard "
            f"{guarded.charged_pct:.1f} charged and {guarded.served_pct:.1f} spent, {by_truth.served_pct:.1f} if what "
            f"is spent is charged, at most {guarded.worst_excess_ms:.1f} ms above in a row, "
            f"{guarded.worst_poll_ms:.1f} in one poll"
        )
        is_met &= collected.served_pct > limit_pct >= max(guarded.charged_pct, by_truth.served_pct)
        is_met &= all(run.worst_excess_ms <= run.worst_poll_ms for run in (guarded, by_truth))
        is_met &= guarded.victim_per_s > collected.victim_per_s
    return Outcome(
        f"by thousands of packets a second, the driver domain's CPU for a guest that may cost it {limit_pct:.0f} %: "
        + "; ".join(parts)
        + "; charges by packets leave out those that are dropped",
        is_met,
    )


def dom0_under_web_load() -> Outcome:
    """R21."""
    mix = driver_domain.web_load(driver_domain.WEB_MIX).driver_pct
    sizes = {size: driver_domain.web_load([(1.0, size)]).driver_pct for size in (1_000, 5_000, 10_000, 30_000, 70_000)}
    return Outcome(
        f"{mix:.0f} % with the sizes of SPECweb99; by size alone "
        + ", ".join(f"{size / 1000:.0f} KB {pct:.0f} %" for size, pct in sizes.items())
        + "; with 0.25 ms of CPU a request in the server (assumed)",
        20 <= mix <= 45,
    )


def cpu_by_exchanges() -> Outcome:
    """R22."""
    web, packets = driver_domain.cpu_by_exchanges(), driver_domain.cpu_by_packet_bytes()
    slopes = list(packets.slope_of_size_us.values())
    by_file = ", ".join(f"{size / 1000:.0f} KB {slope:.1f}" for size, slope in web.slope_of_size_us.items())
    return Outcome(
        f"R2 {web.r2:.4f} over web loads, {packets.r2:.4f} over packets of 64 to 1500 bytes, slopes {min(slopes):.1f} "
        f"to {max(slopes):.1f} us by bytes of a packet; by file {by_file} us, for small files share interrupts less",
        web.r2 >= 0.98 and packets.r2 >= 0.98 and max(slopes) <= 1.05 * min(slopes),
    )


def tpcw_response() -> Outcome:
    """R24."""
    result, defaults = communication.compare_tpcw(), communication.compare_tpcw("defaults", seeds=(1,))
    ratios = result.ratios.values()
    return Outcome(
        "ratio by CPU-bound domains, all with equal reservations: "
        + ", ".join(f"{n}: {ratio:.2f}" for n, ratio in result.ratios.items())
        + f"; shares change by {result.share_change_max_pct:.2f} points at most; with Xen 3.0.2's default parameters "
        + ", ".join(f"{n}: {ratio:.2f}" for n, ratio in defaults.ratios.items()),
        min(ratios) >= 0.65 and max(ratios) <= 1.05 and min(ratios) <= 0.8 and result.share_change_max_pct <= 1,
    )


def streaming_clients() -> Outcome:
    """R25."""
    parts, equal = [], []
    for num_hogs in (1, 3, 5):
        gains = []
        for parameters in communication.PARAMETERS:
            plain, aware = (
                communication.most_clients(name, parameters, num_hogs=num_hogs)
                for name in ("sedf", "communication-aware")
            )
            gains.append(f"{plain} to {aware}")
            if parameters == "equal":
                equal.append(aware / max(1, plain))
        parts.append(f"{num_hogs}: {gains[0]} (default parameters {gains[1]})")
    return Outcome(
        "clients by CPU-bound domains, all with equal reservations: " + ", ".join(parts),
        1.5 <= max(equal) <= 4,
        "with equal reservations the server has used up its part of the pCPU when pieces come late, and order cannot "
        "help. With Xen's default parameters SEDF leaves it less than the order brings it. Which the paper had is not "
        "known",
    )


def copy_or_flip() -> Outcome:
    """R36."""
    link = network.FAST_LINK_MBIT_PER_S
    receive = {
        size: [
            network.bulk_mbit_per_s(model, "receive", mtu=size, link_mbit_per_s=link)
            for model in ("xen3_split_flip", "xen3_split_copy")
        ]
        for size in COPY_OR_FLIP_BYTES
    }
    flip, copy = receive[1500]
    plain = network.bulk_mbit_per_s("xen3_split_flip", "send", link_mbit_per_s=link)
    offloaded = network.bulk_mbit_per_s("xen3_split_copy", "send", link_mbit_per_s=link, is_offloading=True)
    small = ", ".join(f"{size}: {with_copy / with_flip:.2f}" for size, (with_flip, with_copy) in receive.items())
    return Outcome(
        f"receive {flip:.0f} to {copy:.0f} Mbit/s ({100 * (copy / flip - 1):+.0f} %), send {plain:.0f} to "
        f"{offloaded:.0f} ({offloaded / plain:.2f} times); copy to flip by bytes of a packet {small}",
        abs(copy / flip / 1.18 - 1) <= 0.1
        and abs(offloaded / plain / 4.4 - 1) <= 0.1
        and all(with_copy > with_flip for with_flip, with_copy in receive.values()),
    )
