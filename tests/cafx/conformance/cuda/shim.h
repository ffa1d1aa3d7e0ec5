// CUDA C++ on the host. A block's threads are fibers that run one after the other and switch where CUDA's threads wait
// for one another: at barriers and warp operations. Blocks run one after the other.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <tuple>
#include <type_traits>
#include <utility>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#define __global__
#define __device__
#define __host__
#define __constant__
#define __shared__ static
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
struct alignas(8) float2 { float x, y; };
struct float3 { float x, y, z; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) int2 { int x, y; };
struct int3 { int x, y, z; };
struct alignas(16) int4 { int x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct alignas(4) uchar4 { unsigned char x, y, z, w; };
struct alignas(8) ushort4 { unsigned short x, y, z, w; };
struct alignas(4) ushort2 { unsigned short x, y; };
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline int2 make_int2(int x, int y) { return {x, y}; }
static inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
static inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
static inline double2 make_double2(double x, double y) { return {x, y}; }
static inline uchar4 make_uchar4(unsigned char x, unsigned char y, unsigned char z, unsigned char w) { return {x, y, z, w}; }
static inline ushort2 make_ushort2(unsigned short x, unsigned short y) { return {x, y}; }
static inline ushort4 make_ushort4(unsigned short x, unsigned short y, unsigned short z, unsigned short w) { return {x, y, z, w}; }

static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
static const int warpSize = 32;

namespace cafx {

enum State { READY, BARRIER, WARP, DONE };
enum Operation { SYNC, SHUFFLE, BALLOT };

const unsigned WARP_SIZE = 32, MOST_THREADS = 1024;
const size_t STACK = 128 << 10;

struct Thread {
    State state;
    uint3 index;
    Operation operation;
    unsigned mask, source;
    uint64_t given, result;
    void* stack_pointer;
};

static Thread threads[MOST_THREADS];
static unsigned count, next_thread, running;
static bool reverse;
static void (*body)(void**);
static void** arguments;
static char* stacks;
static unsigned idle[MOST_THREADS], idle_count;
static unsigned stack_of[MOST_THREADS];
static const char* failure;
alignas(128) static unsigned char shared[228 << 10];

#if defined(__x86_64__)
// Saves the callee-saved registers on the stack, and goes on where another stack was left.
extern "C" void cafx_switch(void** from, void* to);
__asm__(
    ".text\n.p2align 4\n.local cafx_switch\n.type cafx_switch,@function\ncafx_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n"
    ".size cafx_switch,.-cafx_switch\n");
static void* scheduler;
static void* fibers[MOST_THREADS];

static void* prepared(char* stack, void (*entry)()) {
    void** top = reinterpret_cast<void**>((reinterpret_cast<uintptr_t>(stack) + STACK) & ~uintptr_t(63));
    *--top = nullptr;
    *--top = reinterpret_cast<void*>(entry);
    for (int i = 0; i < 6; i++) *--top = nullptr;
    return top;
}
static void start(unsigned stack, void (*entry)()) { fibers[stack] = prepared(stacks + stack * STACK, entry); }
static void resume(unsigned stack) { cafx_switch(&scheduler, fibers[stack]); }
static void leave(unsigned stack) { cafx_switch(&fibers[stack], scheduler); }
#else
static ucontext_t scheduler, fibers[MOST_THREADS];
static void start(unsigned stack, void (*entry)()) {
    getcontext(&fibers[stack]);
    fibers[stack].uc_stack.ss_sp = stacks + stack * STACK;
    fibers[stack].uc_stack.ss_size = STACK;
    fibers[stack].uc_link = &scheduler;
    makecontext(&fibers[stack], entry, 0);
}
static void resume(unsigned stack) { swapcontext(&scheduler, &fibers[stack]); }
static void leave(unsigned stack) { swapcontext(&fibers[stack], &scheduler); }
#endif

static unsigned current_stack;

// One fiber runs threads one after the other until one of them has to wait; that thread keeps the fiber.
static void work() {
    unsigned mine = current_stack;
    for (;;) {
        while (next_thread < count) {
            running = reverse ? count - 1 - next_thread++ : next_thread++;
            stack_of[running] = mine;
            threadIdx = threads[running].index;
            body(arguments);
            threads[running].state = DONE;
        }
        idle[idle_count++] = mine;
        leave(mine);
    }
}

static void wait(State state) {
    unsigned self = running;
    threads[self].state = state;
    leave(stack_of[self]);
    running = self;
    threadIdx = threads[self].index;
}

static uint64_t warp_operation(Operation operation, unsigned mask, uint64_t given, unsigned source) {
    Thread& self = threads[running];
    self.operation = operation; self.mask = mask; self.given = given; self.source = source;
    wait(WARP);
    return self.result;
}

static uint64_t block_operation(uint64_t given) {
    Thread& self = threads[running];
    self.given = given;
    wait(BARRIER);
    return self.result;
}

// Let a warp's lanes go on once all that a mask names have arrived.
static bool release_warp(unsigned first) {
    unsigned lanes = std::min(WARP_SIZE, count - first);
    bool released = false;
    for (unsigned lane = 0; lane < lanes; lane++) {
        Thread& one = threads[first + lane];
        if (one.state != WARP) continue;
        unsigned mask = lanes < WARP_SIZE ? one.mask & ((1u << lanes) - 1) : one.mask;
        if (!(mask >> lane & 1)) { failure = "a thread is not in the mask of its own warp operation"; return false; }
        bool complete = true;
        uint64_t ballot = 0;
        for (unsigned other = 0; other < lanes && complete; other++)
            if (mask >> other & 1) {
                Thread& each = threads[first + other];
                complete = each.state == WARP && each.mask == one.mask && each.operation == one.operation;
                if (each.given) ballot |= 1u << other;
            }
        if (!complete) continue;
        for (unsigned other = 0; other < lanes; other++)
            if (mask >> other & 1) {
                Thread& each = threads[first + other];
                bool present = each.source < lanes && (mask >> each.source & 1);
                each.result = each.operation == BALLOT ? ballot : present ? threads[first + each.source].given : ~uint64_t(0);
            }
        for (unsigned other = 0; other < lanes; other++)
            if (mask >> other & 1) threads[first + other].state = READY;
        released = true;
    }
    return released;
}

// Let the block's threads go on once all wait at a barrier. The result: how many gave a value other than zero.
static bool release_block() {
    uint64_t sum = 0;
    for (unsigned i = 0; i < count; i++) {
        if (threads[i].state != BARRIER) return false;
        sum += threads[i].given != 0;
    }
    for (unsigned i = 0; i < count; i++) { threads[i].result = sum; threads[i].state = READY; }
    return true;
}

static void explain() {
    bool gone = false, barrier = false, warp = false;
    for (unsigned i = 0; i < count; i++) {
        gone |= threads[i].state == DONE; barrier |= threads[i].state == BARRIER; warp |= threads[i].state == WARP;
    }
    failure = barrier && gone ? "a thread has left while others wait at __syncthreads"
        : warp && gone ? "a lane has left while others wait for it in a warp operation"
        : barrier && warp ? "some threads wait at __syncthreads, others in a warp operation"
        : "lanes of a warp wait in different warp operations, or with different masks";
}

static bool all_done() {
    for (unsigned i = 0; i < count; i++) if (threads[i].state != DONE) return false;
    return true;
}

static void run_fresh() {
    while (next_thread < count) {
        unsigned stack = idle[--idle_count];
        current_stack = stack;
        resume(stack);
    }
}

static void run_block() {
    next_thread = 0;
    for (unsigned i = 0; i < count; i++) threads[i].state = READY;
    run_fresh();
    while (!all_done()) {
        bool released = release_block();
        if (!released) for (unsigned first = 0; first < count; first += WARP_SIZE) released |= release_warp(first);
        if (!released) { if (!failure) explain(); return; }
        for (unsigned at = 0; at < count; at++)
            if (unsigned i = reverse ? count - 1 - at : at; threads[i].state == READY) { running = i; current_stack = stack_of[i]; resume(stack_of[i]); }
    }
}

static void reset_fibers() {
    idle_count = 0;
    for (unsigned i = MOST_THREADS; i-- > 0;) { start(i, work); idle[idle_count++] = i; }
}

static const char* launch(void (*call)(void**), const unsigned* size, unsigned dynamic, int from_last, void** given) {
    if (!stacks) {
        void* memory = mmap(nullptr, STACK * MOST_THREADS, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) return "no memory for the stacks of a block's threads";
        stacks = static_cast<char*>(memory);
        reset_fibers();
    }
    gridDim = {size[0], size[1], size[2]};
    blockDim = {size[3], size[4], size[5]};
    count = size[3] * size[4] * size[5];
    reverse = from_last;
    body = call; arguments = given; failure = nullptr;
    for (unsigned i = 0; i < count; i++)
        threads[i].index = {i % size[3], i / size[3] % size[4], i / size[3] / size[4]};
    for (unsigned z = 0; z < size[2]; z++)
        for (unsigned y = 0; y < size[1]; y++)
            for (unsigned x = 0; x < size[0]; x++) {
                if (reverse) blockIdx = {size[0] - 1 - x, size[1] - 1 - y, size[2] - 1 - z};
                else blockIdx = {x, y, z};
                if (dynamic) memset(shared, 0xFF, dynamic);
                run_block();
                if (failure) { reset_fibers(); return failure; }
            }
    return nullptr;
}

template <class T> uint64_t bits(T value) {
    uint64_t result = 0;
    static_assert(sizeof(T) <= sizeof(result), "a shuffle of at most eight bytes");
    memcpy(&result, &value, sizeof(T));
    return result;
}
template <class T> T value(uint64_t bits) { T result; memcpy(&result, &bits, sizeof(T)); return result; }
template <class To, class From> To bit_cast(From from) {
    static_assert(sizeof(To) == sizeof(From), "of one size");
    To to; memcpy(&to, &from, sizeof(To)); return to;
}
inline unsigned lane() { return running % WARP_SIZE; }

// What the launcher needs to know of a kernel's parameters: size and kind; size, kind and alignment of what a pointer
// points at (size and kind of numbers only).
template <class T> constexpr int kind() {
    return std::is_pointer<T>::value ? 'p' : std::is_same<T, bool>::value ? 'b' : std::is_floating_point<T>::value ? 'f'
        : std::is_unsigned<T>::value ? 'u' : std::is_integral<T>::value ? 'i' : 'V';
}
template <class T, bool whole> struct Pointee { static constexpr int size = 0, what = 0; };
template <class T> struct Pointee<T, true> { static constexpr int size = sizeof(T), what = kind<T>(); };
template <class T, class = void> struct Alignment { static constexpr int value = 1; };
template <class T> struct Alignment<T, decltype(void(sizeof(T)))> { static constexpr int value = alignof(T); };
template <class T> struct Parameter {
    using Target = typename std::remove_cv<typename std::remove_pointer<T>::type>::type;
    static constexpr bool known = std::is_pointer<T>::value && std::is_arithmetic<Target>::value;
    static constexpr int size = sizeof(T), what = kind<T>();
    static constexpr int target_size = Pointee<Target, known>::size, target_kind = Pointee<Target, known>::what;
    static constexpr int target_alignment = Alignment<Target>::value;
};
template <class> struct Kernel;
template <class... A> struct Kernel<void (*)(A...)> {
    static constexpr int arity = sizeof...(A);
    static int describe(int* out) {
        int values[] = {0, Parameter<A>::size..., 0}, kinds[] = {0, Parameter<A>::what..., 0};
        int sizes[] = {0, Parameter<A>::target_size..., 0}, targets[] = {0, Parameter<A>::target_kind..., 0};
        int alignments[] = {0, Parameter<A>::target_alignment..., 0};
        for (int i = 0; i < arity; i++) {
            int row[] = {values[i + 1], kinds[i + 1], sizes[i + 1], targets[i + 1], alignments[i + 1]};
            std::copy(row, row + 5, out + 5 * i);
        }
        return arity;
    }
    template <void (*kernel)(A...), size_t... I> static void call(void** given, std::index_sequence<I...>) {
        kernel(*static_cast<typename std::remove_reference<A>::type*>(given[I])...);
    }
    template <void (*kernel)(A...)> static void run(void** given) {
        call<kernel>(given, std::index_sequence_for<A...>());
    }
};

}  // namespace cafx

// Behind the name: what its __launch_bounds__ are, if it has any.
#define CAFX_KERNEL(name, ...)                                                                                      \
    extern "C" const char* name##__launch(const unsigned* size, unsigned dynamic, int from_last, void** given) {    \
        return cafx::launch(&cafx::Kernel<decltype(&name)>::run<&name>, size, dynamic, from_last, given);           \
    }                                                                                                               \
    extern "C" int name##__describe(int* out) { return cafx::Kernel<decltype(&name)>::describe(out); }              \
    extern "C" int name##__bound() { int bounds[] = {__VA_ARGS__}; return bounds[0]; }
