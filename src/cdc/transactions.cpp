#include "cdc/transactions.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>

namespace intra365::cdc {
namespace {

constexpr std::size_t kMessagesPerFetch = 500;

/// The commit in `…"id":"<source>.<commit in hex>.<index>"…`, where a change or an event of ours has it.
std::optional<postgres::Lsn> commit_of(std::string_view payload) {
  constexpr std::string_view kId = "\"id\":\"";
  const auto begin = payload.find(kId);
  if (begin == std::string_view::npos) return std::nullopt;
  auto id = payload.substr(begin + kId.size());
  id = id.substr(0, id.find('"'));
  const auto index = id.rfind('.');
  if (index == std::string_view::npos || index == 0) return std::nullopt;
  const auto commit = id.rfind('.', index - 1);
  if (commit == std::string_view::npos) return std::nullopt;
  const auto text = id.substr(commit + 1, index - commit - 1);
  postgres::Lsn position;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), position.value, 16);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return position;
}

}  // namespace

TransactionAssembler::TransactionAssembler(Options options)
    : options_(std::move(options)),
      cursor_subject_(options_.subject_prefix + ".cursor." + options_.slot),
      gap_subject_(options_.subject_prefix + ".gap." + options_.slot),
      snapshot_prefix_(options_.subject_prefix + ".snapshot."),
      skipping_(options_.starts_anywhere) {}

Result<std::vector<WholeTransaction>> TransactionAssembler::take(StreamedChange change) {
  std::vector<WholeTransaction> whole;
  if (change.sequence <= last_sequence_) return whole;
  last_sequence_ = change.sequence;
  if (change.subject == gap_subject_) {
    waiting_.clear();
    bytes_ = 0;
    skipping_ = false;
    settled_ = change.sequence;
    return fail(errors::gap);
  }
  if (change.subject == cursor_subject_) {
    TRY(const auto cursor, Cursor::parse(change.payload));
    // The cursor of a piece says nothing of its own transaction's end, but those before it are over.
    while (!waiting_.empty() &&
           (waiting_.front().snapshot || waiting_.front().commit < cursor.position.commit ||
            (cursor.complete && waiting_.front().commit == cursor.position.commit))) {
      for (const auto& one : waiting_.front().changes) bytes_ -= one.payload.size();
      whole.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    if (skipping_) {
      // The first transaction may have begun before us. Behind a complete cursor everything is seen from its
      // start.
      whole.clear();
      if (cursor.complete) skipping_ = false;
    }
    if (waiting_.empty()) settled_ = change.sequence;
    return whole;
  }
  const auto commit = commit_of(change.payload);
  if (!commit) return fail(errors::bad_change, change.subject);
  if (bytes_ + change.payload.size() > options_.max_bytes) return fail(errors::transaction_too_large);
  bytes_ += change.payload.size();
  const bool snapshot = change.subject.starts_with(snapshot_prefix_);
  if (waiting_.empty() || waiting_.back().commit != *commit || waiting_.back().snapshot != snapshot)
    waiting_.push_back({*commit, snapshot, {}});
  waiting_.back().changes.push_back(std::move(change));
  return whole;
}

TransactionConsumer::TransactionConsumer(nats::JetStream& jetstream, Options options)
    : jetstream_(jetstream), options_(std::move(options)), assembler_(options_.assembler) {}

Task<> TransactionConsumer::start() {
  const auto& of = options_.assembler;
  nats::ConsumerConfig consumer;
  consumer.durable_name = options_.durable;
  consumer.filter_subjects = options_.subjects;
  consumer.filter_subjects.push_back(of.subject_prefix + ".cursor." + of.slot);
  consumer.filter_subjects.push_back(of.subject_prefix + ".gap." + of.slot);
  if (options_.snapshots) consumer.filter_subjects.push_back(of.subject_prefix + ".snapshot.>");
  if (!options_.from_time.empty()) {
    consumer.deliver_policy = "by_start_time";
    consumer.opt_start_time = options_.from_time;
  }
  consumer.ack_policy = "all";
  // A transaction in many pieces stays unacknowledged until its end has come.
  consumer.max_ack_pending = -1;
  co_return co_await jetstream_.ensure_consumer(options_.stream, consumer);
}

Task<std::vector<WholeTransaction>> TransactionConsumer::next(std::chrono::milliseconds wait) {
  if (failure_) co_return fail(*std::exchange(failure_, std::nullopt));
  std::vector<WholeTransaction> whole;
  const auto until = std::chrono::steady_clock::now() + wait;
  while (whole.empty()) {
    if (inbox_.empty()) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
      if (left.count() <= 0) break;
      CO_TRY(auto fetched, co_await jetstream_.fetch(options_.stream, options_.durable, kMessagesPerFetch,
                                                     left, nats::FetchUntil::available));
      std::ranges::move(fetched, std::back_inserter(inbox_));
    }
    while (!inbox_.empty()) {
      auto delivered = std::move(inbox_.front());
      inbox_.pop_front();
      StreamedChange change{std::string(delivered.message.subject()),
                            std::string(delivered.message.payload()), delivered.stream_sequence};
      unacknowledged_.push_back(std::move(delivered));
      auto finished = assembler_.take(std::move(change));
      if (!finished && whole.empty()) co_return fail(std::move(finished).error());
      if (!finished) {
        failure_ = std::move(finished).error();
        break;
      }
      std::ranges::move(*finished, std::back_inserter(whole));
    }
  }
  co_return whole;
}

void TransactionConsumer::acknowledge() {
  std::optional<nats::Delivered> last;
  while (!unacknowledged_.empty() && unacknowledged_.front().stream_sequence <= assembler_.settled()) {
    last = std::move(unacknowledged_.front());
    unacknowledged_.pop_front();
  }
  if (last) jetstream_.acknowledge(*last);  // and everything before it
}

}  // namespace intra365::cdc
