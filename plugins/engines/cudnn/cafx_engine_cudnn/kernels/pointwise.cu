// Value by value, on channels-last arrays.

// y += bias per channel (where there is one), then rectify with a slope (where `rectified` is set).
extern "C" __global__ void bias_rectify(pack_t* y, const float* bias, index_t rows, int packs, int rectified,
                                        float slope) {
    FOR_EACH(i, rows * packs) {
        int c = (int)(i % packs) * VEC;
        pack_t value = y[i];
        for (int k = 0; k < VEC; k++) {
            float x = load(value.v[k]) + (bias ? bias[c + k] : 0.f);
            value.v[k] = store(rectified ? rectify(x, slope) : x);
        }
        y[i] = value;
    }
}
