# Compiler-wide facts that every target shares through the INTERFACE target rehearse_options.
add_library(rehearse_options INTERFACE)
target_include_directories(rehearse_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(rehearse_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers>)
if(REHEARSE_WERROR)
  target_compile_options(rehearse_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")

if(REHEARSE_SANITIZE)
  # GCC's own <regex> would be "maybe uninitialized" under sanitizers.
  target_compile_options(rehearse_options INTERFACE -fsanitize=${REHEARSE_SANITIZE} -fno-omit-frame-pointer
                         -Wno-maybe-uninitialized)
  target_link_options(rehearse_options INTERFACE -fsanitize=${REHEARSE_SANITIZE})
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # sloppiness: a precompiled header is otherwise never a cache hit.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} ${CCACHE_PROGRAM})
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  target_link_options(rehearse_options INTERFACE -fuse-ld=mold)
endif()
