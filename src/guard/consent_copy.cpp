#include "guard/consent_copy.hpp"

#include "consent/groups.hpp"

namespace intra365::guard {
namespace {

constexpr auto kKept = std::chrono::hours(24);
constexpr auto kPrunePause = std::chrono::minutes(1);

}  // namespace

bool is_of_group(const consent::Consent& record) {
  return consent::group_of(record.user_id.str()).has_value();
}

Push ConsentCopy::on_push(const consent::Consent& record, Instant now) {
  auto& copy = current_;
  if (record.mate_epoch <= copy.epoch || line_of(record.mate_epoch) < copy.line) return Push::old;
  if (line_of(record.mate_epoch) > copy.line) return Push::gap;
  // The first answer leaves out what is over, so nothing that it may be silent about must be there before it.
  if (copy.epoch == 0) return Push::gap;
  const bool is_for_us = record.mate_id == mate_;
  if (is_for_us && is_of_group(record) && copy.holding == Holding::what_holds)
    want_everything();
  else if (is_for_us)
    // A record replaces only an older one of itself, so it may be applied before those it overtook.
    copy.index.apply(record, time(now));
  if (record.mate_epoch > copy.epoch + 1) return Push::gap;
  copy.epoch = record.mate_epoch;
  return Push::applied;
}

void ConsentCopy::want_everything() {
  if (!next_) next_.emplace(Holding::everything);
}

ConsentCopy::Pruned ConsentCopy::prune(Instant now) {
  const auto at = time(now);
  const bool holds_everything = current_.holding == Holding::everything;
  if (!holds_everything && at < forgot_until_) {
    current_ = Copy(current_.holding);
    forgot_until_ = {};
    return Pruned::emptied;
  }
  if (at >= looked_at_ && at - looked_at_ < kPrunePause) return Pruned::kept;
  looked_at_ = at;
  forgot_until_ = std::max(forgot_until_, at - kKept);
  if (holds_everything)  // a no is never forgotten, and a yes only once it was replaced
    current_.index.prune_replaced(at - kKept);
  else
    current_.index.prune(at - kKept);
  return Pruned::kept;
}

consent::SyncRequest ConsentCopy::question_of(const Copy& copy) const {
  consent::SyncRequest request;
  request.mate_id = mate_;
  request.mate_epoch = copy.epoch;
  if (copy.holding == Holding::everything) request.whole = true;
  return request;
}

ConsentCopy::Answered ConsentCopy::take(Copy& copy, std::uint64_t asked_since,
                                        const consent::SyncReply& reply, Timestamp now) {
  const auto line = line_of(reply.mate_epoch);
  if (copy.epoch == 0) copy.line = line;
  if (line != copy.line || reply.mate_epoch < asked_since) {
    copy = Copy(copy.holding);
    return Answered::anew;
  }
  // Pushes may have overtaken the answer. Within a page the epoch moves with the records; with the last one
  // it is what the platform says.
  for (const auto& record : reply.consents) {
    if (record.mate_epoch <= copy.epoch) continue;
    if (line_of(record.mate_epoch) > line) {  // the truth went back while it answered
      copy = Copy(copy.holding);
      return Answered::anew;
    }
    copy.epoch = record.mate_epoch;
    if (copy.holding == Holding::everything || !is_of_group(record)) copy.index.apply(record, now);
  }
  copy.is_whole = !reply.more;
  if (reply.more) return Answered::more;
  copy.epoch = std::max(copy.epoch, reply.mate_epoch);
  return Answered::all;
}

ConsentCopy::Answered ConsentCopy::on_answer(std::uint64_t asked_since, const consent::SyncReply& reply,
                                             Instant now) {
  if (reply.server_time) truth_.hear(*reply.server_time, now.boot);
  if (reply.inherited && current_.holding == Holding::what_holds) want_everything();
  return take(current_, asked_since, reply, time(now));
}

std::optional<consent::SyncRequest> ConsentCopy::second_question() const {
  return next_ ? std::optional(question_of(*next_)) : std::nullopt;
}

bool ConsentCopy::on_second_answer(std::uint64_t asked_since, const consent::SyncReply& reply, Instant now) {
  if (!next_ || take(*next_, asked_since, reply, time(now)) != Answered::all) return next_.has_value();
  if (next_->epoch < current_.epoch) return true;  // a push was faster
  current_ = *std::move(next_);
  next_.reset();
  return false;
}

}  // namespace intra365::guard
