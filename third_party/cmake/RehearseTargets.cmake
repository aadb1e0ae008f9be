# Static library of one folder.
#   rehearse_library(NAME SOURCES … PUBLIC … PRIVATE …)
function(rehearse_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC rehearse_options ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE})
endfunction()

# Everything in every plug-in folder ends in this target; executables link it. Objects, not archives: a linker drops
# self-registering files from archives.
add_library(rehearse_plugins INTERFACE)

# Sources of folders where plug-ins lie beside what they share: a plug-in has no header of its own.
#   rehearse_sources(PREFIX FOLDER …)      sets PREFIX_library and PREFIX_plugins
function(rehearse_sources prefix)
  set(library)
  set(plugins)
  foreach(folder ${ARGN})
    file(GLOB found CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*.cpp)
    foreach(source ${found})
      string(REGEX REPLACE "cpp$" "h" header ${source})
      if(EXISTS ${header})
        list(APPEND library ${source})
      else()
        list(APPEND plugins ${source})
      endif()
    endforeach()
  endforeach()
  set(${prefix}_library ${library} PARENT_SCOPE)
  set(${prefix}_plugins ${plugins} PARENT_SCOPE)
endfunction()

# Object library of plug-ins: every *.cpp of the folders, and the sources.
#   rehearse_plugins_from(NAME FOLDER … SOURCES … LINK …)
function(rehearse_plugins_from name)
  cmake_parse_arguments(ARG "" "" "FOLDER;SOURCES;LINK" ${ARGN})
  set(sources ${ARG_SOURCES})
  foreach(folder ${ARG_FOLDER})
    file(GLOB found CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*.cpp)
    list(APPEND sources ${found})
  endforeach()
  add_library(${name} OBJECT ${sources})
  target_link_libraries(${name} PUBLIC rehearse_options ${ARG_LINK})
  target_sources(rehearse_plugins INTERFACE $<TARGET_OBJECTS:${name}>)
  target_link_libraries(rehearse_plugins INTERFACE ${ARG_LINK})
endfunction()

# Compiles a target that sees libtorch with the one precompiled header (models/torch_prelude.h).
function(rehearse_use_torch_prelude name)
  if(TARGET ${name})
    target_precompile_headers(${name} REUSE_FROM rehearse_torch_prelude)
  endif()
endfunction()

# One test executable from tests/FOLDER/*_test.cpp (and tests/support).
#   rehearse_tests(NAME FOLDER … LINK … [LABELS …] [SERIAL] [TORCH])
# SERIAL: nothing else runs beside these. TORCH: they see libtorch.
function(rehearse_tests name)
  cmake_parse_arguments(ARG "SERIAL;TORCH" "" "FOLDER;LINK;LABELS" ${ARGN})
  set(sources)
  foreach(folder ${ARG_FOLDER})
    file(GLOB found CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*_test.cpp)
    list(APPEND sources ${found})
  endforeach()
  if(NOT sources)
    return()
  endif()
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} rehearse_options GTest::gmock GTest::gtest_main)
  if(ARG_TORCH)
    rehearse_use_torch_prelude(${name})
  else()
    target_precompile_headers(${name} REUSE_FROM rehearse_test_prelude)
  endif()
  target_compile_definitions(${name} PRIVATE REHEARSE_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                             REHEARSE_BINARY="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/rehearse")
  set(properties TIMEOUT 300)  # an empty value would swallow the next name
  if(ARG_SERIAL)
    list(APPEND properties RUN_SERIAL ON)
  endif()
  if(ARG_LABELS)
    list(APPEND properties LABELS "${ARG_LABELS}")
  endif()
  gtest_discover_tests(${name} TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 60 PROPERTIES ${properties})
endfunction()

# One program of tests/FOLDER (its main.cpp and *_test.cpp), run in MPI worlds of these sizes.
#   add_mpi_test(NAME FOLDER … LINK … RANKS 1 2 4)
function(add_mpi_test name)
  cmake_parse_arguments(ARG "" "FOLDER" "LINK;RANKS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${ARG_FOLDER}/*_test.cpp)
  add_executable(${name} ${ARG_FOLDER}/main.cpp ${sources})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} rehearse_options GTest::gmock GTest::gtest)
  foreach(ranks ${ARG_RANKS})
    set(test ${name}.${ranks}_ranks)
    add_test(NAME ${test}
             COMMAND mpirun --oversubscribe --bind-to none -n ${ranks} $<TARGET_FILE:${name}> --ranks=${ranks})
    set_tests_properties(${test} PROPERTIES LABELS mpi TIMEOUT 120 PROCESSORS ${ranks} RUN_SERIAL ON
                         ENVIRONMENT "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
  endforeach()
endfunction()
