// One time step of an LSTM, on row-major arrays of float: N streams x H units, gates N x 4H in the order
// input, forget, output, candidate.

__device__ __forceinline__ float sigmoid(float x) { return 1.f / (1.f + expf(-x)); }

// The states before the first step: previous = cont * hidden, first_cell = cell.
extern "C" __global__ void lstm_begin(const float* hidden, const float* cell, const float* cont, float* previous,
                                      float* first_cell, int streams, int length) {
    FOR_EACH(i, (index_t)streams * length) {
        previous[i] = cont[i / length] * hidden[i];
        first_cell[i] = cell[i];
    }
}

// From the sums of the products, in `gates`, to the gates, the new cell and y. What the next step multiplies is
// `next_previous` = next_cont * y; it is null after the last step, which writes the final states.
extern "C" __global__ void lstm_step(float* gates, const float* bias, const float* cell, const float* cont,
                                     const float* next_cont, float* new_cell, float* y, float* next_previous,
                                     float* last_hidden, float* last_cell, int streams, int length) {
    FOR_EACH(i, (index_t)streams * length) {
        index_t n = i / length;
        int h = (int)(i % length);
        float* own = gates + n * 4 * length + h;
        float input = sigmoid(own[0] + bias[h]);
        float forget = sigmoid(own[length] + bias[length + h]) * cont[n];
        float output = sigmoid(own[2 * length] + bias[2 * length + h]);
        float candidate = tanhf(own[3 * length] + bias[3 * length + h]);
        float state = forget * cell[i] + input * candidate;
        float hidden = output * tanhf(state);
        own[0] = input;
        own[length] = forget;
        own[2 * length] = output;
        own[3 * length] = candidate;
        new_cell[i] = state;
        y[i] = hidden;
        if (next_previous) {
            next_previous[i] = next_cont[n] * hidden;
        } else {
            last_hidden[i] = hidden;
            last_cell[i] = state;
        }
    }
}

// The gradients with respect to the sums of one step. `back` is what the next step's gradients give for
// cont * y, and `cell_diff` what they give for the new cell, which is replaced by that for the old one (`back`
// null: there is no next step).
extern "C" __global__ void lstm_step_gradient(const float* gates, const float* cell, const float* new_cell,
                                              const float* dy, const float* next_cont, const float* back,
                                              float* cell_diff, float* diff, int streams, int length) {
    FOR_EACH(i, (index_t)streams * length) {
        index_t n = i / length;
        int h = (int)(i % length);
        const float* own = gates + n * 4 * length + h;
        float* result = diff + n * 4 * length + h;
        float input = own[0], forget = own[length], output = own[2 * length], candidate = own[3 * length];
        float hidden_diff = dy[i] + (back ? next_cont[n] * back[i] : 0.f);
        float activated = tanhf(new_cell[i]);
        float state_diff = (back ? cell_diff[i] : 0.f) + hidden_diff * output * (1.f - activated * activated);
        result[0] = state_diff * candidate * input * (1.f - input);
        result[length] = state_diff * cell[i] * forget * (1.f - forget);
        result[2 * length] = hidden_diff * activated * output * (1.f - output);
        result[3 * length] = state_diff * input * (1.f - candidate * candidate);
        cell_diff[i] = state_diff * forget;
    }
}
