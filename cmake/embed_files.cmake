# embed_policies(TARGET FOLDER): every FOLDER/policies/*.yaml becomes part of TARGET, as
# intra365::documents::<target>(), pairs of file name and text: the program carries its policies with it.
function(embed_policies target folder)
  file(GLOB files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/policies/*.yaml)
  if(NOT files)
    return()
  endif()
  list(SORT files)
  set(body "")
  foreach(file ${files})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    get_filename_component(name ${file} NAME)
    file(READ ${file} text)
    string(APPEND body "      {\"${name}\", R\"~yaml~(${text})~yaml~\"},\n")
  endforeach()
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/${target}_documents.cpp @ONLY CONTENT
"// Generated from ${folder}/policies; do not edit.
#include <string>
#include <utility>
#include <vector>
namespace intra365::documents {
std::vector<std::pair<std::string, std::string>> ${target}() {
  return {
${body}  };
}
}  // namespace intra365::documents
")
  target_sources(${target} PRIVATE ${CMAKE_BINARY_DIR}/generated/${target}_documents.cpp)
endfunction()
