# libtorch out of the PyTorch wheel, without torch's own CMake files (those demand nvcc).
# Looks in REHEARSE_LIBTORCH (cache or environment: the wheel's torch folder), else in .deps/python.
# Defines Libtorch::cpu (torch_cpu + c10); Libtorch::cuda (adds torch_cuda) when the CUDA wheels are beside it;
# LIBTORCH_ROOT, LIBTORCH_VERSION.
set(REHEARSE_LIBTORCH "" CACHE PATH "The torch folder of an installed PyTorch wheel; empty = the one in .deps/python")
set(LIBTORCH_ROOT "")
if(REHEARSE_LIBTORCH)
  set(_candidates ${REHEARSE_LIBTORCH})
elseif(DEFINED ENV{REHEARSE_LIBTORCH})
  set(_candidates $ENV{REHEARSE_LIBTORCH})
else()
  file(GLOB _candidates ${CMAKE_SOURCE_DIR}/.deps/python/lib/python3*/site-packages/torch)
endif()
foreach(_candidate IN LISTS _candidates)
  if(EXISTS ${_candidate}/include/ATen/ATen.h AND EXISTS ${_candidate}/lib/libtorch_cpu.so)
    get_filename_component(LIBTORCH_ROOT ${_candidate} ABSOLUTE)
    break()
  endif()
endforeach()

set(LIBTORCH_VERSION "")
if(LIBTORCH_ROOT)
  file(STRINGS ${LIBTORCH_ROOT}/version.py _version REGEX "^__version__ = ")
  string(REGEX REPLACE ".*'([0-9.]+)[^']*'.*" "\\1" LIBTORCH_VERSION "${_version}")
endif()
if(_candidates)
  set(_reason "looked in ${_candidates}")
else()
  set(_reason "looked in .deps/python")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Libtorch REQUIRED_VARS LIBTORCH_ROOT VERSION_VAR LIBTORCH_VERSION
  REASON_FAILURE_MESSAGE "${_reason}: launch/setup.sh installs the pinned wheel, or set REHEARSE_LIBTORCH to its torch folder")

if(Libtorch_FOUND AND NOT TARGET Libtorch::cpu)
  file(GLOB _wheel_libs ${LIBTORCH_ROOT}/../nvidia/*/lib)
  file(GLOB _cudart ${LIBTORCH_ROOT}/../nvidia/*/lib/libcudart.so.*)
  file(GLOB _cupti ${LIBTORCH_ROOT}/../nvidia/*/lib/libcupti.so.*)
  if(NOT _cudart OR NOT _cupti)
    message(FATAL_ERROR "${LIBTORCH_ROOT}: expected the cudart and cupti wheels beside it (libtorch_cpu.so needs both); "
                        "found none; run launch/setup.sh")
  endif()
  add_library(Libtorch::cpu INTERFACE IMPORTED)
  target_include_directories(Libtorch::cpu SYSTEM INTERFACE
    ${LIBTORCH_ROOT}/include ${LIBTORCH_ROOT}/include/torch/csrc/api/include)
  # Binaries find the wheel by rpath; its libraries find cudart and cupti by their own.
  target_link_libraries(Libtorch::cpu INTERFACE ${LIBTORCH_ROOT}/lib/libtorch_cpu.so ${LIBTORCH_ROOT}/lib/libc10.so)
  target_link_options(Libtorch::cpu INTERFACE -Wl,-rpath,${LIBTORCH_ROOT}/lib -Wl,--allow-shlib-undefined)
  foreach(_lib ${_wheel_libs})
    target_link_options(Libtorch::cpu INTERFACE -Wl,-rpath-link,${_lib})
  endforeach()

  file(GLOB _cudnn ${LIBTORCH_ROOT}/../nvidia/*/lib/libcudnn.so.*)
  if(_cudnn AND EXISTS ${LIBTORCH_ROOT}/lib/libtorch_cuda.so)
    add_library(Libtorch::cuda INTERFACE IMPORTED)
    # Nothing calls into torch_cuda by name: it registers itself when loaded, so the linker must keep it.
    target_link_options(Libtorch::cuda INTERFACE -Wl,--no-as-needed,${LIBTORCH_ROOT}/lib/libtorch_cuda.so,--as-needed)
    target_link_libraries(Libtorch::cuda INTERFACE Libtorch::cpu ${LIBTORCH_ROOT}/lib/libc10_cuda.so)
  endif()
endif()
