// Copies of columns between matrices, as a concatenation along channels and its gradient need.

// The row of item number i, where there are `length` items a row; with 32 bits where that will do.
__device__ __forceinline__ index_t row_of(index_t i, index_t length, index_t* column) {
    if ((i | length) >> 32) {
        *column = i % length;
        return i / length;
    }
    unsigned row = (unsigned)i / (unsigned)length;
    *column = (unsigned)i - row * (unsigned)length;
    return row;
}

// to[row][to_start + column] = from[row][from_start + column]; 0 in columns from `length` up to `written`.
template <typename Item>
__device__ __forceinline__ void copy(const Item* __restrict__ from, Item* __restrict__ to, index_t rows, index_t length,
                                     index_t written, index_t from_pitch, index_t from_start, index_t to_pitch,
                                     index_t to_start) {
    FOR_EACH(i, rows * written) {
        index_t column, row = row_of(i, written, &column);
        Item item = {};
        if (column < length) item = from[row * from_pitch + from_start + column];
        to[row * to_pitch + to_start + column] = item;
    }
}

extern "C" __global__ void copy_values(const value_t* from, value_t* to, index_t rows, index_t length, index_t written,
                                       index_t from_pitch, index_t from_start, index_t to_pitch, index_t to_start) {
    copy(from, to, rows, length, written, from_pitch, from_start, to_pitch, to_start);
}

// The same in packs: all numbers are packs.
extern "C" __global__ void copy_packs(const pack_t* from, pack_t* to, index_t rows, index_t length, index_t written,
                                      index_t from_pitch, index_t from_start, index_t to_pitch, index_t to_start) {
    copy(from, to, rows, length, written, from_pitch, from_start, to_pitch, to_start);
}
