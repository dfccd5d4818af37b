// Reads subject, action, resource and context of an evaluate request into what the engine asks for.
#pragma once
#include <boost/json/object.hpp>
#include <string>

#include "contract/operations/policy.hpp"

namespace intra365::policy {

/// A subject or resource: `type:id` and what is said about it.
struct Entity {
  std::string text;                ///< `type:id`
  boost::json::object properties;  ///< with `type` and `id`
};

/// Reads the short form ("mate:x") or an AuthZEN object ({"type","id","properties"}). Only printable ASCII
/// without spaces: an id that merely looks like another one is refused, not compared.
Result<Entity> read_entity(const boost::json::value& value, std::string_view field);
/// `"read"` or {"name":"read"}.
Result<std::string> read_action(const boost::json::value& value);
/// The attribute tree of an evaluate request: context as sent, subject, resource, action, and the subject
/// again under its own type (`user`, `mate`).
Result<boost::json::object> attributes_of(const EvaluateRequest& request, const Entity& subject,
                                          const Entity& resource);

}  // namespace intra365::policy
