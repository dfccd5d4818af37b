# The NATS client alone, for programs that are none of intra365: `cmake --install build/release --component nats
# --prefix DIR` puts its libraries, headers and a pkg-config file there. src/nats/README.md shows how to use it.
set(parts nats json crypto async base intra365_asio)
install(TARGETS ${parts} ARCHIVE DESTINATION lib/intra365 COMPONENT nats EXCLUDE_FROM_ALL)
foreach(folder nats json crypto async base)
  install(DIRECTORY src/${folder} DESTINATION include/intra365 COMPONENT nats EXCLUDE_FROM_ALL
          FILES_MATCHING PATTERN "*.hpp" PATTERN "*test_support.hpp" EXCLUDE PATTERN "test_loop.hpp" EXCLUDE
          PATTERN "*_corpus" EXCLUDE PATTERN "examples" EXCLUDE)
endforeach()
set(libraries "")
foreach(part ${parts})
  string(APPEND libraries "\${libdir}/intra365/lib${part}.a ")
endforeach()
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/intra365-nats.pc @ONLY CONTENT
"prefix=\${pcfiledir}/../..
libdir=\${prefix}/lib
Name: intra365-nats
Description: NATS client for Asio: core, JetStream, key-value, object store, services
Version: ${PROJECT_VERSION}
Requires: libsodium libssl libcrypto
Cflags: -I\${prefix}/include/intra365 -DBOOST_ASIO_SEPARATE_COMPILATION -DBOOST_ASIO_NO_DEPRECATED
Libs: ${libraries}-lboost_json -pthread
")
install(FILES ${CMAKE_BINARY_DIR}/generated/intra365-nats.pc DESTINATION lib/pkgconfig COMPONENT nats EXCLUDE_FROM_ALL)
