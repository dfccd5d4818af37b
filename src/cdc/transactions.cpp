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
  if (change.sequence <= last_sequence_) return {};
  last_sequence_ = change.sequence;
  if (change.subject == gap_subject_) {
    forget();
    skipping_ = false;
    settled_ = change.sequence;
    return fail(errors::gap);
  }
  if (change.subject == cursor_subject_) return take_cursor(change);
  const auto commit = commit_of(change.payload);
  if (skipping_) return {};
  if (!commit) return fail(take_stranger(change.subject));
  const Of of{*commit, change.subject.starts_with(snapshot_prefix_)};
  if (std::exchange(in_doubt_, false)) refused_ = of;
  if (refused_ == of) {
    if (change.subject.starts_with(snapshot_prefix_ + "end.")) refused_.reset();
    return {};
  }
  refused_.reset();  // another has begun, so it is over
  if (bytes_ + change.payload.size() > options_.max_bytes) {
    if (!waiting_.empty() && of_last() == of) drop_last();
    refused_ = of;
    return fail(errors::transaction_too_large);
  }
  bytes_ += change.payload.size();
  if (waiting_.empty() || of_last() != of) waiting_.push_back({of.commit, of.snapshot, {}});
  waiting_.back().changes.push_back(std::move(change));
  return {};
}

Result<std::vector<WholeTransaction>> TransactionAssembler::take_cursor(const StreamedChange& change) {
  TRY(const auto cursor, Cursor::parse(change.payload));
  // The cursor of a piece says nothing of its own transaction's end, but those before it are over.
  const auto is_over = [&](const Of& of) {
    return of.commit < cursor.position.commit || (cursor.complete && of.commit == cursor.position.commit);
  };
  std::vector<WholeTransaction> whole;
  while (!waiting_.empty() &&
         (waiting_.front().snapshot || is_over({waiting_.front().commit, waiting_.front().snapshot}))) {
    for (const auto& one : waiting_.front().changes) bytes_ -= one.payload.size();
    whole.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  // The first transaction may have begun before us. Behind a complete cursor everything is seen from its
  // start.
  if (cursor.complete) skipping_ = false;
  if (std::exchange(in_doubt_, false) && !cursor.complete) refused_ = Of{cursor.position.commit, false};
  if (refused_ && !refused_->snapshot && is_over(*refused_)) refused_.reset();
  if (waiting_.empty() && !refused_) settled_ = change.sequence;
  return whole;
}

/// A message that does not say whose it is may be the last one's or the next one's: neither is whole.
Error TransactionAssembler::take_stranger(const std::string& subject) {
  if (!waiting_.empty()) {
    refused_ = of_last();
    drop_last();
  }
  in_doubt_ = true;
  return Error(errors::bad_change, subject);
}

void TransactionAssembler::drop_last() {
  for (const auto& one : waiting_.back().changes) bytes_ -= one.payload.size();
  waiting_.pop_back();
}

void TransactionAssembler::forget() {
  waiting_.clear();
  bytes_ = 0;
  refused_.reset();
  in_doubt_ = false;
}

void TransactionAssembler::go_back() {
  forget();
  last_sequence_ = settled_;
}

TransactionConsumer::TransactionConsumer(nats::JetStream& jetstream, Options options)
    : jetstream_(jetstream), options_(std::move(options)), assembler_(options_.assembler) {}

nats::ConsumerConfig TransactionConsumer::config() const {
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
  return consumer;
}

Task<> TransactionConsumer::start() {
  auto consumer = config();
  const auto there = co_await jetstream_.consumer_info(options_.stream, options_.durable);
  if (!there && there.error().kind != ErrorKind::not_found) co_return fail(there.error());
  if (there) {  // where it began cannot be changed
    consumer.deliver_policy = there->config.deliver_policy;
    consumer.opt_start_seq = there->config.opt_start_seq;
    consumer.opt_start_time = there->config.opt_start_time;
  }
  CO_CHECK(co_await jetstream_.ensure_consumer(options_.stream, consumer));
  // Somebody before us has fetched what was never acknowledged: the server would give it again late, behind
  // what is new.
  if (there && there->delivered.stream_seq > there->ack_floor.stream_seq) CO_CHECK(co_await begin_again());
  co_return Result<void>{};
}

/// Lets everything that was not acknowledged come once more, in order, by making the consumer anew.
Task<> TransactionConsumer::begin_again() {
  CO_TRY(const auto there, co_await jetstream_.consumer_info(options_.stream, options_.durable));
  CO_CHECK(co_await jetstream_.delete_consumer(options_.stream, options_.durable));
  auto consumer = config();
  consumer.deliver_policy = "by_start_sequence";
  consumer.opt_start_seq = there.ack_floor.stream_seq + 1;
  consumer.opt_start_time.clear();
  CO_CHECK(co_await jetstream_.ensure_consumer(options_.stream, consumer));
  inbox_.clear();
  assembler_.go_back();
  delivered_ = 0;
  co_return Result<void>{};
}

Task<std::vector<WholeTransaction>> TransactionConsumer::next(std::chrono::milliseconds wait) {
  if (failed_) {
    const auto failed = *std::exchange(failed_, std::nullopt);
    settle(failed.at);
    co_return fail(failed.error);
  }
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
    if (!take_inbox(whole)) CO_CHECK(co_await begin_again());
    if (failed_ && whole.empty()) {
      const auto failed = *std::exchange(failed_, std::nullopt);
      settle(failed.at);
      co_return fail(failed.error);
    }
  }
  co_return whole;
}

/// Looks at what was fetched, up to the first failure. False when something was lost on the way to us: a
/// connection that broke, or somebody else who fetched.
bool TransactionConsumer::take_inbox(std::vector<WholeTransaction>& whole) {
  while (!inbox_.empty() && !failed_) {
    if (delivered_ != 0 && inbox_.front().consumer_sequence != delivered_ + 1) return !whole.empty();
    auto delivered = std::move(inbox_.front());
    inbox_.pop_front();
    delivered_ = delivered.consumer_sequence;
    auto finished = assembler_.take({std::string(delivered.message.subject()),
                                     std::string(delivered.message.payload()), delivered.stream_sequence});
    if (!finished) {
      failed_ = Failed{std::move(finished).error(), std::move(delivered)};
      break;
    }
    std::ranges::move(*finished, std::back_inserter(whole));
    settle(delivered);
  }
  return true;
}

/// With `ack_policy` all, the last that is settled stands for everything in front of it.
void TransactionConsumer::settle(const nats::Delivered& delivered) {
  if (delivered.stream_sequence == assembler_.settled()) settled_ = delivered;
}

void TransactionConsumer::acknowledge() {
  if (const auto last = std::exchange(settled_, std::nullopt)) jetstream_.acknowledge(*last);
}

}  // namespace intra365::cdc
