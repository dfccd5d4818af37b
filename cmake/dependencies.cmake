# Libraries of the distribution; the README's table gives the reason for each.
find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json url)
find_package(GTest REQUIRED)
find_package(benchmark REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(CLI11 REQUIRED)
find_package(prometheus-cpp REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(sodium REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(re2 REQUIRED IMPORTED_TARGET re2)
# Its flag -pthread would make the precompiled header unusable; threads are linked where they are used.
set_target_properties(PkgConfig::re2 PROPERTIES INTERFACE_COMPILE_OPTIONS "")
pkg_check_modules(pq REQUIRED IMPORTED_TARGET libpq)
pkg_check_modules(spdlog REQUIRED IMPORTED_TARGET spdlog)

# Asio is compiled once, here, instead of in every source file that uses it.
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/asio_impl.cpp CONTENT "#include <boost/asio/impl/src.hpp>\n#include <boost/asio/ssl/impl/src.hpp>\n")
add_library(intra365_asio STATIC ${CMAKE_BINARY_DIR}/asio_impl.cpp)
target_compile_definitions(intra365_asio PUBLIC BOOST_ASIO_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED)
target_link_libraries(intra365_asio PUBLIC Boost::headers OpenSSL::SSL Threads::Threads)
