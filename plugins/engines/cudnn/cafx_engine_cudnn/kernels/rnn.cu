// One time step of a simple recurrent layer, on row-major arrays of float: N streams x H units.

// Before the first step: previous = cont * hidden.
extern "C" __global__ void rnn_begin(const float* hidden, const float* cont, float* previous, int streams, int length) {
    FOR_EACH(i, (index_t)streams * length) previous[i] = cont[i / length] * hidden[i];
}

// From the sums of the products to the hidden state, in their place. What the next step multiplies is
// `next_previous` = next_cont * hidden; it is null after the last step, which writes the final state.
extern "C" __global__ void rnn_step(float* sums, const float* bias, const float* next_cont, float* next_previous,
                                    float* last, int streams, int length) {
    FOR_EACH(i, (index_t)streams * length) {
        float hidden = tanhf(sums[i] + bias[i % length]);
        sums[i] = hidden;
        if (next_previous)
            next_previous[i] = next_cont[i / length] * hidden;
        else
            last[i] = hidden;
    }
}

// y = tanh(sums + bias), which is also left in place of the sums.
extern "C" __global__ void rnn_output(float* sums, const float* bias, float* y, int rows, int length) {
    FOR_EACH(i, (index_t)rows * length) y[i] = sums[i] = tanhf(sums[i] + bias[i % length]);
}

extern "C" __global__ void rnn_output_gradient(const float* y, const float* dy, float* diff, int rows, int length) {
    FOR_EACH(i, (index_t)rows * length) diff[i] = dy[i] * (1.f - y[i] * y[i]);
}

// From the gradient of a hidden state, as far as it comes from the output, to that of the sums, in its place.
// `back` is what the next step's gradients give for cont * hidden; null after the last step.
extern "C" __global__ void rnn_step_gradient(const float* hidden, const float* next_cont, const float* back, float* diff,
                                             int streams, int length) {
    FOR_EACH(i, (index_t)streams * length) {
        float whole = diff[i] + (back ? next_cont[i / length] * back[i] : 0.f);
        diff[i] = whole * (1.f - hidden[i] * hidden[i]);
    }
}
