# intra365_module(FOLDER LINK libs…): every .cpp of FOLDER becomes one library named after the folder;
# its *_test.cpp become one test program, its *_bench.cpp one benchmark program, its *_fuzz.cpp (with
# -DINTRA365_FUZZ=ON and clang) one fuzzer each. A folder without sources yet is skipped.
# One precompiled header for the whole tree. It is a build aid only: what a file uses, it includes itself.
file(WRITE ${CMAKE_BINARY_DIR}/precompiled.cpp "")
add_library(intra365_precompiled STATIC ${CMAKE_BINARY_DIR}/precompiled.cpp)
target_precompile_headers(intra365_precompiled PRIVATE ${CMAKE_SOURCE_DIR}/cmake/precompiled.hpp)
target_link_libraries(intra365_precompiled PUBLIC intra365_asio)

function(intra365_module folder)
  cmake_parse_arguments(arg "" "" "LINK" ${ARGN})
  string(REGEX REPLACE "^src/(services/)?" "" name ${folder})
  string(REPLACE "/" "_" name ${name})

  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${folder}/*.cpp)
  set(tests ${sources})
  set(benches ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(FILTER benches INCLUDE REGEX "_bench\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "_(test|bench|fuzz)\\.cpp$")

  if(sources)
    add_library(${name} STATIC ${sources})
    set(scope PUBLIC)
    target_precompile_headers(${name} REUSE_FROM intra365_precompiled)
    target_link_libraries(${name} PRIVATE intra365_precompiled)
  else()
    add_library(${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${name} ${scope} ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} ${scope} ${arg_LINK})

  if(tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE ${name} GTest::gmock GTest::gtest_main)
    target_precompile_headers(${name}_test REUSE_FROM intra365_precompiled)
    target_link_libraries(${name}_test PRIVATE intra365_precompiled)
    target_compile_definitions(${name}_test PRIVATE INTRA365_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                                                    INTRA365_BINARY_DIR="${CMAKE_BINARY_DIR}")
    add_test(NAME ${name} COMMAND ${name}_test)
    set_tests_properties(${name} PROPERTIES TIMEOUT 600)
  endif()
  if(benches)
    add_executable(${name}_bench ${benches})
    target_link_libraries(${name}_bench PRIVATE ${name} benchmark::benchmark benchmark::benchmark_main)
  endif()
endfunction()

function(add_subdirectory_if_present folder)
  if(EXISTS ${CMAKE_SOURCE_DIR}/${folder}/CMakeLists.txt)
    add_subdirectory(${folder})
  endif()
endfunction()
