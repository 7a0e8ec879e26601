# Numbers of any size as observations in [0, 1], written the same way for every environment.


cdef inline float unit(double x) noexcept nogil:
    return <float>(0.0 if x < 0.0 else (1.0 if x > 1.0 else x))


# A scale that never ends: half at `scale`, 1 at infinity.
cdef inline float saturate(double x, double scale) noexcept nogil:
    return <float>(x / (x + scale)) if x > 0.0 else <float>0.0
