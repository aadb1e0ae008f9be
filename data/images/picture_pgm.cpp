#include <algorithm>
#include <cctype>

#include "data/images/picture.h"
#include "trainer/base/error.h"

namespace rehearse::images {
namespace {

// Walks over the words of a header or of a P2 body; comments run from # to the end of the line.
class Words {
 public:
  Words(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  uint64_t number(const char* what, uint64_t most) {
    skip_space();
    const size_t start = at_;
    uint64_t value = 0;
    while (at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_])) != 0 && value <= most)
      value = 10 * value + static_cast<uint64_t>(text_[at_++] - '0');
    if (at_ == start || value > most)
      throw DataError(where_, ": ", what, ": expected a number up to ", most, "; found ",
                      start == text_.size() ? "the end" : "something else");
    return value;
  }
  // Past the one white space that ends a P5 header.
  std::string_view body() {
    if (at_ >= text_.size() || std::isspace(static_cast<unsigned char>(text_[at_])) == 0)
      throw DataError(where_, ": expected white space behind the header; found something else");
    return text_.substr(at_ + 1);
  }

 private:
  void skip_space() {
    while (at_ < text_.size()) {
      if (text_[at_] == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (std::isspace(static_cast<unsigned char>(text_[at_])) != 0) {
        ++at_;
      } else {
        return;
      }
    }
  }

  std::string_view text_;
  const std::string& where_;
  size_t at_ = 2;
};

uint8_t to_byte(uint64_t value, uint64_t most) {
  return static_cast<uint8_t>((255 * value + most / 2) / most);
}

void read_bytes_of(std::string_view body, uint64_t most, const std::string& where, std::vector<uint8_t>& values) {
  const size_t width = most > 255 ? 2 : 1;
  if (body.size() < values.size() * width)
    throw DataError(where, ": expected ", values.size() * width, " bytes of pixels; found ", body.size(),
                    "; save or copy it again");
  for (size_t i = 0; i < values.size(); ++i) {
    uint64_t value = 0;
    for (size_t b = 0; b < width; ++b) value = 256 * value + static_cast<unsigned char>(body[i * width + b]);
    if (value > most) throw DataError(where, ": pixel ", i, ": expected at most ", most, "; found ", value);
    values[i] = to_byte(value, most);
  }
}

}  // namespace

Picture decode_pgm(std::span<const std::byte> bytes, const std::string& where) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const bool is_text = text.starts_with("P2");
  if (!is_text && !text.starts_with("P5")) throw DataError(where, ": expected a PGM (P2 or P5); found another file");
  Words words(text, where);
  const uint64_t width = words.number("width", 1u << 30), height = words.number("height", 1u << 30);
  expect_picture_size(width, height, where);
  const uint64_t most = words.number("maximum", 65535);
  if (most == 0) throw DataError(where, ": maximum: expected 1 to 65535; found 0");
  // A number and a space for each pixel of a P2: no more memory than the file has bytes.
  if (width * height > bytes.size())
    throw DataError(where, ": expected ", width * height, " pixels; found a file of ", bytes.size(),
                    " bytes; save or copy it again");
  Picture picture = Picture::blank(static_cast<int>(width), static_cast<int>(height), 1, 0);
  if (!is_text) {
    read_bytes_of(words.body(), most, where, picture.values);
    return picture;
  }
  for (uint8_t& value : picture.values) value = to_byte(words.number("pixel", most), most);
  return picture;
}

std::vector<std::byte> encode_pgm(const Picture& grey) {
  REHEARSE_CHECK(grey.channels == 1, "PGM holds grey");
  const std::string header = concat("P5\n", grey.width, " ", grey.height, "\n255\n");
  std::vector<std::byte> bytes(header.size() + grey.values.size());
  const auto* text = reinterpret_cast<const std::byte*>(header.data());
  const auto* pixels = reinterpret_cast<const std::byte*>(grey.values.data());
  std::copy(pixels, pixels + grey.values.size(), std::copy(text, text + header.size(), bytes.begin()));
  return bytes;
}

}  // namespace rehearse::images
