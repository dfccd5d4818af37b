#include "tests/sim/world.hpp"

namespace intra365::sim {
namespace {

constexpr Micros kSyncTimeout = std::chrono::milliseconds(800);  // as src/replica waits
constexpr int kSecondPages = 4;                                  // as sdk/cpp fetches
constexpr Micros kSecondTime = std::chrono::milliseconds(200);
constexpr std::size_t kMostUses = 3;

}  // namespace

bool Place::cut_off() const {
  return world_.scheduler().now() < cut_off_until_;
}

Instant Place::instant() const {
  return {world_.scheduler().wall() + clock_off_, world_.scheduler().boot()};
}

void Point::start() {
  ++life_;
  copy_.emplace(MateId::trusted(mate_));
  lease_.emplace(world_.lease_of_points());
  uses_.clear();
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
  const auto push = copy_->on_push(record, instant());
  look();
  if (push == guard::Push::old) return;
  if (push == guard::Push::gap) lease_->gap();
  if (push == guard::Push::applied && !copy_->second_question()) return;
  if (!asking_) plan_sync(Micros(0));
}

void Point::sync() {
  if (asking_) return;
  asking_ = true;
  const auto round = lease_->begin(world_.scheduler().boot());
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
    const auto answered = copy_->on_answer(since, reply, instant());
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
         copy_->on_second_answer(since, reply, instant());
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
  if (copy_->prune(instant()) == guard::ConsentCopy::Pruned::emptied) lease_->gap();
  asking_ = false;
  ++question_;
  if (world_.broken() == Break::renewal) round.asked_at = world_.scheduler().boot();
  plan_sync(lease_->end(round) && !behind ? Micros(guard::kSyncPause) : Micros(0));
  look();
}

void Point::decide() {
  auto& scheduler = world_.scheduler();
  const auto& user = scheduler.pick(kUsers);
  const auto scope = Scope::trusted(scheduler.pick(kScopes));
  const auto purpose = Purpose::trusted("care");
  ++world_.outcome().decisions;
  if (!lease_->alive(scheduler.boot())) return;
  const auto answer =
      copy_->index().decide(user, mate_, std::span(&scope, 1), purpose.str(), copy_->time(instant()));
  if (!answer.allowed()) return;
  if (answer.inherited_from) ++world_.outcome().inherited;
  world_.judge(name(), user, mate_, scope);
  if (uses_.size() < kMostUses && scheduler.chance(0.1))
    begin(user, scope, copy_->index().consent_id(answer.record));
}

void Point::begin(const std::string& user, const Scope& scope, ConsentId consent) {
  ++world_.outcome().uses;
  const auto now = world_.scheduler().now();
  uses_.push_back(
      {{std::move(consent), UserId::trusted(user), MateId::trusted(mate_), {scope}, Purpose::trusted("care")},
       {},
       now,
       now + world_.scheduler().between(std::chrono::seconds(1), std::chrono::seconds(8))});
}

void Point::look() {
  std::erase_if(uses_, [this](Use& use) { return !goes_on(use); });
}

bool Point::goes_on(Use& use) {
  auto& scheduler = world_.scheduler();
  const auto covered = covers(use.what);
  const auto sure =
      use.running.hear(covered ? Result<bool>(covered->certain) : fail(covered.error()), scheduler.boot());
  if (!sure)
    world_.judge_end(name(), use.what, use.began, sure.error(), std::max(scheduler.wall(), instant().wall));
  else if (*sure)
    world_.judge_part(name(), use.what);
  return sure && scheduler.now() < use.until;
}

Result<guard::StillCovered> Point::covers(const guard::ConsentedUse& use) const {
  const bool is_alive = lease_->alive(world_.scheduler().boot());
  if (world_.broken() != Break::use)
    return guard::still_covered(*copy_, use, is_alive ? guard::CopyIs::certain : guard::CopyIs::behind,
                                instant());
  const auto answer = copy_->index().decide_by(use.consent.str(), use.user.str(), mate_, use.scopes,
                                               use.purpose.str(), copy_->time(instant()));
  if (!answer.allowed()) return fail(guard::error_of(answer.code));
  return guard::StillCovered{is_alive, Timestamp::max()};
}

}  // namespace intra365::sim
