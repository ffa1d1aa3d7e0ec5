// Pooling of channels-last images. A thread works on one pack of channels of one position, so that every access is
// 16 bytes wide and neighbouring threads read neighbouring memory.
//
// A window is kernel_y x kernel_x pixels from (row * stride_y - pad_y, column * stride_x - pad_x) on.

// The quotient of a division whose remainder is left in `left`: with 32 bits where that will do, which is far cheaper.
__device__ __forceinline__ index_t split(index_t whole, int parts, int* left) {
    if (whole >> 32) {
        *left = (int)(whole % parts);
        return whole / parts;
    }
    unsigned quotient = (unsigned)whole / (unsigned)parts;
    *left = (int)((unsigned)whole - quotient * (unsigned)parts);
    return quotient;
}

// Position number i of an array images x rows x columns x packs.
struct Position {
    index_t image;
    int row, column, pack;
};

__device__ __forceinline__ Position position_of(index_t i, int rows, int columns, int packs) {
    Position at;
    at.image = split(split(split(i, packs, &at.pack), columns, &at.column), rows, &at.row);
    return at;
}

// The windows first..last along one axis that contain a pixel.
struct Span {
    int first, last;
};

__device__ __forceinline__ Span windows_of(int pixel, int windows, int kernel, int stride, int pad) {
    Span span;
    int from_start = pixel + pad;
    span.first = from_start < kernel ? 0 : (from_start - kernel) / stride + 1;
    span.last = min(windows - 1, from_start / stride);
    return span;
}

// The length of a window along one axis, as far as it is in the padded image.
__device__ __forceinline__ int length_of(int window, int size, int kernel, int stride, int pad) {
    int start = window * stride - pad;
    return min(start + kernel, size + pad) - start;
}

// y = max over the window; the first of equal values counts, and only values above the lowest finite one are selected,
// hence neither NaN nor -infinity. Where `marks` is not null, it is set to the number of the selected pixel within
// the window, `none` without one. `rectified` adds `none` + 1 where y is not positive (`none` is then 127, else 255).
extern "C" __global__ void max_forward(const pack_t* __restrict__ x, pack_t* __restrict__ y,
                                       marks_t* __restrict__ marks, int images, int height, int width, int packs,
                                       int rows, int columns, int kernel_y, int kernel_x, int stride_y, int stride_x,
                                       int pad_y, int pad_x, int rectified) {
    int none = rectified ? 127 : 255;
    FOR_EACH(i, (index_t)images * rows * columns * packs) {
        Position to = position_of(i, rows, columns, packs);
        int top = to.row * stride_y - pad_y, left = to.column * stride_x - pad_x;
        int bottom = min(top + kernel_y, height), right = min(left + kernel_x, width);
        const pack_t* plane = x + to.image * height * width * packs + to.pack;
        float best[VEC];
        int picked[VEC];
        for (int k = 0; k < VEC; k++) {
            best[k] = FLT_LOWEST;
            picked[k] = none;
        }
        for (int row = max(top, 0); row < bottom; row++) {
            const pack_t* line = plane + (index_t)row * width * packs;
            int number = (row - top) * kernel_x - left;
#pragma unroll 3
            for (int column = max(left, 0); column < right; column++) {
                pack_t values = line[(index_t)column * packs];
#pragma unroll
                for (int k = 0; k < VEC; k++) {
                    float value = load(values.v[k]);
                    bool better = value > best[k];
                    best[k] = better ? value : best[k];
                    picked[k] = better ? number + column : picked[k];
                }
            }
        }
        pack_t result;
        for (int k = 0; k < VEC; k++) result.v[k] = store(best[k]);
        y[i] = result;
        if (marks) {
            marks_t mark;
            for (int k = 0; k < VEC; k++) {
                int closed = rectified && !(best[k] > 0.f) ? none + 1 : 0;
                mark.v[k] = (unsigned char)(picked[k] + closed);
            }
            marks[i] = mark;
        }
    }
}

// dx = the sum of dy over the windows that selected the pixel: gathered, so that no two threads write the same value.
// With `rectified`, dy counts `slope` times where `max_forward` found y not positive.
extern "C" __global__ void max_backward(const pack_t* __restrict__ dy, const marks_t* __restrict__ marks,
                                        pack_t* __restrict__ dx, int images, int height, int width, int packs,
                                        int rows, int columns, int kernel_y, int kernel_x, int stride_y, int stride_x,
                                        int pad_y, int pad_x, int rectified, float slope) {
    int none = rectified ? 127 : 255;
    FOR_EACH(i, (index_t)images * height * width * packs) {
        Position at = position_of(i, height, width, packs);
        Span down = windows_of(at.row, rows, kernel_y, stride_y, pad_y);
        Span across = windows_of(at.column, columns, kernel_x, stride_x, pad_x);
        float sum[VEC];
        for (int k = 0; k < VEC; k++) sum[k] = 0.f;
        for (int row = down.first; row <= down.last; row++) {
            index_t line = (at.image * rows + row) * columns;
            int number = (at.row - (row * stride_y - pad_y)) * kernel_x + at.column + pad_x;
#pragma unroll 2
            for (int column = across.first; column <= across.last; column++) {
                index_t window = (line + column) * packs + at.pack;
                marks_t mark = marks[window];
                pack_t gradient = dy[window];
#pragma unroll
                for (int k = 0; k < VEC; k++) {
                    float factor = mark.v[k] > none ? slope : 1.f;
                    bool selected = (mark.v[k] & none) == number - column * stride_x;
                    sum[k] += selected ? load(gradient.v[k]) * factor : 0.f;
                }
            }
        }
        pack_t result;
        for (int k = 0; k < VEC; k++) result.v[k] = store(sum[k]);
        dx[i] = result;
    }
}

// y = the mean of the window; padding counts as zeros, what is beyond it does not count.
extern "C" __global__ void mean_forward(const pack_t* __restrict__ x, pack_t* __restrict__ y, int images, int height,
                                        int width, int packs, int rows, int columns, int kernel_y, int kernel_x,
                                        int stride_y, int stride_x, int pad_y, int pad_x) {
    FOR_EACH(i, (index_t)images * rows * columns * packs) {
        Position to = position_of(i, rows, columns, packs);
        int top = to.row * stride_y - pad_y, left = to.column * stride_x - pad_x;
        int bottom = min(top + kernel_y, height), right = min(left + kernel_x, width);
        const pack_t* plane = x + to.image * height * width * packs + to.pack;
        float sum[VEC];
        for (int k = 0; k < VEC; k++) sum[k] = 0.f;
        for (int row = max(top, 0); row < bottom; row++) {
            const pack_t* line = plane + (index_t)row * width * packs;
#pragma unroll 3
            for (int column = max(left, 0); column < right; column++) {
                pack_t values = line[(index_t)column * packs];
#pragma unroll
                for (int k = 0; k < VEC; k++) sum[k] += load(values.v[k]);
            }
        }
        float size = (float)length_of(to.row, height, kernel_y, stride_y, pad_y) *
                     (float)length_of(to.column, width, kernel_x, stride_x, pad_x);
        pack_t result;
        for (int k = 0; k < VEC; k++) result.v[k] = store(sum[k] / size);
        y[i] = result;
    }
}

// dx = the sum of dy / size over the windows that contain the pixel.
extern "C" __global__ void mean_backward(const pack_t* __restrict__ dy, pack_t* __restrict__ dx, int images,
                                         int height, int width, int packs, int rows, int columns, int kernel_y,
                                         int kernel_x, int stride_y, int stride_x, int pad_y, int pad_x) {
    FOR_EACH(i, (index_t)images * height * width * packs) {
        Position at = position_of(i, height, width, packs);
        Span down = windows_of(at.row, rows, kernel_y, stride_y, pad_y);
        Span across = windows_of(at.column, columns, kernel_x, stride_x, pad_x);
        float sum[VEC];
        for (int k = 0; k < VEC; k++) sum[k] = 0.f;
        for (int row = down.first; row <= down.last; row++) {
            index_t line = (at.image * rows + row) * columns;
            float length = (float)length_of(row, height, kernel_y, stride_y, pad_y);
            for (int column = across.first; column <= across.last; column++) {
                float share = 1.f / (length * (float)length_of(column, width, kernel_x, stride_x, pad_x));
                pack_t gradient = dy[(line + column) * packs + at.pack];
#pragma unroll
                for (int k = 0; k < VEC; k++) sum[k] += load(gradient.v[k]) * share;
            }
        }
        pack_t result;
        for (int k = 0; k < VEC; k++) result.v[k] = store(sum[k]);
        dx[i] = result;
    }
}

// The mean of whole planes. A block adds up a part of the positions (blockIdx.z of gridDim.z) of some packs of an
// image (blockIdx.y): its threads are (packs) x (positions). Of a single part it writes the mean to y, of several
// the sum to partial[part][image][channel].
extern "C" __global__ void plane_sums(const pack_t* __restrict__ x, pack_t* __restrict__ y,
                                      float* __restrict__ partial, int images, int positions, int packs, float size) {
    extern __shared__ float sums[];
    int c = blockIdx.x * blockDim.x + threadIdx.x;
    int stride = gridDim.z * blockDim.y;
    for (int image = blockIdx.y; image < images; image += gridDim.y) {
        float sum[VEC];
        for (int k = 0; k < VEC; k++) sum[k] = 0.f;
        if (c < packs) {
            const pack_t* plane = x + (index_t)image * positions * packs + c;
#pragma unroll 4
            for (int at = blockIdx.z * blockDim.y + threadIdx.y; at < positions; at += stride) {
                pack_t values = plane[(index_t)at * packs];
#pragma unroll
                for (int k = 0; k < VEC; k++) sum[k] += load(values.v[k]);
            }
        }
        const float* total = column_sums(sums, sum);
        if (threadIdx.y == 0 && c < packs) {
            index_t pack = (index_t)image * packs + c;
            pack_t result;
            for (int k = 0; k < VEC; k++) {
                result.v[k] = store(total[k] / size);
                if (partial) partial[((index_t)blockIdx.z * images * packs + pack) * VEC + k] = total[k];
            }
            if (!partial) y[pack] = result;
        }
        __syncthreads();
    }
}

// y = the sums of the parts / size.
extern "C" __global__ void plane_means(const float* __restrict__ partial, value_t* __restrict__ y, int count,
                                       int parts, float size) {
    FOR_EACH(i, count) {
        float sum = 0.f;
        for (int part = 0; part < parts; part++) sum += partial[(index_t)part * count + i];
        y[i] = store(sum / size);
    }
}
