// What all kernels share. No headers are included, so that NVRTC needs none.
typedef long long index_t;
typedef unsigned long long word_t;

// A loop over count items by all threads of all blocks.
#define FOR_EACH(i, count) \
    for (index_t i = blockIdx.x * (index_t)blockDim.x + threadIdx.x; i < (count); i += (index_t)gridDim.x * blockDim.x)

#define FLT_LOWEST (-3.402823466e+38f)

__device__ __forceinline__ bool is_finite(float value) {
    return (__float_as_uint(value) & 0x7f800000u) != 0x7f800000u;
}

// Sums a value over the 32 threads of a warp.
__device__ __forceinline__ float warp_sum(float value) {
    for (int offset = 16; offset; offset /= 2) value += __shfl_xor_sync(0xffffffffu, value, offset);
    return value;
}

__device__ __forceinline__ float warp_max(float value) {
    for (int offset = 16; offset; offset /= 2) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, offset));
    return value;
}

// Sums a value over a block of at most 1024 threads; every thread gets the sum.
__device__ __forceinline__ float block_sum(float value) {
    __shared__ float partial[32];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = (blockDim.x + 31) / 32;
    value = warp_sum(value);
    __syncthreads();
    if (lane == 0) partial[warp] = value;
    __syncthreads();
    return warp_sum(lane < warps ? partial[lane] : 0.f);
}

// Philox4x32-10: four random words for a counter and a key.
struct Words {
    unsigned v[4];
};

__device__ __forceinline__ Words philox(unsigned a, unsigned b, unsigned c, unsigned d, unsigned left, unsigned right) {
    for (int turn = 0; turn < 10; turn++) {
        if (turn) {
            left += 0x9E3779B9u;
            right += 0xBB67AE85u;
        }
        unsigned first_high = __umulhi(0xD2511F53u, a), first_low = 0xD2511F53u * a;
        unsigned second_high = __umulhi(0xCD9E8D57u, c), second_low = 0xCD9E8D57u * c;
        a = second_high ^ b ^ left;
        b = second_low;
        c = first_high ^ d ^ right;
        d = first_low;
    }
    Words words;
    words.v[0] = a;
    words.v[1] = b;
    words.v[2] = c;
    words.v[3] = d;
    return words;
}

// The four words of block number `block` of a stream: state holds the position, then the key.
__device__ __forceinline__ Words draw(const word_t* state, word_t block) {
    word_t position = state[0], key = state[1];
    return philox((unsigned)block, (unsigned)(block >> 32), (unsigned)position, (unsigned)(position >> 32), (unsigned)key,
                  (unsigned)(key >> 32));
}

__device__ __forceinline__ float uniform(unsigned word) { return (word >> 8) * 5.9604644775390625e-8f; }
