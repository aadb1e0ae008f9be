#include "data/speech/sound/foreign.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "trainer/base/text/printable.h"

namespace rehearse {
namespace {

constexpr size_t kLookedAt = 512;
const char* const kConvert = "convert it, for example with `ffmpeg -i FILE FILE.flac`";

struct Magic {
  size_t at;
  std::string_view bytes;
  const char* what;
  const char* advice;
};

using namespace std::string_view_literals;

// In this order: the more exact first.
constexpr const char* kToConvert = "";
const Magic kMagics[] = {
    {0, "version https://git-lfs"sv, "a git-LFS pointer instead of the file",
     "fetch the file itself with `git lfs pull`"},
    {0, "/annex/objects/"sv, "a git-annex pointer instead of the file", "fetch the file itself with `git annex get`"},
    {0, "\x00\x05\x16\x07"sv, "a resource fork of macOS (a file named ._something)",
     "leave it out: the audio is in the file without `._`"},
    {0, "\x00\x05\x16\x00"sv, "a resource fork of macOS", "leave it out: the audio is in another file"},
    {4, "ftypM4A"sv, "MPEG-4 audio (m4a: AAC or ALAC)", kToConvert},
    {4, "ftyp3g"sv, "a 3GPP file (AMR or AAC)", kToConvert},
    {4, "ftypqt"sv, "a QuickTime file", kToConvert},
    {4, "ftyp"sv, "an MPEG-4 file (AAC or another codec)", kToConvert},
    {0, "\x1A\x45\xDF\xA3"sv, "a WebM or Matroska file", kToConvert},
    {0, "\x30\x26\xB2\x75\x8E\x66\xCF\x11"sv, "Windows Media (wma, asf)", kToConvert},
    {0, "#!AMR"sv, "AMR", kToConvert},
    {0, "#!SILK"sv, "SILK", kToConvert},
    {1, "#!SILK"sv, "SILK", kToConvert},
    {0, "ajkg"sv, "Shorten", kToConvert},
    {0, "wvpk"sv, "WavPack", kToConvert},
    {0, "MAC "sv, "Monkey's Audio (ape)", kToConvert},
    {0, "TTA1"sv, "True Audio", kToConvert},
    {0, "MPCK"sv, "Musepack", kToConvert},
    {0, "MP+"sv, "Musepack", kToConvert},
    {0, "DSD "sv, "DSD", kToConvert},
    {0, "FRM8"sv, "DSD", kToConvert},
    {0, ".RMF"sv, "RealMedia", kToConvert},
    {0, ".ra\xFD"sv, "RealAudio", kToConvert},
    {0, "FLV"sv, "Flash video", kToConvert},
    {0, "\x0B\x77"sv, "Dolby AC-3", kToConvert},
    {0, "ADIF"sv, "AAC", kToConvert},
    {0, "\x00\x00\x01\xBA"sv, "an MPEG video", kToConvert},
    {8, "AVI "sv, "an AVI video", kToConvert},
    {28, "Speex"sv, "Speex", kToConvert},
    {0, "MThd"sv, "MIDI, which holds notes and no sound", "leave it out"},
    {0, "\x1F\x8B"sv, "a gzip archive", "unpack it"},
    {0, "PK\x03\x04"sv, "a zip archive", "unpack it"},
    {0, "7z\xBC\xAF"sv, "a 7-Zip archive", "unpack it"},
    {0, "Rar!"sv, "a RAR archive", "unpack it"},
    {0, "BZh"sv, "a bzip2 archive", "unpack it"},
    {0,
     "\xFD"
     "7zXZ"sv,
     "an xz archive", "unpack it"},
    {0, "\x28\xB5\x2F\xFD"sv, "a zstd archive", "unpack it"},
    {257, "ustar"sv, "a tar archive", "unpack it"},
    {0, "%PDF"sv, "a PDF", "leave it out"},
    {0, "\x89PNG"sv, "a picture", "leave it out"},
    {0, "\xFF\xD8\xFF"sv, "a picture", "leave it out"},
    {0, "SQLite format"sv, "a database", "leave it out"},
    {0, "\x89HDF"sv, "an HDF5 file; a pack's utterances are named shard-00000.h5#0", "name the pack's manifest.jsonl"},
};

const char* codec_name(uint64_t tag) {
  switch (tag) {
    case 0x31:
      return "GSM 6.10";
    case 0x42:
      return "G.723.1";
    case 0x45:
    case 0x64:
    case 0x14:
    case 0x40:
      return "G.726 or G.721";
    case 0x50:
      return "MPEG layer II";
    case 0x55:
      return "MP3";
    case 0x83:
      return "G.729";
    case 0xFF:
    case 0x1600:
    case 0x1610:
    case 0xA106:
      return "AAC";
    case 0x160:
    case 0x161:
    case 0x162:
    case 0x163:
    case 0x0A:
      return "Windows Media";
    case 0x22:
    case 0x130:
      return "TrueSpeech or ACELP";
    case 0x2000:
      return "AC-3";
    case 0xA109:
      return "Speex";
    case 0x704F:
      return "Opus";
    default:
      return "an unknown codec";
  }
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

// Text files that stand where audio should; "" for anything else.
std::string describe_text(const std::string& head) {
  const std::string start = lower(head.substr(head.find_first_not_of(" \t\r\n\xEF\xBB\xBF") == std::string::npos
                                                  ? 0
                                                  : head.find_first_not_of(" \t\r\n\xEF\xBB\xBF")));
  if (start.starts_with("<!doctype html") || start.starts_with("<html") || start.starts_with("<head"))
    return "a web page, perhaps the error page of a download; download the file again";
  if (start.starts_with("<?xml") || start.starts_with("<error"))
    return "XML, perhaps the error of a download; download the file again";
  if (start.starts_with("{") || start.starts_with("["))
    return "JSON, perhaps a manifest or the error of a download; name an audio file";
  const bool is_text = std::all_of(head.begin(), head.end(),
                                   [](unsigned char c) { return c >= 0x20 || c == '\n' || c == '\r' || c == '\t'; });
  if (is_text) return concat("text, ", quoted(head, 40), "; name an audio file");
  return "";
}

std::string describe_wave(ByteWindow& window) {
  for (uint64_t offset = 12; offset + 8 < window.size();) {
    const uint64_t length = little_endian(window.at(offset, 8), 4, 4);
    if (window.has(offset, "fmt ")) {
      const auto format = window.at(offset + 8, 40);
      uint64_t tag = little_endian(format, 0, 2);
      if (tag == 0xFFFE) tag = little_endian(format, 24, 2);
      if (tag == 1 || tag == 3 || tag == 6 || tag == 7)
        return concat("a WAV file with ", little_endian(format, 2, 2), " channels of ", little_endian(format, 14, 2),
                      " bits at ", little_endian(format, 4, 4), " Hz, or with a damaged header; ", kConvert);
      char digits[16];
      std::snprintf(digits, sizeof digits, "0x%04x", static_cast<unsigned>(tag));
      return concat("a WAV file with ", codec_name(tag), " (format ", digits, "); ", kConvert);
    }
    offset += 8 + length + length % 2;
  }
  return "a WAV file without a description of its samples, perhaps cut off; fetch it again";
}

}  // namespace

std::string describe_foreign(const ByteSource& source) {
  ByteWindow window(source);
  const auto bytes = window.at(0, kLookedAt);
  const std::string head(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for (const Magic& magic : kMagics)
    if (head.size() >= magic.at && head.compare(magic.at, magic.bytes.size(), magic.bytes) == 0)
      return concat(magic.what, "; ", *magic.advice == '\0' ? kConvert : magic.advice);
  if (head.starts_with("RIFF") || head.starts_with("RF64") || head.starts_with("RIFX")) return describe_wave(window);
  if (head.starts_with("NIST_1A")) {
    const size_t coding = head.find("sample_coding");
    if (coding != std::string::npos && head.find("shorten", coding) != std::string::npos)
      return "NIST SPHERE with Shorten inside; convert it with `sph2pipe` or `sox`";
    return concat("NIST SPHERE that is damaged or of an unusual coding; ", kConvert);
  }
  if (std::all_of(head.begin(), head.end(), [](char c) { return c == 0; }))
    return "only zeros, as a broken download leaves them; fetch it again";
  if (std::string text = describe_text(head); !text.empty()) return text;
  for (const auto& [magic, what] : {std::pair{"OggS", "Ogg"},
                                    {"fLaC", "FLAC"},
                                    {"FORM", "AIFF"},
                                    {".snd", "AU"},
                                    {"caff", "CAF"},
                                    {"riff", "Wave64"}})
    if (head.starts_with(magic))
      return concat("damaged or cut off ", what, ", or a codec that libsndfile has not; fetch it again, or ", kConvert);
  if (head.size() >= 2 && head[0] == '\xFF' && (head[1] & '\xF6') == '\xF0') return concat("AAC; ", kConvert);
  return concat("nothing that libsndfile decodes; if it is audio, ", kConvert);
}

}  // namespace rehearse
