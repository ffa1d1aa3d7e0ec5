// Floats of 8-bit images: y = mirror((pixels - mean) * scale), one thread per value. An image's window begins at a row
// and a column of the mean, and by start_row and start_pixel bytes later per row and column in what is stored.
extern "C" __global__ void image_values(
    float* out, const unsigned char* stored, const int* marks, const float* mean, float scale, index_t count,
    index_t image_stride, int channels, int height, int width, int channel_stride, int row_stride, int pixel_stride,
    int start_row, int start_pixel, int mean_channel, int mean_row, int mean_pixel) {
    int image_size = channels * height * width;
    FOR_EACH(i, count) {
        index_t image = i / image_size;
        int rest = (int)(i % image_size), x = rest % width, y = rest / width % height, channel = rest / width / height;
        const int* mark = marks + 3 * image;
        int top = mark[1], left = mark[2];
        if (mark[0]) x = width - 1 - x;
        const unsigned char* window = stored + image * image_stride + top * start_row + left * start_pixel;
        float centre = mean[channel * mean_channel + (top + y) * mean_row + (left + x) * mean_pixel];
        float pixel = window[channel * channel_stride + y * row_stride + x * pixel_stride];
        out[i] = __fmul_rn(__fsub_rn(pixel, centre), scale);
    }
}
