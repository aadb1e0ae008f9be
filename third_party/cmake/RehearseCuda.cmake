# The CUDA plug-in, librehearse_cuda.so: our kernels, NCCL, and torch_cuda, which it brings into the process. Included
# where REHEARSE_CUDA is ON; the binary loads the plug-in by itself, so nothing links it.
set(REHEARSE_CUDA_ARCHITECTURES "75-real;80-real;86-real;89-real;90-real;120" CACHE STRING
    "GPU architectures of the plug-in; a plain number adds PTX for newer ones")
set(CMAKE_CUDA_COMPILER ${REHEARSE_NVCC})
set(CMAKE_CUDA_ARCHITECTURES ${REHEARSE_CUDA_ARCHITECTURES})
set(CMAKE_CUDA_RUNTIME_LIBRARY None)  # libtorch's own is linked below
enable_language(CUDA)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc has it
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
endif()
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 13)
  message(FATAL_ERROR "REHEARSE_CUDA: expected nvcc 13, as the pinned wheels; found ${CMAKE_CUDA_COMPILER_VERSION} "
                      "(${REHEARSE_NVCC}); use -DREHEARSE_CUDA=OFF")
endif()
if(CCACHE_PROGRAM)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
endif()

# NCCL and cudart of the wheels, so that the process has one copy of each.
get_filename_component(_wheels ${LIBTORCH_ROOT}/../nvidia ABSOLUTE)
find_path(REHEARSE_NCCL_INCLUDE nccl.h PATHS ${_wheels}/nccl/include NO_DEFAULT_PATH REQUIRED)
find_file(REHEARSE_NCCL_LIBRARY libnccl.so.2 PATHS ${_wheels}/nccl/lib NO_DEFAULT_PATH REQUIRED)
find_file(REHEARSE_CUDART_LIBRARY libcudart.so.13 PATHS ${_wheels}/cu13/lib NO_DEFAULT_PATH REQUIRED)

file(GLOB _sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/models/kernels/cuda/*.cu
     ${CMAKE_SOURCE_DIR}/trainer/engine/update/optimizers/cuda/*.cu
     ${CMAKE_SOURCE_DIR}/trainer/comm/cuda/*.cpp ${CMAKE_SOURCE_DIR}/trainer/device/cuda/*.cpp)
add_library(rehearse_cuda SHARED ${_sources} ${CMAKE_SOURCE_DIR}/trainer/base/error.cpp)
target_include_directories(rehearse_cuda SYSTEM PRIVATE ${REHEARSE_NCCL_INCLUDE}
                           ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
target_link_libraries(rehearse_cuda PRIVATE rehearse_options Libtorch::cuda ${REHEARSE_NCCL_LIBRARY}
                      ${REHEARSE_CUDART_LIBRARY})
target_compile_options(rehearse_cuda PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-O3 -Xcompiler=-Wall,-Wextra>)
set_target_properties(rehearse_cuda PROPERTIES BUILD_RPATH "${LIBTORCH_ROOT}/lib;${_wheels}/nccl/lib;${_wheels}/cu13/lib")
