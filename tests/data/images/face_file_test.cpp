#include "data/images/face_file.h"

#include <hdf5.h>

#include <cstring>
#include <functional>
#include <mutex>

#include "data/hdf5_lock.h"
#include "tests/data/images/images_support.h"
#include "tests/fuzz/mutation.h"

namespace rehearse::images {
namespace {

using ::testing::HasSubstr;

void expect_equal(const FaceRecords& one, const FaceRecords& other) {
  EXPECT_EQ(one.layout, other.layout);
  EXPECT_EQ(one.domains, other.domains);
  EXPECT_EQ(one.pixels, other.pixels);
  ASSERT_EQ(one.points.size(), other.points.size());
  EXPECT_EQ(std::memcmp(one.points.data(), other.points.data(), one.points.size() * sizeof(float)), 0);
  EXPECT_EQ(one.domain, other.domain);
  EXPECT_EQ(one.id, other.id);
  EXPECT_EQ(one.source, other.source);
}

FaceRecords with_missing_points() {
  FaceRecords records = small_records(7);
  records.points[0] = records.points[1] = kMissing;
  return records;
}

std::string refusal(const std::vector<std::byte>& bytes) {
  return failure_of<DataError>([&] { from_face_file(bytes, "x.faces.h5"); });
}

// Puts the header of whole bytes before content that a test has changed.
std::vector<std::byte> sealed(std::vector<std::byte> bytes) {
  std::string header = "rehearse-faces 1 " + sha256_of(std::span(bytes).subspan(512)) + "\n";
  header.resize(512, '\0');
  std::memcpy(bytes.data(), header.data(), header.size());
  return bytes;
}

// A file as another program would leave it behind: opened where it is, header and all, and changed.
std::vector<std::byte> changed(const std::function<void(hid_t)>& change) {
  const TemporaryFolder folder;
  const fs::path path = folder.path() / "x.faces.h5";
  FileLayer files;
  write_faces(files, path, with_missing_points());
  {
    const std::lock_guard lock(hdf5_lock());
    const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
    EXPECT_GE(file, 0);
    change(file);
    H5Fclose(file);
  }
  return sealed(read_bytes(path));
}

template <class T>
void replace_dataset(hid_t file, const char* name, hid_t type, const std::vector<hsize_t>& shape,
                     const std::vector<T>& values) {
  H5Ldelete(file, name, H5P_DEFAULT);
  const hid_t space = H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr);
  const hid_t dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  if (!values.empty()) H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
  H5Dclose(dataset);
  H5Sclose(space);
}

TEST(FaceFile, RecordsComeBackAsTheyWere) {
  for (const FaceRecords& records : {with_missing_points(), small_records(0), small_records(1)})
    expect_equal(from_face_file(to_face_file(records), "x"), records);
}

TEST(FaceFile, EqualRecordsAreEqualBytes) {
  EXPECT_EQ(to_face_file(small_records(9)), to_face_file(small_records(9)));
}

TEST(FaceFile, OtherProgramsOpenItAsHdf5) {
  const auto change_nothing = [](hid_t file) {
    const hid_t dataset = H5Dopen2(file, "pixels", H5P_DEFAULT);
    EXPECT_GE(dataset, 0);
    std::vector<uint8_t> pixels(7 * 12);
    EXPECT_GE(H5Dread(dataset, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, pixels.data()), 0);
    EXPECT_EQ(pixels, small_records(7).pixels);
    H5Dclose(dataset);
  };
  expect_equal(from_face_file(changed(change_nothing), "x"), with_missing_points());
}

TEST(FaceFile, SeveralFilesAreOneSet) {
  const TemporaryFolder folder;
  FileLayer files;
  const FaceSplit split = split_by_id(small_records(20), 0.5);
  write_faces(files, folder / "a", split.train);
  write_faces(files, folder / "b", split.valid);
  expect_equal(read_faces(std::vector<fs::path>{folder / "a", folder / "b"}), small_records(20));
  EXPECT_FALSE(fs::exists(folder / "a.tmp"));
}

TEST(FaceFile, AFileThatIsNotOneOfOursIsRefused) {
  EXPECT_THAT(refusal({}), HasSubstr("found another file"));
  EXPECT_THAT(refusal(bytes_of("hello, world\n")), HasSubstr("x.faces.h5: expected a file of face records"));
  EXPECT_THAT(failure_of<DataError>([] { read_faces("absent.faces.h5"); }), HasSubstr("absent.faces.h5"));
}

TEST(FaceFile, AnotherVersionIsNamed) {
  std::vector<std::byte> bytes = to_face_file(small_records(2));
  bytes[15] = std::byte{'2'};
  EXPECT_THAT(refusal(bytes), HasSubstr("expected face records of version 1; found version \"2\""));
}

TEST(FaceFile, EveryCutAndEveryChangedByteIsFound) {
  const std::vector<std::byte> whole = to_face_file(small_records(3));
  for (size_t length = 0; length < whole.size(); length += 97)
    EXPECT_NE(refusal({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)}), "nothing thrown");
  for (size_t at = 0; at < whole.size(); at += 53) {
    std::vector<std::byte> damaged = whole;
    damaged[at] ^= std::byte{1};
    EXPECT_NE(refusal(damaged), "nothing thrown") << at;
  }
}

TEST(FaceFile, DamagedBytesAreAnErrorAndNoCrash) {
  const std::vector<std::byte> whole = to_face_file(small_records(3));
  const std::string text(reinterpret_cast<const char*>(whole.data()), whole.size());
  const RandomKey key(testing::fuzz_seed());
  for (uint64_t round = 0; round < 500; ++round) {
    const std::string damaged = testing::mutated(text, key.with(round));
    EXPECT_EQ(refusal(bytes_of(damaged)) == "nothing thrown", damaged == text) << round;
  }
}

TEST(FaceFile, ADatasetOfAnotherShapeIsRefused) {
  const auto message = [](const char* name, hid_t type, const std::vector<hsize_t>& shape, size_t bytes) {
    return refusal(changed([&](hid_t file) { replace_dataset(file, name, type, shape, std::vector<uint8_t>(bytes)); }));
  };
  EXPECT_THAT(message("pixels", H5T_STD_U8LE, {7, 4, 3}, 84), HasSubstr("pixels of shape [7, 3, 4]; found [7, 4, 3]"));
  EXPECT_THAT(message("pixels", H5T_STD_U8LE, {84}, 84), HasSubstr("pixels of shape [7, 3, 4]; found [84]"));
  EXPECT_THAT(message("points", H5T_IEEE_F32LE, {7, 4, 2}, 224), HasSubstr("points of shape [7, 3, 2]"));
  EXPECT_THAT(message("domain", H5T_STD_U32LE, {6}, 24), HasSubstr("domain of shape [7]; found [6]"));
  EXPECT_THAT(message("id", H5T_STD_U64LE, {7, 1}, 56), HasSubstr("id of 1 dimensions"));
  EXPECT_THAT(message("source", H5T_STD_U8LE, {3}, 3), HasSubstr("a last line without an end"));
}

TEST(FaceFile, ADatasetOfAnotherTypeIsRefused) {
  const auto retyped = [](hid_t file) {
    replace_dataset(file, "pixels", H5T_STD_U16LE, {7, 3, 4}, std::vector<uint16_t>(84));
  };
  EXPECT_THAT(refusal(changed(retyped)), HasSubstr("another type"));
  const auto doubled = [](hid_t file) {
    replace_dataset(file, "points", H5T_IEEE_F64LE, {7, 3, 2}, std::vector<double>(42));
  };
  EXPECT_THAT(refusal(changed(doubled)), HasSubstr("another type"));
}

TEST(FaceFile, ADatasetThatPromisesMoreThanTheFileHoldsIsRefused) {
  const auto promised = [](hid_t file) {
    replace_dataset(file, "id", H5T_STD_U64LE, {1u << 30}, std::vector<uint64_t>());
  };
  EXPECT_THAT(refusal(changed(promised)), HasSubstr("all of dataset id"));
  const auto unwritten = [](hid_t file) {
    replace_dataset(file, "id", H5T_STD_U64LE, {900}, std::vector<uint64_t>());  // no room is taken for it
  };
  EXPECT_THAT(refusal(changed(unwritten)), HasSubstr("a part"));
}

TEST(FaceFile, AMissingPartIsNamed) {
  for (const char* name : {"pixels", "points", "domain", "id", "source", "domains", "point_names", "flip_pairs"})
    EXPECT_THAT(refusal(changed([&](hid_t file) { H5Ldelete(file, name, H5P_DEFAULT); })), HasSubstr(name));
  for (const char* name : {"width", "height", "version"})
    EXPECT_THAT(refusal(changed([&](hid_t file) { H5Adelete(file, name); })), HasSubstr(name));
}

TEST(FaceFile, ValuesBehindAGoodChecksumAreLookedAtToo) {
  const auto halved = [](hid_t file) {
    std::vector<float> points(42, 1.0f);
    points[0] = kMissing;
    replace_dataset(file, "points", H5T_IEEE_F32LE, {7, 3, 2}, points);
  };
  EXPECT_THAT(refusal(changed(halved)), HasSubstr("or neither"));
  const auto equal = [](hid_t file) { replace_dataset(file, "id", H5T_STD_U64LE, {7}, std::vector<uint64_t>(7, 5)); };
  EXPECT_THAT(refusal(changed(equal)), HasSubstr("sorted by domain and id"));
}

TEST(FaceFile, AFailedWriteLeavesTheOldFile) {
  struct FullDisk : FileLayer {
    void rename(const fs::path& from, const fs::path&) override { throw CommError(from.string(), ": full"); }
  };
  const TemporaryFolder folder;
  FileLayer files;
  FullDisk full;
  write_faces(files, folder / "a", small_records(4));
  EXPECT_THROW(write_faces(full, folder / "a", small_records(5)), CommError);
  EXPECT_EQ(read_faces(fs::path(folder / "a")).size(), 4u);
}

}  // namespace
}  // namespace rehearse::images
