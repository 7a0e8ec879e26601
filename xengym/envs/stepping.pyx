"""Steps of an environment without the interpreter: of one host, or of a batch of hosts on a pool of threads.

An environment derives from `Stepper` and says what happens in a step; what Gymnasium wants to see of it is built here.
Hosts share nothing, so what comes out of a batch does not depend on the number of threads.
"""
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t
from xengym.envs.host.rewards cimport NUM_TERMS
from xengym.envs.pooled cimport PooledBatch
from xengym.hypervisor.host cimport Host
from xengym.monitor.interval cimport IntervalMonitor
from xengym.sim.worker_pool cimport pool_run

import numpy as np


cdef class Stepper:
    """A host with everything that turns it into steps of an environment.

    Args:
        host: the machine.
        num_domains: domain slots covered by actions and observations.
        interval_ns: simulated time of a control interval.
    """

    def __init__(self, Host host, int num_domains, int64_t interval_ns):
        self.host = host
        self.num_domains = num_domains
        self.interval_ns = interval_ns
        self.monitor = IntervalMonitor(host)
        self.extra_names = ()
        self.num_steps = 0
        self.episode_steps = 1
        self.monitor.restart()

    def begin(self):
        """An episode begins: the domains are there and warmed up."""
        self.num_steps = 0
        self.monitor.restart()

    cdef int advance(self, const void* action, float* obs, double* terms, double* reward) noexcept nogil:
        return 0

    cdef void encode(self, float* obs) noexcept nogil:
        pass

    cdef void write_masks(self, unsigned char* masks) noexcept nogil:
        pass

    cdef void write_extras(self, int64_t* extras) noexcept nogil:
        pass

    def observe(self):
        """The present observation: ``float32`` of shape ``(num_features,)``."""
        obs = np.empty(self.num_features, dtype=np.float32)
        cdef float[::1] out = obs
        self.encode(&out[0])
        return obs

    def masks(self):
        """The present action mask: ``bool`` of shape ``(num_masks,)``."""
        masks = np.zeros(self.num_masks, dtype=bool)
        cdef unsigned char[::1] out = masks.view(np.uint8)
        if self.num_masks:
            self.write_masks(&out[0])
        return masks

    def extras(self):
        """The present extra numbers by name."""
        cdef int64_t values[MAX_EXTRAS]
        self.write_extras(values)
        return {name: values[i] for i, name in enumerate(self.extra_names)}

    def step(self, action):
        """Take one action.

        Args:
            action: contiguous, ``float32`` or ``int64`` by kind, of shape ``(num_actions,)``; not checked.

        Returns:
            ``(obs, reward, truncated, info)``: obs ``float32`` of shape ``(num_features,)``; info has the reward's terms by
            name, ``refused``, ``domain_mask``, ``time_s``, the extra numbers and, where there is one, ``action_mask``.
        """
        cdef int num_domains = self.num_domains
        obs = np.empty(self.num_features, dtype=np.float32)
        present = np.empty(num_domains, dtype=bool)
        cdef Py_buffer obs_buffer, present_buffer, action_buffer
        cdef double terms[NUM_TERMS]
        cdef int64_t extras[MAX_EXTRAS]
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
        if self.host.m.clock.halted:
            self.host.raise_policy_error()
        info = {
            "sla": terms[0], "isolation": terms[1], "work": terms[2], "switching": terms[3], "goodput": terms[4],
            "taken": terms[5], "swapping": terms[6], "ballooning": terms[7], "refused": refused,
            "domain_mask": present, "time_s": self.host.m.clock.now_ns * 1e-9,
        }
        if self.extra_names:
            info.update(self.extras())
        if self.num_masks:
            info["action_mask"] = self.masks()
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
    int64_t* extras
    int* refused
    unsigned char* truncated
    unsigned char* present
    unsigned char* masks
    int num_features
    int num_domains
    int num_masks
    int num_extras


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
    if job.num_extras:
        (<Stepper>stepper).write_extras(job.extras + i * job.num_extras)
    if job.num_masks:
        (<Stepper>stepper).write_masks(job.masks + <Py_ssize_t>i * job.num_masks)


cdef class BatchStepper(PooledBatch):
    """Steps many hosts in one call.

    Args:
        steppers: alike in shape; the batch keeps references.
        num_threads: threads to use, the caller's included, at least 1.
    """

    cdef BatchJob job

    def __init__(self, steppers, int num_threads):
        self.gather(steppers, Stepper, num_threads, step_one, &self.job)
        self.job.steppers = self.pointers
        cdef Stepper first = self.steppers[0]
        self.job.num_features = first.num_features
        self.job.num_domains = first.num_domains
        self.job.num_masks = first.num_masks
        self.job.num_extras = len(first.extra_names)

    def step(self, actions):
        """Take one action in every host.

        Args:
            actions: contiguous, ``float32`` or ``int64`` by kind, of shape ``(num_envs, num_actions)``; not checked.

        Returns:
            ``(obs, reward, truncated, terms, infos)``: new arrays, first axis ``num_envs``; obs ``float32`` of shape
            ``(num_envs, num_features)``, terms in the order of ``REWARD_TERMS``; infos by name: ``refused``,
            ``domain_mask``, ``time_s``, the extra numbers and, where there is one, ``action_mask``.
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
        extras = np.empty((n, MAX_EXTRAS if job.num_extras == 0 else job.num_extras), dtype=np.int64)
        masks = np.empty((n, max(1, job.num_masks)), dtype=bool)
        cdef float[:, ::1] obs_out = obs
        cdef double[::1] reward_out = reward
        cdef unsigned char[::1] truncated_out = truncated.view(np.uint8)
        cdef double[:, ::1] terms_out = terms
        cdef int[::1] refused_out = refused
        cdef unsigned char[:, ::1] present_out = present.view(np.uint8)
        cdef double[::1] time_out = time_s
        cdef int64_t[:, ::1] extras_out = extras
        cdef unsigned char[:, ::1] masks_out = masks.view(np.uint8)
        cdef const float[:, ::1] numbers
        cdef const int64_t[:, ::1] integers
        if first.takes_integers:
            integers = actions
            job.actions = <const char*>&integers[0, 0]
            job.action_stride = integers.shape[1] * sizeof(int64_t)
        else:
            numbers = actions
            job.actions = <const char*>&numbers[0, 0]
            job.action_stride = numbers.shape[1] * sizeof(float)
        job.obs = &obs_out[0, 0]
        job.reward = &reward_out[0]
        job.terms = &terms_out[0, 0]
        job.time_s = &time_out[0]
        job.extras = &extras_out[0, 0]
        job.refused = &refused_out[0]
        job.truncated = &truncated_out[0]
        job.present = &present_out[0, 0]
        job.masks = &masks_out[0, 0]
        with nogil:
            pool_run(self.pool)
        for i in range(n):
            if (<Stepper>job.steppers[i]).host.m.clock.halted:
                (<Stepper>job.steppers[i]).host.raise_policy_error()
        infos = {"refused": refused, "domain_mask": present, "time_s": time_s}
        for k, name in enumerate(first.extra_names):
            infos[name] = np.ascontiguousarray(extras[:, k])
        if job.num_masks:
            infos["action_mask"] = masks
        return obs, reward, truncated, terms, infos
