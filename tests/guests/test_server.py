"""Open-arrival programs: requests come whatever the domain gets, queue first come first served, and are counted."""

import math

import numpy as np
import pytest

from xengym.guests.cpu import HogKind
from xengym.guests.programs import Hog, Replay, Server
from xengym.guests.server import ReplayKind, ServerKind
from xengym.hypervisor.domctl import Domctl
from xengym.hypervisor.host import Host
from xengym.machine.topology import Topology
from xengym.policies.schedulers.credit import CreditScheduler
from xengym.sim.random import DistributionSpec, sample_ns
from xengym.sim.trace_kinds import TraceKind

MS = 1_000_000
SECOND = 1_000_000_000
ARRIVAL, SERVICE = 2, 3


def constant(ms):
    return DistributionSpec("constant", ms * MS)


def exponential(ms):
    return DistributionSpec("exponential", ms * MS)


def make_host(num_pcpus=1, *, queue_slots=64, seed=0, version="3.2"):
    kinds = [HogKind(), ServerKind(queue_slots), ReplayKind(queue_slots)]
    host = Host(Topology.flat(num_pcpus), CreditScheduler(version), kinds, seed=seed)
    host.start_trace()
    return host, Domctl(host)


def log(host, *kinds):
    """``(at_ms, kind, value_ms)`` of those records."""
    wanted = [TraceKind[kind] for kind in kinds]
    return [
        (at_ns / MS, TraceKind(kind).name, value / MS)
        for at_ns, value, _, _, kind, _ in host.trace_records().tolist()
        if kind in wanted
    ]


def jobs(host, slot=0):
    domain = host.sections["domain"][slot]
    return {key: int(domain[f"jobs_{key}"]) for key in ("submitted", "done", "dropped", "in_time")}


def waiting_and_in_service(host, kind="server", slot=0):
    queue = host.sections[f"{kind}_queue"][slot]
    first, count = host.sections["domain"][["first_vcpu", "num_vcpus"]][slot].tolist()
    serving = host.sections[f"{kind}_serving"][first : first + count]
    return int(queue["tail"] - queue["head"]), int((serving >= 0).sum())


def assert_no_job_is_lost(host, kind="server", slot=0):
    count = jobs(host, slot)
    assert count["submitted"] == count["done"] + count["dropped"] + sum(waiting_and_in_service(host, kind, slot))


class TestQueue:
    def test_requests_come_at_their_times_from_the_start_on(self):
        host, control = make_host()
        control.create_domain(1, Server(constant(10), constant(3)), start_ns=5 * MS)
        host.run_until(36 * MS)
        assert log(host, "JOB_SUBMIT", "JOB_DONE") == [
            (15, "JOB_SUBMIT", 3), (18, "JOB_DONE", 3),
            (25, "JOB_SUBMIT", 3), (28, "JOB_DONE", 3),
            (35, "JOB_SUBMIT", 3),
        ]  # fmt: skip
        assert host.runstate_ns(0) == {"running": 7 * MS, "runnable": 0, "blocked": 24 * MS, "offline": 5 * MS}

    def test_first_come_first_served_and_a_full_queue_drops(self):
        # A request every 10 ms, from 10 ms on, takes 25. At 60 ms one is done before the next arrives.
        host, control = make_host(queue_slots=2)
        control.create_domain(1, Server(constant(10), constant(25)), latency_target_ns=40 * MS)
        host.run_until(90 * MS)
        assert log(host, "JOB_DONE", "JOB_DROP") == [
            (35, "JOB_DONE", 25),  # came at 10
            (50, "JOB_DROP", 25),  # those of 30 and 40 wait
            (60, "JOB_DONE", 40),  # came at 20
            (70, "JOB_DROP", 25),  # those of 40 and 60 wait
            (80, "JOB_DROP", 25),
            (85, "JOB_DONE", 55),  # came at 30
        ]
        assert jobs(host) == {"submitted": 8, "done": 3, "dropped": 3, "in_time": 2}
        assert waiting_and_in_service(host) == (1, 1)

    def test_the_vcpus_share_one_queue(self):
        # Every 2 ms a request of 3 ms: vCPU 0 and vCPU 1 in turn, nobody waits.
        host, control = make_host(2)
        control.create_domain(1, Server(constant(2), constant(3)), num_vcpus=2)
        host.run_until(20 * MS + 1)
        assert [value for *_, value in log(host, "JOB_DONE")] == [3] * 8
        records = host.trace_records()
        assert records["vcpu"][records["kind"] == TraceKind.JOB_DONE].tolist() == [0, 1] * 4

    def test_a_vcpu_that_is_offline_is_given_no_request(self):
        host, control = make_host(2)
        control.create_domain(1, Server(constant(10), constant(3)), num_vcpus=2)
        host.run_until(5 * MS)
        control.set_vcpu_online(1, 0, False)
        host.run_until(30 * MS)
        records = host.trace_records()
        assert records["vcpu"][records["kind"] == TraceKind.JOB_DONE].tolist() == [1, 1]

    def test_requests_wait_while_the_domain_is_paused(self):
        host, control = make_host()
        control.create_domain(1, Server(constant(10), constant(3)))
        host.run_until(11 * MS)
        control.pause_domain(1)
        host.run_until(35 * MS)
        assert waiting_and_in_service(host) == (2, 1)
        control.unpause_domain(1)
        host.run_until(50 * MS)
        # Those of 10, 20, 30 and 40 ms; the second one begins when the first one's last 2 ms are done.
        assert [value for *_, value in log(host, "JOB_DONE")] == [27, 20, 13, 6]

    def test_arrivals_do_not_depend_on_what_the_domain_gets(self):
        counts = []
        for num_hogs in (0, 3):
            host, control = make_host(seed=4)
            control.create_domain(1, Server(exponential(5), exponential(2)))
            for domid in range(2, 2 + num_hogs):
                control.create_domain(domid, Hog())
            host.run_until(10 * SECOND)
            domain = host.sections["domain"][0]
            counts.append((domain["jobs_submitted"], domain["work_submitted_ns"]))
            assert_no_job_is_lost(host)
        assert counts[0] == counts[1]

    def test_arrival_and_service_times_are_drawn_from_streams_of_the_domain(self):
        host, control = make_host(seed=4)
        control.create_domain(6, Server(exponential(5), exponential(2)))
        host.run_until(SECOND)
        submitted = log(host, "JOB_SUBMIT")
        count = len(submitted)
        gaps = sample_ns(exponential(5), count, seed=4, stream=ARRIVAL, entity=6)
        works = sample_ns(exponential(2), count, seed=4, stream=SERVICE, entity=6)
        assert [at for at, *_ in submitted] == [at / MS for at in np.cumsum(gaps).tolist()]
        assert [work for *_, work in submitted] == [work / MS for work in works]

    @pytest.mark.parametrize("version", ["3.0.3", "3.2", "4.5", "current"])
    def test_no_request_is_lost_whatever_happens_to_the_domain(self, version):
        host, control = make_host(2, queue_slots=5, version=version, seed=3)
        control.create_domain(1, Server(exponential(4), exponential(6)), num_vcpus=2, params={"cap": 120})
        control.create_domain(2, Hog(), num_vcpus=2)
        for step in range(1, 300):
            host.run_until(step * 7 * MS)
            assert_no_job_is_lost(host)
            if step % 9 == 0:
                control.pause_domain(1)
            if step % 9 == 2 and step > 9:
                control.unpause_domain(1)
            if step % 7 == 0:
                control.set_vcpu_online(1, 1, step % 2 == 0)
            if step % 5 == 0:
                control.set_affinity(1, 0, hard=[step % 2])
        count = jobs(host)
        assert min(count["done"], count["dropped"]) > 50

    @pytest.mark.parametrize("kind", [ServerKind, ReplayKind])
    def test_a_queue_without_a_place_is_refused(self, kind):
        with pytest.raises(ValueError, match=f"{kind.name}: queue_slots must be >= 1, found 0"):
            kind(0)


class TestQueueingTheory:
    def responses_ms(self, arrival, service, num_servers=1, seconds=1000, **options):
        host, control = make_host(num_servers, queue_slots=4096, **options)
        host.stop_trace()
        control.create_domain(1, Server(arrival, service), num_vcpus=num_servers)
        host.run_until(20 * SECOND)
        host.start_trace()
        host.run_until(seconds * SECOND)
        assert jobs(host)["dropped"] == 0
        records = host.trace_records()
        return records["value"][records["kind"] == TraceKind.JOB_DONE] / MS

    def assert_mean(self, samples, expected):
        """Batch means: 30 batches are nearly independent, though neighbouring jobs are not."""
        batches = np.array_split(samples, 30)
        means = np.array([batch.mean() for batch in batches])
        half_width = 3.66 * means.std(ddof=1) / math.sqrt(30)  # Student's t with 29 degrees of freedom, 99.9 %
        assert samples.mean() == pytest.approx(expected, abs=half_width)
        assert half_width < 0.12 * expected  # else the test says nothing

    @pytest.mark.parametrize("load", [0.3, 0.5, 0.8])
    def test_m_m_1(self, load):
        # Mean response 1 / (service rate - arrival rate), and its distribution is exponential.
        responses = self.responses_ms(exponential(5 / load), exponential(5), seed=1)
        expected = 5 / (1 - load)
        self.assert_mean(responses, expected)
        assert np.median(responses) == pytest.approx(expected * math.log(2), rel=0.1)

    def test_m_d_1(self):
        # Pollaczek and Khinchine: the wait is half that of M/M/1.
        load = 0.6
        responses = self.responses_ms(exponential(5 / load), constant(5), seed=2)
        self.assert_mean(responses, 5 + load * 5 / (2 * (1 - load)))

    def test_m_m_2(self):
        # Erlang's C: the probability of waiting with two servers, each loaded with 0.7.
        load = 0.7
        waiting = 2 * load**2 / (1 + load)
        responses = self.responses_ms(exponential(5 / (2 * load)), exponential(5), 2, seed=3, version="current")
        self.assert_mean(responses, 5 + waiting * 5 / (2 * (1 - load)))

    def test_the_pcpu_is_busy_for_the_load(self):
        host, control = make_host(seed=5)
        control.create_domain(1, Server(exponential(10), exponential(4)))
        host.run_until(500 * SECOND)
        # Of N jobs with exponential times: relative standard error sqrt(2 / N).
        tolerance = 4 * math.sqrt(2 / jobs(host)["done"])
        assert host.runstate_ns(0)["running"] / host.now_ns == pytest.approx(0.4, rel=tolerance)


class TestReplay:
    def demand(self, cpu_pct, until_s, *, num_vcpus=1, seed=0, **options):
        """CPU time of the domain in each second."""
        host, control = make_host(num_vcpus, seed=seed)
        program = Replay(np.array(cpu_pct, dtype=np.uint8), **options)
        control.create_domain(1, program, num_vcpus=num_vcpus)
        got = [0]
        for second in range(1, until_s + 1):
            host.run_until(second * SECOND)
            got.append(sum(host.runstate_ns(vcpu)["running"] for vcpu in range(num_vcpus)))
        assert_no_job_is_lost(host, "replay")
        return host, np.diff(got) / SECOND

    def test_the_cpu_used_is_what_the_trace_says_sample_by_sample(self):
        trace = [0, 10, 35, 100, 60, 0, 5]
        # A sample's first job may come up to a job period late: 20 ms of a second.
        host, used = self.demand(trace, 14, sample_ns=SECOND)
        assert used == pytest.approx(np.array(trace + trace) / 100, abs=0.02)  # and again from the start
        assert jobs(host)["dropped"] == 0

    def test_every_job_has_its_exact_share(self):
        host, _ = self.demand([37], 10, sample_ns=SECOND)
        works = {work for *_, work in log(host, "JOB_SUBMIT")}
        assert works == {0.37 * 20}
        assert host.sections["domain"]["work_submitted_ns"][0] == jobs(host)["submitted"] * 7_400_000
        assert jobs(host)["submitted"] in (499, 500)

    def test_nothing_is_asked_where_the_trace_says_nothing(self):
        host, used = self.demand([0], 5, sample_ns=SECOND)
        assert used.tolist() == [0] * 5
        assert jobs(host)["submitted"] == 0

    def test_it_begins_at_the_sample_that_was_asked_for(self):
        _, used = self.demand([10, 20, 30, 40], 4, sample_ns=SECOND, first_sample=2)
        assert used == pytest.approx([0.3, 0.4, 0.1, 0.2], abs=0.02)

    def test_each_vcpu_is_given_the_share(self):
        host, used = self.demand([25], 4, sample_ns=SECOND, num_vcpus=3)
        assert used == pytest.approx([0.75] * 4, abs=0.06)
        assert [host.runstate_ns(vcpu)["running"] / SECOND for vcpu in range(3)] == pytest.approx([1] * 3, abs=0.02)

    def test_domains_do_not_submit_in_step(self):
        host, control = make_host(4)
        program = Replay(np.array([10], dtype=np.uint8), job_period_ns=20 * MS)
        for domid in range(4):
            control.create_domain(domid, program)
        host.run_until(20 * MS + 1)
        firsts = [at for at, *_ in log(host, "JOB_SUBMIT")]
        assert len(set(firsts)) == 4
        assert 0 < min(firsts) < max(firsts) <= 20

    def test_with_spread_the_mean_stays_and_the_jobs_differ(self):
        host, _ = self.demand([30], 300, sample_ns=SECOND, spread=0.5, seed=2)
        works = np.array([work for *_, work in log(host, "JOB_SUBMIT")])
        deviation = math.sqrt(math.exp(0.25) - 1)
        assert works.mean() == pytest.approx(6, rel=4 * deviation / math.sqrt(len(works)))
        assert works.std() / works.mean() == pytest.approx(deviation, rel=0.05)

    def test_demand_that_is_not_met_queues_up_and_at_last_is_dropped(self):
        host, control = make_host(queue_slots=10)
        control.create_domain(1, Replay(np.array([80], dtype=np.uint8)), params={"cap": 20})
        host.run_until(60 * SECOND)
        assert_no_job_is_lost(host, "replay")
        count = jobs(host)
        # 80 % asked, 20 % had: three quarters are dropped, less what waits.
        assert count["dropped"] / count["submitted"] == pytest.approx(0.75, abs=0.01)
        assert waiting_and_in_service(host, "replay") in [(10, 1), (9, 1)]
