// Between row-major float arrays, N x C x positions, and channels-last ones, N x positions x padded channels.

extern "C" __global__ void to_channels_last(const float* __restrict__ from, value_t* __restrict__ to, int images,
                                            int channels, int positions, int padded) {
    FOR_EACH(i, (index_t)images * positions * padded) {
        int c = (int)(i % padded);
        index_t pixel = i / padded;
        int position = (int)(pixel % positions);
        index_t image = pixel / positions;
        to[i] = c < channels ? store(from[(image * channels + c) * positions + position]) : store(0.f);
    }
}

extern "C" __global__ void from_channels_last(const value_t* __restrict__ from, float* __restrict__ to, int images,
                                              int channels, int positions, int padded) {
    FOR_EACH(i, (index_t)images * channels * positions) {
        int position = (int)(i % positions);
        index_t plane = i / positions;
        int c = (int)(plane % channels);
        index_t image = plane / channels;
        to[i] = load(from[(image * positions + position) * padded + c]);
    }
}

// Space to depth: pixel (y, x) of the result holds the side x side pixels of the image from
// (y * side - pad_y, x * side - pad_x) on, side by side in its channels; what is outside is 0.
extern "C" __global__ void space_to_depth(const float* __restrict__ from, value_t* __restrict__ to, int images,
                                          int channels, int height, int width, int side_y, int side_x, int pad_y,
                                          int pad_x, int rows, int columns, int padded) {
    FOR_EACH(i, (index_t)images * rows * columns * padded) {
        int k = (int)(i % padded);
        index_t rest = i / padded;
        int column = (int)(rest % columns);
        rest /= columns;
        int row = (int)(rest % rows);
        index_t image = rest / rows;
        int c = k % channels, cell = k / channels;
        int y = row * side_y - pad_y + cell / side_x, x = column * side_x - pad_x + cell % side_x;
        bool inside = cell < side_y * side_x && y >= 0 && y < height && x >= 0 && x < width;
        to[i] = store(inside ? from[((image * channels + c) * height + y) * width + x] : 0.f);
    }
}

extern "C" __global__ void narrow(const float* __restrict__ from, value_t* __restrict__ to, index_t count) {
    FOR_EACH(i, count) to[i] = store(from[i]);
}

// to = from, or to += from.
extern "C" __global__ void widen(const value_t* __restrict__ from, float* __restrict__ to, index_t count, int add) {
    FOR_EACH(i, count) to[i] = (add ? to[i] : 0.f) + load(from[i]);
}

// values *= mask, value by value.
extern "C" __global__ void mask(float* values, const float* mask, index_t count) {
    FOR_EACH(i, count) values[i] *= mask[i];
}
