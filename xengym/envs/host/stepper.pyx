"""One control step: apply the action, let the interval pass, measure, encode, reward. For one host or a batch.

A batch steps its hosts on a pool of threads with the interpreter released. Hosts share nothing, so the result does not
depend on the number of threads.
"""
from cpython.ref cimport PyObject
from cython.parallel cimport prange
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from xengym.envs.host.actions cimport ActionDecoder
from xengym.envs.host.observations cimport ObservationEncoder
from xengym.envs.host.rewards cimport NUM_TERMS, RewardTerms
from xengym.hypervisor.host cimport Host
from xengym.monitor.interval cimport IntervalMonitor

import numpy as np


cdef class Stepper:
    """A host with everything that turns it into steps of an environment.

    Args:
        host: the machine.
        num_domains: domain slots covered by actions and observations.
        interval_ns: simulated time of one step.
        weights: reward weight by term name.
        is_discrete: actions are steps instead of numbers.
    """

    def __init__(self, Host host, int num_domains, int64_t interval_ns, weights, bint is_discrete):
        self.host = host
        self.interval_ns = interval_ns
        self.monitor = IntervalMonitor(host)
        self.actions = ActionDecoder(host, num_domains, is_discrete)
        self.observations = ObservationEncoder(host, self.monitor, self.actions)
        self.rewards = RewardTerms(host, self.monitor, num_domains, weights)
        self.num_steps = 0
        self.episode_steps = 1
        self.monitor.restart()

    cdef int advance(self, const void* action, float* obs, double* terms, double* reward) noexcept nogil:
        cdef int refused
        if self.actions.is_discrete:
            refused = self.actions.apply_steps(<const int64_t*>action)
        else:
            refused = self.actions.apply_box(<const float*>action)
        self.host.run(self.host.m.clock.now_ns + self.interval_ns, 0)
        self.num_steps += 1
        self.monitor.measure()
        self.observations.encode(obs)
        reward[0] = self.rewards.compute(terms)
        return refused

    def observe(self):
        """The present observation: ``float32`` of shape ``(size,)``."""
        obs = np.empty(self.observations.size, dtype=np.float32)
        cdef float[::1] out = obs
        self.observations.encode(&out[0])
        return obs

    def step(self, action):
        """Advance by one interval.

        Args:
            action: contiguous, ``float32`` (numbers) or ``int64`` (steps), of shape ``(actions.size,)``; not checked.

        Returns:
            ``(obs, reward, terms, refused)``; terms is a tuple in the order of ``REWARD_TERMS``.
        """
        obs = np.empty(self.observations.size, dtype=np.float32)
        cdef float[::1] out = obs
        cdef double terms[4]
        cdef double reward
        cdef int refused
        cdef const float[::1] numbers
        cdef const int64_t[::1] steps
        cdef const void* given
        if self.actions.is_discrete:
            steps = action
            given = &steps[0]
        else:
            numbers = action
            given = &numbers[0]
        with nogil:
            refused = self.advance(given, &out[0], terms, &reward)
        return obs, reward, (terms[0], terms[1], terms[2], terms[3]), refused


cdef class BatchStepper:
    """Steps many hosts in one call.

    Args:
        steppers: alike in shape; the batch keeps references.
        num_threads: threads to use, at least 1.
    """

    cdef list steppers
    cdef PyObject** table
    cdef readonly int num_threads
    cdef readonly int num_envs

    def __init__(self, steppers, int num_threads):
        self.steppers = list(steppers)
        self.num_envs = len(self.steppers)
        self.num_threads = max(1, min(num_threads, self.num_envs))
        self.table = <PyObject**>malloc(self.num_envs * sizeof(PyObject*))
        if self.table == NULL:
            raise MemoryError("batch")
        for i, stepper in enumerate(self.steppers):
            self.table[i] = <PyObject*>(<Stepper?>stepper)

    def __dealloc__(self):
        free(self.table)

    def replace(self, int index, Stepper stepper):
        """Put another host in a place of the batch, for its next episode."""
        self.steppers[index] = stepper
        self.table[index] = <PyObject*>stepper

    def step(self, actions):
        """Advance every host by one interval.

        Args:
            actions: contiguous, ``float32`` or ``int64`` by kind, of shape ``(num_envs, actions.size)``; not checked.

        Returns:
            ``(obs, reward, truncated, terms, refused, present, time_s)``: new arrays, first axis ``num_envs``; obs ``float32``
            of shape ``(num_envs, observations.size)``, terms in the order of ``REWARD_TERMS``, present ``bool`` by domain.
        """
        cdef Stepper first = self.steppers[0]
        cdef int n = self.num_envs
        cdef int num_domains = first.actions.num_domains
        obs = np.empty((n, first.observations.size), dtype=np.float32)
        reward = np.empty(n)
        truncated = np.empty(n, dtype=bool)
        terms = np.empty((n, NUM_TERMS))
        refused = np.empty(n, dtype=np.int32)
        present = np.empty((n, num_domains), dtype=bool)
        time_s = np.empty(n)
        cdef float[:, ::1] obs_out = obs
        cdef double[::1] reward_out = reward
        cdef unsigned char[::1] truncated_out = truncated.view(np.uint8)
        cdef double[:, ::1] terms_out = terms
        cdef int[::1] refused_out = refused
        cdef unsigned char[:, ::1] present_out = present.view(np.uint8)
        cdef double[::1] time_out = time_s
        cdef const float[:, ::1] numbers
        cdef const int64_t[:, ::1] steps
        cdef const char* base
        cdef Py_ssize_t stride
        cdef int i, d
        if first.actions.is_discrete:
            steps = actions
            base = <const char*>&steps[0, 0]
            stride = steps.shape[1] * sizeof(int64_t)
        else:
            numbers = actions
            base = <const char*>&numbers[0, 0]
            stride = numbers.shape[1] * sizeof(float)
        for i in prange(n, nogil=True, schedule="dynamic", chunksize=1 + n // (8 * self.num_threads),
                        num_threads=self.num_threads):
            refused_out[i] = (<Stepper>self.table[i]).advance(
                base + i * stride, &obs_out[i, 0], &terms_out[i, 0], &reward_out[i]
            )
            truncated_out[i] = (<Stepper>self.table[i]).num_steps >= (<Stepper>self.table[i]).episode_steps
            time_out[i] = (<Stepper>self.table[i]).host.m.clock.now_ns * 1e-9
            for d in range(num_domains):
                present_out[i, d] = (<Stepper>self.table[i]).monitor.domain[d].is_present != 0
        return obs, reward, truncated, terms, refused, present, time_s
