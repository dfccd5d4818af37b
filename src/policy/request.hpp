// Reads subject, action, resource and context of an evaluate request into what the engine asks for.
#pragma once
#include <boost/json/object.hpp>
#include <string>

#include "policy/snapshot.hpp"

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

/// A question read from outside, owning what the engine's question views.
struct Asked {
  std::string subject, action, resource;
  boost::json::object attributes;
  Question question() const { return {subject, action, resource, &attributes}; }

  static Result<Asked> read(const EvaluateRequest& request);
};

/// The person a resource belongs to (`user:<id>` and what is below it), if it belongs to one. Only the
/// platform knows that person's attributes and consents.
std::optional<UserId> owner_of(std::string_view resource);

/// The reply that an answer makes, without its decision id.
EvaluateReply reply_of(Answer answer, const boost::json::object& attributes);

}  // namespace intra365::policy
