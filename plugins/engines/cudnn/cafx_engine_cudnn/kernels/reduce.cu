// Sums over the pixels of channels-last gradients, per channel, and what is done on the same way.

// result = dy where y > 0, slope * dy elsewhere (`y` null: dy as it is, nothing is written where `result`
// is null), and partial[block row][channel] = its sums. Blocks are (packs of channels) x (pixels).
extern "C" __global__ void masked_sums(const pack_t* __restrict__ dy, const pack_t* __restrict__ y,
                                       pack_t* __restrict__ result, float* __restrict__ partial, index_t rows,
                                       int packs, float slope, float scale) {
    extern __shared__ float sums[];
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    index_t stride = (index_t)gridDim.y * blockDim.y;
    float sum[VEC];
    for (int k = 0; k < VEC; k++) sum[k] = 0.f;
    if (c < packs)
        for (index_t r = blockIdx.y * (index_t)blockDim.y + threadIdx.y; r < rows; r += stride) {
            pack_t d = dy[r * packs + c];
            if (y) {
                pack_t value = y[r * packs + c];
                for (int k = 0; k < VEC; k++)
                    d.v[k] = store(load(d.v[k]) * (load(value.v[k]) > 0.f ? scale : slope * scale));
            }
            if (result) result[r * packs + c] = d;
            for (int k = 0; k < VEC; k++) sum[k] += load(d.v[k]);
        }
    if (!partial) return;
    const float* total = column_sums(sums, sum);
    if (threadIdx.y == 0 && c < packs)
        for (int k = 0; k < VEC; k++) partial[((index_t)blockIdx.y * packs + c) * VEC + k] = total[k];
}

// sums = the partial sums of all block rows, added to what is there where `add` is set. Blocks of 32 x 32.
extern "C" __global__ void fold(const float* partial, float* sums, int block_rows, int channels, int add) {
    __shared__ float shared[32][33];
    int c = blockIdx.x * 32 + threadIdx.x;
    float sum = 0.f;
    if (c < channels)
        for (int b = threadIdx.y; b < block_rows; b += 32) sum += partial[(index_t)b * channels + c];
    shared[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y == 0 && c < channels) {
        sum = add ? sums[c] : 0.f;
        for (int b = 0; b < 32; b++) sum += shared[b][threadIdx.x];
        sums[c] = sum;
    }
}
