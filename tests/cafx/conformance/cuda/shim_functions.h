// CUDA's device functions: barriers, shuffles, atomics, arithmetic. Follows shim.h.
static inline void __syncthreads() { cafx::block_operation(0); }
static inline int __syncthreads_or(int p) { return cafx::block_operation(p != 0) != 0; }
static inline int __syncthreads_and(int p) { return cafx::block_operation(p != 0) == cafx::count; }
static inline int __syncthreads_count(int p) { return int(cafx::block_operation(p != 0)); }
static inline void __syncwarp(unsigned mask = ~0u) { cafx::warp_operation(cafx::SYNC, mask, 0, cafx::lane()); }
static inline void __threadfence() {}
static inline void __threadfence_block() {}
template <class T> T __shfl_sync(unsigned mask, T v, int source, int width = 32) {
    unsigned first = cafx::lane() & ~(width - 1u);
    return cafx::value<T>(cafx::warp_operation(cafx::SHUFFLE, mask, cafx::bits(v), first + (source & (width - 1))));
}
template <class T> T __shfl_xor_sync(unsigned mask, T v, int lanes, int width = 32) {
    unsigned self = cafx::lane(), source = self ^ lanes, last = self | (width - 1u);
    return cafx::value<T>(cafx::warp_operation(cafx::SHUFFLE, mask, cafx::bits(v), source <= last ? source : self));
}
template <class T> T __shfl_down_sync(unsigned mask, T v, unsigned delta, int width = 32) {
    unsigned self = cafx::lane(), source = self + delta, last = self | (width - 1u);
    return cafx::value<T>(cafx::warp_operation(cafx::SHUFFLE, mask, cafx::bits(v), source <= last ? source : self));
}
template <class T> T __shfl_up_sync(unsigned mask, T v, unsigned delta, int width = 32) {
    unsigned self = cafx::lane(), first = self & ~(width - 1u);
    unsigned source = self - first >= delta ? self - delta : self;
    return cafx::value<T>(cafx::warp_operation(cafx::SHUFFLE, mask, cafx::bits(v), source));
}
static inline unsigned __ballot_sync(unsigned mask, int p) { return unsigned(cafx::warp_operation(cafx::BALLOT, mask, p != 0, 0)); }
static inline int __any_sync(unsigned mask, int p) { return __ballot_sync(mask, p) != 0; }
static inline int __all_sync(unsigned mask, int p) { return __ballot_sync(mask, !p) == 0; }
static inline unsigned __activemask() { return ~0u; }

template <class T> T __ldg(const T* p) { return *p; }
template <class T> T cafx_replace(T* p, T v) { T old = *p; *p = v; return old; }
typedef unsigned long long cafx_ulonglong;
#define CAFX_ATOMICS(T)                                                                       \
    static inline T atomicAdd(T* p, T v) { return cafx_replace(p, T(*p + v)); }               \
    static inline T atomicSub(T* p, T v) { return cafx_replace(p, T(*p - v)); }               \
    static inline T atomicMin(T* p, T v) { return cafx_replace(p, v < *p ? v : *p); }         \
    static inline T atomicMax(T* p, T v) { return cafx_replace(p, v > *p ? v : *p); }         \
    static inline T atomicExch(T* p, T v) { return cafx_replace(p, v); }                      \
    static inline T atomicAnd(T* p, T v) { return cafx_replace(p, T(*p & v)); }               \
    static inline T atomicOr(T* p, T v) { return cafx_replace(p, T(*p | v)); }                \
    static inline T atomicXor(T* p, T v) { return cafx_replace(p, T(*p ^ v)); }               \
    static inline T atomicCAS(T* p, T c, T v) { return cafx_replace(p, *p == c ? v : *p); }
CAFX_ATOMICS(int)
CAFX_ATOMICS(unsigned)
CAFX_ATOMICS(cafx_ulonglong)
static inline float atomicAdd(float* p, float v) { return cafx_replace(p, *p + v); }
static inline double atomicAdd(double* p, double v) { return cafx_replace(p, *p + v); }
static inline float atomicExch(float* p, float v) { return cafx_replace(p, v); }

static inline unsigned __float_as_uint(float v) { return cafx::bit_cast<unsigned>(v); }
static inline int __float_as_int(float v) { return cafx::bit_cast<int>(v); }
static inline float __uint_as_float(unsigned v) { return cafx::bit_cast<float>(v); }
static inline float __int_as_float(int v) { return cafx::bit_cast<float>(v); }
static inline long long __double_as_longlong(double v) { return cafx::bit_cast<long long>(v); }
static inline double __longlong_as_double(long long v) { return cafx::bit_cast<double>(v); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
static inline int __mulhi(int a, int b) { return int((int64_t(a) * b) >> 32); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) { return (unsigned long long)(((unsigned __int128)a * b) >> 64); }
static inline int __mul24(int a, int b) { return ((a << 8) >> 8) * ((b << 8) >> 8); }
static inline unsigned __umul24(unsigned a, unsigned b) { return (a & 0xFFFFFF) * (b & 0xFFFFFF); }
static inline int __popc(unsigned v) { return __builtin_popcount(v); }
static inline int __popcll(unsigned long long v) { return __builtin_popcountll(v); }
static inline int __clz(int v) { return v ? __builtin_clz(v) : 32; }
static inline int __ffs(int v) { return __builtin_ffs(v); }
static inline unsigned __brev(unsigned v) { unsigned r = 0; for (int i = 0; i < 32; i++) r |= (v >> i & 1) << (31 - i); return r; }
static inline float rsqrtf(float v) { return 1.0f / sqrtf(v); }
static inline double rsqrt(double v) { return 1.0 / std::sqrt(v); }
static inline float __frsqrt_rn(float v) { return rsqrtf(v); }
static inline float __fsqrt_rn(float v) { return sqrtf(v); }
static inline float __frcp_rn(float v) { return 1.0f / v; }
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __dsub_rn(double a, double b) { return a - b; }
static inline double __ddiv_rn(double a, double b) { return a / b; }
#define __expf expf
#define __logf logf
#define __log2f log2f
#define __powf powf
static inline float __saturatef(float v) { return v < 0 ? 0 : v > 1 ? 1 : v == v ? v : 0; }
static inline float __int2float_rn(int v) { return float(v); }
static inline float __uint2float_rn(unsigned v) { return float(v); }
static inline int __float2int_rn(float v) { return int(nearbyintf(v)); }
static inline int __float2int_rz(float v) { return int(v); }
static inline int __float2int_rd(float v) { return int(floorf(v)); }
static inline unsigned __float2uint_rz(float v) { return unsigned(v); }

using std::isfinite;
using std::isinf;
using std::isnan;
template <class A, class B> using cafx_common = typename std::common_type<A, B>::type;
template <class A, class B> cafx_common<A, B> min(A a, B b) {
    if constexpr (std::is_floating_point<cafx_common<A, B>>::value) return std::fmin(cafx_common<A, B>(a), cafx_common<A, B>(b));
    else return cafx_common<A, B>(a) < cafx_common<A, B>(b) ? a : b;
}
template <class A, class B> cafx_common<A, B> max(A a, B b) {
    if constexpr (std::is_floating_point<cafx_common<A, B>>::value) return std::fmax(cafx_common<A, B>(a), cafx_common<A, B>(b));
    else return cafx_common<A, B>(a) > cafx_common<A, B>(b) ? a : b;
}
