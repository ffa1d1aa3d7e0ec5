// Values of activations: float, or bfloat16 kept as its 16 bits (BF16 = 1). VEC values are one access of 16 bytes.
#if BF16
typedef unsigned short value_t;

__device__ __forceinline__ float load(value_t value) { return __uint_as_float((unsigned)value << 16); }

// Rounds to nearest even; NaN stays NaN.
__device__ __forceinline__ value_t store(float value) {
#ifdef __CUDACC__
#if __CUDA_ARCH__ >= 900
    value_t result;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result) : "f"(value));
    return result;
#endif
#endif
    unsigned bits = __float_as_uint(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (value_t)(bits >> 16 | 64u);
    return (value_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}
#else
typedef float value_t;

__device__ __forceinline__ float load(value_t value) { return value; }

__device__ __forceinline__ value_t store(float value) { return value; }
#endif

struct alignas(sizeof(value_t) * VEC) pack_t {
    value_t v[VEC];
};

struct alignas(VEC) marks_t {
    unsigned char v[VEC];
};

// max(x, 0) + slope * min(x, 0), which keeps NaN; 0 for minus infinity without a slope.
__device__ __forceinline__ float rectify(float value, float slope) {
    return value < 0.f ? (slope == 0.f ? 0.f : value * slope) : value;
}

// Adds up the values of the threads with the same threadIdx.x in a block whose height is a power of two. Returns the
// place in `shared`, VEC values per thread, where threads with threadIdx.y = 0 find the totals.
__device__ __forceinline__ const float* column_sums(float* shared, const float* values) {
    float* mine = shared + (threadIdx.y * blockDim.x + threadIdx.x) * VEC;
    for (int k = 0; k < VEC; k++) mine[k] = values[k];
    __syncthreads();
    for (int half = blockDim.y / 2; half; half /= 2) {
        if (threadIdx.y < half)
            for (int k = 0; k < VEC; k++) mine[k] += mine[half * blockDim.x * VEC + k];
        __syncthreads();
    }
    return mine;
}
