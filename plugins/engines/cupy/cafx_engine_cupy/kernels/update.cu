// One pass over the arena: scale, regularise, apply the rule, subtract, look for NaN and infinity.

// Consecutive values of the arena with the same multipliers, as much as one block works on.
struct Chunk {
    index_t start;
    int fours;
    float lr_mult;
    float decay_mult;
    int unused;
};

struct alignas(16) Four {
    float v[4];
};

#define SGD 0
#define NESTEROV 1
#define ADAGRAD 2
#define RMSPROP 3
#define ADADELTA 4
#define ADAM 5

// What an update rule remembers of one value.
struct History {
    float first, second;
};

// What is subtracted from one value; its history moves on. Rates of decay: momentum, rms_decay or
// Adam's beta1; Adam's beta2.
__device__ __forceinline__ float change_of(float gradient, History& h, float rate, float decay1, float decay2,
                                           float delta) {
#if KIND == SGD
    h.first = decay1 * h.first + rate * gradient;
    return h.first;
#elif KIND == NESTEROV
    float before = h.first;
    h.first = decay1 * h.first + rate * gradient;
    return h.first + decay1 * (h.first - before);
#elif KIND == ADAGRAD
    h.first += gradient * gradient;
    return rate * gradient / (sqrtf(h.first) + delta);
#elif KIND == RMSPROP
    h.first = decay1 * h.first + (1.f - decay1) * gradient * gradient;
    return rate * gradient / (sqrtf(h.first) + delta);
#elif KIND == ADADELTA
    h.first = decay1 * h.first + (1.f - decay1) * gradient * gradient;
    float change = gradient * sqrtf((h.second + delta) / (h.first + delta));
    h.second = decay1 * h.second + (1.f - decay1) * change * change;
    return rate * change;
#elif KIND == ADAM
    h.first = decay1 * h.first + (1.f - decay1) * gradient;
    h.second = decay2 * h.second + (1.f - decay2) * gradient * gradient;
    return rate * h.first / (sqrtf(h.second) + delta);
#endif
}

// One block per chunk. `second` is null for rules with one history, `scale` for a factor of 1.
extern "C" __global__ void update(Four* data, Four* diff, Four* first, Four* second, const Chunk* chunks,
                                  const float* scale, int* first_not_finite, int iteration, float rate,
                                  float weight_decay, int l1, float decay1, float decay2, float delta,
                                  int keep_diff) {
    Chunk chunk = chunks[blockIdx.x];
    float factor = scale ? *scale : 1.f;
    rate *= chunk.lr_mult;
    weight_decay *= chunk.decay_mult;
    bool broken = false;
    for (int i = threadIdx.x; i < chunk.fours; i += blockDim.x) {
        index_t at = chunk.start / 4 + i;
        Four w = data[at], g = diff[at], one = first[at], two;
        if (second) two = second[at];
        for (int k = 0; k < 4; k++) {
            float gradient = g.v[k] * factor;
            if (weight_decay != 0.f)
                gradient += weight_decay * (l1 ? (float)(w.v[k] > 0.f) - (float)(w.v[k] < 0.f) : w.v[k]);
            History history = {one.v[k], second ? two.v[k] : 0.f};
            g.v[k] = change_of(gradient, history, rate, decay1, decay2, delta);
            w.v[k] -= g.v[k];
            one.v[k] = history.first;
            two.v[k] = history.second;
            broken = broken || !is_finite(w.v[k]);
        }
        data[at] = w;
        first[at] = one;
        if (second) second[at] = two;
        if (keep_diff) diff[at] = g;
    }
    if (broken) atomicMin(first_not_finite, iteration);
}

// One partial sum of squares per block.
extern "C" __global__ void squares(const Four* values, float* partial, index_t fours) {
    float sum = 0.f;
    FOR_EACH(i, fours) {
        Four value = values[i];
        for (int k = 0; k < 4; k++) sum += value.v[k] * value.v[k];
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// By one block: the norm, and the factor that clips the gradients to it and averages them.
extern "C" __global__ void clip(const float* partial, int blocks, float bound, float iterations, float* norm,
                                float* scale) {
    float sum = 0.f;
    for (int i = threadIdx.x; i < blocks; i += blockDim.x) sum += partial[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
        float length = sqrtf(sum);
        *norm = length;
        *scale = (length > bound ? bound / length : 1.f) / iterations;
    }
}
