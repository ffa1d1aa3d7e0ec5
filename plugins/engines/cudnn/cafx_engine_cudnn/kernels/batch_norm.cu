// Normalisation, and whatever else is one factor and one shift per channel, on channels-last matrices of pixels x packs
// of channels.
//
// Blocks are (packs) x (pixels): a thread works on one pack of channels, whose parameters stay in its registers, and has
// the accesses of ROWS pixels in flight. What is computed per channel is in `coefficients`: four arrays of `padded`
// values, which are 0 in the padding, so that the results' padding is 0, too.
#define ROWS 4
#define EACH_ROW _Pragma("unroll") for (int u = 0; u < ROWS; u++)
// Backward needs more registers per value.
#define BACKWARD_ROWS (16 / VEC)
#define EACH_BACKWARD_ROW _Pragma("unroll") for (int u = 0; u < BACKWARD_ROWS; u++)
#define EACH_VALUE _Pragma("unroll") for (int k = 0; k < VEC; k++)

enum Coefficient { MEAN, FACTOR, SHIFT, INVERSE };

// The coefficients of one thread's channels: y = (x - mean) * factor + shift.
struct Channels {
    float mean[VEC], factor[VEC], shift[VEC], inverse[VEC];
};

__device__ __forceinline__ Channels channels_of(const float* coefficients, int pack, int packs) {
    Channels of;
    int padded = packs * VEC;
    EACH_VALUE {
        int c = pack * VEC + k;
        of.mean[k] = coefficients[MEAN * padded + c];
        of.factor[k] = coefficients[FACTOR * padded + c];
        of.shift[k] = coefficients[SHIFT * padded + c];
        of.inverse[k] = coefficients[INVERSE * padded + c];
    }
    return of;
}

// The same in every kernel, so that backward finds the sign that forward saw.
__device__ __forceinline__ float transformed(const Channels& of, int k, float x) {
    return fmaf(x - of.mean[k], of.factor[k], of.shift[k]);
}

// -- the batch's mean and variance

// Of some values: how many, their mean, and the sum of the squares of their deviations from it. Merging such moments is
// accurate whatever the mean is, which sums of squares are not.
struct Moments {
    float count, mean, squares;
};

__device__ __forceinline__ Moments merged(const Moments& one, const Moments& other) {
    if (other.count == 0.f) return one;
    if (one.count == 0.f) return other;
    Moments both;
    both.count = one.count + other.count;
    float difference = other.mean - one.mean, part = other.count / both.count;
    both.mean = one.mean + difference * part;
    both.squares = one.squares + other.squares + difference * difference * one.count * part;
    return both;
}

// How many of the rows a block works on, that takes `height` of them in turn with the others.
__device__ __forceinline__ index_t rows_of_block(index_t rows, int height, int blocks, int block) {
    index_t turn = (index_t)height * blocks, left = rows % turn - (index_t)block * height;
    return rows / turn * height + (left < 0 ? 0 : left < height ? left : height);
}

// partial[block row] = means, then squares, of all channels. A thread's sums are of differences from its first value.
extern "C" __global__ void batch_moments(const pack_t* __restrict__ x, float* __restrict__ partial, index_t rows,
                                         int packs) {
    extern __shared__ float shared[];
    int threads = blockDim.x * blockDim.y, pack = blockIdx.x * blockDim.x + threadIdx.x;
    index_t stride = (index_t)gridDim.y * blockDim.y, start = blockIdx.y * (index_t)blockDim.y + threadIdx.y;
    float origin[VEC], sum[VEC], squares[VEC];
    EACH_VALUE origin[k] = sum[k] = squares[k] = 0.f;
    float count = 0.f;
    if (pack < packs && start < rows) {
        pack_t first = x[start * packs + pack];
        EACH_VALUE origin[k] = load(first.v[k]);
        count = (float)((rows - 1 - start) / stride + 1);
        for (index_t r = start; r < rows; r += ROWS * stride) {
            pack_t values[ROWS];
            EACH_ROW if (r + u * stride < rows) values[u] = x[(r + u * stride) * packs + pack];
            EACH_ROW if (r + u * stride < rows) {
                EACH_VALUE {
                    float difference = load(values[u].v[k]) - origin[k];
                    sum[k] += difference;
                    squares[k] += difference * difference;
                }
            }
        }
    }
    int me = threadIdx.y * blockDim.x + threadIdx.x;
    float *counts = shared, *means = shared + threads, *spreads = means + threads * VEC;
    counts[me] = count;
    EACH_VALUE {
        float offset = count > 0.f ? sum[k] / count : 0.f, spread = squares[k] - sum[k] * offset;
        means[me * VEC + k] = origin[k] + offset;
        spreads[me * VEC + k] = spread < 0.f ? 0.f : spread;
    }
    __syncthreads();
    for (int half = blockDim.y / 2; half; half /= 2) {
        int other = me + half * blockDim.x;
        Moments both = {count, 0.f, 0.f};
        if (threadIdx.y < half) {
            EACH_VALUE {
                Moments mine = {counts[me], means[me * VEC + k], spreads[me * VEC + k]};
                Moments its = {counts[other], means[other * VEC + k], spreads[other * VEC + k]};
                both = merged(mine, its);
                means[me * VEC + k] = both.mean;
                spreads[me * VEC + k] = both.squares;
            }
            counts[me] = both.count;
        }
        __syncthreads();
    }
    if (threadIdx.y == 0 && pack < packs) {
        EACH_VALUE {
            index_t at = (index_t)blockIdx.y * 2 * packs * VEC + pack * VEC + k;
            partial[at] = means[me * VEC + k];
            partial[at + packs * VEC] = spreads[me * VEC + k];
        }
    }
}

// -- coefficients; a learned factor and shift per channel may be null

__device__ __forceinline__ void set_coefficients(float* coefficients, int c, int channels, int padded, float mean,
                                                 float inverse, const float* gamma, const float* beta) {
    bool exists = c < channels;
    coefficients[MEAN * padded + c] = exists ? mean : 0.f;
    coefficients[INVERSE * padded + c] = exists ? inverse : 0.f;
    coefficients[FACTOR * padded + c] = exists ? inverse * (gamma ? gamma[c] : 1.f) : 0.f;
    coefficients[SHIFT * padded + c] = exists && beta ? beta[c] : 0.f;
}

// By the batch's moments, which the running sums take in: sum = sum * fraction + statistic. Blocks of 32 x 32.
extern "C" __global__ void batch_coefficients(const float* partial, float* coefficients, int blocks, int height,
                                              index_t rows, int channels, int padded, float eps, const float* gamma,
                                              const float* beta, float* mean_sum, float* variance_sum, float* weight,
                                              float fraction) {
    __shared__ Moments shared[32][33];
    int c = blockIdx.x * 32 + threadIdx.x;
    Moments all = {0.f, 0.f, 0.f};
    if (c < padded)
        for (int b = threadIdx.y; b < blocks; b += 32) {
            const float* of_block = partial + (index_t)b * 2 * padded + c;
            Moments its = {(float)rows_of_block(rows, height, blocks, b), of_block[0], of_block[padded]};
            all = merged(all, its);
        }
    shared[threadIdx.y][threadIdx.x] = all;
    __syncthreads();
    if (threadIdx.y == 0 && c < padded) {
        for (int part = 1; part < 32; part++) all = merged(all, shared[part][threadIdx.x]);
        float variance = all.squares / (float)rows;
        set_coefficients(coefficients, c, channels, padded, all.mean, 1.f / sqrtf(variance + eps), gamma, beta);
        if (c < channels) {
            mean_sum[c] = mean_sum[c] * fraction + all.mean;
            float unbiased = rows > 1 ? all.squares / (float)(rows - 1) : variance;
            variance_sum[c] = variance_sum[c] * fraction + unbiased;
        }
        if (c == 0) weight[0] = weight[0] * fraction + 1.f;
    }
}

// By running sums, or, where these are null, by mean 0 and deviation 1.
extern "C" __global__ void given_coefficients(float* coefficients, int channels, int padded, float eps,
                                              const float* gamma, const float* beta, const float* mean_sum,
                                              const float* variance_sum, const float* weight) {
    FOR_EACH(i, padded) {
        int c = (int)i;
        float mean = 0.f, inverse = 1.f;
        if (mean_sum && c < channels) {
            float factor = weight[0] == 0.f ? 0.f : 1.f / weight[0];
            mean = mean_sum[c] * factor;
            inverse = 1.f / sqrtf(variance_sum[c] * factor + eps);
        }
        set_coefficients(coefficients, c, channels, padded, mean, inverse, gamma, beta);
    }
}

// -- passes over the pixels

// y = (x - mean) * factor + shift (+ residual), rectified where `rectified` is set. y may be x.
extern "C" __global__ void transform(const pack_t* x, pack_t* y, const pack_t* residual,
                                     const float* __restrict__ coefficients, index_t rows, int packs, int rectified,
                                     float slope) {
    int pack = blockIdx.x * blockDim.x + threadIdx.x;
    if (pack >= packs) return;
    Channels of = channels_of(coefficients, pack, packs);
    index_t stride = (index_t)gridDim.y * blockDim.y;
    for (index_t r = blockIdx.y * (index_t)blockDim.y + threadIdx.y; r < rows; r += ROWS * stride) {
        pack_t values[ROWS], added[ROWS];
        EACH_ROW if (r + u * stride < rows) {
            values[u] = x[(r + u * stride) * packs + pack];
            if (residual) added[u] = residual[(r + u * stride) * packs + pack];
        }
        EACH_ROW if (r + u * stride < rows) {
            EACH_VALUE {
                float value = transformed(of, k, load(values[u].v[k]));
                if (residual) value += load(added[u].v[k]);
                values[u].v[k] = store(rectified ? rectify(value, slope) : value);
            }
            y[(r + u * stride) * packs + pack] = values[u];
        }
    }
}

// partial[block row] = sums of dy, then of dy * (x - mean) / deviation, of all channels, dy being the gradient behind
// the ReLU.
extern "C" __global__ void gradient_sums(const pack_t* __restrict__ x, const pack_t* __restrict__ dy,
                                         const pack_t* __restrict__ y, const float* __restrict__ coefficients,
                                         float* __restrict__ partial, index_t rows, int packs, int rectified,
                                         float slope) {
    extern __shared__ float shared[];
    int threads = blockDim.x * blockDim.y, pack = blockIdx.x * blockDim.x + threadIdx.x;
    index_t stride = (index_t)gridDim.y * blockDim.y;
    float plain[VEC], products[VEC];
    EACH_VALUE plain[k] = products[k] = 0.f;
    if (pack < packs) {
        Channels of = channels_of(coefficients, pack, packs);
        for (index_t r = blockIdx.y * (index_t)blockDim.y + threadIdx.y; r < rows; r += BACKWARD_ROWS * stride) {
            pack_t values[BACKWARD_ROWS], gradients[BACKWARD_ROWS], results[BACKWARD_ROWS];
            EACH_BACKWARD_ROW if (r + u * stride < rows) {
                index_t at = (r + u * stride) * packs + pack;
                values[u] = x[at];
                gradients[u] = dy[at];
                if (y) results[u] = y[at];
            }
            EACH_BACKWARD_ROW if (r + u * stride < rows) {
                EACH_VALUE {
                    float value = load(values[u].v[k]), gradient = load(gradients[u].v[k]);
                    if (rectified) {
                        float result = y ? load(results[u].v[k]) : transformed(of, k, value);
                        if (!(result > 0.f)) gradient *= slope;
                    }
                    plain[k] += gradient;
                    products[k] += gradient * (value - of.mean[k]);
                }
            }
        }
        EACH_VALUE products[k] *= of.inverse[k];
    }
    int me = threadIdx.y * blockDim.x + threadIdx.x;
    float *first = shared + me * VEC, *second = first + threads * VEC;
    EACH_VALUE {
        first[k] = plain[k];
        second[k] = products[k];
    }
    __syncthreads();
    for (int half = blockDim.y / 2; half; half /= 2) {
        int other = half * blockDim.x * VEC;
        if (threadIdx.y < half) EACH_VALUE {
            first[k] += first[other + k];
            second[k] += second[other + k];
        }
        __syncthreads();
    }
    if (threadIdx.y == 0 && pack < packs) {
        EACH_VALUE {
            index_t at = (index_t)blockIdx.y * 2 * packs * VEC + pack * VEC + k;
            partial[at] = first[k];
            partial[at + packs * VEC] = second[k];
        }
    }
}

// sums = the partial sums of all block rows. Where they are not null, the gradients of factor and shift are set to
// them, or added to. Blocks of 32 x 32.
extern "C" __global__ void gradient_totals(const float* partial, float* sums, int blocks, int channels, int padded,
                                           float* gamma, int add_gamma, float* beta, int add_beta) {
    __shared__ float shared[2][32][33];
    int c = blockIdx.x * 32 + threadIdx.x;
    float plain = 0.f, products = 0.f;
    if (c < padded)
        for (int b = threadIdx.y; b < blocks; b += 32) {
            plain += partial[(index_t)b * 2 * padded + c];
            products += partial[(index_t)b * 2 * padded + padded + c];
        }
    shared[0][threadIdx.y][threadIdx.x] = plain;
    shared[1][threadIdx.y][threadIdx.x] = products;
    __syncthreads();
    if (threadIdx.y == 0 && c < padded) {
        for (int part = 1; part < 32; part++) {
            plain += shared[0][part][threadIdx.x];
            products += shared[1][part][threadIdx.x];
        }
        sums[c] = plain;
        sums[padded + c] = products;
        if (c < channels) {
            if (beta) beta[c] = (add_beta ? beta[c] : 0.f) + plain;
            if (gamma) gamma[c] = (add_gamma ? gamma[c] : 0.f) + products;
        }
    }
}

// dx = factor * dy, less what the batch's statistics take (`sums` null: running statistics), and the gradient of the
// residual, which is dy; dy being the gradient behind the ReLU. dx or the residual's may be null, and each may be dy.
extern "C" __global__ void transform_gradient(const pack_t* x, const pack_t* dy, const pack_t* y, pack_t* dx,
                                              pack_t* residual, const float* __restrict__ coefficients,
                                              const float* __restrict__ sums, index_t rows, int packs, int rectified,
                                              float slope) {
    int pack = blockIdx.x * blockDim.x + threadIdx.x;
    if (pack >= packs) return;
    Channels of = channels_of(coefficients, pack, packs);
    float mean[VEC], along[VEC];
    EACH_VALUE {
        mean[k] = sums ? sums[pack * VEC + k] / (float)rows : 0.f;
        along[k] = sums ? sums[(packs + pack) * VEC + k] / (float)rows * of.inverse[k] : 0.f;
    }
    index_t stride = (index_t)gridDim.y * blockDim.y;
    for (index_t r = blockIdx.y * (index_t)blockDim.y + threadIdx.y; r < rows; r += BACKWARD_ROWS * stride) {
        pack_t values[BACKWARD_ROWS], gradients[BACKWARD_ROWS], results[BACKWARD_ROWS];
        EACH_BACKWARD_ROW if (r + u * stride < rows) {
            index_t at = (r + u * stride) * packs + pack;
            if (x) values[u] = x[at];
            gradients[u] = dy[at];
            if (y) results[u] = y[at];
        }
        EACH_BACKWARD_ROW if (r + u * stride < rows) {
            index_t at = (r + u * stride) * packs + pack;
            pack_t behind;
            EACH_VALUE {
                float value = x ? load(values[u].v[k]) : 0.f, gradient = load(gradients[u].v[k]);
                if (rectified) {
                    float result = y ? load(results[u].v[k]) : transformed(of, k, value);
                    if (!(result > 0.f)) gradient *= slope;
                }
                behind.v[k] = store(gradient);
                float rest = gradient - mean[k] - (value - of.mean[k]) * along[k];
                values[u].v[k] = store(of.factor[k] * (sums ? rest : gradient));
            }
            if (dx) dx[at] = values[u];
            if (residual) residual[at] = behind;
        }
    }
}

// -- folding into a product's filters

// folded = filters * factor of their output channel; `per_filter` values each.
extern "C" __global__ void fold_filters(const float* __restrict__ filters, value_t* __restrict__ folded,
                                        const float* __restrict__ coefficients, index_t count, index_t per_filter,
                                        int padded) {
    FOR_EACH(i, count) folded[i] = store(filters[i] * coefficients[FACTOR * padded + i / per_filter]);
}

// folded = (bias - mean) * factor + shift; without a bias it is null.
extern "C" __global__ void fold_bias(const float* bias, float* folded, const float* coefficients, int padded) {
    FOR_EACH(c, padded)
        folded[c] = ((bias ? bias[c] : 0.f) - coefficients[MEAN * padded + c]) * coefficients[FACTOR * padded + c] +
                    coefficients[SHIFT * padded + c];
}
