# Fuzz targets: -DINTRA365_FUZZ=ON makes one program of every x_fuzz.cpp, with libFuzzer where the compiler is
# clang and with cmake/fuzz_main.cpp, which follows no coverage, elsewhere. ./dev fuzz sets all of this.
option(INTRA365_FUZZ "Build the fuzz targets" OFF)

if(INTRA365_FUZZ)
  add_library(intra365_fuzz_main INTERFACE)
  if(CMAKE_CXX_COMPILER_ID STREQUAL Clang)
    add_compile_options(-fsanitize=fuzzer-no-link)
    target_link_options(intra365_fuzz_main INTERFACE -fsanitize=fuzzer)
  else()
    target_sources(intra365_fuzz_main INTERFACE ${CMAKE_SOURCE_DIR}/cmake/fuzz_main.cpp)
  endif()
endif()
add_custom_target(fuzzers)

# intra365_fuzzers(MODULE SOURCES…): the fuzz programs of a module, named MODULE_x_fuzz; all of them together
# are the target `fuzzers`.
function(intra365_fuzzers module)
  if(NOT INTRA365_FUZZ)
    return()
  endif()
  foreach(source IN LISTS ARGN)
    cmake_path(GET source STEM stem)
    add_executable(${module}_${stem} ${source})
    target_link_libraries(${module}_${stem} PRIVATE ${module} intra365_fuzz_main)
    add_dependencies(fuzzers ${module}_${stem})
  endforeach()
endfunction()
