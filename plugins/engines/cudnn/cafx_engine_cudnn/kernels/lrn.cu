// Local response normalisation across channels. A thread works on one pack of channels of one pixel; it holds the
// channels around it in registers, as whole packs, and computes s = bias + weight * sum of x * x from them anew
// wherever it is needed: reading x once more costs less than keeping s.
//
// REACH is the largest radius of a neighbourhood a kernel can do, `radius` the actual one.

// s^-beta; for the usual beta = 3/4 by square roots, which are far cheaper.
__device__ __forceinline__ float inverse_power(float s, float beta) {
    if (beta != 0.75f) return powf(s, -beta);
    float root = rsqrtf(s);
    return root * sqrtf(root);
}

// The channels first - PACKS * VEC .. first + (PACKS + 1) * VEC - 1 of a pixel, zeros outside of it.
template <int PACKS>
__device__ __forceinline__ void load_around(const pack_t* pixel, int pack, int packs, float* values) {
#pragma unroll
    for (int at = -PACKS; at <= PACKS; at++) {
        bool inside = pack + at >= 0 && pack + at < packs;
        pack_t loaded;
        if (inside) loaded = pixel[pack + at];
#pragma unroll
        for (int k = 0; k < VEC; k++) values[(at + PACKS) * VEC + k] = inside ? load(loaded.v[k]) : 0.f;
    }
}

// The sum of values[at - radius] .. values[at + radius].
template <int REACH>
__device__ __forceinline__ float neighbourhood(const float* values, int at, int radius) {
    float sum = 0.f;
#pragma unroll
    for (int j = -REACH; j <= REACH; j++)
        if (j >= -radius && j <= radius) sum += values[at + j];
    return sum;
}

template <int REACH>
__device__ __forceinline__ void normalise(const pack_t* __restrict__ x, pack_t* __restrict__ y, index_t rows,
                                          int packs, int channels, int radius, float weight, float beta, float bias) {
    const int PACKS = (REACH + VEC - 1) / VEC, MIDDLE = PACKS * VEC;
    FOR_EACH(i, rows * packs) {
        index_t row = i >> 32 ? i / packs : (unsigned)i / (unsigned)packs;
        int pack = (int)(i - row * packs);
        float values[(2 * PACKS + 1) * VEC], squares[(2 * PACKS + 1) * VEC];
        load_around<PACKS>(x + row * packs, pack, packs, values);
#pragma unroll
        for (int k = 0; k < (2 * PACKS + 1) * VEC; k++) squares[k] = values[k] * values[k];
        pack_t result;
#pragma unroll
        for (int k = 0; k < VEC; k++) {
            float s = bias + weight * neighbourhood<REACH>(squares, MIDDLE + k, radius);
            float value = values[MIDDLE + k] * inverse_power(s, beta);
            result.v[k] = store(pack * VEC + k < channels ? value : 0.f);
        }
        y[i] = result;
    }
}

// dx = dy / s^beta - 2 * weight * beta * x * sum of dy * x / s^(beta + 1).
template <int REACH>
__device__ __forceinline__ void gradient(const pack_t* __restrict__ x, const pack_t* __restrict__ dy,
                                         pack_t* __restrict__ dx, index_t rows, int packs, int channels, int radius,
                                         float weight, float beta, float bias) {
    const int PACKS = (REACH + VEC - 1) / VEC, MIDDLE = PACKS * VEC;  // around which gradients are needed
    const int FAR = (2 * REACH + VEC - 1) / VEC, CENTRE = FAR * VEC;  // around which values are needed
    FOR_EACH(i, rows * packs) {
        index_t row = i >> 32 ? i / packs : (unsigned)i / (unsigned)packs;
        int pack = (int)(i - row * packs);
        float values[(2 * FAR + 1) * VEC], squares[(2 * FAR + 1) * VEC];
        float scaled[(2 * PACKS + 1) * VEC], shares[(2 * PACKS + 1) * VEC];
        load_around<FAR>(x + row * packs, pack, packs, values);
        load_around<PACKS>(dy + row * packs, pack, packs, scaled);
#pragma unroll
        for (int k = 0; k < (2 * FAR + 1) * VEC; k++) squares[k] = values[k] * values[k];
#pragma unroll
        for (int k = -REACH; k < VEC + REACH; k++) {
            int c = pack * VEC + k;
            float s = bias + weight * neighbourhood<REACH>(squares, CENTRE + k, radius);
            float part = scaled[MIDDLE + k] * inverse_power(s, beta);
            bool inside = c >= 0 && c < channels;
            scaled[MIDDLE + k] = inside ? part : 0.f;
            shares[MIDDLE + k] = inside ? part * values[CENTRE + k] / s : 0.f;
        }
        pack_t result;
#pragma unroll
        for (int k = 0; k < VEC; k++) {
            float sum = neighbourhood<REACH>(shares, MIDDLE + k, radius);
            float value = scaled[MIDDLE + k] - 2.f * weight * beta * values[CENTRE + k] * sum;
            result.v[k] = store(pack * VEC + k < channels ? value : 0.f);
        }
        dx[i] = result;
    }
}

extern "C" __global__ void lrn_forward_near(const pack_t* __restrict__ x, pack_t* __restrict__ y, index_t rows,
                                            int packs, int channels, int radius, float weight, float beta,
                                            float bias) {
    normalise<2>(x, y, rows, packs, channels, radius, weight, beta, bias);
}

extern "C" __global__ void lrn_forward_far(const pack_t* __restrict__ x, pack_t* __restrict__ y, index_t rows,
                                           int packs, int channels, int radius, float weight, float beta, float bias) {
    normalise<7>(x, y, rows, packs, channels, radius, weight, beta, bias);
}

extern "C" __global__ void lrn_backward_near(const pack_t* __restrict__ x, const pack_t* __restrict__ dy,
                                             pack_t* __restrict__ dx, index_t rows, int packs, int channels,
                                             int radius, float weight, float beta, float bias) {
    gradient<2>(x, dy, dx, rows, packs, channels, radius, weight, beta, bias);
}

extern "C" __global__ void lrn_backward_far(const pack_t* __restrict__ x, const pack_t* __restrict__ dy,
                                            pack_t* __restrict__ dx, index_t rows, int packs, int channels,
                                            int radius, float weight, float beta, float bias) {
    gradient<7>(x, dy, dx, rows, packs, channels, radius, weight, beta, bias);
}
