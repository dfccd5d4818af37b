#include "policy/filter.hpp"

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "contract/errors.hpp"
#include "policy/request.hpp"

namespace intra365::policy {
namespace {

namespace bj = boost::json;

/// A condition of SQL that is never null. True and false are kept apart, so that what is settled disappears.
struct Sql {
  enum class Kind { no, yes, text } kind = Kind::no;
  std::string text;

  static Sql constant(bool value) { return {value ? Kind::yes : Kind::no, {}}; }
  static Sql of(std::string text) { return {Kind::text, std::move(text)}; }
};

Sql both(Sql a, Sql b) {
  if (a.kind == Sql::Kind::no || b.kind == Sql::Kind::no) return Sql::constant(false);
  if (a.kind == Sql::Kind::yes) return b;
  if (b.kind == Sql::Kind::yes) return a;
  return Sql::of("(" + a.text + " and " + b.text + ")");
}

Sql either(Sql a, Sql b) {
  if (a.kind == Sql::Kind::yes || b.kind == Sql::Kind::yes) return Sql::constant(true);
  if (a.kind == Sql::Kind::no) return b;
  if (b.kind == Sql::Kind::no) return a;
  return Sql::of("(" + a.text + " or " + b.text + ")");
}

Sql negation(Sql a) {
  if (a.kind != Sql::Kind::text) return Sql::constant(a.kind == Sql::Kind::no);
  return Sql::of("not " + a.text);
}

std::string quoted(std::string_view column) {
  std::string text = "\"";
  for (const char c : column) {
    text += c;
    if (c == '"') text += '"';
  }
  return text + '"';
}

/// Escapes what means something in a regular expression of PostgreSQL.
void append_literal(std::string& expression, std::string_view text) {
  for (const char c : text) {
    if (std::string_view("\\^$.|?*+()[]{}").find(c) != std::string_view::npos) expression += '\\';
    expression += c;
  }
}

std::string regular_expression(const Pattern& pattern) {
  std::string expression = "^";
  std::string_view rest = pattern.text;
  for (bool more = true; more;) {
    const auto segment = next_segment(rest, more);
    const bool wild = segment.ends_with('*');
    append_literal(expression, segment.substr(0, segment.size() - (wild ? 1 : 0)));
    if (wild) expression += "[^/]+";
    if (more) expression += '/';
  }
  return expression + (pattern.open ? "(/.*)?$" : "$");
}

class Filter {
 public:
  Filter(const FilterRequest& request, std::string subject, std::string action, bj::object attributes)
      : request_(request),
        subject_(std::move(subject)),
        action_(std::move(action)),
        attributes_(std::move(attributes)) {}

  /// From the lowest tier up: a denial of the tier, else an allow of the tier, else what stands below.
  Result<FilterReply> make(const Snapshot& snapshot) {
    std::map<std::uint64_t, std::pair<Sql, Sql>> tiers;
    for (const auto& policy : snapshot.all()) {
      for (std::size_t i = 0; i < policy->rules().size(); ++i) {
        const auto& rule = policy->source().rules[i];
        if (!in_scope(policy->rules()[i], rule)) continue;
        auto& tier = tiers[policy->tier()];
        auto& side = rule.effect == RuleEffect::deny ? tier.first : tier.second;
        side = either(std::move(side), applies(policy->rules()[i], rule.effect));
        if (side.text.size() > limits::kFilterBytes)
          return fail(errors::bad_value,
                      "the filter would be longer than 256 KiB; ask for decisions instead");
      }
    }
    Sql whole = Sql::constant(false);
    for (auto& [tier, sides] : tiers)
      whole = both(negation(std::move(sides.first)), either(std::move(sides.second), std::move(whole)));
    reply_.kind = whole.kind == Sql::Kind::yes  ? FilterKind::all
                  : whole.kind == Sql::Kind::no ? FilterKind::none
                                                : FilterKind::some;
    if (whole.kind != Sql::Kind::text) reply_.parameters.clear();
    reply_.sql = whole.kind == Sql::Kind::yes ? "true" : whole.kind == Sql::Kind::no ? "false" : whole.text;
    return std::move(reply_);
  }

 private:
  bool in_scope(const CompiledRule& compiled, const Rule& rule) const {
    return std::ranges::any_of(compiled.subjects, [&](const auto& one) { return one.matches(subject_); }) &&
           std::ranges::any_of(rule.actions, [&](const auto& one) { return one == "*" || one == action_; });
  }

  /// Whether the rule counts: an allow rule where everything holds for certain, a deny rule where nothing is
  /// certain not to hold.
  Sql applies(const CompiledRule& rule, RuleEffect effect) {
    Sql resource = Sql::constant(false);
    for (const auto& pattern : rule.resources) resource = either(std::move(resource), fits(pattern, effect));
    Sql all = std::move(resource);
    for (const auto& condition : rule.conditions) {
      if (all.kind == Sql::Kind::no) return all;
      all = both(std::move(all), holds(condition, effect));
    }
    if (rule.when) all = both(std::move(all), holds(*rule.when, effect));
    return all;
  }

  Sql unknown(RuleEffect effect) {
    reply_.exact = false;
    return Sql::constant(effect == RuleEffect::deny);
  }
  Sql settled(Truth truth, RuleEffect effect) const {
    return Sql::constant(truth == Truth::yes || (is_error(truth) && effect == RuleEffect::deny));
  }
  Sql of_column(const std::string& condition, RuleEffect effect) const {
    return Sql::of("coalesce(" + condition + (effect == RuleEffect::deny ? ", true)" : ", false)"));
  }

  Sql fits(const Pattern& pattern, RuleEffect effect) {
    const auto prefix = request_.resource_type + ":";
    const auto first = pattern.text.substr(0, pattern.text.find('/'));
    const bool wild = first.ends_with('*');
    const auto fixed = first.substr(0, first.size() - (wild ? 1 : 0));
    // A pattern of another type never fits a row of this one.
    if (!prefix.starts_with(fixed.substr(0, prefix.size())) || (!wild && fixed.size() < prefix.size()))
      return Sql::constant(false);
    if (pattern.open && first == pattern.text && fixed.size() <= prefix.size()) return Sql::constant(true);
    const auto column = request_.columns.find("resource.id");
    if (column == request_.columns.end()) return unknown(effect);
    const auto id = quoted(column->second) + "::text";
    if (pattern.exact) {
      const std::string wanted(pattern.text.substr(prefix.size()));
      return of_column(id + " = " + parameter(wanted), effect);
    }
    return of_column("(" + parameter(prefix) + " || " + id + ") ~ " + parameter(regular_expression(pattern)),
                     effect);
  }

  /// The roots that a row decides, not the question.
  bool is_open(std::string_view path) const {
    const auto root = path.substr(0, path.find('.'));
    return root == "resource" || root == "consent" ||
           (root == request_.resource_type && !subject_.starts_with(std::string(root) + ":"));
  }

  Sql holds(const Condition& condition, RuleEffect effect) {
    const auto path = condition.path.text();
    if (!is_open(path)) return settled(condition.check(condition.path.find(attributes_)), effect);
    if (path == "resource.type")
      return settled(condition.check(&attributes_.at("resource").at("type")), effect);
    const auto column = request_.columns.find(std::string(path));
    if (column == request_.columns.end()) return unknown(effect);
    const auto text = compare(condition, quoted(column->second));
    return text.empty() ? unknown(effect) : of_column(text, effect);
  }

  Sql holds(const Expression& when, RuleEffect effect) {
    const auto paths = when.references();
    if (std::ranges::any_of(paths, [&](const auto& path) { return is_open(path); })) return unknown(effect);
    return settled(when.evaluate(attributes_), effect);
  }

  /// The operator over a column, in the JSON form of its value, so that types compare as in a request. A
  /// column that is null is an attribute that is missing. Empty: there is no such form.
  std::string compare(const Condition& condition, const std::string& column) {
    const auto json = "to_jsonb(" + column + ")";
    const auto typed = [&](std::string_view type, const std::string& then) {
      return "case when jsonb_typeof(" + json + ") = '" + std::string(type) + "' then " + then + " end";
    };
    const auto any_of = [&](bool wanted) {
      std::string text = wanted ? "(" : "not (";
      const auto& list = condition.operand->get_array();
      for (std::size_t i = 0; i < list.size(); ++i)
        text += (i == 0 ? "" : " or ") + json + " @> " + parameter(bj::serialize(list[i])) + "::jsonb";
      return text + ")";
    };
    const auto operand = [&] { return parameter(bj::serialize(*condition.operand)) + "::jsonb"; };
    const auto part = [&] { return parameter(std::string(condition.operand->get_string())); };
    switch (condition.op) {
      case Operator::exists:
        return column + (condition.operand->get_bool() ? " is not null" : " is null");
      case Operator::equals:
        return json + " @> " + operand();
      case Operator::notEquals:
        return "not (" + json + " @> " + operand() + ")";
      case Operator::in:
        return any_of(true);
      case Operator::notIn:
        return any_of(false);
      case Operator::prefix:
        return typed("string", "starts_with(" + json + " #>> '{}', " + part() + ")");
      case Operator::suffix:
        return typed("string", "right(" + json + " #>> '{}', length(" + part() + ")) = " + last());
      case Operator::contains: {
        const auto in_list = typed("array", json + " @> " + operand());
        if (!condition.operand->is_string()) return in_list;
        return "coalesce(" + in_list + ", " +
               typed("string", "position(" + part() + " in " + json + " #>> '{}') > 0") + ")";
      }
      case Operator::cidr:
        return {};
      default: {
        const std::string_view sign = condition.op == Operator::lt    ? " < "
                                      : condition.op == Operator::lte ? " <= "
                                      : condition.op == Operator::gt  ? " > "
                                                                      : " >= ";
        if (condition.time)
          return typed("string",
                       "(" + json + " #>> '{}')::timestamptz" + std::string(sign) + part() + "::timestamptz");
        return typed("number", json + "::numeric" + std::string(sign) +
                                   parameter(bj::serialize(*condition.operand)) + "::numeric");
      }
    }
  }

  std::string parameter(std::string value) {
    reply_.parameters.push_back(std::move(value));
    return last();
  }
  std::string last() const { return "$" + std::to_string(reply_.parameters.size()) + "::text"; }

  const FilterRequest& request_;
  std::string subject_, action_;
  bj::object attributes_;
  FilterReply reply_;
};

}  // namespace

Result<FilterReply> make_filter(const Snapshot& snapshot, const FilterRequest& request) {
  if (request.columns.size() > limits::kFilterColumns)
    return fail(errors::bad_value, "columns: at most " + std::to_string(limits::kFilterColumns));
  for (const auto& [path, column] : request.columns) {
    if (column.empty() || column.size() > 63 || column.find('\0') != std::string::npos)
      return fail(errors::bad_value, "columns: '" + path.substr(0, 64) + "' must name a column");
  }
  // The rest is read like a question about one row.
  EvaluateRequest question;
  question.subject = request.subject;
  question.action = request.action;
  question.context = request.context;
  question.resource = request.resource_type + ":any";
  TRY(auto asked, Asked::read(question));
  return Filter(request, std::move(asked.subject), std::move(asked.action), std::move(asked.attributes))
      .make(snapshot);
}

}  // namespace intra365::policy
