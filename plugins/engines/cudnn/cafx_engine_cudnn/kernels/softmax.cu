// Softmax over the channels of each pixel, and the loss computed from it.
//
// A pixel's row is worked on by `lanes` threads: a power of two up to a warp, or the whole block. Padding
// is left out of all sums, and written as 0.

__device__ __forceinline__ float row_sum(float value, int lanes) {
    if (lanes > 32) return block_sum(value);
    for (int offset = lanes / 2; offset; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
    return value;
}

__device__ __forceinline__ float row_max(float value, int lanes) {
    for (int offset = (lanes > 32 ? 32 : lanes) / 2; offset; offset /= 2)
        value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, offset));
    if (lanes <= 32) return value;
    __shared__ float partial[32];
    __syncthreads();
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
    __syncthreads();
    for (int warp = 0; warp < blockDim.x / 32; warp++) value = fmaxf(value, partial[warp]);
    return value;
}

// What softmax needs to know of a row: exp(x - highest) / sum.
struct Row {
    float highest, sum;
};

__device__ __forceinline__ Row row_of(const pack_t* row, int packs, int channels, int lane, int lanes) {
    Row found;
    found.highest = FLT_LOWEST;
    for (int p = lane; p < packs; p += lanes) {
        pack_t x = row[p];
        for (int k = 0; k < VEC; k++)
            if (p * VEC + k < channels) found.highest = fmaxf(found.highest, load(x.v[k]));
    }
    found.highest = row_max(found.highest, lanes);
    found.sum = 0.f;
    for (int p = lane; p < packs; p += lanes) {
        pack_t x = row[p];
        for (int k = 0; k < VEC; k++)
            if (p * VEC + k < channels) found.sum += expf(load(x.v[k]) - found.highest);
    }
    found.sum = row_sum(found.sum, lanes);
    return found;
}

// The probabilities of a row; y may be x.
__device__ __forceinline__ void write_probabilities(const pack_t* x, pack_t* y, Row row, int packs, int channels, int lane,
                                                    int lanes) {
    for (int p = lane; p < packs; p += lanes) {
        pack_t pack = x[p];
        for (int k = 0; k < VEC; k++) {
            float value = expf(load(pack.v[k]) - row.highest) / row.sum;
            pack.v[k] = store(p * VEC + k < channels ? value : 0.f);
        }
        y[p] = pack;
    }
}

// A loop of a block over rows: all threads of the block go through it, so that they can add up; those
// without a row have no packs.
#define FOR_EACH_ROW(r, lanes, rows)                                                          \
    for (index_t first = (index_t)blockIdx.x * (blockDim.x / (lanes)), r = first + threadIdx.x / (lanes); first < (rows); \
         first += (index_t)gridDim.x * (blockDim.x / (lanes)), r = first + threadIdx.x / (lanes))

extern "C" __global__ void softmax(const pack_t* x, pack_t* y, index_t rows, int packs, int channels, int lanes) {
    int lane = threadIdx.x % lanes;
    FOR_EACH_ROW(r, lanes, rows) {
        int own = r < rows ? packs : 0;
        Row row = row_of(x + r * packs, own, channels, lane, lanes);
        write_probabilities(x + r * packs, y + r * packs, row, own, channels, lane, lanes);
    }
}

// dx = y * (dy - sum of dy * y).
extern "C" __global__ void softmax_gradient(const pack_t* y, const pack_t* dy, pack_t* dx, index_t rows, int packs,
                                            int channels, int lanes) {
    int lane = threadIdx.x % lanes;
    FOR_EACH_ROW(r, lanes, rows) {
        int own = r < rows ? packs : 0;
        float sum = 0.f;
        for (int p = lane; p < own; p += lanes) {
            pack_t value = y[r * packs + p], diff = dy[r * packs + p];
            for (int k = 0; k < VEC; k++)
                if (p * VEC + k < channels) sum += load(value.v[k]) * load(diff.v[k]);
        }
        sum = row_sum(sum, lanes);
        for (int p = lane; p < own; p += lanes) {
            pack_t value = y[r * packs + p], diff = dy[r * packs + p];
            for (int k = 0; k < VEC; k++) {
                float result = load(value.v[k]) * (load(diff.v[k]) - sum);
                value.v[k] = store(p * VEC + k < channels ? result : 0.f);
            }
            dx[r * packs + p] = value;
        }
    }
}

// The class a label names: towards zero, and in range whatever the label is.
__device__ __forceinline__ int class_of(float label, int classes) {
    if (!(label > 0.f)) return 0;
    return label < (float)(classes - 1) ? (int)label : classes - 1;
}

// Whether a label counts.
__device__ __forceinline__ bool counts(float label, int ignores, float ignored) {
    return !ignores || truncf(label) != ignored;
}

// The smaller (sign 1) or the larger (sign -1) of two numbers; NaN if one of them is.
__device__ __forceinline__ float extreme(float a, float b, float sign) {
    return b != b || sign * b < sign * a ? b : a;
}

// What one block, or all of them, found: the sum of the losses, how many labels count, and the labels' range,
// in which those that are ignored are 0.
struct alignas(16) Found {
    float loss;
    int count;
    float lowest, highest;
};

// Adds up what all threads of a block found; thread 0 gets it.
__device__ __forceinline__ Found block_found(Found mine) {
    __shared__ Found all[256];
    all[threadIdx.x] = mine;
    __syncthreads();
    for (int half = blockDim.x / 2; half; half /= 2) {
        if (threadIdx.x < half) {
            Found one = all[threadIdx.x], two = all[threadIdx.x + half];
            one.loss += two.loss;
            one.count += two.count;
            one.lowest = extreme(one.lowest, two.lowest, 1.f);
            one.highest = extreme(one.highest, two.highest, -1.f);
            all[threadIdx.x] = one;
        }
        __syncthreads();
    }
    return all[0];
}

__device__ __forceinline__ Found nothing_found() {
    Found found;
    found.loss = 0.f;
    found.count = 0;
    found.lowest = -FLT_LOWEST;
    found.highest = FLT_LOWEST;
    return found;
}

// The loss of each row, summed over the rows of a block, which has 256 threads; `kept` gets what the gradient
// needs, `probabilities` the softmax (null: nobody needs it).
extern "C" __global__ void softmax_loss(const pack_t* x, const float* labels, pack_t* probabilities, Row* kept,
                                        Found* partial, index_t rows, int packs, int channels, int lanes, int ignores,
                                        float ignored, float least) {
    int lane = threadIdx.x % lanes;
    Found mine = nothing_found();
    FOR_EACH_ROW(r, lanes, rows) {
        int own = r < rows ? packs : 0;
        const pack_t* scores = x + r * packs;
        Row row = row_of(scores, own, channels, lane, lanes);
        if (own && lane == 0) {
            bool valid = counts(labels[r], ignores, ignored);
            float label = valid ? labels[r] : 0.f;
            float score = load(((const value_t*)scores)[class_of(label, channels)]);
            float likelihood = score - row.highest - logf(row.sum);
            if (likelihood < least) likelihood = least;
            mine.loss -= likelihood * (valid ? 1.f : 0.f);
            mine.count += valid;
            mine.lowest = extreme(mine.lowest, label, 1.f);
            mine.highest = extreme(mine.highest, label, -1.f);
            if (kept) kept[r] = row;
        }
        if (probabilities)
            write_probabilities(scores, probabilities + r * packs, row, own, channels, lane, lanes);
    }
    Found found = block_found(mine);
    if (threadIdx.x == 0) partial[blockIdx.x] = found;
}

// The loss of all blocks, divided; by one block of 256 threads. The divisor is fixed, or how many labels
// count (`fixed` 0), at least 1.
extern "C" __global__ void softmax_loss_total(const Found* partial, float* loss, float* divisor, float* range, int blocks,
                                              float fixed) {
    Found mine = nothing_found();
    for (int b = threadIdx.x; b < blocks; b += blockDim.x) {
        Found part = partial[b];
        mine.loss += part.loss;
        mine.count += part.count;
        mine.lowest = extreme(mine.lowest, part.lowest, 1.f);
        mine.highest = extreme(mine.highest, part.highest, -1.f);
    }
    Found found = block_found(mine);
    if (threadIdx.x) return;
    float by = fixed > 0.f ? fixed : (float)(found.count > 1 ? found.count : 1);
    loss[0] = found.loss / by;
    divisor[0] = by;
    range[0] = found.lowest;
    range[1] = found.highest;
}

// dx = weight / divisor * (softmax - 1 at the label), 0 where the label does not count.
extern "C" __global__ void softmax_loss_gradient(const pack_t* __restrict__ x, const float* __restrict__ labels,
                                                 const Row* __restrict__ kept, const float* weight, const float* divisor,
                                                 pack_t* __restrict__ dx, index_t rows, int packs, int channels,
                                                 int ignores, float ignored) {
    float factor = weight[0] / divisor[0];
    FOR_EACH(i, rows * packs) {
        index_t r = i / packs;
        int c = (int)(i % packs) * VEC;
        float label = labels[r];
        bool valid = counts(label, ignores, ignored);
        int target = class_of(valid ? label : 0.f, channels);
        Row row = kept[r];
        pack_t pack = x[i];
        for (int k = 0; k < VEC; k++) {
            float p = expf(load(pack.v[k]) - row.highest) / row.sum;
            float value = (c + k == target ? p - 1.f : p) * factor * (valid ? 1.f : 0.f);
            pack.v[k] = store(c + k < channels ? value : 0.f);
        }
        dx[i] = pack;
    }
}
