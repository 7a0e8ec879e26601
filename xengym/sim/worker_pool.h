/* A pool of threads for many short, independent pieces of work.
 *
 * The caller works, too, and pieces are claimed one chunk at a time, so a thread that the operating system does not
 * run delays nobody: at the end the caller waits only for pieces that were claimed, never for threads. Idle threads
 * spin for some microseconds, in case the next call comes at once, and then sleep.
 */
#ifndef XENGYM_WORKER_POOL_H
#define XENGYM_WORKER_POOL_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define XENGYM_SPIN_NS 30000

typedef void (*xengym_piece)(void *job, int index);

typedef struct {
    xengym_piece piece;
    void *job;
    int total;
    int chunk;
    int num_threads; /* beside the caller */
    pid_t owner;
    atomic_int next;         /* first piece not claimed yet */
    atomic_int done;         /* pieces finished */
    atomic_uint generation;  /* calls so far: a change wakes the threads */
    atomic_int sleeping;
    atomic_int stop;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pthread_t *threads;
} xengym_pool;

static inline void xengym_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline int64_t xengym_monotonic_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void xengym_pool_work(xengym_pool *pool) {
    for (;;) {
        /* Claims made between two calls find nothing: `next` is past the end until the caller resets it. */
        int first = atomic_fetch_add(&pool->next, pool->chunk);
        if (first >= pool->total) return;
        int last = first + pool->chunk < pool->total ? first + pool->chunk : pool->total;
        for (int i = first; i < last; i++) pool->piece(pool->job, i);
        atomic_fetch_add(&pool->done, last - first);
    }
}

static void *xengym_pool_thread(void *argument) {
    xengym_pool *pool = (xengym_pool *)argument;
    unsigned seen = 0;
    for (;;) {
        int64_t spin_until_ns = xengym_monotonic_ns() + XENGYM_SPIN_NS;
        while (atomic_load(&pool->generation) == seen && !atomic_load(&pool->stop) &&
               xengym_monotonic_ns() < spin_until_ns)
            xengym_relax();
        if (atomic_load(&pool->generation) == seen) {
            pthread_mutex_lock(&pool->mutex);
            atomic_fetch_add(&pool->sleeping, 1);
            while (atomic_load(&pool->generation) == seen && !atomic_load(&pool->stop))
                pthread_cond_wait(&pool->wake, &pool->mutex);
            atomic_fetch_sub(&pool->sleeping, 1);
            pthread_mutex_unlock(&pool->mutex);
        }
        if (atomic_load(&pool->stop)) return NULL;
        seen = atomic_load(&pool->generation);
        xengym_pool_work(pool);
    }
}

/* Returns NULL if memory or threads are not to be had. */
static xengym_pool *xengym_pool_create(xengym_piece piece, void *job, int total, int num_threads) {
    xengym_pool *pool = (xengym_pool *)calloc(1, sizeof(xengym_pool));
    if (!pool) return NULL;
    pool->piece = piece;
    pool->job = job;
    pool->total = total;
    pool->chunk = 1 + total / (16 * num_threads);
    pool->owner = getpid();
    atomic_store(&pool->next, total);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pool->threads = (pthread_t *)calloc((size_t)num_threads, sizeof(pthread_t));
    for (int i = 0; pool->threads && i < num_threads - 1; i++) {
        if (pthread_create(&pool->threads[i], NULL, xengym_pool_thread, pool)) break;
        pool->num_threads++;
    }
    return pool;
}

static void xengym_pool_run(xengym_pool *pool) {
    if (pool->num_threads == 0 || getpid() != pool->owner) { /* a forked child has none of the threads */
        for (int i = 0; i < pool->total; i++) pool->piece(pool->job, i);
        return;
    }
    atomic_store(&pool->done, 0);
    atomic_store(&pool->next, 0);
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->sleeping)) {
        pthread_mutex_lock(&pool->mutex);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->mutex);
    }
    xengym_pool_work(pool);
    for (int spins = 0; atomic_load(&pool->done) < pool->total; spins++) {
        xengym_relax();
        if (spins > 1000) sched_yield(); /* whoever holds the rest may need this CPU */
    }
}

static void xengym_pool_destroy(xengym_pool *pool) {
    if (!pool) return;
    if (getpid() == pool->owner) {
        pthread_mutex_lock(&pool->mutex);
        atomic_store(&pool->stop, 1);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->mutex);
        for (int i = 0; i < pool->num_threads; i++) pthread_join(pool->threads[i], NULL);
    }
    free(pool->threads);
    free(pool);
}

#endif
