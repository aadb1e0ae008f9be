#include "data/speech/synth/espeak.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <sstream>

#include "trainer/base/error.h"

extern char** environ;

namespace rehearse::synth {

namespace {

struct Output {
  int status = 0;  // exit status; 128 + signal when killed
  std::string bytes;
};

class Descriptor {
 public:
  explicit Descriptor(int value) : value_(value) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return value_; }
  void close() {
    if (value_ >= 0) ::close(value_);
    value_ = -1;
  }

 private:
  int value_;
};

class SpawnActions {
 public:
  SpawnActions() { posix_spawn_file_actions_init(&actions_); }
  ~SpawnActions() { posix_spawn_file_actions_destroy(&actions_); }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

std::string read_all(int descriptor) {
  std::string bytes;
  char buffer[65536];
  for (;;) {
    const ssize_t count = ::read(descriptor, buffer, sizeof buffer);
    if (count > 0) bytes.append(buffer, static_cast<size_t>(count));
    if (count == 0) return bytes;
    if (count < 0 && errno != EINTR) throw DataError("synth: reading from the speech program: ", std::strerror(errno));
  }
}

int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR) throw DataError("synth: waiting for the speech program: ", std::strerror(errno));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Standard output of the program; its standard input and error are /dev/null. Pipes are close-on-exec, so children
// spawned by other threads at the same time do not keep them open.
Output run(const std::string& program, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), program);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);

  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw DataError("synth: a pipe to ", program, ": ", std::strerror(errno));
  Descriptor read_end(ends[0]), write_end(ends[1]);
  SpawnActions actions;
  posix_spawn_file_actions_addopen(actions.get(), STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(actions.get(), STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(actions.get(), write_end.get(), STDOUT_FILENO);
  pid_t child = 0;
  const int failure = posix_spawnp(&child, program.c_str(), actions.get(), nullptr, argv.data(), environ);
  if (failure == ENOENT || failure == EACCES)
    throw ConfigError(
        "synth: expected the program ", program,
        " on PATH; found none; install the package espeak-ng (Debian, Ubuntu: apt-get install espeak-ng)");
  if (failure != 0) throw DataError("synth: starting ", program, ": ", std::strerror(failure));
  write_end.close();
  Output output;
  try {
    output.bytes = read_all(read_end.get());
  } catch (...) {
    read_end.close();
    wait_for(child);
    throw;
  }
  output.status = wait_for(child);
  return output;
}

uint32_t little_endian(const std::string& bytes, size_t at, size_t width) {
  uint32_t value = 0;
  for (size_t i = 0; i < width; ++i)
    value |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  return value;
}

// On a pipe the program cannot know the length, so sizes in the header lie: the data runs to the end.
AudioClip parse_streamed_wav(const std::string& bytes) {
  constexpr size_t kHeader = 44;
  const bool is_wav = bytes.size() >= kHeader && bytes.compare(0, 4, "RIFF") == 0 &&
                      bytes.compare(8, 8, "WAVEfmt ") == 0 && bytes.compare(36, 4, "data") == 0;
  if (!is_wav || little_endian(bytes, 20, 2) != 1 || little_endian(bytes, 22, 2) != 1 ||
      little_endian(bytes, 34, 2) != 16)
    throw DataError("synth: expected 16-bit mono WAV from the speech program; found ", bytes.size(), " other bytes");
  AudioClip clip;
  clip.sample_rate_hz = static_cast<int>(little_endian(bytes, 24, 4));
  clip.samples.resize((bytes.size() - kHeader) / 2);
  for (size_t i = 0; i < clip.samples.size(); ++i)
    clip.samples[i] = static_cast<float>(static_cast<int16_t>(little_endian(bytes, kHeader + 2 * i, 2))) / 32768.0f;
  return clip;
}

}  // namespace

std::string speaker_of(const std::string& voice_name) {
  const size_t plus = voice_name.find('+');
  return plus == std::string::npos ? voice_name : voice_name.substr(plus + 1);
}

Espeak::Espeak(std::string program) : program_(std::move(program)) {
  const Output output = run(program_, {"--version"});
  std::istringstream words(output.bytes);  // "eSpeak NG text-to-speech: 1.51  Data at: …"
  for (std::string word; words >> word;)
    if (word == "text-to-speech:") words >> version_;
  if (output.status != 0 || version_.empty())
    throw ConfigError("synth: expected ", program_, " --version to name its version; found exit status ", output.status,
                      "; install the package espeak-ng");
}

void Espeak::expect_voices(const std::vector<std::string>& names) const {
  const Output output = run(program_, {"--voices=variant"});
  std::set<std::string> variants;
  std::istringstream words(output.bytes);
  for (std::string word; words >> word;)
    if (word.starts_with("!v/")) variants.insert(word.substr(3));
  for (const std::string& name : names)
    if (name.find('+') != std::string::npos && !variants.contains(speaker_of(name)))
      throw ConfigError("synth: voice ", name, ": expected a variant of ", program_, " ", version_, "; found \"",
                        speaker_of(name), "\"; list them with ", program_, " --voices=variant");
}

AudioClip Espeak::speak(const Voice& voice, const std::string& text) const {
  const Output output = run(program_, {"-v", voice.name, "-p", std::to_string(voice.pitch), "-s",
                                       std::to_string(voice.speed_wpm), "-z", "--stdout", "--", text});
  if (output.status == 1 && output.bytes.empty())
    throw ConfigError("synth: voice ", voice.name, ": expected a voice of ", program_, " ", version_,
                      "; found none; list them with ", program_, " --voices");
  if (output.status != 0)
    throw DataError("synth: ", program_, " ended with status ", output.status, " on \"", text, "\" (voice ", voice.name,
                    ")");
  AudioClip clip = parse_streamed_wav(output.bytes);
  if (clip.samples.empty())
    throw DataError("synth: ", program_, " said nothing for \"", text, "\" (voice ", voice.name, ")");
  return clip;
}

}  // namespace rehearse::synth
