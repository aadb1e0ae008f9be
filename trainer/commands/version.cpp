#include "trainer/commands/version.h"

#include <hdf5.h>
#include <mpi.h>
#include <openssl/crypto.h>
#include <sndfile.h>
#include <soxr.h>
#include <unicode/uversion.h>

#include <CLI/Version.hpp>
#include <nlohmann/json.hpp>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

std::string mpi_version() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  int length = 0;
  MPI_Get_library_version(text, &length);
  const std::string version(text, static_cast<size_t>(length));
  return version.substr(0, version.find(','));
}

std::string hdf5_version() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return concat(major, ".", minor, ".", release);
}

// Its data decide what a letter is.
std::string icu_version() {
  UVersionInfo version;
  u_getVersion(version);
  return concat(int{version[0]}, ".", int{version[1]});
}

}  // namespace

std::map<std::string, std::string> linked_versions() {
  return {{"libtorch", REHEARSE_LIBTORCH_VERSION},
          {"mpi", mpi_version()},
          {"nccl", REHEARSE_NCCL_VERSION},
          {"sentencepiece", REHEARSE_SENTENCEPIECE_VERSION},
          {"libsndfile", sf_version_string()},
          {"soxr", soxr_version()},
          {"hdf5", hdf5_version()},
          {"yaml-cpp", REHEARSE_YAML_VERSION},
          {"fmt", REHEARSE_FMT_VERSION},
          {"spdlog", REHEARSE_SPDLOG_VERSION},
          {"cli11", CLI11_VERSION},
          {"nlohmann-json",
           concat(NLOHMANN_JSON_VERSION_MAJOR, ".", NLOHMANN_JSON_VERSION_MINOR, ".", NLOHMANN_JSON_VERSION_PATCH)},
          {"openssl", OpenSSL_version(OPENSSL_VERSION_STRING)},
          {"icu", icu_version()}};
}

std::string version_text() {
  std::string text = concat("rehearse ", REHEARSE_VERSION, ", commit ", REHEARSE_COMMIT, ", ", REHEARSE_BUILD, ", ",
                            REHEARSE_COMPILER, "\n  CUDA plug-in: ", REHEARSE_CUDA_PLUGIN,
                            "\n  sanitizers: ", REHEARSE_SANITIZERS, "\n  flags: ", REHEARSE_FLAGS);
  for (const auto& [name, version] : linked_versions()) text += concat("\n  ", name, " ", version);
  return text;
}

}  // namespace rehearse
