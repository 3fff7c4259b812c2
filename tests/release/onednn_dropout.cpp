// What the dropout attribute of oneDNN does with neighbours: `onednn_dropout eltwise|softmax
// OFFSET`, without an offset at -1. g++ -std=c++17 -Ionednn_devel/include onednn_dropout.cpp
// libdnnl.so.3; the packages onednn, onednn-devel, tbb, intel-cmplr-lib-rt, intel-cmplr-lib-ur,
// intel-sycl-rt and intel-opencl-rt of the package index have what it needs.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <unordered_map>
#include <vector>

using dnnl::memory;
using Type = memory::data_type;

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  constexpr std::int64_t kCount = 1 << 20;
  const std::string kind = argv[1];
  std::int64_t offset = std::atoll(argv[2]), seed = 12345;
  std::int32_t short_seed = 12345;
  float p = 0.1f;
  const bool with_offset = offset >= 0;
  dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(cpu);
  std::vector<float> x(kCount, 1.0f), y(kCount);
  std::vector<unsigned char> keep(kCount);
  const memory::desc array({1, kCount}, Type::f32, memory::format_tag::ab);
  const memory::desc mask({1, kCount}, Type::u8, memory::format_tag::ab);
  const auto one = [&](Type type, void* value) {
    return memory(memory::desc({1}, type, memory::format_tag::a), cpu, value);
  };
  dnnl::primitive_attr attributes;
  if (with_offset)
    attributes.set_dropout(mask, Type::s64, true, false);
  else
    attributes.set_dropout(mask);
  std::unordered_map<int, memory> given{
      {DNNL_ARG_SRC, memory(array, cpu, x.data())},
      {DNNL_ARG_DST, memory(array, cpu, y.data())},
      {DNNL_ARG_ATTR_DROPOUT_MASK, memory(mask, cpu, keep.data())},
      {DNNL_ARG_ATTR_DROPOUT_PROBABILITY, one(Type::f32, &p)},
      {DNNL_ARG_ATTR_DROPOUT_SEED,
       with_offset ? one(Type::s64, &seed) : one(Type::s32, &short_seed)}};
  if (with_offset) given[DNNL_ARG_ATTR_DROPOUT_OFFSET] = one(Type::s64, &offset);
  const auto training = dnnl::prop_kind::forward_training;
  if (kind == "eltwise")
    dnnl::eltwise_forward(
        {cpu, training, dnnl::algorithm::eltwise_linear, array, array, 1.0f, 0.0f, attributes})
        .execute(stream, given);
  else
    dnnl::softmax_forward(
        {cpu, training, dnnl::algorithm::softmax_accurate, array, array, 1, attributes})
        .execute(stream, given);
  stream.wait();

  double mean = 0, product = 0;
  std::int64_t alike = 0;
  for (const unsigned char k : keep) mean += k / double(kCount);
  for (std::int64_t i = 0; i + 1 < kCount; ++i)
    product += (keep[i] - mean) * (keep[i + 1] - mean) / double(kCount - 1);
  for (std::int64_t i = 0; i < kCount; i += 4)
    alike += keep[i] == keep[i + 1] && keep[i] == keep[i + 2] && keep[i] == keep[i + 3];
  std::printf(
      "%s, offset %lld: kept %.4f, groups of four alike %.2f %%, correlation of neighbours %.3f\n",
      kind.c_str(), static_cast<long long>(offset), mean, 400.0 * double(alike) / double(kCount),
      product / (mean * (1 - mean)));
  return 0;
}
