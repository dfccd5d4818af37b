#include "tests/sim/world.hpp"

namespace intra365::sim {
namespace {

constexpr Micros kSyncTimeout = std::chrono::milliseconds(800);  // as src/replica waits
constexpr int kSecondPages = 4;                                  // as sdk/cpp fetches
constexpr Micros kSecondTime = std::chrono::milliseconds(200);

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
  const auto push = copy_->on_push(record, wall());
  if (push == guard::Push::old) return;
  if (push == guard::Push::gap) lease_->gap();
  if (push == guard::Push::applied && !copy_->second_question()) return;
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
  const auto question = copy_->question();
  send(question, life, [this, round, life, since = question.mate_epoch](const consent::SyncReply& reply) {
    const auto answered = copy_->on_answer(since, reply, wall());
    if (answered == guard::ConsentCopy::Answered::anew) lease_->gap();
    if (answered != guard::ConsentCopy::Answered::all) return ask(round, life);
    world_.scheduler().after(kSecondTime, [this, round, question = question_] {
      if (question == question_ && asking_) finish(round, false);
    });
    ask_second(round, life, 0);
  });
}

/// What a copy needs to decide by consents of groups: some pages in each round.
void Point::ask_second(guard::SyncedLease::Round round, int life, int page) {
  const auto question = copy_->second_question();
  if (!question || page == kSecondPages) return finish(round, question.has_value());
  send(*question, life,
       [this, round, life, page, since = question->mate_epoch](const consent::SyncReply& reply) {
         copy_->on_second_answer(since, reply, wall());
         ask_second(round, life, page + 1);
       });
}

void Point::send(const consent::SyncRequest& request, int life,
                 std::function<void(const consent::SyncReply&)> then) {
  world_.send(*this, [this, request, life, then = std::move(then), question = question_] {
    world_.answer(request, [this, life, then, question](const consent::SyncReply& reply) {
      world_.send(*this, [this, life, then, question, reply] {
        if (life == life_ && question == question_ && asking_) then(reply);
      });
    });
  });
}

void Point::finish(guard::SyncedLease::Round round, bool behind) {
  copy_->prune(wall());
  asking_ = false;
  ++question_;
  if (world_.broken() == Break::renewal) round.asked_at = world_.scheduler().steady();
  plan_sync(lease_->end(round) && !behind ? Micros(guard::kSyncPause) : Micros(0));
}

void Point::decide() {
  auto& scheduler = world_.scheduler();
  const auto& user = scheduler.pick(kUsers);
  const auto scope = Scope::trusted(scheduler.pick(kScopes));
  const auto purpose = Purpose::trusted("care");
  ++world_.outcome().decisions;
  if (!lease_->alive(scheduler.steady())) return;
  const auto answer = copy_->index().decide(user, mate_, std::span(&scope, 1), purpose.str(), wall());
  if (!answer.allowed()) return;
  if (answer.inherited_from) ++world_.outcome().inherited;
  world_.judge(name(), user, mate_, scope, wall());
}

}  // namespace intra365::sim
