// Dropout as a handler of XLA's foreign function interface: the entry of simdrop.jax. XLA calls it
// on threads of its own, without Python, and so all of its work runs: on the thread that calls, and
// on those of XLA's pool that come while there is something left to do.
#include <atomic>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <thread>

#include "bindings/bindings.hpp"
#include "bindings/xla_ffi.hpp"
#include "engine/mask_block.hpp"
#include "runtime/memory.hpp"

namespace py = pybind11;

namespace simdrop {
namespace {

// The numbers of a mask as they come: seed, stream, offset and threshold, the low word first.
constexpr i64 kWords = 8;

// So small that threads end together although a task of XLA's pool comes some 10 us late.
constexpr u64 kPiece = 4 * kGranule;

struct Refused {
  std::string message;
};

void require(bool holds, const char* name, const std::string& got, const char* accepted) {
  if (!holds)
    throw Refused{std::string("simdrop: ") + name + ": got " + got + "; accepted: " + accepted};
}

void require(bool holds, const char* name, i64 got, const char* accepted) {
  if (!holds) require(false, name, std::to_string(got), accepted);
}

const xla::Buffer& buffer(const xla::Buffers& from, i64 which) {
  require(from.types[which] == xla::kBuffer, "operand", from.types[which], "arrays");
  return *static_cast<const xla::Buffer*>(from.items[which]);
}

DType dtype_of(const xla::Buffer& x) {
  switch (x.dtype) {
    case xla::kF16:
      return DType::f16;
    case xla::kBF16:
      return DType::bf16;
    case xla::kF32:
      return DType::f32;
    case xla::kF64:
      return DType::f64;
  }
  throw Refused{"simdrop: x: got XLA's type " + std::to_string(x.dtype) +
                "; accepted: float16, bfloat16, float32 and float64"};
}

u64 wide(const u32* words) { return words[0] | static_cast<u64>(words[1]) << 32; }

Draw draw_at(const void* context, i64 place) {
  const u32* words = static_cast<const u32*>(context) + place * kWords;
  return {wide(words + 6), wide(words), wide(words + 2), wide(words + 4)};
}

// One call, as long as any thread knows of it: a task may come when all is done.
struct Call {
  MaskBlock block;
  std::unique_ptr<u32[]> numbers;  // the first index of the block is in the offsets
  DType dtype = DType::f32;
  const u8* x = nullptr;
  u8* y = nullptr;
  u64 piece = 1;
  std::atomic<u64> next{0}, done{0};
  std::atomic<bool> exhausted{false};

  // Takes pieces until none is left.
  void work() {
    const u64 units = block.units();
    for (;;) {
      const u64 begin = next.fetch_add(piece);
      if (begin >= units) return;
      const u64 end = begin + piece < units ? begin + piece : units;
      try {
        block.apply(begin, end, &draw_at, numbers.get(), dtype, x, y);
      } catch (...) {  // out of memory: nothing else is thrown there
        exhausted = true;
      }
      if (done.fetch_add(end - begin) + (end - begin) == units) done.notify_all();
    }
  }

  void wait() {
    const u64 units = block.units();
    for (int i = 0; i < 64 && done != units; ++i) std::this_thread::yield();
    for (u64 seen = done; seen != units; seen = done) done.wait(seen);
  }
};

using Shared = std::shared_ptr<Call>;

u64 checked_end(const Draw& draw, u64 span) {
  constexpr u64 kMost = u64{1} << kIndexBits;
  require(draw.threshold <= kOne, "p", "a number that is none, or outside", "0 to 1");
  require(draw.offset <= kMost && span <= kMost - draw.offset, "offset",
          std::to_string(draw.offset), "indices below 2^58");
  return draw.offset;
}

// x, numbers, and optionally where the block begins along each axis; the attribute `steps` holds
// how far the index moves along each of them.
Shared decode(const xla::CallFrame& frame) {
  const i64 n = frame.arguments.size;
  require(n == 2 || n == 3, "operands", n, "x, numbers and starts");
  require(frame.results.size == 1, "results", frame.results.size, "one");
  const xla::Buffer& x = buffer(frame.arguments, 0);
  const xla::Buffer& numbers = buffer(frame.arguments, 1);
  const xla::Buffer& y = buffer(frame.results, 0);
  const DType dtype = dtype_of(x);
  const i64 rank = x.rank;
  require(rank >= 0 && rank <= static_cast<i64>(kMostDimensions), "x: dimensions", rank, "0 to 64");
  require(y.rank == rank && y.dtype == x.dtype, "result", y.rank, "the type and shape of x");
  require(numbers.dtype == xla::kU32, "numbers", numbers.dtype, "uint32");
  require(numbers.rank == rank + 1 && numbers.dims[rank] == kWords, "numbers: dimensions",
          numbers.rank, "one more than x has, of 8 words");

  const xla::Array* steps = nullptr;
  for (i64 i = 0; i < frame.attributes.size; ++i) {
    const xla::ByteSpan& name = *frame.attributes.names[i];
    if (std::string_view(name.data, name.size) == "steps" &&
        frame.attributes.types[i] == xla::kArray)
      steps = static_cast<const xla::Array*>(frame.attributes.items[i]);
  }
  require(steps != nullptr && steps->dtype == xla::kS64 && steps->size == static_cast<u64>(rank),
          "steps", steps == nullptr ? "none" : "another array", "an int64 for each dimension of x");
  const u32* starts = nullptr;
  if (n == 3) {
    const xla::Buffer& given = buffer(frame.arguments, 2);
    require(given.dtype == xla::kU32 && given.rank == 1 && given.dims[0] == rank, "starts",
            given.rank, "a uint32 for each dimension of x");
    starts = static_cast<const u32*>(given.data);
  }

  auto call = std::make_shared<Call>();
  constexpr u64 kMost = u64{1} << kIndexBits;
  u64 span = 1, first = 0;
  i64 masks = 1;
  std::array<i64, kMostDimensions> number_steps;
  for (i64 d = rank; d-- > 0;) {
    require(y.dims[d] == x.dims[d], "result", y.dims[d], "the type and shape of x");
    require(numbers.dims[d] == 1 || numbers.dims[d] == x.dims[d], "numbers", numbers.dims[d],
            "1, or the length of x");
    number_steps[d] = numbers.dims[d] == 1 ? 0 : masks;
    masks *= numbers.dims[d];
  }
  bool empty = masks == 0;
  for (i64 d = 0; d < rank; ++d) {
    const i64 step = static_cast<const i64*>(steps->data)[d];
    require(step >= 0, "steps", step, "0 and above");
    call->block.add({x.dims[d], static_cast<u64>(step), number_steps[d]});
    empty = empty || x.dims[d] == 0;
    if (empty || step == 0) continue;
    const u64 start = starts == nullptr ? 0 : starts[d];
    const u64 last = start + static_cast<u64>(x.dims[d]) - 1;
    require(last <= (kMost - span) / static_cast<u64>(step), "starts", static_cast<i64>(start),
            "indices below 2^58");
    span += last * static_cast<u64>(step);
    first += start * static_cast<u64>(step);
  }
  call->block.finish();
  if (empty) return nullptr;
  call->dtype = dtype;
  call->x = static_cast<const u8*>(x.data);
  call->y = static_cast<u8*>(y.data);
  const u32* words = static_cast<const u32*>(numbers.data);
  call->numbers = std::make_unique_for_overwrite<u32[]>(static_cast<u64>(masks * kWords));
  for (i64 i = 0; i < masks; ++i) {
    const u64 offset = checked_end(draw_at(words, i), span) + first;
    u32* const own = call->numbers.get() + i * kWords;
    for (i64 j = 0; j < kWords; ++j) own[j] = words[i * kWords + j];
    own[4] = static_cast<u32>(offset);
    own[5] = static_cast<u32>(offset >> 32);
  }
  return call;
}

// Asks XLA's pool for help, as much as the work is worth.
void ask_for_help(const xla::CallFrame& frame, const Shared& call) {
  const u64 elements = call->block.units() * call->block.unit_elements();
  if (elements < 2 * kWorthwhile) return;
  std::int64_t threads = 0;
  xla::NumThreads count{sizeof(count), nullptr, frame.context, &threads};
  if (xla::Error* const error = frame.api->num_threads(&count)) {
    xla::ErrorDestroy destroy{sizeof(destroy), nullptr, error};
    frame.api->error_destroy(&destroy);
    return;
  }
  const u64 most = elements / kWorthwhile;
  for (u64 i = 1; i < most && i < static_cast<u64>(threads); ++i) {
    // No exception may leave here: the tasks write into the result until the call has waited for
    // them.
    std::unique_ptr<Shared> held(new (std::nothrow) Shared(call));
    if (held == nullptr) return;
    xla::Schedule schedule{sizeof(schedule), nullptr, frame.context,
                           [](void* data) {
                             const std::unique_ptr<Shared> own(static_cast<Shared*>(data));
                             (*own)->work();
                           },
                           held.get()};
    if (xla::Error* const error = frame.api->schedule(&schedule)) {
      xla::ErrorDestroy destroy{sizeof(destroy), nullptr, error};
      frame.api->error_destroy(&destroy);
      return;
    }
    (void)held.release();  // the task has it
  }
}

void execute(const xla::CallFrame& frame) {
  const Shared call = decode(frame);
  if (call == nullptr) return;
  const u64 unit = call->block.unit_elements();
  const u64 elements = call->block.units() * unit;
  // Alone, in one piece.
  call->piece = elements < 2 * kWorthwhile ? call->block.units() : (kPiece + unit - 1) / unit;
  // XLA takes the memory of large results from the system anew for each call.
  if (call->x != call->y) ask_for_large_pages(call->y, elements * item_size(call->dtype));
  ask_for_help(frame, call);
  call->work();
  call->wait();
  if (call->exhausted) throw std::bad_alloc();
}

xla::Error* error_of(const xla::CallFrame& frame, const char* message, int code) {
  xla::ErrorCreate create{sizeof(create), nullptr, message, code};
  return frame.api->error_create(&create);
}

xla::Error* dropout_handler(xla::CallFrame* frame) {
  if (frame->extensions != nullptr && frame->extensions->type == xla::kMetadata) {
    xla::Metadata& answer = *reinterpret_cast<xla::MetadataExtension*>(frame->extensions)->metadata;
    answer.version.major = xla::kMajor;
    answer.version.minor = xla::kMinor;
    answer.traits = 0;
    return nullptr;
  }
  if (frame->stage != xla::kExecute) return nullptr;
  try {
    execute(*frame);
    return nullptr;
  } catch (const Refused& refused) {
    return error_of(*frame, refused.message.c_str(), xla::kInvalidArgument);
  } catch (const std::exception&) {
    return error_of(*frame, "simdrop: out of memory", xla::kExhausted);
  }
}

}  // namespace

void bind_xla(py::module_& m) {
  // The name that JAX gives such capsules.
  m.attr("xla_dropout") =
      py::capsule(reinterpret_cast<const void*>(&dropout_handler), "xla._CUSTOM_CALL_TARGET");
}

}  // namespace simdrop
