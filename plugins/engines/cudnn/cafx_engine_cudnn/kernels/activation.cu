// Activations, value by value. An array is `count` values in packs; the last pack of a row-major array may be
// partly beyond its end. In a channels-last one, each `padded` values begin with `channels` that count; the others
// are written as zeros, whatever the function of zero is.

// The functions; routines/activation.py has the same list.
enum { ABS, BNLL, CLIP, ELU, EXP, LOG, POWER, RELU, SIGMOID, SWISH, TANH, THRESHOLD };

// Three constants of a function.
struct Constants {
    float a, b, c;
};

__device__ __forceinline__ float sigmoid(float value) { return 1.f / (1.f + expf(-value)); }

// As NumPy's power, which takes the root and the inverse where they are asked for.
__device__ __forceinline__ float power(float base, float exponent) {
    if (exponent == 1.f) return base;
    if (exponent == 2.f) return base * base;
    if (exponent == 0.5f) return sqrtf(base);
    if (exponent == -1.f) return 1.f / base;
    return powf(base, exponent);
}

// A bound as values can have it.
__device__ __forceinline__ float rounded(float bound) { return load(store(bound)); }

// The function of x.
template <int KIND>
__device__ __forceinline__ float function(float x, Constants with) {
    if (KIND == ABS) return fabsf(x);
    if (KIND == BNLL) return fmaxf(x, 0.f) + log1pf(expf(-fabsf(x)));
    if (KIND == CLIP) {
        float low = rounded(with.a), high = rounded(with.b);
        return x < low ? low : x > high ? high : x;
    }
    if (KIND == ELU) return x > 0.f ? x : with.a * expm1f(x);
    if (KIND == EXP) return expf(with.a * x + with.b);
    if (KIND == LOG) return logf(with.b * x + with.c) / with.a;
    if (KIND == POWER) return power(with.b * x + with.c, with.a);
    if (KIND == RELU) return x < 0.f ? (with.a != 0.f ? with.a * x : 0.f) : x;
    if (KIND == SIGMOID) return sigmoid(x);
    if (KIND == SWISH) return x * sigmoid(with.a * x);
    if (KIND == TANH) return tanhf(x);
    return x > with.a ? 1.f : 0.f;  // THRESHOLD
}

// Whether the gradient is 0 whatever dy is.
template <int KIND>
__device__ __forceinline__ bool is_flat(Constants with) {
    return KIND == POWER && with.a * with.b == 0.f;
}

// The function's derivative, at y for ELU, EXP, SIGMOID and TANH, at x for the others.
template <int KIND>
__device__ __forceinline__ float derivative(float value, Constants with) {
    if (KIND == ABS) return value > 0.f ? 1.f : value < 0.f ? -1.f : value;
    if (KIND == BNLL) return sigmoid(value);
    if (KIND == CLIP) return value >= rounded(with.a) && value <= rounded(with.b) ? 1.f : 0.f;
    if (KIND == ELU) return value > 0.f ? 1.f : value + with.a;
    if (KIND == EXP) return with.a * value;
    if (KIND == LOG) return with.b / with.a / (with.b * value + with.c);
    if (KIND == POWER) {
        float factor = with.a * with.b;
        return with.a == 1.f || factor == 0.f ? factor : factor * power(with.b * value + with.c, with.a - 1.f);
    }
    if (KIND == RELU) return value > 0.f ? 1.f : value <= 0.f ? with.a : 0.f;
    if (KIND == SIGMOID) return value * (1.f - value);
    if (KIND == SWISH) {
        float gate = sigmoid(with.a * value), scaled = with.a * value * gate;
        return scaled + gate * (1.f - scaled);
    }
    if (KIND == TANH) return 1.f - value * value;
    return 0.f;
}

// How many values of pack number i are to be computed; the others are 0.
__device__ __forceinline__ int values_of(index_t i, index_t count, int padded, int channels) {
    if (channels == padded) return VEC;
    int packs = padded / VEC;
    index_t row = i >> 32 ? i / packs : (unsigned)i / (unsigned)packs;
    return channels - (int)(i - row * packs) * VEC;
}

// result = f(value), or its derivative times dy where dy is not null. The values are copied to `kept` if it is not.
template <int KIND>
__device__ __forceinline__ void apply(const value_t* value, const value_t* dy, value_t* result, value_t* kept,
                                      index_t count, int padded, int channels, Constants with) {
    FOR_EACH(i, count / VEC) {
        pack_t from = ((const pack_t*)value)[i], gradient, to;
        if (dy) gradient = ((const pack_t*)dy)[i];
        int valid = dy && is_flat<KIND>(with) ? 0 : values_of(i, count, padded, channels);
#pragma unroll
        for (int k = 0; k < VEC; k++) {
            float x = load(from.v[k]);
            float y = dy ? load(gradient.v[k]) * derivative<KIND>(x, with) : function<KIND>(x, with);
            to.v[k] = store(k < valid ? y : 0.f);
        }
        if (kept) ((pack_t*)kept)[i] = from;
        ((pack_t*)result)[i] = to;
    }
    index_t rest = count / VEC * VEC + blockIdx.x * (index_t)blockDim.x + threadIdx.x;
    if (rest < count) {
        float x = load(value[rest]);
        if (kept) kept[rest] = value[rest];
        float y = dy ? load(dy[rest]) * derivative<KIND>(x, with) : function<KIND>(x, with);
        result[rest] = store(dy && is_flat<KIND>(with) ? 0.f : y);
    }
}

#define CASE(KIND) \
    case KIND: return apply<KIND>(value, dy, result, kept, count, padded, channels, with)

__device__ __forceinline__ void dispatch(int kind, const value_t* value, const value_t* dy, value_t* result,
                                         value_t* kept, index_t count, int padded, int channels, Constants with) {
    switch (kind) {
        CASE(ABS);
        CASE(BNLL);
        CASE(CLIP);
        CASE(ELU);
        CASE(EXP);
        CASE(LOG);
        CASE(POWER);
        CASE(RELU);
        CASE(SIGMOID);
        CASE(SWISH);
        CASE(TANH);
        CASE(THRESHOLD);
    }
}

// y = f(x), and kept = x unless it is null; y may be x.
extern "C" __global__ void activate(const value_t* x, value_t* y, value_t* kept, index_t count, int padded,
                                    int channels, int kind, float a, float b, float c) {
    dispatch(kind, x, nullptr, y, kept, count, padded, channels, Constants{a, b, c});
}

// dx = dy * f', at x or y; dx may be dy.
extern "C" __global__ void differentiate(const value_t* value, const value_t* dy, value_t* dx, index_t count,
                                         int padded, int channels, int kind, float a, float b, float c) {
    dispatch(kind, value, dy, dx, nullptr, count, padded, channels, Constants{a, b, c});
}

// max(x, 0) and min(x, 0), which keep NaN.
__device__ __forceinline__ float upper(float x) { return x <= 0.f ? 0.f : x; }

__device__ __forceinline__ float lower(float x) { return x >= 0.f ? 0.f : x; }

// PReLU: y = x where x > 0, else slope * x, and kept = x unless it is null. There is one slope per channel, or one
// for all of them (`shared`).
extern "C" __global__ void prelu_forward(const pack_t* x, pack_t* y, pack_t* kept, const float* __restrict__ slopes,
                                         index_t rows, int packs, int shared) {
    FOR_EACH(i, rows * packs) {
        index_t row = i >> 32 ? i / packs : (unsigned)i / (unsigned)packs;
        int c = (int)(i - row * packs) * VEC;
        pack_t value = x[i];
        if (kept) kept[i] = value;
#pragma unroll
        for (int k = 0; k < VEC; k++) {
            float from = load(value.v[k]);
            value.v[k] = store(upper(from) + slopes[shared ? 0 : c + k] * lower(from));
        }
        y[i] = value;
    }
}

// dx = dy where x > 0, else slope * dy (nothing is written where dx is null; it may be dy), and
// partial[block row][channel] = the sums of dy * min(x, 0) (unless it is null).
// Blocks are (packs of channels) x (pixels).
extern "C" __global__ void prelu_backward(const pack_t* __restrict__ x, const pack_t* dy, pack_t* dx,
                                          const float* __restrict__ slopes, float* __restrict__ partial, index_t rows,
                                          int packs, int shared) {
    extern __shared__ float sums[];
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    index_t stride = (index_t)gridDim.y * blockDim.y;
    float sum[VEC], slope[VEC];
    for (int k = 0; k < VEC; k++) {
        sum[k] = 0.f;
        slope[k] = c < packs ? slopes[shared ? 0 : c * VEC + k] : 0.f;
    }
    if (c < packs)
#pragma unroll 2
        for (index_t r = blockIdx.y * (index_t)blockDim.y + threadIdx.y; r < rows; r += stride) {
            pack_t value = x[r * packs + c], gradient = dy[r * packs + c];
#pragma unroll
            for (int k = 0; k < VEC; k++) {
                float from = load(value.v[k]), given = load(gradient.v[k]);
                sum[k] += given * (from > 0.f ? 0.f : from);
                float open = from > 0.f ? 1.f : 0.f;
                gradient.v[k] = store(given * open + slope[k] * (given * (1.f - open)));
            }
            if (dx) dx[r * packs + c] = gradient;
        }
    if (!partial) return;
    const float* total = column_sums(sums, sum);
    if (threadIdx.y == 0 && c < packs)
        for (int k = 0; k < VEC; k++) partial[((index_t)blockIdx.y * packs + c) * VEC + k] = total[k];
}

// sum = the sum of the values, added to what is there where `add` is set. One block.
extern "C" __global__ void total(const float* __restrict__ values, float* sum, int count, int add) {
    float found = 0.f;
    for (int i = threadIdx.x; i < count; i += blockDim.x) found += values[i];
    found = block_sum(found);
    if (threadIdx.x == 0) sum[0] = (add ? sum[0] : 0.f) + found;
}
