#include "guard/consent_copy.hpp"

namespace intra365::guard {
namespace {

constexpr auto kClockSlack = std::chrono::minutes(1);

}  // namespace

Push ConsentCopy::on_push(const consent::Consent& record, Timestamp now) {
  if (record.mate_epoch <= mate_epoch_) return Push::old;
  // The first answer leaves out what is over, so nothing that it may be silent about must be there before it.
  if (mate_epoch_ == 0) return Push::gap;
  // A record replaces only an older one of itself, so it may be applied before those it overtook.
  if (record.mate_id == mate_) index_.apply(record, now);
  if (record.mate_epoch > mate_epoch_ + 1) return Push::gap;
  mate_epoch_ = record.mate_epoch;
  return Push::applied;
}

void ConsentCopy::prune(Timestamp now) {
  if (now + kClockSlack < newest_) {  // set back: what was forgotten as expired may hold again
    index_.clear();
    mate_epoch_ = 0;
  }
  newest_ = now;
  index_.prune(now - std::chrono::hours(24));
}

consent::SyncRequest ConsentCopy::question() const {
  consent::SyncRequest request;
  request.mate_id = mate_;
  request.mate_epoch = mate_epoch_;
  return request;
}

bool ConsentCopy::on_answer(const consent::SyncReply& reply, Timestamp now) {
  // Pushes may have overtaken the answer. Within a page the epoch moves with the records; with the last one
  // it is what the platform says.
  for (const auto& record : reply.consents) {
    if (record.mate_epoch <= mate_epoch_) continue;
    mate_epoch_ = record.mate_epoch;
    index_.apply(record, now);
  }
  if (!reply.more) mate_epoch_ = std::max(mate_epoch_, reply.mate_epoch);
  return reply.more;
}

}  // namespace intra365::guard
