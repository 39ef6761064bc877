// Small dense products on units of 32 bits: one float, or two neighbours in bfloat16 along the inner
// dimension where the processor multiplies such pairs; how numbers become units, and are turned.

#pragma once

#include "numbers.h"

namespace {

#if defined(__AVX512F__) || !defined(__AVX2__)
constexpr int64_t ROWS = 8;  // of a tile of a product
#else
constexpr int64_t ROWS = 4;
#endif

using Unit = uint32_t;
typedef Unit AnyUnits __attribute__((vector_size(4 * V), aligned(4), may_alias));

// How numbers stand in units, and the product of units. SIZE numbers to a unit.
struct Single {
    static constexpr int64_t SIZE = 1;
    static inline Floats add_product(Floats sum, const Unit* a, Floats b) {
        float x;
        std::memcpy(&x, a, 4);
        return sum + x * b;
    }
    // A row of 2 V numbers to units.
    static inline void row(const float* from, Unit* to) { std::memcpy(to, from, 8 * V); }
    // SIZE rows of V numbers, `step` apart, to V units.
    static inline void rows(const float* from, int64_t, Unit* to) { std::memcpy(to, from, 4 * V); }
};

#if defined(__AVX512BF16__)
struct Pair {
    static constexpr int64_t SIZE = 2;
    static inline Floats add_product(Floats sum, const Unit* a, Floats b) {
        return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_set1_epi32(int(*a)), (__m512bh)b);
    }
    static inline void row(const float* from, Unit* to) {
        const auto both = _mm512_cvtne2ps_pbh(load(from + V), load(from));
        _mm512_storeu_si512(to, (__m512i)both);
    }
    static inline void rows(const float* from, int64_t step, Unit* to) {
        const auto low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(load(from)));
        const auto high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(load(from + step)));
        _mm512_storeu_si512(to, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
};
using Narrow = Pair;
#else
using Narrow = Single;
#endif

// C[M, N V] (+)= A[M, k] B[k, N V], all in units but C; `lda` and so on are from row to row.
template <class Kind, int M, int N>
inline void tile(int64_t k, const Unit* a, int64_t lda, const Unit* b, int64_t ldb, float* c,
                 int64_t ldc, bool add) {
    Floats sums[M][N] = {};
    for (int64_t inner = 0; inner < k; inner++) {
        Floats right[N];
        for (int n = 0; n < N; n++) right[n] = load(b + inner * ldb + n * V);
        for (int m = 0; m < M; m++)
            for (int n = 0; n < N; n++)
                sums[m][n] = Kind::add_product(sums[m][n], a + m * lda + inner, right[n]);
    }
    for (int m = 0; m < M; m++)
        for (int n = 0; n < N; n++) {
            float* to = c + m * ldc + n * V;
            store(to, add ? load(to) + sums[m][n] : sums[m][n]);
        }
}

template <class Kind>
void product(int64_t rows, int64_t columns, int64_t k, const Unit* a, int64_t lda, const Unit* b,
             int64_t ldb, float* c, int64_t ldc, bool add) {
    int64_t n = 0;
    for (; n + 2 * V <= columns; n += 2 * V)
        for (int64_t m = 0; m < rows; m += ROWS)
            tile<Kind, ROWS, 2>(k, a + m * lda, lda, b + n, ldb, c + m * ldc + n, ldc, add);
    for (; n < columns; n += V)
        for (int64_t m = 0; m < rows; m += ROWS)
            tile<Kind, ROWS, 1>(k, a + m * lda, lda, b + n, ldb, c + m * ldc + n, ldc, add);
}

#if defined(__clang__)
inline void turn(const Unit* from, int64_t ldf, Unit* to, int64_t ldt) {
    for (int r = 0; r < V; r++)
        for (int c = 0; c < V; c++) to[c * ldt + r] = from[r * ldf + c];
}
#else
// Swap blocks of D x D beside the diagonal, then those of half the size.
template <int D>
inline void swap_blocks(AnyUnits (&x)[V]) {
    typedef Ints Mask;
    Mask left, right;
    for (int lane = 0; lane < V; lane++) {
        left[lane] = lane & D ? int(V) + lane - D : lane;
        right[lane] = lane & D ? int(V) + lane : lane + D;
    }
    for (int r = 0; r < V; r++)
        if (!(r & D)) {
            const auto one = x[r], other = x[r + D];
            x[r] = __builtin_shuffle(one, other, left);
            x[r + D] = __builtin_shuffle(one, other, right);
        }
    if constexpr (D > 1) swap_blocks<D / 2>(x);
}

inline void turn(const Unit* from, int64_t ldf, Unit* to, int64_t ldt) {
    AnyUnits x[V];
    for (int r = 0; r < V; r++) x[r] = *reinterpret_cast<const AnyUnits*>(from + r * ldf);
    swap_blocks<V / 2>(x);
    for (int r = 0; r < V; r++) *reinterpret_cast<AnyUnits*>(to + r * ldt) = x[r];
}
#endif

// [rows, columns] to [columns, rows], both multiples of V; dense.
void transpose(const Unit* from, int64_t rows, int64_t columns, Unit* to, int64_t ldt) {
    for (int64_t r = 0; r < rows; r += V)
        for (int64_t c = 0; c < columns; c += V)
            turn(from + r * columns + c, columns, to + c * ldt + r, ldt);
}

// Numbers [rows, columns] to units [rows, columns / SIZE]: neighbours of a row share a unit.
template <class Kind>
void pack_rows(const float* from, int64_t count, Unit* to) {
    for (int64_t i = 0; i < count; i += 2 * V) Kind::row(from + i, to + i / Kind::SIZE);
}

// Numbers [rows, columns] to units [rows / SIZE, columns]: neighbours of a column share a unit.
template <class Kind>
void pack_columns(const float* from, int64_t rows, int64_t columns, Unit* to) {
    for (int64_t r = 0; r < rows; r += Kind::SIZE)
        for (int64_t c = 0; c < columns; c += V)
            Kind::rows(from + r * columns + c, columns, to + r / Kind::SIZE * columns + c);
}

}  // namespace
