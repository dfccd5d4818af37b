#include "policy/request.hpp"

#include <algorithm>

#include "contract/errors.hpp"
#include "policy/limits.hpp"

namespace intra365::policy {
namespace {

namespace bj = boost::json;

bool is_plain(std::string_view text) {
  return std::ranges::all_of(text, [](unsigned char c) { return c > ' ' && c < 0x7f; });
}

bool is_entity_text(std::string_view text) {
  const auto colon = text.find(':');
  return text.size() <= limits::kPatternLength && colon != 0 && colon != std::string_view::npos &&
         colon + 1 != text.size() && is_plain(text);
}

}  // namespace

Result<Entity> read_entity(const bj::value& value, std::string_view field) {
  const auto refuse = [&](std::string_view why) {
    return fail(errors::bad_value, std::string(field) + ": " + std::string(why));
  };
  constexpr std::string_view kForm = "expected 'type:id', at most 512 printable ASCII characters";
  if (const auto* text = value.if_string()) {
    const std::string_view view(*text);
    if (!is_entity_text(view)) return refuse(kForm);
    const auto colon = view.find(':');
    return Entity{std::string(view), {{"type", view.substr(0, colon)}, {"id", view.substr(colon + 1)}}};
  }
  const auto* object = value.if_object();
  if (object == nullptr) return refuse("expected 'type:id' or an object with type and id");
  const auto* type = object->if_contains("type");
  const auto* id = object->if_contains("id");
  if (type == nullptr || id == nullptr || !type->is_string() || !id->is_string())
    return refuse("type and id must be strings");
  const std::string_view kind(type->get_string());
  Entity entity{std::string(kind) + ":" + std::string(id->get_string()), {}};
  if (kind.find_first_of(":/") != std::string_view::npos || !is_entity_text(entity.text))
    return refuse(kForm);
  if (const auto* properties = object->if_contains("properties")) {
    if (!properties->is_object()) return refuse("properties must be an object");
    entity.properties = properties->get_object();
  }
  entity.properties["type"] = *type;
  entity.properties["id"] = *id;
  return entity;
}

Result<std::string> read_action(const bj::value& value) {
  const auto* text = value.if_string();
  if (const auto* object = value.if_object()) {
    const auto* name = object->if_contains("name");
    if (name != nullptr) text = name->if_string();
  }
  if (text != nullptr && !text->empty() && text->size() <= limits::kActionLength) return std::string(*text);
  return fail(errors::bad_value, "action: expected a name or an object with a name");
}

Result<bj::object> attributes_of(const EvaluateRequest& request, const Entity& subject,
                                 const Entity& resource) {
  bj::object attributes;
  if (request.context.is_object()) {
    attributes["context"] = request.context;
    // Facts about the person and the Mate may be handed in; consent never: only the consent service knows it.
    for (const auto* root : {"user", "mate"}) {
      if (const auto* given = request.context.get_object().if_contains(root)) attributes[root] = *given;
    }
  } else if (request.context.is_null()) {
    attributes["context"] = bj::object{};
  } else {
    return fail(errors::bad_value, "context: expected an object");
  }
  attributes["subject"] = subject.properties;
  attributes["resource"] = resource.properties;
  bj::object action;
  if (const auto* object = request.action.if_object()) {
    const auto* properties = object->if_contains("properties");
    if (properties != nullptr && properties->is_object()) action = properties->get_object();
    if (const auto* name = object->if_contains("name")) action["name"] = *name;
  } else {
    action["name"] = request.action;
  }
  attributes["action"] = std::move(action);
  const auto& type = subject.properties.at("type").get_string();
  if ((type == "user" || type == "mate") && !attributes.contains(type)) attributes[type] = subject.properties;
  return attributes;
}

Result<Asked> Asked::read(const EvaluateRequest& request) {
  TRY(const auto subject, read_entity(request.subject, "subject"));
  Asked asked;
  TRY(asked.action, read_action(request.action));
  TRY(const auto resource, read_entity(request.resource, "resource"));
  TRY(asked.attributes, attributes_of(request, subject, resource));
  asked.subject = subject.text;
  asked.resource = resource.text;
  return asked;
}

std::optional<UserId> owner_of(std::string_view resource) {
  constexpr std::string_view kPerson = "user:";
  if (!resource.starts_with(kPerson)) return std::nullopt;
  resource.remove_prefix(kPerson.size());
  const auto id = UserId::parse(resource.substr(0, resource.find('/')));
  return id ? std::optional(*id) : std::nullopt;
}

EvaluateReply reply_of(Answer answer, const bj::object& attributes) {
  EvaluateReply reply;
  reply.decision = answer.verdict.decision;
  reply.cause = answer.verdict.cause;
  reply.reasons = std::move(answer.reasons);
  reply.obligations = std::move(answer.obligations);
  reply.outputs = std::move(answer.outputs);
  reply.reason_user = std::move(answer.reason_user);
  if (const auto* consent = attributes.if_contains("consent")) reply.consent = *consent;
  return reply;
}

}  // namespace intra365::policy
