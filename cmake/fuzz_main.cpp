// A plain driver for fuzz targets where the compiler has no libFuzzer: runs every input of the given folders,
// then changed copies of them until the time is up. It follows no coverage; ./dev fuzz says so. Understands
// -max_total_time=SECONDS and -seed=NUMBER like libFuzzer, and leaves the input that crashed in crash-input.
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
/// AddressSanitizer asks for its options here; an abort lets on_crash keep the input.
extern "C" const char* __asan_default_options() {
  return "abort_on_error=1:handle_abort=0";
}
extern "C" const char* __ubsan_default_options() {
  return "abort_on_error=1:print_stacktrace=1";
}

namespace {
using Input = std::vector<std::uint8_t>;
constexpr std::size_t kLargestInput = 4096;

Input current;

void run(Input input) {
  current = std::move(input);
  LLVMFuzzerTestOneInput(current.data(), current.size());
}

void on_crash(int signal) {
  if (std::FILE* file = std::fopen("crash-input", "wb")) {
    std::fwrite(current.data(), 1, current.size(), file);
    std::fclose(file);
  }
  std::fputs("the input is in crash-input\n", stderr);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

Input read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return Input(std::istreambuf_iterator<char>(file), {});
}

/// Changes a few bytes, doubles or drops a piece, or splices two inputs: what finds most parser bugs.
Input mutate(Input input, const Input& other, std::mt19937_64& random) {
  constexpr std::array<std::uint8_t, 16> interesting{0,   1,   0x7f, 0x80, 0xff, '"',  '\\', '{',
                                                     '}', '[', ']',  ',',  '\r', '\n', ' ',  '0'};
  const auto at = [&] { return input.empty() ? 0 : random() % input.size(); };
  for (auto steps = 1 + random() % 4; steps > 0; --steps) {
    const auto from = static_cast<std::ptrdiff_t>(at());
    const auto length = static_cast<std::ptrdiff_t>(
        std::min<std::size_t>(random() % 16, input.size() - static_cast<std::size_t>(from)));
    const auto begin = input.begin() + from;
    switch (random() % 6) {
      case 0:
        input.insert(begin, static_cast<std::uint8_t>(random()));
        break;
      case 1:
        input.insert(begin, interesting[random() % interesting.size()]);
        break;
      case 2:
        input.erase(begin, begin + length);
        break;
      case 3: {
        const Input piece(begin, begin + length);
        input.insert(begin, piece.begin(), piece.end());
        break;
      }
      case 4:
        if (!input.empty()) input[at()] ^= static_cast<std::uint8_t>(1u << (random() % 8));
        break;
      default:
        if (!other.empty()) {
          const auto cut = static_cast<std::ptrdiff_t>(random() % other.size());
          input.resize(static_cast<std::size_t>(from));
          input.insert(input.end(), other.begin() + cut, other.end());
        }
    }
    if (input.size() > kLargestInput) input.resize(kLargestInput);
  }
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  std::chrono::seconds limit(10);
  std::uint64_t seed = 1;
  std::vector<Input> corpus{{}};
  for (int index = 1; index < argc; ++index) {
    const std::string_view argument = argv[index];
    if (argument.starts_with("-max_total_time=")) limit = std::chrono::seconds(std::atoi(argv[index] + 16));
    if (argument.starts_with("-seed=")) seed = std::strtoull(argv[index] + 6, nullptr, 10);
    if (argument.starts_with("-")) continue;
    if (std::filesystem::is_regular_file(argument)) corpus.push_back(read(argument));
    if (!std::filesystem::is_directory(argument)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argument)) {
      if (entry.is_regular_file()) corpus.push_back(read(entry.path()));
    }
  }
  for (const int signal : {SIGABRT, SIGSEGV, SIGFPE, SIGILL, SIGBUS}) std::signal(signal, on_crash);

  for (const auto& input : corpus) run(input);
  std::mt19937_64 random(seed);
  std::uint64_t runs = corpus.size();
  for (const auto end = std::chrono::steady_clock::now() + limit; std::chrono::steady_clock::now() < end;
       ++runs) {
    run(mutate(corpus[random() % corpus.size()], corpus[random() % corpus.size()], random));
  }
  std::printf("%llu inputs from %zu seeds, no crash\n", static_cast<unsigned long long>(runs), corpus.size());
}
