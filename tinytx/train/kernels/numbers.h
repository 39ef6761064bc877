// Vectors of floats as wide as the processor has them, and bfloat16 in memory.

#pragma once

#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int64_t V = 16;  // floats of a vector
#elif defined(__AVX2__)
constexpr int64_t V = 8;
#else
constexpr int64_t V = 4;
#endif
constexpr float LOG2_E = 1.44269504f;

using Half = uint16_t;  // a bfloat16's bits
typedef float Floats __attribute__((vector_size(4 * V)));
typedef int32_t Ints __attribute__((vector_size(4 * V)));
typedef uint32_t Bits __attribute__((vector_size(4 * V)));
typedef float AnyFloats __attribute__((vector_size(4 * V), aligned(4), may_alias));
typedef Half Halves __attribute__((vector_size(2 * V)));
typedef Half AnyHalves __attribute__((vector_size(2 * V), aligned(2), may_alias));

inline Floats load(const float* from) { return *reinterpret_cast<const AnyFloats*>(from); }
inline Floats load(const uint32_t* from) { return *reinterpret_cast<const AnyFloats*>(from); }
inline Floats load(const Half* from) {
    const Halves x = *reinterpret_cast<const AnyHalves*>(from);
    return (Floats)(__builtin_convertvector(x, Bits) << 16);
}

inline void store(float* to, Floats x) { *reinterpret_cast<AnyFloats*>(to) = x; }
inline void store(Half* to, Floats x) {  // to the nearest, ties to even
#if defined(__AVX512BF16__)
    *reinterpret_cast<AnyHalves*>(to) = (Halves)_mm512_cvtneps_pbh(x);
#else
    const Bits bits = (Bits)x;
    const Bits rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    *reinterpret_cast<AnyHalves*>(to) = __builtin_convertvector(rounded, Halves);
#endif
}

inline float number(float x) { return x; }
inline float number(Half x) {
    const uint32_t bits = uint32_t(x) << 16;
    float wide;
    std::memcpy(&wide, &bits, 4);
    return wide;
}

inline void set(float* to, float x) { *to = x; }
inline void set(Half* to, float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    *to = Half((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// 2^x for -126 <= x <= 0, relative error 2e-7.
inline Floats power_of_two(Floats x) {
    const Ints whole = __builtin_convertvector(x - 0.5f, Ints);  // cut towards 0: to the nearest
    const Floats y = x - __builtin_convertvector(whole, Floats);
    Floats sum = y * 1.5403530e-4f + 1.3333558e-3f;
    sum = sum * y + 9.6181291e-3f;
    sum = sum * y + 5.5504109e-2f;
    sum = sum * y + 2.4022651e-1f;
    sum = sum * y + 6.9314718e-1f;
    sum = sum * y + 1.0f;
    const Ints bits = (whole + 127) << 23;
    return sum * (Floats)bits;
}

// exp(x) for x <= 0, nothing below 2^-126.
inline Floats exponential(Floats x) {
    x *= LOG2_E;
    const Ints nothing = x < -126.0f;  // what is not a number stays so
    const Floats power = power_of_two(nothing ? Floats{} - 126.0f : x);
    return nothing ? Floats{} : power;
}

inline Floats larger(Floats x, Floats y) {  // the second where the first is not a number
#if defined(__AVX512F__)
    return _mm512_max_ps(x, y);
#else
    return x > y ? x : y;
#endif
}

inline float sum_of(Floats x) {
    float sum = 0;
    for (int i = 0; i < V; i++) sum += x[i];
    return sum;
}

}  // namespace
