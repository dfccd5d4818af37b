#include "cdc/following.hpp"

#include "cdc/transactions.hpp"

namespace intra365::cdc {

nats::OrderedOptions Followed::reading(std::uint64_t sequence, std::vector<std::string> more) const {
  nats::OrderedOptions options;
  for (const auto& table : tables) {
    options.filter_subjects.push_back(subject_prefix + ".row." + table + ".>");
    options.filter_subjects.push_back(subject_prefix + ".snapshot.row." + table + ".>");
  }
  for (const auto* mark : {"gap", "snapshot.begin", "snapshot.end"}) more.emplace_back(mark);
  for (const auto& kind : more) options.filter_subjects.push_back(subject_prefix + "." + kind + "." + slot);
  options.deliver_policy = "by_start_sequence";
  options.opt_start_seq = sequence;
  return options;
}

Task<> wait_until_still(nats::KeyValue& bucket, std::string key, std::chrono::milliseconds how_long) {
  const auto revision = [](const auto& entry) { return entry ? entry->revision : 0; };
  for (;;) {
    CO_TRY(const auto before, co_await bucket.get(key));
    co_await sleep_for(how_long);
    CO_TRY(const auto after, co_await bucket.get(key));
    if (revision(before) == revision(after)) co_return Result<void>{};
  }
}

Task<> expect_same_stream(nats::JetStream& jetstream, std::string stream, std::string made_at) {
  CO_TRY(const auto state, co_await jetstream.stream_state(stream));
  if (state.created != made_at) co_return fail(errors::gap, "the change stream was made anew");
  co_return Result<void>{};
}

}  // namespace intra365::cdc
