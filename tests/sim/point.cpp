#include "tests/sim/world.hpp"

namespace intra365::sim {
namespace {

constexpr Micros kSyncTimeout = std::chrono::milliseconds(800);  // as src/replica waits

}  // namespace

bool Place::cut_off() const {
  return world_.scheduler().now() < cut_off_until_;
}

Timestamp Place::wall() const {
  return kWallStart + world_.scheduler().now() + clock_off_;
}

void Point::start() {
  ++life_;
  copy_.emplace(MateId::trusted(mate_));
  lease_.emplace(world_.lease_of_points());
  asking_ = false;
  ++question_;
  plan_sync(std::chrono::milliseconds(1));
}

void Point::plan_sync(Micros delay) {
  world_.scheduler().after(delay, [this, plan = ++planned_] {
    if (plan == planned_) sync();
  });
}

void Point::hear(const Consent& record, int life) {
  if (life != life_) return;  // told to a process that is gone
  if (copy_->on_push(record, wall()) != guard::Push::gap) return;
  lease_->gap();
  if (!asking_) plan_sync(Micros(0));
}

void Point::sync() {
  if (asking_) return;
  asking_ = true;
  const auto round = lease_->begin(world_.scheduler().steady());
  ask(round, life_);
  world_.scheduler().after(kSyncTimeout, [this, question = question_] {
    if (question != question_ || !asking_) return;
    asking_ = false;  // no answer is no news: the lease runs out by itself
    ++question_;
    plan_sync(guard::kSyncPause);
  });
}

void Point::ask(guard::SyncedLease::Round round, int life) {
  const auto epoch = copy_->question().mate_epoch;
  world_.send(*this, [this, round, life, epoch, question = question_] {
    world_.answer(mate_, epoch, [this, round, life, question](const consent::SyncReply& reply) {
      world_.send(*this, [this, round, life, question, reply] { answered(round, life, question, reply); });
    });
  });
}

void Point::answered(guard::SyncedLease::Round round, int life, std::uint64_t question,
                     const consent::SyncReply& reply) {
  if (life != life_ || question != question_ || !asking_) return;
  if (copy_->on_answer(reply, wall())) return ask(round, life);
  copy_->prune(wall());
  finish(round);
}

void Point::finish(guard::SyncedLease::Round round) {
  asking_ = false;
  ++question_;
  if (world_.broken() == Break::renewal) round.asked_at = world_.scheduler().steady();
  plan_sync(lease_->end(round) ? Micros(guard::kSyncPause) : Micros(0));
}

void Point::decide() {
  auto& scheduler = world_.scheduler();
  const auto& user = scheduler.pick(kUsers);
  const auto scope = Scope::trusted(scheduler.pick(kScopes));
  const auto purpose = Purpose::trusted("care");
  ++world_.outcome().decisions;
  if (!lease_->alive(scheduler.steady())) return;
  if (copy_->index().decide(user, mate_, std::span(&scope, 1), purpose.str(), wall()).allowed())
    world_.judge(name(), user, mate_, scope, wall());
}

}  // namespace intra365::sim
