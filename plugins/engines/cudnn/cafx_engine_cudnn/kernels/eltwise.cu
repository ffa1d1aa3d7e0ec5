// Up to four arrays combined value by value, and the gradients of that. Arrays have `count` values of any meaning; a
// thread works on a pack of each at a time, the last of which may be incomplete. Those of the four that there are
// not are null. A gradient behind a ReLU is multiplied by its slope where `result`, the ReLU's output, is not
// positive; without a ReLU `result` is null.
#define MOST 4
#define EACH_ARRAY _Pragma("unroll") for (int n = 0; n < MOST; n++)
#define EACH_VALUE _Pragma("unroll") for (int k = 0; k < VEC; k++)
#define FOUR(a) a##0, a##1, a##2, a##3

__device__ __forceinline__ pack_t pack_at(const value_t* values, index_t i, index_t count) {
    if ((i + 1) * VEC <= count) return ((const pack_t*)values)[i];
    pack_t rest;
    for (int k = 0; k < VEC; k++) rest.v[k] = i * VEC + k < count ? values[i * VEC + k] : store(0.f);
    return rest;
}

__device__ __forceinline__ void set_pack(value_t* values, index_t i, index_t count, const pack_t& pack) {
    if ((i + 1) * VEC <= count)
        ((pack_t*)values)[i] = pack;
    else
        for (int k = 0; k < VEC; k++)
            if (i * VEC + k < count) values[i * VEC + k] = pack.v[k];
}

__device__ __forceinline__ index_t packs_of(index_t count) { return (count + VEC - 1) / VEC; }

// The packs number i of those of the arrays that there are.
__device__ __forceinline__ void packs_at(const value_t* const* arrays, pack_t* packs, index_t i, index_t count) {
    EACH_ARRAY if (arrays[n]) packs[n] = pack_at(arrays[n], i, count);
}

// The gradient behind a ReLU.
__device__ __forceinline__ pack_t gradient_at(const value_t* dy, const value_t* result, float slope, index_t i,
                                              index_t count) {
    pack_t gradient = pack_at(dy, i, count);
    if (result) {
        pack_t y = pack_at(result, i, count);
        EACH_VALUE if (!(load(y.v[k]) > 0.f)) gradient.v[k] = store(load(gradient.v[k]) * slope);
    }
    return gradient;
}

// y = sum of factor * x. y may be one of them.
extern "C" __global__ void weighted_sum(const value_t* x0, const value_t* x1, const value_t* x2, const value_t* x3,
                                        float factor0, float factor1, float factor2, float factor3, value_t* y,
                                        index_t count, int rectified, float slope) {
    const value_t* arrays[MOST] = {FOUR(x)};
    float factors[MOST] = {FOUR(factor)};
    FOR_EACH(i, packs_of(count)) {
        pack_t packs[MOST], result;
        packs_at(arrays, packs, i, count);
        EACH_VALUE {
            float sum = 0.f;
            EACH_ARRAY if (arrays[n]) {
                float term = load(packs[n].v[k]) * factors[n];
                sum = n ? sum + term : term;
            }
            result.v[k] = store(rectified ? rectify(sum, slope) : sum);
        }
        set_pack(y, i, count, result);
    }
}

// y = product of x, behind the ReLU of `result`. y may be one of them.
extern "C" __global__ void product(const value_t* x0, const value_t* x1, const value_t* x2, const value_t* x3,
                                   value_t* y, const value_t* result, index_t count, int rectified, float slope) {
    const value_t* arrays[MOST] = {FOUR(x)};
    FOR_EACH(i, packs_of(count)) {
        pack_t packs[MOST], found, product;
        packs_at(arrays, packs, i, count);
        if (result) found = pack_at(result, i, count);
        EACH_VALUE {
            float value = 1.f;
            EACH_ARRAY if (arrays[n]) value *= load(packs[n].v[k]);
            if (result && !(load(found.v[k]) > 0.f)) value *= slope;
            product.v[k] = store(rectified ? rectify(value, slope) : value);
        }
        set_pack(y, i, count, product);
    }
}

// The largest of four values: the second precedes the first where they are equal, and these two later ones.
__device__ __forceinline__ int largest(const value_t* const* arrays, const pack_t* packs, int k, float* value) {
    bool first = load(packs[0].v[k]) > load(packs[1].v[k]);
    int winner = first ? 0 : 1;
    *value = first ? load(packs[0].v[k]) : load(packs[1].v[k]);
    for (int n = 2; n < MOST; n++)
        if (arrays[n] && load(packs[n].v[k]) > *value) {
            *value = load(packs[n].v[k]);
            winner = n;
        }
    return winner;
}

// y = the largest.
extern "C" __global__ void maximum(const value_t* x0, const value_t* x1, const value_t* x2, const value_t* x3,
                                   value_t* y, index_t count, int rectified, float slope) {
    const value_t* arrays[MOST] = {FOUR(x)};
    FOR_EACH(i, packs_of(count)) {
        pack_t packs[MOST], result;
        packs_at(arrays, packs, i, count);
        EACH_VALUE {
            float value;
            largest(arrays, packs, k, &value);
            result.v[k] = store(rectified ? rectify(value, slope) : value);
        }
        set_pack(y, i, count, result);
    }
}

// dx = factor * dy for each.
extern "C" __global__ void sum_gradients(const value_t* dy, const value_t* result, float slope, value_t* x0, value_t* x1,
                                         value_t* x2, value_t* x3, float factor0, float factor1, float factor2,
                                         float factor3, index_t count) {
    value_t* arrays[MOST] = {FOUR(x)};
    float factors[MOST] = {FOUR(factor)};
    FOR_EACH(i, packs_of(count)) {
        pack_t gradient = gradient_at(dy, result, slope, i, count);
        EACH_ARRAY if (arrays[n]) {
            pack_t scaled;
            EACH_VALUE scaled.v[k] = store(load(gradient.v[k]) * factors[n]);
            set_pack(arrays[n], i, count, scaled);
        }
    }
}

// dx = dy for the largest of x, and 0 for the others.
extern "C" __global__ void maximum_gradients(const value_t* dy, const value_t* result, float slope, const value_t* x0,
                                             const value_t* x1, const value_t* x2, const value_t* x3, value_t* to0,
                                             value_t* to1, value_t* to2, value_t* to3, index_t count) {
    const value_t* arrays[MOST] = {FOUR(x)};
    value_t* targets[MOST] = {FOUR(to)};
    FOR_EACH(i, packs_of(count)) {
        pack_t packs[MOST], gradient = gradient_at(dy, result, slope, i, count);
        packs_at(arrays, packs, i, count);
        int winners[VEC];
        float value;
        EACH_VALUE winners[k] = largest(arrays, packs, k, &value);
        EACH_ARRAY if (targets[n]) {
            pack_t own;
            EACH_VALUE own.v[k] = store(load(gradient.v[k]) * (winners[k] == n ? 1.f : 0.f));
            set_pack(targets[n], i, count, own);
        }
    }
}
