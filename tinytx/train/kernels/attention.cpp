// Causal attention with rotary positions, and its gradient: queries, keys and values of a block go
// in as they leave the product [B, T, 3, H, S], mixed values [B, T, H, S] come out.
//
// One head of one window is one piece of work, which stays in a core's own caches. Scores are made
// for 32 queries at a time, against the keys up to the last of them only, and stand transposed,
// [keys, queries]: sums over keys are then sums of whole vectors. The gradient makes the scores
// anew. A sum is always formed by one thread in one order, so results are the same each time.
//
// Products work on units (units.h), in bfloat16 where asked. Everything else is float32.

#include <cstdlib>
#include <memory>

#include "units.h"

namespace {

constexpr int64_t QUERIES = 32;  // made at once
constexpr int64_t PAD = 16;      // a head's size is filled up to a multiple
constexpr float MASKED = -1e30f;
constexpr int64_t AHEAD = 16;    // rows that are on their way from memory
constexpr int64_t LINE = 64;     // bytes that come from memory at once

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
