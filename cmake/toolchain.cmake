# Compiler, linker and cache settings shared by every preset.
set(INTRA365_SANITIZE "" CACHE STRING "Sanitizers to build with, as the compiler names them")

set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")  # asserts stay on: a broken invariant must stop, not corrupt
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1")
# Paths of this machine stay out of what is built, so ccache shares it between clones and build folders.
add_compile_options(-ffile-prefix-map=${CMAKE_SOURCE_DIR}=. -ffile-prefix-map=${CMAKE_BINARY_DIR}=build)
add_compile_options(-Wall -Wextra -Wpedantic -Wnon-virtual-dtor -Woverloaded-virtual -Wno-missing-field-initializers
                    -Wno-dangling-else -Wno-mismatched-new-delete -Wno-array-bounds -fno-omit-frame-pointer)

if(INTRA365_SANITIZE)
  add_compile_options(-fsanitize=${INTRA365_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${INTRA365_SANITIZE})
endif()

find_program(INTRA365_CCACHE ccache)
if(INTRA365_CCACHE)
  # The sloppiness that precompiled headers need is given here, so nobody has to configure a machine.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} ${INTRA365_CCACHE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    add_compile_options(-fpch-preprocess)
  endif()
endif()
find_program(INTRA365_MOLD mold)
if(INTRA365_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
