"""One control step of a cluster: a move (or none), parameters where they are the agent's, time, measures, reward.

At fluid fidelity a step needs no interpreter, so a batch of clusters is stepped on threads. At event fidelity the cluster is
driven from Python and the same measures are taken from its books.

An operator's rule looks after power, so that it is worth an agent's while to empty hosts: of the hosts that are on one empty one
is kept as a spare, further ones are suspended; when there is no empty one, one is woken.
"""
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t
from xengym.envs.cluster.observations cimport (
    NUM_DOMAIN, NUM_GLOBAL, NUM_HOST, DomainMark, encode_cluster,
)
from xengym.envs.pooled cimport PooledBatch
from xengym.hypervisor.cluster.fluid cimport FluidCluster
from xengym.machine.cluster_state cimport (
    ACCEPTED, POWER_ON, POWER_SUSPENDED, POWER_WAKING, SHARES_SEDF, ClusterClock, ClusterDomain, ClusterHost, reservation_pcpus,
)
from xengym.policies.control.placement cimport fill_move_mask
from xengym.sim.worker_pool cimport pool_run

import numpy as np

from xengym.machine.cluster_state import REFUSALS

#: Name and meaning of each term of the reward, in order.
CLUSTER_TERMS = (
    ("violations", "minus the part of the domains' time in which they got less than they demanded"),
    ("downtime", "minus the part of it in which they stood still for a move"),
    ("energy", "minus the energy used, of that of all hosts at full load"),
    ("migrations", "minus the moves ordered, of the hosts' number"),
    ("remote", "minus what domains sent to clients of another site, of what all network cards could have sent"),
)

#: Weights that an agent may give a domain (256 is Xen's default, and the first choice); under SEDF parts of each vCPU that
#: are reserved, of `RESERVED_FRACS`.
WEIGHT_LEVELS = (256, 64, 128, 512, 1024)
RESERVED_FRACS = (0.0, 0.1, 0.25, 0.5, 0.75)
#: Caps in per cent of all its vCPUs, 0 for none; under SEDF 0 means that it gets extra time, anything else that it does not.
CAP_LEVELS = (0, 25, 50, 75, 100)

cdef int[5] WEIGHTS = WEIGHT_LEVELS
cdef double[5] RESERVED = RESERVED_FRACS
cdef int[5] CAPS = CAP_LEVELS
cdef int64_t SEDF_PERIOD_NS = 100_000_000

cdef DomainMark _mark

assert len(CLUSTER_TERMS) == NUM_CLUSTER_TERMS
assert len(WEIGHT_LEVELS) == len(RESERVED_FRACS) == NUM_WEIGHT_LEVELS and len(CAP_LEVELS) == NUM_CAP_LEVELS


cdef class ClusterStepper:
    """A cluster with everything that turns it into steps of an environment.

    Args:
        cluster: a ``FluidCluster`` or an event-level cluster that keeps its books in one.
        interval_ns: simulated time of a control interval.
        weights: reward weight by term name.
        sets_params: the action has two more numbers for each domain slot: levels of its weight and cap.
        keeps_spare: the operator's rule looks after power; else nobody does.
    """

    def __init__(self, cluster, int64_t interval_ns, weights, *, bint sets_params=False, bint keeps_spare=True):
        self.driver = None if isinstance(cluster, FluidCluster) else cluster
        self.books = cluster if self.driver is None else cluster.books
        self.interval_ns = interval_ns
        self.sets_params = sets_params
        self.takes_integers = True
        self.keeps_spare = keeps_spare
        cdef ClusterClock* clock = self.books.a.clock
        cdef DomainMark[::1] marks = np.zeros(max(1, clock.num_domains), dtype=np.asarray(<DomainMark[:1]>&_mark).dtype)
        self.mark_records = np.asarray(marks)
        self.marks = &marks[0]
        self.num_domains = clock.num_domains
        self.num_features = NUM_GLOBAL + clock.num_hosts * NUM_HOST + clock.num_domains * NUM_DOMAIN
        self.num_masks = 1 + clock.num_domains * clock.num_hosts
        self.num_actions = 1
        if sets_params:
            self.num_masks += clock.num_domains * (NUM_WEIGHT_LEVELS + NUM_CAP_LEVELS)
            self.num_actions += 2 * clock.num_domains
        for k, (name, _) in enumerate(CLUSTER_TERMS):
            self.weights[k] = weights[name]
        hosts = cluster.hosts
        self.scale.pcpus = max(1e-9, hosts["capacity_pcpus"].max())
        self.scale.pages = max(1.0, float(hosts["memory_pages"].max()))
        self.scale.moves = max(1.0, float(cluster.clock["moves_per_host"][0]))
        self.scale.nic = max(1.0, hosts["nic_bytes_per_s"].max())
        self.busy_nj = max(1.0, float(hosts["busy_watts"].sum()) * interval_ns)
        self.cards_bytes = max(1.0, float(hosts["nic_bytes_per_s"].sum()) * interval_ns * 1e-9)
        self.num_steps = 0
        self.episode_steps = 1
        self.mark()

    @property
    def cluster(self):
        """The cluster that is stepped, whatever its fidelity."""
        return self.books if self.driver is None else self.driver

    # -- acting ----------------------------------------------------------------------------------------------------

    cdef void set_levels(self, const int64_t* levels) noexcept nogil:
        """Scheduler parameters of every domain, by level; a reservation that does not fit its host stays what it is."""
        cdef ClusterDomain* d
        cdef ClusterHost* h
        cdef ClusterDomain wanted
        cdef int i
        for i in range(self.num_domains):
            d = &self.books.a.domain[i]
            if not d.in_use:
                continue
            h = &self.books.a.host[d.host]
            wanted = d[0]
            if h.shares == SHARES_SEDF:
                wanted.period_ns = SEDF_PERIOD_NS
                wanted.slice_ns = <int64_t>(RESERVED[levels[2 * i]] * SEDF_PERIOD_NS)
                wanted.has_extra = CAPS[levels[2 * i + 1]] == 0
                if h.reserved_pcpus - reservation_pcpus(d, h) + reservation_pcpus(&wanted, h) > h.capacity_pcpus + 1e-9:
                    continue
            else:
                wanted.weight = WEIGHTS[levels[2 * i]]
                wanted.cap_pct = CAPS[levels[2 * i + 1]] * d.vcpus
            if wanted.weight != d.weight or wanted.cap_pct != d.cap_pct or wanted.slice_ns != d.slice_ns \
                    or wanted.period_ns != d.period_ns or wanted.has_extra != d.has_extra:
                self.books.touch(d.host)
                d[0] = wanted
                self.books.sum_reservations(d.host)
                if d.move >= 0:
                    self.books.sum_reservations(self.books.a.move[d.move].target)

    cdef int act(self, const int64_t* action) noexcept nogil:
        """Begin the move that the action names; returns the reason code."""
        cdef int hosts = self.books.a.clock.num_hosts
        if self.sets_params:
            self.set_levels(action + 1)
            self.books.settle()
        if action[0] == 0:
            return ACCEPTED
        return self.books.order(<int>((action[0] - 1) // hosts), <int>((action[0] - 1) % hosts))

    cdef void tend_power(self) noexcept nogil:
        cdef ClusterHost* h
        cdef int i, spares = 0, asleep = -1
        if not self.keeps_spare:
            return
        for i in range(self.books.a.clock.num_hosts):
            h = &self.books.a.host[i]
            if h.power == POWER_SUSPENDED and asleep < 0:
                asleep = i
            elif h.power == POWER_WAKING:
                spares += 1
            elif h.power == POWER_ON and h.num_domains == 0 and h.incoming == 0 and h.outgoing == 0:
                spares += 1
                if spares > 1:
                    self.books.change_power(i, False)
        if spares == 0 and asleep >= 0:
            self.books.change_power(asleep, True)

    # -- measuring -------------------------------------------------------------------------------------------------

    cdef void mark(self) noexcept nogil:
        """An interval begins."""
        cdef int i
        for i in range(self.num_domains):
            self.marks[i].serial = self.books.a.domain[i].serial
            self.marks[i].violation_ns = self.books.a.domain[i].violation_ns if self.books.a.domain[i].in_use else 0

    cdef void total(self, Totals* totals) noexcept nogil:
        cdef int i
        totals.energy_nj = 0.0
        totals.present_ns = 0.0
        for i in range(self.books.a.clock.num_hosts):
            totals.energy_nj += <double>self.books.a.host[i].energy_nj
        totals.violation_ns = 0.0
        for i in range(self.num_domains):
            if self.books.a.domain[i].in_use:
                totals.present_ns += <double>self.interval_ns
                totals.violation_ns += <double>(
                    self.books.a.domain[i].violation_ns
                    - (self.marks[i].violation_ns if self.marks[i].serial == self.books.a.domain[i].serial else 0)
                )
        totals.downtime_ns = <double>self.books.a.clock.downtime_ns
        totals.moves_ordered = self.books.a.clock.moves_ordered
        totals.remote_bytes = self.books.a.clock.remote_bytes

    cdef double reward(self, const Totals* before, const Totals* after, double* terms) noexcept nogil:
        cdef double present = after.present_ns if after.present_ns > 0.0 else 1.0
        cdef double total = 0.0
        cdef int k
        terms[0] = -after.violation_ns / present
        terms[1] = -(after.downtime_ns - before.downtime_ns) / present
        terms[2] = -(after.energy_nj - before.energy_nj) / self.busy_nj
        terms[3] = -<double>(after.moves_ordered - before.moves_ordered) / self.books.a.clock.num_hosts
        terms[4] = -(after.remote_bytes - before.remote_bytes) / self.cards_bytes
        for k in range(NUM_CLUSTER_TERMS):
            total += self.weights[k] * terms[k]
        return total

    cdef int advance(self, const int64_t* action, float* obs, double* terms, double* reward, int* reason) noexcept nogil:
        """A step at fluid fidelity; returns whether the episode is over."""
        cdef Totals before, after
        self.mark()
        self.total(&before)
        reason[0] = self.act(action)
        self.tend_power()
        self.books.run(self.books.a.clock.now_ns + self.interval_ns)
        self.num_steps += 1
        self.total(&after)
        reward[0] = self.reward(&before, &after, terms)
        self.encode(obs)
        return self.num_steps >= self.episode_steps

    def _drive(self, const int64_t[::1] action):
        """A step at event fidelity: the same, through the cluster that drives the hosts."""
        cdef int hosts = self.books.a.clock.num_hosts
        orders = [((action[0] - 1) // hosts, (action[0] - 1) % hosts)] if action[0] else []
        if self.sets_params:
            self._drive_levels(action)
        reasons, reward, terms = self._pass_interval(orders)
        return reasons[0] if reasons else ACCEPTED, reward, terms

    def _pass_interval(self, orders):
        """Order moves, let a control interval pass; returns the orders' reason codes, the reward and its terms."""
        cdef Totals before, after
        cdef double terms[NUM_CLUSTER_TERMS]
        cdef double reward
        cluster = self.cluster
        self.mark()
        self.total(&before)
        reasons = [cluster.order_move(domain, host) for domain, host in orders]
        self.tend_power()
        cluster.run_until(cluster.now_ns + self.interval_ns)
        self.num_steps += 1
        self.total(&after)
        reward = self.reward(&before, &after, terms)
        return reasons, reward, [terms[k] for k in range(NUM_CLUSTER_TERMS)]

    def step_orders(self, orders):
        """Order several moves, one after the other, and let a control interval pass.

        Args:
            orders: pairs ``(slot, host)``.

        Returns:
            ``(reasons, obs, reward, truncated, terms)``: a reason code for each order, 0 if it was accepted; the reward's terms by
            name.
        """
        reasons, reward, values = self._pass_interval(orders)
        terms = {name: value for (name, _), value in zip(CLUSTER_TERMS, values)}
        return reasons, self.observe(), reward, self.num_steps >= self.episode_steps, terms

    def _drive_levels(self, const int64_t[::1] action):
        cdef ClusterDomain* d
        cdef int i
        for i in range(self.num_domains):
            d = &self.books.a.domain[i]
            if not d.in_use:
                continue
            weight, cap = action[1 + 2 * i], action[2 + 2 * i]
            if self.books.a.host[d.host].shares == SHARES_SEDF:
                self.driver.set_params(
                    i, period_ns=SEDF_PERIOD_NS, slice_ns=int(RESERVED_FRACS[weight] * SEDF_PERIOD_NS), has_extra=CAP_LEVELS[cap] == 0
                )
            elif d.weight != WEIGHTS[weight] or d.cap_pct != CAPS[cap] * d.vcpus:
                self.driver.set_params(i, weight=WEIGHT_LEVELS[weight], cap_pct=CAP_LEVELS[cap] * d.vcpus)

    # -- what Gymnasium wants --------------------------------------------------------------------------------------

    cdef void encode(self, float* obs) noexcept nogil:
        encode_cluster(
            &self.books.a, self.books.migration, self.marks, &self.scale, <double>self.num_steps / self.episode_steps,
            self.interval_ns, obs
        )

    cdef void write_masks(self, unsigned char* masks) noexcept nogil:
        cdef int i
        cdef int moves = self.num_domains * self.books.a.clock.num_hosts
        masks[0] = 1
        fill_move_mask(&self.books.a, masks + 1, self.books.mask_scratch)
        for i in range(1 + moves, self.num_masks):
            masks[i] = 1

    def observe(self):
        """The present observation: ``float32`` of shape ``(num_features,)``."""
        obs = np.empty(self.num_features, dtype=np.float32)
        cdef float[::1] out = obs
        self.encode(&out[0])
        return obs

    def masks(self):
        """What may be ordered now: ``bool`` of shape ``(num_masks,)``, nothing first, then each slot's moves by host."""
        masks = np.empty(self.num_masks, dtype=bool)
        cdef unsigned char[::1] out = masks.view(np.uint8)
        with nogil:
            self.write_masks(&out[0])
        return masks

    def restart(self, int64_t num_steps=0):
        """An interval begins, the first of an episode or a later one."""
        self.num_steps = num_steps
        self.mark()

    def step(self, action):
        """Take one action.

        Args:
            action: contiguous ``int64`` of shape ``(num_actions,)``; not checked.

        Returns:
            ``(obs, reward, truncated, info)``: info has the reward's terms by name, ``refused`` (why the move was refused, as text;
            "" if it was not), ``time_s`` and ``action_mask``.
        """
        cdef const int64_t[::1] numbers = action
        cdef double terms[NUM_CLUSTER_TERMS]
        cdef double reward
        cdef int reason
        obs = np.empty(self.num_features, dtype=np.float32)
        cdef float[::1] out = obs
        if self.driver is None:
            with nogil:
                self.advance(&numbers[0], &out[0], terms, &reward, &reason)
            values = [terms[k] for k in range(NUM_CLUSTER_TERMS)]
        else:
            reason, reward, values = self._drive(numbers)
            self.encode(&out[0])
        info = {name: value for (name, _), value in zip(CLUSTER_TERMS, values)}
        info["refused"] = REFUSALS[reason] if reason else ""
        info["time_s"] = self.books.a.clock.now_ns * 1e-9
        info["action_mask"] = self.masks()
        return obs, reward, self.num_steps >= self.episode_steps, info


cdef struct ClusterJob:
    PyObject** steppers
    const int64_t* actions
    float* obs
    double* reward
    double* terms
    double* time_s
    int* reasons
    unsigned char* truncated
    unsigned char* masks
    int num_actions
    int num_features
    int num_masks


cdef void _step_one(void* argument, int i) noexcept nogil:
    cdef ClusterJob* job = <ClusterJob*>argument
    cdef PyObject* stepper = job.steppers[i]
    job.truncated[i] = (<ClusterStepper>stepper).advance(
        job.actions + <Py_ssize_t>i * job.num_actions, job.obs + <Py_ssize_t>i * job.num_features,
        job.terms + i * NUM_CLUSTER_TERMS, job.reward + i, job.reasons + i
    )
    job.time_s[i] = (<ClusterStepper>stepper).books.a.clock.now_ns * 1e-9
    (<ClusterStepper>stepper).write_masks(job.masks + <Py_ssize_t>i * job.num_masks)


cdef class BatchClusterStepper(PooledBatch):
    """Steps many clusters of fluid fidelity in one call.

    Args:
        steppers: alike in shape; the batch keeps references.
        num_threads: threads to use, the caller's included, at least 1.
    """

    cdef ClusterJob job

    def __init__(self, steppers, int num_threads):
        self.gather(steppers, ClusterStepper, num_threads, _step_one, &self.job)
        self.job.steppers = self.pointers
        cdef ClusterStepper first = self.steppers[0]
        self.job.num_actions = first.num_actions
        self.job.num_features = first.num_features
        self.job.num_masks = first.num_masks

    def step(self, actions):
        """Take one action in every cluster.

        Args:
            actions: contiguous ``int64`` of shape ``(num_envs, num_actions)``; not checked.

        Returns:
            ``(obs, reward, truncated, infos)``: new arrays, first axis ``num_envs``; infos by name: the reward's terms, ``refused``
            (texts), ``time_s``, ``action_mask``.
        """
        cdef int n = self.num_envs
        cdef ClusterStepper first = self.steppers[0]
        obs = np.empty((n, self.job.num_features), dtype=np.float32)
        reward = np.empty(n)
        terms = np.empty((n, NUM_CLUSTER_TERMS))
        time_s = np.empty(n)
        reasons = np.empty(n, dtype=np.intc)
        truncated = np.empty(n, dtype=bool)
        masks = np.empty((n, self.job.num_masks), dtype=bool)
        cdef const int64_t[:, ::1] numbers = actions
        cdef float[:, ::1] obs_out = obs
        cdef double[::1] reward_out = reward
        cdef double[:, ::1] terms_out = terms
        cdef double[::1] time_out = time_s
        cdef int[::1] reasons_out = reasons
        cdef unsigned char[::1] truncated_out = truncated.view(np.uint8)
        cdef unsigned char[:, ::1] masks_out = masks.view(np.uint8)
        self.job.actions = &numbers[0, 0]
        self.job.obs = &obs_out[0, 0]
        self.job.reward = &reward_out[0]
        self.job.terms = &terms_out[0, 0]
        self.job.time_s = &time_out[0]
        self.job.reasons = &reasons_out[0]
        self.job.truncated = &truncated_out[0]
        self.job.masks = &masks_out[0, 0]
        if first.driver is None:
            with nogil:
                pool_run(self.pool)
        else:
            self._drive(actions, obs, reward, terms, time_s, reasons, truncated, masks)
        infos = {name: np.ascontiguousarray(terms[:, k]) for k, (name, _) in enumerate(CLUSTER_TERMS)}
        infos["refused"] = np.array([REFUSALS[reason] if reason else "" for reason in reasons], dtype=object)
        infos["time_s"] = time_s
        infos["action_mask"] = masks
        return obs, reward, truncated, infos

    def _drive(self, actions, obs, reward, terms, time_s, reasons, truncated, masks):
        for i, stepper in enumerate(self.steppers):
            reasons[i], reward[i], terms[i] = (<ClusterStepper>stepper)._drive(actions[i])
            obs[i] = stepper.observe()
            time_s[i] = stepper.cluster.now_ns * 1e-9
            truncated[i] = stepper.num_steps >= stepper.episode_steps
            masks[i] = stepper.masks()
