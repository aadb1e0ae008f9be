# Every foreign library as an imported target with SYSTEM includes.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED COMPONENTS Crypto)
find_package(GTest REQUIRED)
include(GoogleTest)
foreach(pair IN ITEMS "mpi:ompi-c" "sndfile:sndfile" "soxr:soxr" "yaml:yaml-cpp" "hdf5:hdf5" "fmt:fmt" "spdlog:spdlog" "sentencepiece:sentencepiece"
        "icu:icu-uc" "zlib:zlib" "png:libpng")
  string(REPLACE ":" ";" parts ${pair})
  list(GET parts 0 target)
  list(GET parts 1 module)
  pkg_check_modules(REHEARSE_${target} REQUIRED IMPORTED_TARGET ${module})
  add_library(rehearse_dep_${target} INTERFACE)
  target_include_directories(rehearse_dep_${target} SYSTEM INTERFACE ${REHEARSE_${target}_INCLUDE_DIRS})
  target_link_libraries(rehearse_dep_${target} INTERFACE PkgConfig::REHEARSE_${target})
endforeach()
# The removed C++ bindings of MPI do not compile without warnings.
target_compile_definitions(rehearse_dep_mpi INTERFACE OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)

# Header-only; their targets carry SYSTEM includes already.
find_package(CLI11 REQUIRED)
add_library(rehearse_dep_cli INTERFACE)
target_link_libraries(rehearse_dep_cli INTERFACE CLI11::CLI11)
find_package(nlohmann_json REQUIRED)
add_library(rehearse_dep_json INTERFACE)
target_link_libraries(rehearse_dep_json INTERFACE nlohmann_json::nlohmann_json)
if(REHEARSE_TESTS)
  find_package(benchmark REQUIRED)
  add_library(rehearse_dep_benchmark INTERFACE)
  target_link_libraries(rehearse_dep_benchmark INTERFACE benchmark::benchmark)
endif()

# The version that the numbers in tests and experiments were measured on.
find_package(Libtorch 2.11.0 EXACT REQUIRED)

# From here on REHEARSE_CUDA is ON or OFF.
find_program(REHEARSE_NVCC nvcc PATHS /usr/local/cuda/bin)
if(REHEARSE_CUDA STREQUAL "AUTO")
  set(REHEARSE_CUDA OFF)
  if(REHEARSE_NVCC AND TARGET Libtorch::cuda)
    set(REHEARSE_CUDA ON)
  endif()
elseif(REHEARSE_CUDA AND NOT (REHEARSE_NVCC AND TARGET Libtorch::cuda))
  message(FATAL_ERROR "REHEARSE_CUDA=ON: expected nvcc 13 on the PATH and the wheels of third_party/wheels-cuda.txt; "
                      "run launch/setup.sh where nvcc is installed, or use -DREHEARSE_CUDA=OFF")
endif()
