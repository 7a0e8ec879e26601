"""Sets of pCPUs as bit masks of 64-bit words (`n` words in use)."""
from libc.stdint cimport uint64_t

cdef extern from *:
    """
    static inline int xengym_lowest_bit(uint64_t x) { return __builtin_ctzll(x); }
    static inline int xengym_highest_bit(uint64_t x) { return 63 - __builtin_clzll(x); }
    static inline int xengym_count_bits(uint64_t x) { return __builtin_popcountll(x); }
    """
    int lowest_bit "xengym_lowest_bit"(uint64_t x) noexcept nogil
    int highest_bit "xengym_highest_bit"(uint64_t x) noexcept nogil
    int count_bits "xengym_count_bits"(uint64_t x) noexcept nogil

cdef inline bint mask_test(const uint64_t* mask, int p) noexcept nogil:
    return (mask[p >> 6] >> (p & 63)) & 1

cdef inline void mask_set(uint64_t* mask, int p) noexcept nogil:
    mask[p >> 6] |= <uint64_t>1 << (p & 63)

cdef inline void mask_clear(uint64_t* mask, int p) noexcept nogil:
    mask[p >> 6] &= ~(<uint64_t>1 << (p & 63))

cdef inline bint mask_is_empty(const uint64_t* mask, int n) noexcept nogil:
    cdef int w
    for w in range(n):
        if mask[w]:
            return False
    return True

cdef inline void mask_and(uint64_t* out, const uint64_t* a, const uint64_t* b, int n) noexcept nogil:
    cdef int w
    for w in range(n):
        out[w] = a[w] & b[w]

cdef inline void mask_copy(uint64_t* out, const uint64_t* a, int n) noexcept nogil:
    cdef int w
    for w in range(n):
        out[w] = a[w]

cdef inline void mask_drop(uint64_t* out, const uint64_t* drop, int n) noexcept nogil:
    cdef int w
    for w in range(n):
        out[w] &= ~drop[w]

cdef inline int mask_count(const uint64_t* mask, int n) noexcept nogil:
    cdef int w, total = 0
    for w in range(n):
        total += count_bits(mask[w])
    return total

cdef inline int mask_count_and(const uint64_t* a, const uint64_t* b, int n) noexcept nogil:
    cdef int w, total = 0
    for w in range(n):
        total += count_bits(a[w] & b[w])
    return total

cdef inline bint mask_intersects(const uint64_t* a, const uint64_t* b, int n) noexcept nogil:
    cdef int w
    for w in range(n):
        if a[w] & b[w]:
            return True
    return False

cdef inline bint mask_is_subset(const uint64_t* a, const uint64_t* b, int n) noexcept nogil:
    cdef int w
    for w in range(n):
        if a[w] & ~b[w]:
            return False
    return True

cdef inline int mask_next(const uint64_t* mask, int p, int n) noexcept nogil:
    """First pCPU of the set strictly after `p` (p = -1: the first of all), or -1."""
    cdef int w = (p + 1) >> 6
    cdef uint64_t word
    if w >= n:
        return -1
    word = mask[w] & (~<uint64_t>0 << ((p + 1) & 63))
    while True:
        if word:
            return (w << 6) + lowest_bit(word)
        w += 1
        if w >= n:
            return -1
        word = mask[w]

cdef inline int mask_cycle(const uint64_t* mask, int p, int n) noexcept nogil:
    """First pCPU of the set strictly after `p`, wrapping round to the first; -1 for an empty set."""
    cdef int q = mask_next(mask, p, n)
    return q if q >= 0 else mask_next(mask, -1, n)
