// The step of nn/wavenet_step.py, for one stream and for blocks of 16; plain C calls, so that no header of torch is
// needed and it compiles in seconds. Vectors are those of GCC and Clang, which any instruction set can carry.
//
// One stream: a tile of outputs stays in registers while all inputs go by, weight rows being read in order. Sixteen
// streams: they fill one vector, and eight outputs by one input go in one pass, so that a weight is read once for all.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr int kLanes = 16;
typedef float Vector __attribute__((vector_size(64)));
typedef std::int32_t Integers __attribute__((vector_size(64)));

inline Vector load(const float* from) {
  Vector v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

inline void store(float* to, Vector v) { std::memcpy(to, &v, sizeof v); }

// e^x within 5e-7 of its size: 2^n by the exponent's bits, the rest by Taylor.
inline Vector exponential(Vector x) {
  x = x > -87.0f ? x : -87.0f - Vector{};
  x = x < 87.0f ? x : 87.0f - Vector{};
  const Vector scaled = x * 1.4426950408889634f + 0.5f;
  Integers n = __builtin_convertvector(scaled, Integers);  // towards zero, so one too high below it
  n += __builtin_convertvector(n, Vector) > scaled;        // a comparison that holds is -1
  const Vector r = x - __builtin_convertvector(n, Vector) * 0.6931471805599453f;
  const Vector y =
      (((((r * (1.0f / 720) + 1.0f / 120) * r + 1.0f / 24) * r + 1.0f / 6) * r + 0.5f) * r + 1.0f) * r + 1.0f;
  return y * (Vector)((n + 127) << 23);
}

// z = tanh(first) * sigmoid(second), any number of them.
void gated(const float* first, const float* second, float* z, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kLanes) {
    float padded[3][kLanes] = {};
    const std::int64_t here = std::min<std::int64_t>(kLanes, count - i);
    std::memcpy(padded[0], first + i, here * sizeof(float));
    std::memcpy(padded[1], second + i, here * sizeof(float));
    const Vector u = exponential(2.0f * load(padded[0])), v = exponential(-load(padded[1]));
    store(padded[2], (u - 1.0f) / ((u + 1.0f) * (1.0f + v)));
    std::memcpy(z + i, padded[2], here * sizeof(float));
  }
}

// The outputs [j, j + 16 * tile) of one stream.
template <int tile>
void add_tile(const float* x, const float* weight, float* total, std::int64_t inputs, std::int64_t outputs) {
  Vector sums[tile];
  for (int n = 0; n < tile; ++n) sums[n] = load(total + n * kLanes);
  for (std::int64_t i = 0; i < inputs; ++i)
    for (int n = 0; n < tile; ++n) sums[n] += x[i] * load(weight + i * outputs + n * kLanes);
  for (int n = 0; n < tile; ++n) store(total + n * kLanes, sums[n]);
}

// The outputs [j, j + tile) of a block of streams.
template <int tile>
void add_block_tile(const float* x, const float* weight, float* total, std::int64_t inputs, std::int64_t outputs) {
  Vector sums[tile];
  for (int n = 0; n < tile; ++n) sums[n] = load(total + n * kLanes);
  for (std::int64_t i = 0; i < inputs; ++i) {
    const Vector xi = load(x + i * kLanes);
    for (int n = 0; n < tile; ++n) sums[n] += weight[i * outputs + n] * xi;
  }
  for (int n = 0; n < tile; ++n) store(total + n * kLanes, sums[n]);
}

// total += x * weight, weight [inputs, outputs]; x [inputs, lanes].
template <int lanes>
void add_product(const float* x, const float* weight, float* total, std::int64_t inputs, std::int64_t outputs) {
  std::int64_t j = 0;
  if constexpr (lanes == 1) {
    for (; j + 8 * kLanes <= outputs; j += 8 * kLanes) add_tile<8>(x, weight + j, total + j, inputs, outputs);
    for (; j + 4 * kLanes <= outputs; j += 4 * kLanes) add_tile<4>(x, weight + j, total + j, inputs, outputs);
    for (; j + kLanes <= outputs; j += kLanes) add_tile<1>(x, weight + j, total + j, inputs, outputs);
    for (; j < outputs; ++j)
      for (std::int64_t i = 0; i < inputs; ++i) total[j] += x[i] * weight[i * outputs + j];
  } else {
    for (; j + 8 <= outputs; j += 8) add_block_tile<8>(x, weight + j, total + j * kLanes, inputs, outputs);
    for (; j < outputs; ++j) add_block_tile<1>(x, weight + j, total + j * kLanes, inputs, outputs);
  }
}

template <int lanes>
void fill(const float* values, float* rows, std::int64_t count) {
  for (std::int64_t j = 0; j < count; ++j)
    for (int b = 0; b < lanes; ++b) rows[j * lanes + b] = values[j];
}

void rectify(float* x, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) x[i] = x[i] > 0.0f ? x[i] : 0.0f;
}

// The first index at which the softmax of logits / temperature, summed up, exceeds uniform; at 0 the arg-max.
// logits and scratch have room for a whole number of vectors.
std::int64_t softmax_index(float* logits, std::int64_t count, float uniform, float temperature, float* scratch,
                           double* summed) {
  const std::int64_t best = std::max_element(logits, logits + count) - logits;
  if (temperature <= 0.0f) return best;
  const float highest = logits[best], colder = 1.0f / temperature;
  for (std::int64_t j = 0; j < count; j += kLanes)
    store(scratch + j, exponential((load(logits + j) - highest) * colder));
  double sum = 0.0;  // back ends differ in the last bits: in float32 their sums would part many times as often
  for (std::int64_t j = 0; j < count; ++j) summed[j] = sum += scratch[j];
  return std::min<std::int64_t>(std::upper_bound(summed, summed + count, uniform * sum) - summed, count - 1);
}

}  // namespace

extern "C" {

struct Step {
  const float *input_taps, *input_bias, *taps, *gate_bias, *mixing, *residual_bias, *skip_bias;
  const float *hidden, *hidden_bias, *out, *out_bias;
  const std::int64_t* dilations;
  std::int64_t codes, oldest, layers, kernel, residual, gate, skip, head, outputs, mixtures;
  float residual_scale, minimum_log_scale;
};

struct Run {
  float *rings, *history;
  const float *condition, *head_condition, *drive, *uniforms, *temperature, *forced;  // null where there is none
  float *samples, *all_outputs;
  std::int64_t position, hop, offset, frames, streams, count, draws, temperature_frames;
  std::int64_t condition_streams, drive_streams, temperature_streams;
};

}  // extern "C"

namespace {

// The step of all layers for the streams [first, first + lanes) of one block.
template <int lanes>
void run_block(const Step& w, const Run& run, std::int64_t block) {
  const std::int64_t both = 2 * w.gate, mixed_width = w.residual + w.skip, first = block * lanes;
  std::int64_t rows = 0, stream[lanes];
  for (std::int64_t layer = 0; layer < w.layers; ++layer) rows += (w.kernel - 1) * w.dilations[layer];
  float* rings = run.rings + block * rows * w.residual * lanes;
  float* history = run.history + block * w.oldest * lanes;
  for (int b = 0; b < lanes; ++b) stream[b] = std::min(first + b, run.streams - 1);  // the last one fills up
  const std::int64_t padded = (w.outputs + kLanes - 1) / kLanes * kLanes;
  std::vector<float> bias(w.layers * both * lanes), head_bias(w.head * lanes), a(both * lanes), z(w.gate * lanes);
  std::vector<float> mixed(mixed_width * lanes), head(w.head * lanes), out(w.outputs * lanes), one(padded);
  std::vector<float> scratch(padded);
  std::vector<double> summed(padded);
  fill<lanes>(w.gate_bias, bias.data(), w.layers * both);
  fill<lanes>(w.hidden_bias, head_bias.data(), w.head);
  float *h = mixed.data(), *skips = h + w.residual * lanes;
  std::int64_t steered = -1;
  for (std::int64_t t = 0; t < run.count; ++t) {
    const std::int64_t frame = run.hop > 0 ? (run.offset + t) / run.hop : 0;
    if (run.condition && frame != steered) {
      steered = frame;
      for (int b = 0; b < lanes; ++b) {
        const std::int64_t row = (run.condition_streams > 1 ? stream[b] : 0) * run.frames + frame;
        const float* steering = run.condition + row * w.layers * both;
        for (std::int64_t j = 0; j < w.layers * both; ++j) bias[j * lanes + b] = w.gate_bias[j] + steering[j];
        if (run.head_condition)
          for (std::int64_t j = 0; j < w.head; ++j)
            head_bias[j * lanes + b] = w.hidden_bias[j] + run.head_condition[row * w.head + j];
      }
    }
    fill<lanes>(w.input_bias, h, w.residual);
    fill<lanes>(w.skip_bias, skips, w.skip);
    for (int b = 0; b < lanes; ++b) {
      if (run.drive) {
        const float* row = run.drive + ((run.drive_streams > 1 ? stream[b] : 0) * run.count + t) * w.residual;
        for (std::int64_t j = 0; j < w.residual; ++j) h[j * lanes + b] += row[j];
      }
      for (std::int64_t age = 0; age < w.oldest; ++age) {
        const float past = history[age * lanes + b];
        const float* tap = w.input_taps + (w.oldest - 1 - age) * w.codes * w.residual;
        if (w.mixtures > 0) {
          for (std::int64_t j = 0; j < w.residual; ++j) h[j * lanes + b] += past * tap[j];
        } else if (past >= 0.0f) {
          const float* row = tap + static_cast<std::int64_t>(past) * w.residual;
          for (std::int64_t j = 0; j < w.residual; ++j) h[j * lanes + b] += row[j];
        }
      }
    }
    float* ring = rings;
    for (std::int64_t layer = 0; layer < w.layers; ++layer) {
      const std::int64_t dilation = w.dilations[layer], length = (w.kernel - 1) * dilation;
      const std::int64_t slot = (run.position + t) % length;
      const float* taps = w.taps + layer * w.kernel * w.residual * both;
      std::memcpy(a.data(), bias.data() + layer * both * lanes, both * lanes * sizeof(float));
      for (std::int64_t tap = 0; tap + 1 < w.kernel; ++tap) {
        const float* past = ring + (slot + tap * dilation) % length * w.residual * lanes;
        add_product<lanes>(past, taps + tap * w.residual * both, a.data(), w.residual, both);
      }
      add_product<lanes>(h, taps + (w.kernel - 1) * w.residual * both, a.data(), w.residual, both);
      std::memcpy(ring + slot * w.residual * lanes, h, w.residual * lanes * sizeof(float));
      gated(a.data(), a.data() + w.gate * lanes, z.data(), w.gate * lanes);
      for (std::int64_t j = 0; j < w.residual; ++j)
        for (int b = 0; b < lanes; ++b) h[j * lanes + b] += w.residual_bias[layer * w.residual + j];
      // h and skips at once: they lie side by side.
      add_product<lanes>(z.data(), w.mixing + layer * w.gate * mixed_width, h, w.gate, mixed_width);
      if (w.residual_scale != 1.0f)
        for (std::int64_t j = 0; j < w.residual * lanes; ++j) h[j] *= w.residual_scale;
      ring += length * w.residual * lanes;
    }
    rectify(skips, w.skip * lanes);
    head = head_bias;
    add_product<lanes>(skips, w.hidden, head.data(), w.skip, w.head);
    rectify(head.data(), w.head * lanes);
    fill<lanes>(w.out_bias, out.data(), w.outputs);
    add_product<lanes>(head.data(), w.out, out.data(), w.head, w.outputs);
    for (std::int64_t age = w.oldest - 1; age > 0; --age)
      std::memcpy(history + age * lanes, history + (age - 1) * lanes, lanes * sizeof(float));
    for (int b = 0; b < lanes; ++b) {
      const std::int64_t s = stream[b], place = s * run.count + t;
      if (first + b < run.streams) {
        for (std::int64_t j = 0; j < w.outputs; ++j) one[j] = out[j * lanes + b];
        if (run.all_outputs) std::memcpy(run.all_outputs + place * w.outputs, one.data(), w.outputs * sizeof(float));
        const float* temperatures = run.temperature + (run.temperature_streams > 1 ? s : 0) * run.temperature_frames;
        const float warmth = temperatures[std::min(frame, run.temperature_frames - 1)];
        const float* uniforms = run.uniforms + place * run.draws;
        if (w.mixtures > 0) {
          const std::int64_t k = softmax_index(one.data(), w.mixtures, uniforms[0], warmth, scratch.data(), summed.data());
          const float log_scale = std::max(one[2 * w.mixtures + k], w.minimum_log_scale);
          const float at = std::log(uniforms[1]) - std::log1p(-uniforms[1]);
          const float drawn = one[w.mixtures + k] + warmth * std::exp(log_scale) * at;
          run.samples[place] = std::min(std::max(drawn, -1.0f), 1.0f);
        } else {
          run.samples[place] =
              static_cast<float>(softmax_index(one.data(), w.outputs, uniforms[0], warmth, scratch.data(), summed.data()));
        }
      }
      history[b] = run.forced ? run.forced[place] : run.samples[place];
    }
  }
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void moksori_wavenet_run(const Step* weights, const Run* run,
                                                                          std::int64_t blocks, std::int64_t lanes) {
  for (std::int64_t block = 0; block < blocks; ++block)
    lanes == 1 ? run_block<1>(*weights, *run, block) : run_block<kLanes>(*weights, *run, block);
}
