// A set of face records as one file, *.faces.h5 (README.md). The only file that wraps the HDF5 calls of records.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "data/images/face_records.h"
#include "trainer/base/files.h"

namespace rehearse::images {

// Equal records are equal bytes.
std::vector<std::byte> to_face_file(const FaceRecords& records);
// DataError "where: expected …; found …" for anything but a whole file of this version.
FaceRecords from_face_file(const std::vector<std::byte>& bytes, const std::string& where);

// Nothing is visible under `path` before all of it is on disk. CommError when the disk fails.
void write_faces(FileLayer& files, const fs::path& path, const FaceRecords& records);
FaceRecords read_faces(const fs::path& path);
// One set of several files, of one layout and without common pictures.
FaceRecords read_faces(const std::vector<fs::path>& paths);

}  // namespace rehearse::images
