// Dropout, alone or behind a product. Values that are dropped are multiplied by 0, so that NaN stays NaN.
// The mask is a byte for each pack of values, a bit for each value.

struct alignas(16) floats_t {
    float v[VEC];
};

// Which of `values` values from block number `block` of the stream on are kept.
__device__ __forceinline__ unsigned kept_values(const word_t* state, word_t block, int values, float ratio) {
    unsigned kept = 0;
    for (int first = 0; first < values; first += 4, block++) {
        Words words = draw(state, block);
        for (int k = 0; k < 4; k++) kept |= (unsigned)(uniform(words.v[k]) >= ratio) << (first + k);
    }
    return kept;
}

__device__ __forceinline__ float factor(unsigned kept, int k, float scale) { return kept >> k & 1 ? scale : 0.f; }

__device__ __forceinline__ pack_t masked(pack_t pack, unsigned kept, float scale) {
    for (int k = 0; k < VEC; k++) pack.v[k] = store(load(pack.v[k]) * factor(kept, k, scale));
    return pack;
}

extern "C" __global__ void dropout(const pack_t* x, pack_t* y, unsigned char* mask, const word_t* state, index_t packs,
                                   float ratio, float scale) {
    FOR_EACH(i, packs) {
        unsigned kept = kept_values(state, i * (VEC / 4), VEC, ratio);
        mask[i] = (unsigned char)kept;
        y[i] = masked(x[i], kept, scale);
    }
}

extern "C" __global__ void dropout_gradient(const pack_t* dy, pack_t* dx, const unsigned char* mask, index_t packs,
                                            float scale) {
    FOR_EACH(i, packs) dx[i] = masked(dy[i], mask[i], scale);
}

// The same for row-major arrays of float, with a byte of the mask for four values.
extern "C" __global__ void dropout_floats(const float* x, float* y, unsigned char* mask, const word_t* state,
                                          index_t count, float ratio, float scale) {
    FOR_EACH(block, (count + 3) / 4) {
        unsigned kept = kept_values(state, block, 4, ratio);
        mask[block] = (unsigned char)kept;
        for (int k = 0; k < 4; k++)
            if (4 * block + k < count) y[4 * block + k] = x[4 * block + k] * factor(kept, k, scale);
    }
}

extern "C" __global__ void dropout_gradient_floats(const float* dy, float* dx, const unsigned char* mask, index_t count,
                                                   float scale) {
    FOR_EACH(block, (count + 3) / 4) {
        unsigned kept = mask[block];
        for (int k = 0; k < 4; k++)
            if (4 * block + k < count) dx[4 * block + k] = dy[4 * block + k] * factor(kept, k, scale);
    }
}

// What follows a product of matrices: to = dropout(rectify(from + bias)), 0 in the padding. There may be no
// bias (null), no ReLU (`rectified` not set) and no dropout (`state` null); `from` may be `to`.
extern "C" __global__ void finish_product(const floats_t* from, pack_t* to, const float* bias, const word_t* state,
                                          index_t rows, int packs, int channels, int rectified, float slope,
                                          float ratio, float scale) {
    FOR_EACH(i, rows * packs) {
        int c = (int)(i % packs) * VEC;
        unsigned kept = state ? kept_values(state, i * (VEC / 4), VEC, ratio) : ~0u;
        floats_t sums = from[i];
        pack_t values;
        for (int k = 0; k < VEC; k++) {
            float x = sums.v[k] + (bias ? bias[c + k] : 0.f);
            if (rectified) x = rectify(x, slope);
            values.v[k] = store(c + k < channels ? x * factor(kept, k, scale) : 0.f);
        }
        to[i] = values;
    }
}
