// The loss of rows of logits and its gradient, in one pass over each row, which stays in a core's
// own cache meanwhile.

#include <cmath>
#include <cstdlib>

#include "numbers.h"

namespace {

// Logits of `count` rows become `weight` (softmax - 1 at the target), `losses` -log softmax there.
template <class Number>
int rows(Number* logits, const int64_t* targets, float* losses, int64_t count, int64_t width,
         float weight) {
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        float* powers = static_cast<float*>(std::malloc(size_t(4 * width)));
        failed |= !powers;
#pragma omp for schedule(static)
        for (int64_t r = 0; r < count; r++) {
            if (!powers) continue;
            Number* row = logits + r * width;
            const int64_t whole = width / V * V;
            Floats highest_of = Floats{} - INFINITY;
            float highest = -INFINITY;
            for (int64_t i = 0; i < whole; i += V) highest_of = larger(load(row + i), highest_of);
            for (int i = 0; i < V; i++) highest = std::fmax(highest, highest_of[i]);
            for (int64_t i = whole; i < width; i++) highest = std::fmax(highest, number(row[i]));
            const float wanted = number(row[targets[r]]);
            Floats sums = {};
            for (int64_t i = 0; i < whole; i += V) {
                const Floats x = exponential(load(row + i) - highest);
                store(powers + i, x);
                sums += x;
            }
            float sum = sum_of(sums);
            for (int64_t i = whole; i < width; i++)
                sum += powers[i] = std::exp(number(row[i]) - highest);
            const float scale = weight / sum;
            for (int64_t i = 0; i < whole; i += V) store(row + i, load(powers + i) * scale);
            for (int64_t i = whole; i < width; i++) set(row + i, powers[i] * scale);
            set(row + targets[r], powers[targets[r]] * scale - weight);
            losses[r] = std::log(sum) + highest - wanted;
        }
        std::free(powers);
    }
    return failed;
}

}  // namespace

// Returns 0, or 1 where there was no memory. `narrow`: logits are bfloat16, else float32.
extern "C" int tinytx_softmax_loss(void* logits, const int64_t* targets, float* losses,
                                   int64_t count, int64_t width, float weight, int narrow) {
    if (narrow) return rows(static_cast<Half*>(logits), targets, losses, count, width, weight);
    return rows(static_cast<float*>(logits), targets, losses, count, width, weight);
}
