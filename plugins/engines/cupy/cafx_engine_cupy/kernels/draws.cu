// Uniform random numbers in [0, 1), four per draw.

extern "C" __global__ void uniform_float(const word_t* state, float* values, index_t count) {
    FOR_EACH(block, (count + 3) / 4) {
        Words words = draw(state, block);
        for (int i = 0; i < 4; i++)
            if (4 * block + i < count) values[4 * block + i] = uniform(words.v[i]);
    }
}

extern "C" __global__ void uniform_double(const word_t* state, double* values, index_t count) {
    FOR_EACH(block, (count + 3) / 4) {
        Words words = draw(state, block);
        for (int i = 0; i < 4; i++)
            if (4 * block + i < count) values[4 * block + i] = (words.v[i] >> 8) * 5.9604644775390625e-8;
    }
}
