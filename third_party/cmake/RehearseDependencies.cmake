# Every foreign library as an imported target with SYSTEM includes.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(GTest REQUIRED)
include(GoogleTest)
foreach(pair IN ITEMS "mpi:ompi-c" "sndfile:sndfile" "soxr:soxr" "yaml:yaml-cpp" "hdf5:hdf5" "fmt:fmt" "spdlog:spdlog" "sentencepiece:sentencepiece"
        "utf8proc:libutf8proc")
  string(REPLACE ":" ";" parts ${pair})
  list(GET parts 0 target)
  list(GET parts 1 module)
  pkg_check_modules(REHEARSE_${target} REQUIRED IMPORTED_TARGET ${module})
  add_library(rehearse_dep_${target} INTERFACE)
  target_include_directories(rehearse_dep_${target} SYSTEM INTERFACE ${REHEARSE_${target}_INCLUDE_DIRS})
  target_link_libraries(rehearse_dep_${target} INTERFACE PkgConfig::REHEARSE_${target})
endforeach()
find_package(Libtorch REQUIRED)
# The removed C++ bindings of MPI do not compile without warnings.
target_compile_definitions(rehearse_dep_mpi INTERFACE OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)
