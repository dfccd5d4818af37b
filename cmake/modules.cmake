# intra365_module(FOLDER [NAME name] [LABEL label] LINK libs…): every .cpp of FOLDER becomes one library named
# NAME or after the folder; its *_test.cpp become one test program, its *_bench.cpp one program NAME_micro_bench,
# its *_fuzz.cpp (with
# -DINTRA365_FUZZ=ON) one fuzzer each. A folder without sources yet is skipped. The label says what a
# `ctest -L` runs: `quick` (the default) for what belongs to ./dev check, `integration` for the rest.
# One precompiled header for the whole tree. It is a build aid only: what a file uses, it includes itself.
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/precompiled.cpp CONTENT "")  # unlike WRITE, keeps an equal file
add_library(intra365_precompiled STATIC ${CMAKE_BINARY_DIR}/precompiled.cpp)
# The quoted form keeps the folder's path out of the header, so that ccache shares it between clones.
target_precompile_headers(intra365_precompiled PRIVATE [["cmake/precompiled.hpp"]])
target_include_directories(intra365_precompiled PRIVATE ${CMAKE_SOURCE_DIR})
target_link_libraries(intra365_precompiled PUBLIC intra365_asio Boost::json)

function(intra365_module folder)
  cmake_parse_arguments(arg "" "LABEL;NAME" "LINK" ${ARGN})
  string(REGEX REPLACE "^src/(services/)?" "" name ${folder})
  string(REGEX REPLACE "^tests/support$" "test_support" name ${name})
  string(REPLACE "/" "_" name ${name})
  if(arg_NAME)
    set(name ${arg_NAME})
  endif()
  if(NOT arg_LABEL)
    set(arg_LABEL quick)
  endif()

  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${folder}/*.cpp)
  set(tests ${sources})
  set(benches ${sources})
  set(fuzzers ${sources})
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cpp$")
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(FILTER benches INCLUDE REGEX "_bench\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "_(test|bench|fuzz)\\.cpp$")

  if(sources)
    add_library(${name} STATIC ${sources})
    set(scope PUBLIC)
    target_precompile_headers(${name} REUSE_FROM intra365_precompiled)
    target_link_libraries(${name} PRIVATE intra365_precompiled)
    embed_migrations(${name} ${folder})
    embed_policies(${name} ${folder})
  else()
    add_library(${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${name} ${scope} ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR})
  target_link_libraries(${name} ${scope} ${arg_LINK})

  if(tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE ${name} test_support GTest::gmock GTest::gtest_main)
    target_precompile_headers(${name}_test REUSE_FROM intra365_precompiled)
    target_link_libraries(${name}_test PRIVATE intra365_precompiled)
    target_compile_definitions(${name}_test PRIVATE INTRA365_SOURCE_DIR="${CMAKE_SOURCE_DIR}"
                                                    INTRA365_BINARY_DIR="${CMAKE_BINARY_DIR}")
    add_test(NAME ${name} COMMAND ${name}_test)
    set_tests_properties(${name} PROPERTIES TIMEOUT 600 LABELS ${arg_LABEL})
  endif()
  if(benches)
    add_executable(${name}_micro_bench ${benches})
    target_link_libraries(${name}_micro_bench PRIVATE ${name} benchmark::benchmark benchmark::benchmark_main)
  endif()
  intra365_fuzzers(${name} ${fuzzers})
endfunction()

function(add_subdirectory_if_present folder)
  if(EXISTS ${CMAKE_SOURCE_DIR}/${folder}/CMakeLists.txt)
    add_subdirectory(${folder})
  endif()
endfunction()

# intra365_programs(TARGET FOLDERS…): a target that builds every program of these folders and nothing else.
function(intra365_programs target)
  add_custom_target(${target})
  foreach(folder IN LISTS ARGN)
    if(EXISTS ${CMAKE_SOURCE_DIR}/${folder}/CMakeLists.txt)
      get_property(programs DIRECTORY ${CMAKE_SOURCE_DIR}/${folder} PROPERTY BUILDSYSTEM_TARGETS)
      list(FILTER programs EXCLUDE REGEX "_(test|bench|fuzz)$")
      if(programs)
        add_dependencies(${target} ${programs})
      endif()
    endif()
  endforeach()
endfunction()
