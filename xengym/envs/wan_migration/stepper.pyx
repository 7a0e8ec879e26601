"""One control step of `WanMigration-v0`: set rate, throttle and the wish to stop, let the interval pass, measure, reward.

A step needs no interpreter, so a batch of moves is stepped on threads; moves share nothing.
"""
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t
from xengym.envs.wan_migration.observations cimport NUM_FEATURES, Sample, encode_move, subtract_sample, take_sample
from xengym.envs.pooled cimport PooledBatch
from xengym.hypervisor.wide_area cimport WideMove as Parts, is_over, wide_fail, wide_run
from xengym.hypervisor.wide_move cimport WideMove
from xengym.machine.migration_state cimport REASON_CANCELLED, STAGE_DONE, STAGE_PRECOPY, STAGE_ROUND_END
from xengym.mechanisms.disk_copy cimport image_bytes
from xengym.sim.random cimport exact_exp
from xengym.sim.worker_pool cimport pool_run

import numpy as np

from xengym.envs.wan_migration.observations import SAMPLE_DTYPE

#: Name and meaning of each term of the reward, in order.
MOVE_TERMS = (
    ("downtime", "minus the time that the domain stood still, s"),
    ("time", "minus the time that passed, s"),
    ("throttling", "minus the time that passed, times the part of its writes that the domain could not make, s"),
    ("competing", "minus the time that passed, times the part of what others wanted of the line and did not get, s"),
    ("traffic", "minus what the line carried for the move, in times the size of image and memory"),
    ("lost", "minus the part of the clients whose connection was lost"),
    ("outcome", "1 when the move is done, -1 when it is aborted, else 0"),
)

#: Levels of the move's limit, as parts of the line's rate; the last is no limit.
RATE_LEVELS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 0.85, 1.0)
#: Levels of the delay of a held-up write, ms; the first is none.
DELAY_LEVELS_MS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 100.0)

cdef double[8] RATES = RATE_LEVELS
cdef double[8] DELAYS_MS = DELAY_LEVELS_MS
cdef double LEAST_RATE = 0.05, LEAST_DELAY_MS = 0.1
# Logarithms of 1 / 0.05 and of 100 ms / 0.1 ms.
cdef double LOG_RATES = 2.995732273553991, LOG_DELAYS = 6.907755278982137

assert len(MOVE_TERMS) == NUM_MOVE_TERMS
assert len(RATE_LEVELS) == len(DELAY_LEVELS_MS) == NUM_LEVELS


cdef class MoveStepper:
    """One migration that is decided about once every control interval.

    Args:
        weights: reward weight by term name.
        takes_integers: actions are levels (``int64``) instead of numbers in [-1, 1] (``float32``).
    """

    def __init__(self, weights, bint takes_integers):
        self.takes_integers = takes_integers
        self.num_actions = 3
        self.num_features = NUM_FEATURES
        self.num_masks = NUM_MASKS if takes_integers else 0
        self.samples = np.zeros(2, dtype=SAMPLE_DTYPE)
        cdef Sample[::1] samples = self.samples
        self.sample = &samples[0]
        self.set_weights(weights)

    def set_weights(self, weights):
        """Weigh the reward's terms like this; terms left out weigh 0."""
        for i, (name, _) in enumerate(MOVE_TERMS):
            self.weights[i] = weights.get(name, 0.0)

    def begin(self, WideMove move, int64_t interval_ns, int64_t episode_steps):
        """An episode begins with this move, which has not begun; the destination is asked in its first interval."""
        self.use(move, interval_ns, episode_steps)
        move.begin()
        self.num_steps = 0
        self.samples[:] = 0
        take_sample(self.parts, &self.sample[0])

    def use(self, WideMove move, int64_t interval_ns, int64_t episode_steps):
        """Go on with this move, whatever it has done."""
        self.move = move
        self.parts = &move.parts
        self.interval_ns = interval_ns
        self.episode_steps = episode_steps

    cdef bint is_done(self) noexcept nogil:
        return is_over(self.parts)

    @property
    def is_over(self):
        """The move is done or aborted."""
        return bool(self.is_done())

    cdef void write_masks(self, unsigned char* masks) noexcept nogil:
        cdef int i
        cdef int stage = self.parts.migration.stage
        cdef bint runs = self.parts.state.source_runs
        for i in range(NUM_LEVELS):
            masks[i] = 1
            masks[NUM_LEVELS + i] = i == 0 or runs
        masks[16] = 1
        masks[17] = stage == STAGE_PRECOPY or stage == STAGE_ROUND_END

    cdef int apply_levels(self, const int64_t* levels) noexcept nogil:
        """Levels that there are not, or that are masked, are refused and replaced: no limit, no delay, no stop."""
        cdef unsigned char masks[18]
        cdef int refused = 0, rate = NUM_LEVELS - 1, delay = 0
        cdef bint stops = False
        self.write_masks(masks)
        if 0 <= levels[0] < NUM_LEVELS:
            rate = <int>levels[0]
        else:
            refused += 1
        if 0 <= levels[1] < NUM_LEVELS and masks[NUM_LEVELS + levels[1]]:
            delay = <int>levels[1]
        else:
            refused += 1
        if 0 <= levels[2] < 2 and masks[16 + levels[2]]:
            stops = levels[2] == 1
        else:
            refused += 1
        self.parts.line.limit_bytes_per_s = RATES[rate] * self.parts.line.bytes_per_s if rate < NUM_LEVELS - 1 else 0.0
        self.parts.disk.delay_ns = <int64_t>(DELAYS_MS[delay] * 1e6)
        self.parts.state.wants_stop = stops
        return refused

    cdef int apply_box(self, const float* values) noexcept nogil:
        """Numbers beyond [-1, 1] are clipped; what is no number is refused and changes nothing."""
        cdef int i, refused = 0, stage = self.parts.migration.stage
        cdef double x
        for i in range(3):
            x = values[i]
            if x != x:
                refused += 1
                continue
            x = -1.0 if x < -1.0 else (1.0 if x > 1.0 else x)
            if i == 0:
                self.parts.line.limit_bytes_per_s = (
                    LEAST_RATE * exact_exp(LOG_RATES * (x + 1.0)) * self.parts.line.bytes_per_s if x < 0.0 else 0.0
                )
            elif i == 1:
                self.parts.disk.delay_ns = (
                    <int64_t>(LEAST_DELAY_MS * exact_exp(LOG_DELAYS * x) * 1e6) if x > 0.0 else 0
                )
            else:
                self.parts.state.wants_stop = x > 0.0 and (stage == STAGE_PRECOPY or stage == STAGE_ROUND_END)
        return refused

    cdef int advance(self, const void* action, float* obs, double* terms, double* reward) noexcept nogil:
        cdef int refused, i
        cdef bint was_over = self.is_done()
        cdef Sample now
        cdef Sample* growth = &self.sample[1]
        cdef double seconds, size
        if self.takes_integers:
            refused = self.apply_levels(<const int64_t*>action)
        else:
            refused = self.apply_box(<const float*>action)
        wide_run(self.parts, self.interval_ns, True)
        self.num_steps += 1
        if self.num_steps >= self.episode_steps and not self.is_done():
            # Whoever ordered the move gives it up.
            wide_fail(self.parts, REASON_CANCELLED)
        take_sample(self.parts, &now)
        subtract_sample(&now, &self.sample[0], growth)
        self.sample[0] = now
        seconds = <double>growth.now_ns * 1e-9
        size = image_bytes(self.parts.disk) + <double>self.parts.state.memory_pages * 4096.0
        terms[0] = -<double>growth.downtime_ns * 1e-9
        terms[1] = -seconds
        terms[2] = -seconds * growth.held_up_writes / growth.wanted_writes if growth.wanted_writes > 0.0 else 0.0
        terms[3] = (
            -seconds * (1.0 - growth.others_got_bytes / growth.others_wanted_bytes)
            if growth.others_wanted_bytes > 0.0 else 0.0
        )
        terms[4] = -growth.carried_bytes / size
        terms[5] = -<double>growth.lost / max(1, self.parts.redirection.num_clients)
        terms[6] = 0.0
        if self.is_done() and not was_over:
            terms[6] = 1.0 if self.parts.migration.stage == STAGE_DONE else -1.0
        reward[0] = 0.0
        for i in range(NUM_MOVE_TERMS):
            reward[0] += self.weights[i] * terms[i]
        self.encode(obs)
        return refused

    cdef void encode(self, float* obs) noexcept nogil:
        encode_move(self.parts, &self.sample[1], 1.0 - <double>self.num_steps / <double>self.episode_steps, obs)

    def observe(self):
        """The present observation: ``float32`` of shape ``(num_features,)``."""
        obs = np.empty(self.num_features, dtype=np.float32)
        cdef float[::1] out = obs
        self.encode(&out[0])
        return obs

    def masks(self):
        """The present action mask: ``bool`` of shape ``(18,)``: 8 rates, 8 delays, go on or stop."""
        masks = np.zeros(NUM_MASKS, dtype=bool)
        cdef unsigned char[::1] out = masks.view(np.uint8)
        self.write_masks(&out[0])
        return masks

    def figures(self):
        """Raw figures for ``info``, by name."""
        cdef Parts* w = self.parts
        return {
            "time_s": w.state.now_ns * 1e-9, "downtime_s": w.migration.downtime_ns * 1e-9,
            "carried_bytes": w.line.carried_bytes, "stage": w.migration.stage, "reason": w.migration.reason,
            "round": w.migration.round,
        }

    def step(self, action):
        """Take one action.

        Args:
            action: contiguous, ``float32`` or ``int64`` by kind, of shape ``(3,)``; not checked.

        Returns:
            ``(obs, reward, terminated, truncated, info)``.
        """
        obs = np.empty(self.num_features, dtype=np.float32)
        cdef float[::1] out = obs
        cdef const float[::1] numbers
        cdef const int64_t[::1] integers
        cdef const void* given
        cdef double terms[7]
        cdef double reward
        if self.takes_integers:
            integers = action
            given = &integers[0]
        else:
            numbers = action
            given = &numbers[0]
        with nogil:
            refused = self.advance(given, &out[0], terms, &reward)
        info = {name: terms[i] for i, (name, _) in enumerate(MOVE_TERMS)}
        info["refused"] = refused
        info.update(self.figures())
        if self.num_masks:
            info["action_mask"] = self.masks()
        return obs, reward, bool(self.is_done()), False, info


# One call of a batch: where each move's part of the results goes.
cdef struct MoveJob:
    PyObject** steppers
    const char* actions
    Py_ssize_t action_stride
    float* obs
    double* reward
    double* terms
    int* refused


cdef void step_one(void* argument, int i) noexcept nogil:
    cdef MoveJob* job = <MoveJob*>argument
    job.refused[i] = (<MoveStepper>job.steppers[i]).advance(
        job.actions + i * job.action_stride, job.obs + <Py_ssize_t>i * NUM_FEATURES, job.terms + i * NUM_MOVE_TERMS,
        job.reward + i
    )


cdef class BatchMoveStepper(PooledBatch):
    """Steps many moves in one call.

    Args:
        steppers: alike in kind; the batch keeps references.
        num_threads: threads to use, the caller's included, at least 1.
    """

    cdef MoveJob job

    def __init__(self, steppers, int num_threads):
        self.gather(steppers, MoveStepper, num_threads, step_one, &self.job)
        self.job.steppers = self.pointers

    def step(self, actions):
        """Take one action in every move.

        Args:
            actions: contiguous, ``float32`` or ``int64`` by kind, of shape ``(num_envs, 3)``; not checked.

        Returns:
            ``(obs, reward, terminated, infos)``: new arrays, first axis ``num_envs``.
        """
        cdef MoveStepper first = self.steppers[0], stepper
        cdef MoveJob* job = &self.job
        cdef int n = self.num_envs, i
        obs = np.empty((n, NUM_FEATURES), dtype=np.float32)
        reward = np.empty(n)
        terms = np.empty((n, NUM_MOVE_TERMS))
        refused = np.empty(n, dtype=np.int32)
        terminated = np.empty(n, dtype=bool)
        cdef float[:, ::1] obs_out = obs
        cdef double[::1] reward_out = reward
        cdef double[:, ::1] terms_out = terms
        cdef int[::1] refused_out = refused
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
        job.refused = &refused_out[0]
        with nogil:
            pool_run(self.pool)
        infos = {name: np.ascontiguousarray(terms[:, k]) for k, (name, _) in enumerate(MOVE_TERMS)}
        infos["refused"] = refused
        masks = np.zeros((n, NUM_MASKS), dtype=bool)
        cdef unsigned char[:, ::1] masks_out = masks.view(np.uint8)
        figures = {name: np.empty(n, dtype=np.float64 if name.endswith(("_s", "_bytes")) else np.int64)
                   for name in FIGURES}
        cdef double[::1] time_s = figures["time_s"], downtime_s = figures["downtime_s"]
        cdef double[::1] carried_bytes = figures["carried_bytes"]
        cdef int64_t[::1] stage = figures["stage"], reason = figures["reason"], round_number = figures["round"]
        for i in range(n):
            stepper = <MoveStepper>job.steppers[i]
            time_s[i] = stepper.parts.state.now_ns * 1e-9
            downtime_s[i] = stepper.parts.migration.downtime_ns * 1e-9
            carried_bytes[i] = stepper.parts.line.carried_bytes
            stage[i] = stepper.parts.migration.stage
            reason[i] = stepper.parts.migration.reason
            round_number[i] = stepper.parts.migration.round
            stepper.write_masks(&masks_out[i, 0])
            terminated[i] = stepper.is_done()
        infos.update(figures)
        if first.num_masks:
            infos["action_mask"] = masks
        return obs, reward, terminated, infos


#: Raw figures that every step returns beside the reward's terms.
FIGURES = ("time_s", "downtime_s", "carried_bytes", "stage", "reason", "round")
