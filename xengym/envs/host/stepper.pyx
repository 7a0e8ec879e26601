"""One control step: apply the action, let the interval pass, measure, encode, reward. For one host or a batch.

A batch steps its hosts on a pool of threads with the interpreter released. Hosts share nothing, so the result does not
depend on the number of threads.
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from xengym.envs.host.actions cimport ActionDecoder
from xengym.envs.host.observations cimport ObservationEncoder
from xengym.envs.host.rewards cimport NUM_TERMS, RewardTerms
from xengym.hypervisor.host cimport Host
from xengym.monitor.interval cimport IntervalMonitor
from xengym.sim.worker_pool cimport WorkerPool, pool_create, pool_destroy, pool_run

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
            ``(obs, reward, truncated, info)``: obs ``float32`` of shape ``(size,)``; info has the reward's terms by name,
            ``refused``, ``domain_mask`` and ``time_s``.
        """
        cdef int num_domains = self.actions.num_domains
        obs = np.empty(self.observations.size, dtype=np.float32)
        present = np.empty(num_domains, dtype=bool)
        cdef Py_buffer obs_buffer, present_buffer, action_buffer
        cdef double terms[4]
        cdef double reward
        cdef int refused, d
        # Plain buffers: a typed memoryview costs several times as much to set up as everything else here.
        PyObject_GetBuffer(obs, &obs_buffer, PyBUF_WRITABLE)
        PyObject_GetBuffer(present, &present_buffer, PyBUF_WRITABLE)
        PyObject_GetBuffer(action, &action_buffer, PyBUF_SIMPLE)
        with nogil:
            refused = self.advance(action_buffer.buf, <float*>obs_buffer.buf, terms, &reward)
        for d in range(num_domains):
            (<unsigned char*>present_buffer.buf)[d] = self.monitor.domain[d].is_present != 0
        PyBuffer_Release(&obs_buffer)
        PyBuffer_Release(&present_buffer)
        PyBuffer_Release(&action_buffer)
        info = {
            "sla": terms[0], "isolation": terms[1], "work": terms[2], "switching": terms[3], "refused": refused,
            "domain_mask": present, "time_s": self.host.m.clock.now_ns * 1e-9,
        }
        return obs, reward, self.num_steps >= self.episode_steps, info


# One call of a batch: where each host's part of the results goes.
cdef struct BatchJob:
    PyObject** steppers
    const char* actions
    Py_ssize_t action_stride
    float* obs
    double* reward
    double* terms
    double* time_s
    int* refused
    unsigned char* truncated
    unsigned char* present
    int num_features
    int num_domains


cdef void step_one(void* argument, int i) noexcept nogil:
    cdef BatchJob* job = <BatchJob*>argument
    cdef PyObject* stepper = job.steppers[i]
    cdef int d
    job.refused[i] = (<Stepper>stepper).advance(
        job.actions + i * job.action_stride, job.obs + <Py_ssize_t>i * job.num_features, job.terms + i * NUM_TERMS,
        job.reward + i
    )
    job.truncated[i] = (<Stepper>stepper).num_steps >= (<Stepper>stepper).episode_steps
    job.time_s[i] = (<Stepper>stepper).host.m.clock.now_ns * 1e-9
    for d in range(job.num_domains):
        job.present[i * job.num_domains + d] = (<Stepper>stepper).monitor.domain[d].is_present != 0


cdef class BatchStepper:
    """Steps many hosts in one call.

    Args:
        steppers: alike in shape; the batch keeps references.
        num_threads: threads to use, the caller's included, at least 1.
    """

    cdef list steppers
    cdef BatchJob job
    cdef WorkerPool* pool
    cdef readonly int num_threads
    cdef readonly int num_envs

    def __init__(self, steppers, int num_threads):
        cdef Stepper first = steppers[0]
        self.steppers = list(steppers)
        self.num_envs = len(self.steppers)
        self.num_threads = max(1, min(num_threads, self.num_envs))
        self.job.num_features = first.observations.size
        self.job.num_domains = first.actions.num_domains
        self.job.steppers = <PyObject**>malloc(self.num_envs * sizeof(PyObject*))
        if self.job.steppers == NULL:
            raise MemoryError("batch")
        for i, stepper in enumerate(self.steppers):
            self.job.steppers[i] = <PyObject*>(<Stepper?>stepper)
        self.pool = pool_create(step_one, &self.job, self.num_envs, self.num_threads)
        if self.pool == NULL:
            raise MemoryError("thread pool")

    def __dealloc__(self):
        pool_destroy(self.pool)
        free(self.job.steppers)

    def replace(self, int index, Stepper stepper):
        """Put another host in a place of the batch, for its next episode."""
        self.steppers[index] = stepper
        self.job.steppers[index] = <PyObject*>stepper

    def step(self, actions):
        """Advance every host by one interval.

        Args:
            actions: contiguous, ``float32`` or ``int64`` by kind, of shape ``(num_envs, actions.size)``; not checked.

        Returns:
            ``(obs, reward, truncated, terms, refused, present, time_s)``: new arrays, first axis ``num_envs``; obs
            ``float32`` of shape ``(num_envs, observations.size)``, terms in the order of ``REWARD_TERMS``, present
            ``bool`` by domain.
        """
        cdef Stepper first = self.steppers[0]
        cdef BatchJob* job = &self.job
        cdef int n = self.num_envs
        obs = np.empty((n, job.num_features), dtype=np.float32)
        reward = np.empty(n)
        truncated = np.empty(n, dtype=bool)
        terms = np.empty((n, NUM_TERMS))
        refused = np.empty(n, dtype=np.int32)
        present = np.empty((n, job.num_domains), dtype=bool)
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
        if first.actions.is_discrete:
            steps = actions
            job.actions = <const char*>&steps[0, 0]
            job.action_stride = steps.shape[1] * sizeof(int64_t)
        else:
            numbers = actions
            job.actions = <const char*>&numbers[0, 0]
            job.action_stride = numbers.shape[1] * sizeof(float)
        job.obs = &obs_out[0, 0]
        job.reward = &reward_out[0]
        job.terms = &terms_out[0, 0]
        job.time_s = &time_out[0]
        job.refused = &refused_out[0]
        job.truncated = &truncated_out[0]
        job.present = &present_out[0, 0]
        with nogil:
            pool_run(self.pool)
        return obs, reward, truncated, terms, refused, present, time_s
