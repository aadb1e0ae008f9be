// A corpus of tones that spell letters, and a model that has learned to read them: seconds of work, made once a build.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace rehearse {

// Mono 16 kHz samples in which every letter of "abcd" is a tone and a space is silence.
std::vector<float> toy_audio(const std::string& text, float gain = 0.5f);
void write_wav(const std::filesystem::path& path, const std::vector<float>& samples, int sample_rate_hz = 16000);
// Writes folder/<name>.wav for every text and folder/<manifest>; names are <domain><index>.
void write_toy_set(const std::filesystem::path& folder, const std::string& manifest, const std::string& domain,
                   const std::vector<std::string>& texts);
// Deterministic texts of the toy language.
std::vector<std::string> toy_texts(size_t count, uint64_t seed);

// A folder beside the binary that `make_it` fills once a build, whichever test process comes first; not to be changed.
std::filesystem::path made_once(const std::string& name,
                                const std::function<void(const std::filesystem::path&)>& make_it);

// config.yaml, train.jsonl, valid.jsonl (domains loud and soft), characters.txt and the finished run in run/. Shared
// and not to be changed by tests.
const std::filesystem::path& toy_folder();

}  // namespace rehearse
