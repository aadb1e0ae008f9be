// Something to compile for the precompiled header of the tests (tests/CMakeLists.txt).
