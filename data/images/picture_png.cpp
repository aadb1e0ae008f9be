#include <png.h>

#include "data/images/picture.h"
#include "trainer/base/error.h"
#include "trainer/base/text/printable.h"

namespace rehearse::images {
namespace {

// libpng's simplified interface: its errors are values, no jumps cross our frames.
class Image {
 public:
  Image() { image_.version = PNG_IMAGE_VERSION; }
  ~Image() { png_image_free(&image_); }
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;
  png_image* operator->() { return &image_; }
  png_image* get() { return &image_; }

 private:
  png_image image_{};
};

[[noreturn]] void fail(Image& image, const std::string& where) {
  throw DataError(where, ": expected a whole PNG; found ", printable(image->message), "; save or copy it again");
}

uint8_t on_white(uint8_t value, uint8_t alpha) {
  return static_cast<uint8_t>((value * alpha + 255 * (255 - alpha) + 127) / 255);
}

}  // namespace

Picture decode_png(std::span<const std::byte> bytes, const std::string& where) {
  Image image;
  if (png_image_begin_read_from_memory(image.get(), bytes.data(), bytes.size()) == 0) fail(image, where);
  expect_picture_size(image->width, image->height, where);
  image->flags |= PNG_IMAGE_FLAG_16BIT_sRGB;  // 16 bits without a word about gamma are no linear light
  const bool is_colour = (image->format & PNG_FORMAT_FLAG_COLOR) != 0;
  image->format = is_colour ? PNG_FORMAT_RGBA : PNG_FORMAT_GA;
  const int channels = is_colour ? 3 : 1;
  std::vector<uint8_t> rows(PNG_IMAGE_SIZE(*image.get()));
  if (png_image_finish_read(image.get(), nullptr, rows.data(), 0, nullptr) == 0) fail(image, where);
  Picture picture{static_cast<int>(image->width), static_cast<int>(image->height), channels, {}};
  picture.values.reserve(rows.size());
  const size_t step = static_cast<size_t>(channels) + 1;
  for (size_t at = 0; at < rows.size(); at += step)
    for (size_t c = 0; c + 1 < step; ++c) picture.values.push_back(on_white(rows[at + c], rows[at + step - 1]));
  return picture;
}

std::vector<std::byte> encode_png(const Picture& picture) {
  Image image;
  image->width = static_cast<png_uint_32>(picture.width);
  image->height = static_cast<png_uint_32>(picture.height);
  image->format = picture.channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  std::vector<std::byte> bytes(PNG_IMAGE_PNG_SIZE_MAX(*image.get()));
  png_alloc_size_t size = bytes.size();
  const int is_done = png_image_write_to_memory(image.get(), bytes.data(), &size, 0, picture.values.data(), 0, nullptr);
  REHEARSE_CHECK(is_done != 0, "a picture of ", picture.width, " x ", picture.height, " fits: ", image->message);
  bytes.resize(size);
  return bytes;
}

}  // namespace rehearse::images
