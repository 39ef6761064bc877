// Causal attention with rotary positions, and its gradient: queries, keys and values of a block go
// in as they leave the product [B, T, 3, H, S], mixed values [B, T, H, S] come out.
//
// One head of one window is one piece of work, which stays in a core's own caches. Scores are made
// for 32 queries at a time, against the keys up to the last of them only, and stand transposed,
// [keys, queries]: sums over keys are then sums of whole vectors. The gradient makes the scores
// anew. A sum is always formed by one thread in one order, so results are the same each time.
//
// Products work on units of 32 bits: one float, or two neighbours in bfloat16 along the inner
// dimension where the processor multiplies such pairs. Everything else is float32.

#include <cstdlib>
#include <memory>

#include "numbers.h"

namespace {

#if defined(__AVX512F__) || !defined(__AVX2__)
constexpr int64_t ROWS = 8;  // of a tile of a product
#else
constexpr int64_t ROWS = 4;
#endif
constexpr int64_t QUERIES = 32;  // made at once
constexpr int64_t PAD = 16;      // a head's size is filled up to a multiple
constexpr float MASKED = -1e30f;
constexpr int64_t AHEAD = 16;    // rows that are on their way from memory
constexpr int64_t LINE = 64;     // bytes that come from memory at once

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

struct Shape {
    int64_t windows, length, heads, size;
    int64_t width() const { return heads * size; }
    int64_t rows() const { return (length + QUERIES - 1) / QUERIES * QUERIES; }
    int64_t columns() const { return (size + PAD - 1) / PAD * PAD; }
};

// Rotary angles of each position, cos and sin [T, S / 2].
struct Angles {
    const float *cos, *sin;
};

// Rows `step` apart to [rows, columns] floats, what is missing as zeros.
template <class Number>
void fetch(const Number* from, int64_t step, const Shape& shape, float* to) {
    const int64_t columns = shape.columns();
    for (int64_t t = 0; t < shape.rows(); t++) {
        float* row = to + t * columns;
        const int64_t count = t < shape.length ? shape.size : 0;
        for (int64_t s = 0; s < count; s += LINE / int64_t(sizeof(Number)))
            __builtin_prefetch(from + (t + AHEAD) * step + s);
        int64_t s = 0;
        for (; s + V <= count; s += V) store(row + s, load(from + t * step + s));
        for (; s < count; s++) row[s] = number(from[t * step + s]);
        for (int64_t s = count; s < columns; s++) row[s] = 0;
    }
}

// Turn the pairs (x[i], x[i + S / 2]) of each row by its angle; back for `way` = -1.
void rotate(float* rows, int64_t first, int64_t count, const Shape& shape, Angles angles,
            float way) {
    const int64_t half = shape.size / 2;
    for (int64_t t = 0; t < count; t++) {
        float *low = rows + t * shape.columns(), *high = low + half;
        const float* cos = angles.cos + (first + t) * half;
        const float* sin = angles.sin + (first + t) * half;
        int64_t i = 0;
        for (; i + V <= half; i += V) {
            const Floats x = load(low + i), y = load(high + i);
            const Floats keep = load(cos + i), turn = load(sin + i) * way;
            store(low + i, x * keep - y * turn);
            store(high + i, y * keep + x * turn);
        }
        for (; i < half; i++) {
            const float x = low[i], y = high[i], turn = way * sin[i];
            low[i] = x * cos[i] - y * turn;
            high[i] = y * cos[i] + x * turn;
        }
    }
}

template <class Number>
void put(const float* from, int64_t count, const Shape& shape, Number* to, int64_t step) {
    for (int64_t t = 0; t < count; t++) {
        const float* row = from + t * shape.columns();
        int64_t s = 0;
        for (; s + V <= shape.size; s += V) store(to + t * step + s, load(row + s));
        for (; s < shape.size; s++) set(to + t * step + s, row[s]);
    }
}

constexpr int64_t PARTS = QUERIES / V;  // vectors of a row of scores

// Scores [keys, QUERIES], the first query being `first`, to exp(scale (score - highest)), 0 for
// keys after the query; `share` becomes 1 / sum of each column.
void exponentials(float* scores, int64_t keys, int64_t first, float scale, Floats (&share)[PARTS]) {
    Floats highest[PARTS], sums[PARTS] = {};
    for (int n = 0; n < PARTS; n++) highest[n] = Floats{} + MASKED;
    Ints lanes[PARTS];
    for (int n = 0; n < PARTS; n++)
        for (int i = 0; i < V; i++) lanes[n][i] = int(n * V + i);
    for (int64_t key = 0; key < keys; key++)
        for (int n = 0; n < PARTS; n++) {
            float* at = scores + key * QUERIES + n * V;
            Floats x = load(at);
            if (key > first) {
                x = lanes[n] < int(key - first) ? Floats{} + MASKED : x;
                store(at, x);
            }
            highest[n] = larger(x, highest[n]);
        }
    for (int64_t key = 0; key < keys; key++)
        for (int n = 0; n < PARTS; n++) {
            float* at = scores + key * QUERIES + n * V;
            const Floats x = exponential((load(at) - highest[n]) * scale);
            store(at, x);
            sums[n] += x;
        }
    for (int n = 0; n < PARTS; n++) share[n] = 1.0f / sums[n];
}

// Memory of one thread, kept from call to call.
class Scratch {
   public:
    template <class T>
    T* take(int64_t count) {
        unsigned char* at = place_ + used_;
        used_ += (count * int64_t(sizeof(T)) + 63) / 64 * 64;
        return reinterpret_cast<T*>(at);
    }
    bool begin(int64_t bytes) {
        used_ = 0;
        if (bytes > size_) {
            std::free(place_);
            place_ = static_cast<unsigned char*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64));
            size_ = place_ ? bytes : 0;
        }
        return place_ != nullptr;
    }
    ~Scratch() { std::free(place_); }

   private:
    unsigned char* place_ = nullptr;
    int64_t size_ = 0, used_ = 0;
};

thread_local Scratch scratch;

template <class Kind, class Number>
bool forward(const Number* qkv, Angles angles, Number* mixed, const Shape& shape) {
    const int64_t rows = shape.rows(), columns = shape.columns(), size = Kind::SIZE;
    const int64_t step = 3 * shape.width(), values = rows * columns;
    if (!scratch.begin(4 * (5 * values + 2 * rows * QUERIES + 2 * columns * QUERIES) + 1024))
        return false;
    float* plain = scratch.take<float>(values);
    Unit* units = scratch.take<Unit>(values);
    Unit* keys = scratch.take<Unit>(values);     // [T, S / SIZE]
    Unit* queries = scratch.take<Unit>(values);  // [S / SIZE, T]
    Unit* turned = scratch.take<Unit>(values);   // values [S, T / SIZE]
    float* scores = scratch.take<float>(rows * QUERIES);
    Unit* weights = scratch.take<Unit>(rows * QUERIES);
    float* result = scratch.take<float>(columns * QUERIES);
    float* lines = scratch.take<float>(columns * QUERIES);

    fetch(qkv, step, shape, plain);
    rotate(plain, 0, shape.length, shape, angles, 1);
    pack_rows<Kind>(plain, values, units);
    transpose(units, rows, columns / size, queries, rows);
    fetch(qkv + shape.width(), step, shape, plain);
    rotate(plain, 0, shape.length, shape, angles, 1);
    pack_rows<Kind>(plain, values, keys);
    fetch(qkv + 2 * shape.width(), step, shape, plain);
    pack_columns<Kind>(plain, rows, columns, units);
    transpose(units, rows / size, columns, turned, rows / size);

    const float scale = 1.0f / __builtin_sqrtf(float(shape.size));
    for (int64_t first = 0; first < rows; first += QUERIES) {
        const int64_t seen = first + QUERIES;
        product<Kind>(seen, QUERIES, columns / size, keys, columns / size, queries + first, rows,
                      scores, QUERIES, false);
        Floats share[PARTS];
        exponentials(scores, seen, first, scale, share);
        pack_columns<Kind>(scores, seen, QUERIES, weights);
        product<Kind>(columns, QUERIES, seen / size, turned, rows / size, weights, QUERIES, result,
                      QUERIES, false);
        for (int64_t s = 0; s < columns; s++)
            for (int n = 0; n < PARTS; n++) {
                float* at = result + s * QUERIES + n * V;
                store(at, load(at) * share[n]);
            }
        transpose(reinterpret_cast<Unit*>(result), columns, QUERIES,
                  reinterpret_cast<Unit*>(lines), columns);
        const int64_t count = shape.length - first < QUERIES ? shape.length - first : QUERIES;
        put(lines, count, shape, mixed + first * shape.width(), shape.width());
    }
    return true;
}

// From scores and slopes of the weights, [keys, QUERIES] each, to weights and slopes of the scores.
void through_softmax(float* scores, float* slopes, int64_t keys, int64_t first, float scale) {
    Floats share[PARTS], means[PARTS] = {};
    exponentials(scores, keys, first, scale, share);
    for (int64_t key = 0; key < keys; key++)
        for (int n = 0; n < PARTS; n++) {
            float* at = scores + key * QUERIES + n * V;
            const Floats weight = load(at) * share[n];
            store(at, weight);
            means[n] += weight * load(slopes + key * QUERIES + n * V);
        }
    for (int64_t key = 0; key < keys; key++)
        for (int n = 0; n < PARTS; n++) {
            float* at = slopes + key * QUERIES + n * V;
            store(at, load(scores + key * QUERIES + n * V) * (load(at) - means[n]) * scale);
        }
}

template <class Kind, class Number>
bool backward(const Number* qkv, Angles angles, const Number* given, Number* gradient,
              const Shape& shape) {
    const int64_t rows = shape.rows(), columns = shape.columns(), size = Kind::SIZE;
    const int64_t width = shape.width(), step = 3 * width, values = rows * columns;
    if (!scratch.begin(4 * (12 * values + 5 * rows * QUERIES + 2 * columns * QUERIES) + 2048))
        return false;
    float* plain = scratch.take<float>(values);
    Unit* units = scratch.take<Unit>(values);
    Unit* keys = scratch.take<Unit>(values);          // [T, S / SIZE]
    Unit* turned_keys = scratch.take<Unit>(values);   // [S, T / SIZE]
    Unit* queries = scratch.take<Unit>(values);       // [T / SIZE, S]
    Unit* turned_queries = scratch.take<Unit>(values);  // [S / SIZE, T]
    Unit* inputs = scratch.take<Unit>(values);        // the values, [T, S / SIZE]
    Unit* givens = scratch.take<Unit>(values);        // [T / SIZE, S]
    Unit* turned_givens = scratch.take<Unit>(values);  // [S / SIZE, T]
    float* for_keys = scratch.take<float>(values);
    float* for_values = scratch.take<float>(values);
    float* scores = scratch.take<float>(rows * QUERIES);
    float* slopes = scratch.take<float>(rows * QUERIES);
    Unit* weight_rows = scratch.take<Unit>(rows * QUERIES);   // [keys, QUERIES / SIZE]
    Unit* slope_rows = scratch.take<Unit>(rows * QUERIES);    // the same
    Unit* slope_units = scratch.take<Unit>(rows * QUERIES);   // [keys / SIZE, QUERIES]
    float* result = scratch.take<float>(columns * QUERIES);
    float* lines = scratch.take<float>(columns * QUERIES);

    fetch(qkv, step, shape, plain);
    rotate(plain, 0, shape.length, shape, angles, 1);
    pack_rows<Kind>(plain, values, units);
    transpose(units, rows, columns / size, turned_queries, rows);
    pack_columns<Kind>(plain, rows, columns, queries);
    fetch(qkv + width, step, shape, plain);
    rotate(plain, 0, shape.length, shape, angles, 1);
    pack_rows<Kind>(plain, values, keys);
    pack_columns<Kind>(plain, rows, columns, units);
    transpose(units, rows / size, columns, turned_keys, rows / size);
    fetch(qkv + 2 * width, step, shape, plain);
    pack_rows<Kind>(plain, values, inputs);
    fetch(given, width, shape, plain);
    pack_rows<Kind>(plain, values, units);
    transpose(units, rows, columns / size, turned_givens, rows);
    pack_columns<Kind>(plain, rows, columns, givens);
    std::memset(for_keys, 0, size_t(4 * values));
    std::memset(for_values, 0, size_t(4 * values));

    const float scale = 1.0f / __builtin_sqrtf(float(shape.size));
    for (int64_t first = 0; first < rows; first += QUERIES) {
        const int64_t seen = first + QUERIES;
        product<Kind>(seen, QUERIES, columns / size, keys, columns / size, turned_queries + first,
                      rows, scores, QUERIES, false);
        product<Kind>(seen, QUERIES, columns / size, inputs, columns / size, turned_givens + first,
                      rows, slopes, QUERIES, false);
        through_softmax(scores, slopes, seen, first, scale);
        pack_rows<Kind>(scores, seen * QUERIES, weight_rows);
        pack_rows<Kind>(slopes, seen * QUERIES, slope_rows);
        pack_columns<Kind>(slopes, seen, QUERIES, slope_units);
        product<Kind>(seen, columns, QUERIES / size, weight_rows, QUERIES / size,
                      givens + first / size * columns, columns, for_values, columns, true);
        product<Kind>(seen, columns, QUERIES / size, slope_rows, QUERIES / size,
                      queries + first / size * columns, columns, for_keys, columns, true);
        product<Kind>(columns, QUERIES, seen / size, turned_keys, rows / size, slope_units, QUERIES,
                      result, QUERIES, false);
        transpose(reinterpret_cast<Unit*>(result), columns, QUERIES,
                  reinterpret_cast<Unit*>(lines), columns);
        const int64_t count = shape.length - first < QUERIES ? shape.length - first : QUERIES;
        rotate(lines, first, count, shape, angles, -1);
        put(lines, count, shape, gradient + first * step, step);
    }
    rotate(for_keys, 0, shape.length, shape, angles, -1);
    put(for_keys, shape.length, shape, gradient + width, step);
    put(for_values, shape.length, shape, gradient + 2 * width, step);
    return true;
}

template <class Kind, class Number>
int all_forward(const Number* qkv, Angles angles, Number* mixed, const Shape& shape) {
    int failed = 0;
#pragma omp parallel for reduction(| : failed) schedule(static)
    for (int64_t piece = 0; piece < shape.windows * shape.heads; piece++) {
        const int64_t window = piece / shape.heads, head = piece % shape.heads * shape.size;
        const int64_t at = window * shape.length * shape.width();
        failed |= !forward<Kind>(qkv + 3 * at + head, angles, mixed + at + head, shape);
    }
    return failed;
}

template <class Kind, class Number>
int all_backward(const Number* qkv, Angles angles, const Number* given, Number* gradient,
                 const Shape& shape) {
    int failed = 0;
#pragma omp parallel for reduction(| : failed) schedule(static)
    for (int64_t piece = 0; piece < shape.windows * shape.heads; piece++) {
        const int64_t window = piece / shape.heads, head = piece % shape.heads * shape.size;
        const int64_t at = window * shape.length * shape.width();
        failed |= !backward<Kind>(qkv + 3 * at + head, angles, given + at + head,
                                  gradient + 3 * at + head, shape);
    }
    return failed;
}

}  // namespace

// Each returns 0, or 1 where there was no memory. `narrow`: numbers are bfloat16, else float32.
extern "C" int tinytx_attention(const void* qkv, const float* cos, const float* sin, void* mixed,
                                int64_t windows, int64_t length, int64_t heads, int64_t size,
                                int narrow) {
    const Shape shape{windows, length, heads, size};
    const Angles angles{cos, sin};
    if (narrow)
        return all_forward<Narrow>(static_cast<const Half*>(qkv), angles,
                                   static_cast<Half*>(mixed), shape);
    return all_forward<Single>(static_cast<const float*>(qkv), angles, static_cast<float*>(mixed),
                               shape);
}

extern "C" int tinytx_attention_gradient(const void* qkv, const float* cos, const float* sin,
                                         const void* given, void* gradient, int64_t windows,
                                         int64_t length, int64_t heads, int64_t size, int narrow) {
    const Shape shape{windows, length, heads, size};
    const Angles angles{cos, sin};
    if (narrow)
        return all_backward<Narrow>(static_cast<const Half*>(qkv), angles,
                                    static_cast<const Half*>(given), static_cast<Half*>(gradient),
                                    shape);
    return all_backward<Single>(static_cast<const float*>(qkv), angles,
                                static_cast<const float*>(given), static_cast<float*>(gradient),
                                shape);
}
