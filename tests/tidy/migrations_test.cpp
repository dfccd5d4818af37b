// What a migration may do while services of the version before run on the same database:
// docs/guides/migrations.md, kept by reading every migration that is newer than the rules. What has to break
// one says which, and why that is safe:
//
//   -- zero-downtime: <rule>: <reason>
//
// in front of the statement.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace intra365 {
namespace {

namespace fs = std::filesystem;

constexpr int kFirst = 95;  ///< earlier ones were written before there were rules

struct Rule {
  std::string name;  ///< as the exemption says it
  std::regex breaks;
  std::string instead;
};

std::regex pattern(const char* text) {
  return std::regex(text, std::regex::icase | std::regex::optimize);
}

const std::vector<Rule>& rules() {
  static const std::vector<Rule> list{
      {"drop",
       pattern(R"(^drop (table|view|materialized view|function|schema|type|sequence|trigger|publication)\b)"),
       "the version before may use it: drop it one version later"},
      {"drop", pattern(R"(^alter table .*\bdrop (column|constraint)\b)"),
       "the version before may use it: drop it one version later"},
      {"drop", pattern(R"(^revoke .* from (\w+, *)*intra365_service\b)"),
       "the version before may need the right: revoke it one version later"},
      {"rename", pattern(R"(^alter .*\brename\b)"), "add the new name, and drop the old one a version later"},
      {"retype", pattern(R"(^alter table .*\balter (column )?\w+ (set data )?type\b)"),
       "add a column of the new type, fill it in batches, drop the old one a version later"},
      {"required", pattern(R"(^alter table .*\balter (column )?\w+ set not null\b)"),
       "the version before may write none: give it a default, and add a check that is not valid yet"},
      {"required", pattern(R"(^alter table .*\badd column (?!.*\bdefault\b).*\bnot null\b)"),
       "the version before writes none: give it a default"},
      {"rewrite",
       pattern(
           R"(^alter table .*\badd column .*\b(generated always|default \(?(\w+\.)?(gen_random_uuid|clock_timestamp|random|nextval)\b))"),
       "it writes every row anew while nobody may read: add the column without, fill it in batches"},
      {"rewrite", pattern(R"(^(update|delete from|merge into|truncate|cluster|vacuum full|reindex)\b)"),
       "rows of a large table are changed in batches, by the services"},
      {"scan",
       pattern(
           R"(^alter table .*\badd (constraint|check|foreign key|unique|primary key)\b(?!.*\bnot valid\b))"),
       "add it 'not valid', and validate it in a migration of its own"},
      {"index", pattern(R"(^create (unique )?index (?!if not exists\b))"),
       "where the table may be large: 'if not exists', and the guide says how to make it beforehand"},
      {"lock", pattern(R"(^lock table\b)"), "nothing waits for a migration"},
  };
  return list;
}

struct Statement {
  std::string text;  ///< one line, without comments; of a function only what comes before its body
  std::set<std::string> exempt;
};

/// Splits a script at its semicolons, outside of quotes. The statements in a `do` block run with the
/// migration, so they count as its own; the body of a function does not.
std::vector<Statement> statements(const std::string& sql) {
  static const std::regex exemption("zero-downtime: ([a-z]+): *(\\S.{9,})");
  std::vector<Statement> found;
  Statement current;
  const auto end = [&] {
    const auto first = current.text.find_first_not_of(' ');
    if (first != std::string::npos) {
      current.text.erase(0, first);
      found.push_back(current);
    }
    current = {};
  };
  for (std::size_t at = 0; at < sql.size();) {
    if (sql.compare(at, 2, "--") == 0) {
      const auto line = sql.substr(at, sql.find('\n', at) - at);
      std::smatch match;
      if (std::regex_search(line, match, exemption)) current.exempt.insert(match[1]);
      at += line.size();
    } else if (sql.compare(at, 2, "$$") == 0) {
      const auto close = sql.find("$$", at + 2);
      const auto body = sql.substr(at + 2, close - at - 2);
      if (current.text.find_first_not_of(' ') == current.text.find("do ")) {
        const auto exempt = current.exempt;
        for (auto& inner :
             statements(std::regex_replace(body, pattern(R"(\b(begin|then|loop|else)\b)"), ";"))) {
          inner.exempt.insert(exempt.begin(), exempt.end());
          found.push_back(inner);
        }
      }
      at = close + 2;
    } else if (sql[at] == '\'') {
      const auto close = sql.find('\'', at + 1);
      current.text += "''";
      at = close + 1;
    } else if (sql[at] == ';') {
      end();
      ++at;
    } else {
      const bool space = std::isspace(static_cast<unsigned char>(sql[at])) != 0;
      if (!space || !current.text.ends_with(' ')) current.text += space ? ' ' : sql[at];
      ++at;
    }
  }
  end();
  return found;
}

/// Tables that the migration makes itself: nobody uses them yet.
std::set<std::string> new_tables(const std::vector<Statement>& script) {
  static const auto creates = pattern(R"(^create table (if not exists )?([\w.]+))");
  std::set<std::string> names;
  std::smatch match;
  for (const auto& one : script)
    if (std::regex_search(one.text, match, creates)) names.insert(match[2]);
  return names;
}

bool concerns_only(const std::set<std::string>& tables, const std::string& text) {
  static const auto target = pattern(
      R"(^(alter table|update|delete from|create (unique )?index \w+ on|drop table|revoke .* on)( only)? ([\w.]+))");
  std::smatch match;
  return std::regex_search(text, match, target) && tables.contains(match[4]);
}

std::vector<std::string> broken_rules(const std::string& sql) {
  std::vector<std::string> broken;
  const auto script = statements(sql);
  const auto made_here = new_tables(script);
  for (const auto& one : script) {
    if (concerns_only(made_here, one.text)) continue;
    for (const auto& rule : rules())
      if (std::regex_search(one.text, rule.breaks) && !one.exempt.contains(rule.name))
        broken.push_back(rule.name + ": " + one.text.substr(0, 100) + " — " + rule.instead);
  }
  return broken;
}

std::vector<std::string> names(const std::string& sql) {
  std::vector<std::string> list;
  for (const auto& line : broken_rules(sql)) list.push_back(line.substr(0, line.find(':')));
  return list;
}

TEST(Migrations, the_version_before_goes_on_while_they_run) {
  int looked_at = 0;
  std::string all;
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(INTRA365_SOURCE_DIR) / "src")) {
    const auto name = entry.path().filename().string();
    if (entry.path().extension() != ".sql" || entry.path().parent_path().filename() != "migrations") continue;
    if (std::stoi(name.substr(0, 4)) < kFirst) continue;
    ++looked_at;
    std::ostringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    for (const auto& line : broken_rules(text.str())) all += name + ": " + line + "\n";
  }
  EXPECT_EQ(all, "");
  EXPECT_GT(looked_at, 0);
}

using Names = std::vector<std::string>;

TEST(Migrations, what_breaks_a_rule_is_noticed) {
  EXPECT_EQ(names("drop table intra365.users;"), Names{"drop"});
  EXPECT_EQ(names("alter table intra365.users\n  drop column country;"), Names{"drop"});
  EXPECT_EQ(names("revoke insert on intra365.users from intra365_service;"), Names{"drop"});
  EXPECT_EQ(names("alter table intra365.users rename column a to b;"), Names{"rename"});
  EXPECT_EQ(names("alter table intra365.users alter column a type bigint;"), Names{"retype"});
  EXPECT_EQ(names("alter table intra365.users alter a set not null;"), Names{"required"});
  EXPECT_EQ(names("alter table intra365.users add column a int not null;"), Names{"required"});
  EXPECT_EQ(names("alter table intra365.users add column a uuid default gen_random_uuid();"),
            Names{"rewrite"});
  EXPECT_EQ(names("update intra365.users set a = 1;"), Names{"rewrite"});
  EXPECT_EQ(names("do $$ begin update intra365.users set a = 1; end $$;"), Names{"rewrite"});
  EXPECT_EQ(names("alter table intra365.users add constraint c check (a > 0);"), Names{"scan"});
  EXPECT_EQ(names("create index users_by_a on intra365.users (a);"), Names{"index"});
  EXPECT_EQ(names("select 1; lock table intra365.users;"), Names{"lock"});
}

TEST(Migrations, what_the_version_before_does_not_notice_may_be_done) {
  EXPECT_EQ(names("alter table intra365.users add column a int not null default 0, add column b text;"),
            Names{});
  EXPECT_EQ(names("alter table intra365.users add constraint c check (a > 0) not valid;"), Names{});
  EXPECT_EQ(names("alter table intra365.users validate constraint c;"), Names{});
  EXPECT_EQ(names("create index if not exists users_by_a on intra365.users (a);"), Names{});
  EXPECT_EQ(names("create function f() returns void language sql as $$ delete from intra365.users; $$;"),
            Names{});
  EXPECT_EQ(names("create table intra365.a (b int); create index a_by_b on intra365.a (b); update intra365.a "
                  "set b = 1;"),
            Names{});
  EXPECT_EQ(names("comment on table intra365.users is 'drop table; it''s a comment';"), Names{});
}

TEST(Migrations, an_exemption_names_its_rule_and_its_reason) {
  EXPECT_EQ(names("-- zero-downtime: drop: nobody has used it since 0042.\ndrop table intra365.a;"), Names{});
  EXPECT_EQ(names("-- zero-downtime: rename: nobody has used it since 0042.\ndrop table intra365.a;"),
            Names{"drop"});
  EXPECT_EQ(names("-- zero-downtime: drop:\ndrop table intra365.a;"), Names{"drop"});
  EXPECT_EQ(names("-- zero-downtime: drop: of this one alone, not the next.\ndrop table a; drop table b;"),
            Names{"drop"});
}

}  // namespace
}  // namespace intra365
