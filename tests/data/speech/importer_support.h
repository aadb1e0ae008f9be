// Imports of small made-up corpora.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/speech/audio/sound_file.h"
#include "data/speech/import/import_corpus.h"
#include "data/speech/import/importer.h"
#include "tests/data/speech/audio_support.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"

namespace rehearse::testing {

inline std::unique_ptr<Importer> importer(const std::string& name) {
  ConfigValue no_options;
  no_options.kind = ConfigValue::Kind::kMap;
  return Registry<Importer>::instance().create(name, ConfigNode(&no_options, "import"), {});
}

inline ImportSummary import(const std::string& name, const std::string& source, const TemporaryFolder& folder,
                            ImportRequest request = {}) {
  request.source = source;
  request.folder = folder / "out";
  return import_corpus(*importer(name), request, AudioReaders());
}

inline std::string import_failure(const std::string& name, const std::string& source, const TemporaryFolder& folder) {
  try {
    import(name, source, folder);
  } catch (const DataError& failure) {
    return failure.what();
  }
  return "no failure";
}

inline std::string flac(size_t samples) {
  const auto bytes = encode_flac(sine_int16(300, 16000, samples), 16000);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline std::string wav(size_t samples) {
  return wav_int16(sine_int16(300, 8000, samples), 8000);
}

}  // namespace rehearse::testing
