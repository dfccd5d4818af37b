// A sample Mate that uses another one: finds who can analyse pictures, asks whether the person agrees, sends
// the picture, shows the answer; with --parts, each part of it as it comes.
//
//   assistant USER PICTURE [--parts]
#include <fstream>
#include <iostream>
#include <sstream>

#include "contract/errors.hpp"
#include "contract/operations/consent.hpp"
#include "contract/operations/registry.hpp"
#include "guard/consent_index.hpp"
#include "sdk/cpp/client.hpp"
#include "sdk/cpp/settings.hpp"

using namespace intra365;

namespace {

std::string user_name, picture_file;
bool in_parts = false;

Task<std::string> describe_picture(sdk::Client& client, UserId user, std::string picture) {
  registry::DiscoverRequest wanted;
  wanted.capability = Capability::trusted("image-analysis");
  CO_TRY(const auto found, co_await client.call(registry::discover, std::move(wanted)));
  if (found.mates.empty()) co_return fail(errors::unknown_operation, "nobody offers image-analysis");
  const auto analyzer = found.mates.front().mate_id;

  consent::VerifyRequest question;
  question.user_id = user;
  question.mate_id = analyzer;
  question.scopes = {Scope::trusted("image.analyze")};
  question.purpose = Purpose::trusted("ai-assistance");
  sdk::CallOptions options;  // one trace for the question and the call
  CO_TRY(const auto consent, co_await client.call(consent::verify, std::move(question), options));
  if (!consent.allowed) co_return fail(guard::error_of(consent.code));

  options.user_id = user;
  options.consent_id = consent.consent_id;
  if (!in_parts)
    co_return co_await client.call_mate(analyzer, "image-analysis", "analyze-image", std::move(picture),
                                        std::move(options));
  options.timeout = std::chrono::minutes(2);
  CO_TRY(auto answer, client.stream_mate(analyzer, "image-analysis", "describe-image", picture, options));
  while (true) {
    CO_TRY(const auto part, co_await answer.next());
    if (!part) break;
    std::cout << *part << std::endl;
  }
  co_return "in " + std::to_string(answer.parts()) + " parts";
}

Task<> run(asio::io_context& io, sdk::ClientOptions options) {
  CO_TRY(const auto user, UserId::parse(user_name));
  std::ifstream file(picture_file, std::ios::binary);
  std::ostringstream picture;
  picture << file.rdbuf();
  if (!file) co_return fail(errors::bad_value, "cannot read the picture " + picture_file);

  sdk::Client client(io.get_executor(), std::move(options));
  CO_CHECK(co_await client.connect(std::chrono::steady_clock::now() + std::chrono::seconds(15)));
  const auto answer = co_await describe_picture(client, user, picture.str());
  co_await client.drain(std::chrono::steady_clock::now() + std::chrono::seconds(2));
  if (!answer) co_return fail(answer.error());
  std::cout << *answer << std::endl;
  co_return Result<void>{};
}

}  // namespace

int main(int count, char** arguments) {
  in_parts = count == 4 && std::string_view(arguments[3]) == "--parts";
  if (count != 3 && !in_parts) {
    std::cerr << "usage: assistant USER PICTURE [--parts]\n" << sdk::settings_help;
    return 2;
  }
  user_name = arguments[1];
  picture_file = arguments[2];
  return sdk::run_program("assistant", run);
}
