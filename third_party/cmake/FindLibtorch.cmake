# libtorch out of the PyTorch wheel in .deps/python, without torch's own CMake files (those demand nvcc).
# Defines Libtorch::cpu (torch_cpu + c10) and LIBTORCH_ROOT, LIBTORCH_VERSION.
file(GLOB _candidates ${CMAKE_SOURCE_DIR}/.deps/python/lib/python3*/site-packages/torch)
find_path(LIBTORCH_ROOT NAMES include/ATen/ATen.h PATHS $ENV{REHEARSE_LIBTORCH} ${_candidates} NO_DEFAULT_PATH)
if(LIBTORCH_ROOT)
  file(STRINGS ${LIBTORCH_ROOT}/version.py _version REGEX "^__version__ = ")
  string(REGEX REPLACE ".*'([^']+)'.*" "\\1" LIBTORCH_VERSION "${_version}")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Libtorch REQUIRED_VARS LIBTORCH_ROOT VERSION_VAR LIBTORCH_VERSION
  REASON_FAILURE_MESSAGE "run launch/setup.sh, which installs the pinned wheel into .deps/python")

if(Libtorch_FOUND AND NOT TARGET Libtorch::cpu)
  file(GLOB _cuda_libs ${LIBTORCH_ROOT}/../nvidia/*/lib)
  add_library(Libtorch::cpu INTERFACE IMPORTED)
  target_include_directories(Libtorch::cpu SYSTEM INTERFACE
    ${LIBTORCH_ROOT}/include ${LIBTORCH_ROOT}/include/torch/csrc/api/include)
  # The wheel's own files are found by rpath; cudart and cupti come as separate wheels beside it.
  target_link_libraries(Libtorch::cpu INTERFACE ${LIBTORCH_ROOT}/lib/libtorch_cpu.so ${LIBTORCH_ROOT}/lib/libc10.so)
  target_link_options(Libtorch::cpu INTERFACE -Wl,-rpath,${LIBTORCH_ROOT}/lib -Wl,--allow-shlib-undefined)
  foreach(_lib ${_cuda_libs})
    target_link_options(Libtorch::cpu INTERFACE -Wl,-rpath,${_lib} -Wl,-rpath-link,${_lib})
  endforeach()
endif()
