// Policies with typed slots, for scenarios that many tenants share.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "contract/operations/policy.hpp"
#include "policy/errors.hpp"

namespace intra365::policy {

/// What a slot takes. `text` has at most 200 printable characters without wildcard; lists take the same each.
enum class SlotType { text, mate, user, purpose, scope, country, countries, number, time, cidr };
BOOST_DESCRIBE_ENUM(SlotType, text, mate, user, purpose, scope, country, countries, number, time, cidr)

struct Slot {
  SlotType type = SlotType::text;
  std::string about;
  boost::json::value example;  ///< with which the template's own cases are run
};
BOOST_DESCRIBE_STRUCT(Slot, (), (type, about, example))

/// A file of templates/: policies in which `${slot}` stands for a value.
struct Template {
  std::string name, title, about;
  std::map<std::string, Slot> slots;
  boost::json::value policies;  ///< a list
};

/// Replaces every `${slot}`. A text that is nothing but one slot becomes the value with its type; inside a
/// text, the value must be text or a number. Fails with `policy.invalid` for a slot that is missing, unknown,
/// or of the wrong type; never puts a wildcard where a name is expected.
Result<boost::json::value> fill(const boost::json::value& document, const std::map<std::string, Slot>& slots,
                                const boost::json::object& values);
/// The policies of a template for these values, checked as at publication.
Result<std::vector<Policy>> instantiate(const Template& from, const boost::json::object& values);
/// Takes the template's part of a document that may hold cases, too.
Result<Template> read_template(const boost::json::value& document);
/// The examples of all slots.
boost::json::object examples(const std::map<std::string, Slot>& slots);

}  // namespace intra365::policy
