# embed_migrations(TARGET FOLDER): every FOLDER/migrations/*.sql becomes part of TARGET, as
# intra365::migrations::<target>(), so that the program carries its schema with it.
function(embed_migrations target folder)
  file(GLOB files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/migrations/*.sql)
  if(NOT files)
    return()
  endif()
  list(SORT files)
  set(body "")
  foreach(file ${files})
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    get_filename_component(id ${file} NAME_WE)
    file(READ ${file} sql)
    string(APPEND body "    {\"${id}\", R\"~sql~(${sql})~sql~\"},\n")
  endforeach()
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/${target}_migrations.cpp @ONLY CONTENT
"// Generated from ${folder}/migrations; do not edit.
#include \"postgres/migrator.hpp\"
namespace intra365::migrations {
std::vector<postgres::Migration> ${target}() {
  return {
${body}  };
}
}  // namespace intra365::migrations
")
  target_sources(${target} PRIVATE ${CMAKE_BINARY_DIR}/generated/${target}_migrations.cpp)
endfunction()
