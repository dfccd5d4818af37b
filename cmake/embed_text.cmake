# embed_text(TARGET NAME FILE): FILE becomes part of TARGET, as `intra365::embedded_text::NAME`.
function(embed_text target name file)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${file})
  file(READ ${CMAKE_SOURCE_DIR}/${file} text)
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/${target}_${name}.cpp @ONLY CONTENT
"// Generated from ${file}; do not edit.
#include <string_view>
namespace intra365::embedded_text {
extern const std::string_view ${name};
const std::string_view ${name} = R\"~text~(${text})~text~\";
}  // namespace intra365::embedded_text
")
  target_sources(${target} PRIVATE ${CMAKE_BINARY_DIR}/generated/${target}_${name}.cpp)
endfunction()
