// Packs a manifest as `rehearse pack` does, in a process small enough to be killed a hundred times.
#include <cstdio>

#include "data/speech/pack/pack_corpus.h"
#include "trainer/base/error.h"

int main(int argc, char** argv) {
  using namespace rehearse;
  if (argc != 3) return kExitConfig;
  try {
    FileLayer files;
    pack_corpus({argv[1]}, argv[2], {.encoding = PackEncoding::kInt16, .shard_bytes = 80 << 10}, AudioReaders(), files);
    return kExitOk;
  } catch (const Error& failure) {
    std::fprintf(stderr, "%s\n", failure.what());
    return failure.exit_code();
  }
}
