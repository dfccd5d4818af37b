# collect_error_codes(FILE): every `constexpr ErrorCode name{…}` declared below src and sdk, gathered into one
# list for docs/generated/errors.md. Codes are declared beside the code that returns them, and only there.
function(collect_error_codes file)
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/*.hpp ${CMAKE_SOURCE_DIR}/src/*.cpp ${CMAKE_SOURCE_DIR}/sdk/*.hpp)
  list(FILTER headers EXCLUDE REGEX "_(test|bench|fuzz)\\.cpp$")
  set(rows "")
  foreach(header ${headers})
    file(READ ${header} text)
    if(NOT text MATCHES "constexpr ErrorCode ")
      continue()
    endif()
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${header})
    # CMake splits at semicolons and has no lazy patterns: the end of a declaration becomes one sign.
    string(REPLACE "\"};" "\"\r" text "${text}")
    string(REPLACE ";" "<semicolon>" text "${text}")
    string(REGEX MATCHALL "constexpr ErrorCode [a-z_]+{[^\r]*\r" declarations "${text}")
    foreach(declaration ${declarations})
      string(REGEX REPLACE "^constexpr ErrorCode [a-z_]+" "    ErrorCode" row "${declaration}")
      string(REPLACE "\r" "}" row "${row}")
      string(APPEND rows "${row},\n")
    endforeach()
  endforeach()
  string(REPLACE "<semicolon>" ";" rows "${rows}")
  file(CONFIGURE OUTPUT ${file} @ONLY CONTENT
"// Generated from the declarations; do not edit.
#include \"app/error_registry.hpp\"
namespace intra365::app {
std::vector<ErrorCode> all_error_codes() {
  return {
${rows}  };
}
}  // namespace intra365::app
")
endfunction()
