#include "tests/sim/trust_world.hpp"

#include <functional>
#include <map>
#include <queue>
#include <random>

#include "consent/lifecycle.hpp"
#include "guard/consent_copy.hpp"

namespace intra365::sim {
namespace {

using namespace std::chrono_literals;
using Micros = std::chrono::microseconds;
using consent::Consent;
using consent::HistoryEntry;

constexpr Micros kFaultsUntil = 20s, kEnd = 23s;
constexpr Micros kSyncTimeout = 800ms;  // as src/replica waits
constexpr std::size_t kPage = 3;        // small, so that answers have several
const Timestamp kWallStart = Timestamp(std::chrono::hours(24 * 365 * 56));
const std::vector<std::string> kUsers{"alice", "ben", "cleo"}, kMates{"reader", "writer"};
const std::vector<std::string> kScopes{"profile", "profile.read", "image", "image.analyze"};

/// Virtual time, and what happens next. Events of one moment happen in the order they were made.
class Scheduler {
 public:
  explicit Scheduler(std::uint64_t seed) : random_(seed) {}
  Micros now() const { return now_; }
  SteadyTime steady() const { return SteadyTime(now_); }
  bool faulty() const { return now_ < kFaultsUntil; }
  void after(Micros delay, std::function<void()> what) {
    queue_.push({now_ + delay, next_++, std::move(what)});
  }
  std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
  bool chance(double probability) { return static_cast<double>(random_() >> 11) * 0x1.0p-53 < probability; }
  Micros between(Micros least, Micros most) {
    return least +
           Micros(static_cast<std::int64_t>(below(static_cast<std::uint64_t>((most - least).count()) + 1)));
  }
  template <class T>
  const T& pick(const std::vector<T>& of) {
    return of[below(of.size())];
  }
  bool step() {
    if (queue_.empty() || queue_.top().at > kEnd) return false;
    const auto what = queue_.top().what;
    now_ = queue_.top().at;
    queue_.pop();
    what();
    return true;
  }

 private:
  struct Event {
    Micros at;
    std::uint64_t order;
    std::function<void()> what;
    bool operator<(const Event& other) const {
      return std::pair(at, order) > std::pair(other.at, other.order);
    }
  };
  std::mt19937_64 random_;
  Micros now_{0};
  std::uint64_t next_ = 0;
  std::priority_queue<Event> queue_;
};

/// PostgreSQL as the services see it: transactions that commit whole and in order, with revisions and epochs.
class Truth {
 public:
  explicit Truth(const Scheduler& scheduler) : scheduler_(scheduler) {}

  std::vector<Consent> of(const std::string& user) const {
    std::vector<Consent> list;
    for (const auto& [id, states] : states_) {
      if (states.back().record.user_id.str() == user) list.push_back(states.back().record);
    }
    return list;
  }
  /// What append_consent_changes does: nothing is stored where a revision has moved on.
  std::optional<Consent> append(const HistoryEntry& change, Consent record) {
    const auto known = states_.find(change.consent_id.str());
    const auto revision = known == states_.end() ? 0 : known->second.back().record.revision;
    if (revision + 1 != change.revision) return std::nullopt;
    record.epoch = ++user_epochs_[change.user_id.str()];
    record.mate_epoch = ++mate_epochs_[change.mate_id.str()];
    states_[change.consent_id.str()].push_back({scheduler_.now(), record});
    return record;
  }
  std::uint64_t mate_epoch(const std::string& mate) const {
    const auto found = mate_epochs_.find(mate);
    return found == mate_epochs_.end() ? 0 : found->second;
  }
  /// What consent_changed selects.
  std::vector<Consent> changed_since(const std::string& mate, std::uint64_t epoch) const {
    std::map<std::uint64_t, const Consent*> by_epoch;
    for (const auto& [id, states] : states_) {
      const auto& record = states.back().record;
      if (record.mate_id.str() == mate && record.mate_epoch > epoch && (epoch > 0 || record.granted))
        by_epoch.emplace(record.mate_epoch, &record);
    }
    std::vector<Consent> list;
    for (const auto& [one, record] : by_epoch) {
      if (list.size() < kPage) list.push_back(*record);
    }
    return list;
  }
  /// Has the truth allowed this at some moment from `since` until now?
  bool allowed_since(Micros since, const std::string& user, const std::string& mate, const Scope& scope,
                     const Purpose& purpose, Timestamp wall) const {
    for (const auto& [id, states] : states_) {
      if (states.back().record.user_id.str() != user || states.back().record.mate_id.str() != mate) continue;
      for (std::size_t i = 0; i < states.size(); ++i) {
        if (i + 1 < states.size() && states[i + 1].since <= since) continue;  // it was over before
        const auto* record = &states[i].record;
        if (guard::decide_consent(std::span(&record, 1), std::span(&scope, 1), purpose, wall).allowed())
          return true;
      }
    }
    return false;
  }

 private:
  struct State {
    Micros since;
    Consent record;
  };
  const Scheduler& scheduler_;
  std::map<std::string, std::vector<State>> states_;
  std::map<std::string, std::uint64_t> user_epochs_, mate_epochs_;
};

class World;

/// One Mate's receiving side, as sdk/cpp has it: a copy, its lease, rounds of syncs, decisions.
class Point {
 public:
  Point(World& world, std::string mate, int number) : world_(world), mate_(std::move(mate)), number_(number) {
    start();
  }
  void start();
  void hear(const Consent& record, int life);
  void sync();
  void decide();
  bool cut_off() const;
  void cut_off_until(Micros until) { cut_off_until_ = std::max(cut_off_until_, until); }
  void set_clock(Micros by) { clock_off_ += by; }
  const std::string& mate() const { return mate_; }
  int life() const { return life_; }
  std::string name() const { return mate_ + "#" + std::to_string(number_); }

 private:
  friend class World;
  void ask(guard::SyncedLease::Round round, int life);
  void answered(guard::SyncedLease::Round round, int life, std::uint64_t question,
                const consent::SyncReply& reply);
  void finish(guard::SyncedLease::Round round);
  void plan_sync(Micros delay);
  Timestamp wall() const;

  World& world_;
  std::string mate_;
  int number_, life_ = 0;
  std::optional<guard::ConsentCopy> copy_;
  std::optional<guard::SyncedLease> lease_;
  std::uint64_t question_ = 0, planned_ = 0;  ///< what is older than these is of no interest any more
  bool asking_ = false;
  Micros cut_off_until_{0}, clock_off_{0};
};

class World {
 public:
  explicit World(const Options& options)
      : options_(options), scheduler_(options.seed), weather_(forecast()), truth_(scheduler_) {
    for (int i = 0; i < 3; ++i)
      points_.push_back(std::make_unique<Point>(*this, kMates[i % kMates.size()], i));
  }

  Outcome run() {
    for (std::size_t i = 0; i < 3; ++i)
      scheduler_.after(scheduler_.between(0ms, 200ms), [this] { person(); });
    for (auto& point : points_) {
      scheduler_.after(scheduler_.between(0ms, 20ms), [this, at = point.get()] { keep_deciding(*at); });
    }
    scheduler_.after(scheduler_.between(100ms, 900ms), [this] { misfortune(); });
    while (outcome_.violation.empty() && scheduler_.step()) ++outcome_.events;
    if (outcome_.violation.empty()) all_agree();
    return outcome_;
  }

  Scheduler& scheduler() { return scheduler_; }
  Break broken() const { return options_.broken; }
  const Truth& truth() const { return truth_; }
  Outcome& outcome() { return outcome_; }

  /// A message on its way; `at` is the enforcement point at one of its ends.
  void send(const Point& at, std::function<void()> arrive) {
    auto delay = scheduler_.between(50us, 3ms);
    if (scheduler_.faulty()) {
      if (at.cut_off() || scheduler_.chance(weather_.loss)) {
        ++outcome_.lost;
        return;
      }
      if (scheduler_.chance(weather_.slow)) delay = scheduler_.between(1ms, 900ms);
    }
    scheduler_.after(delay, [this, &at, arrive = std::move(arrive)] {
      if (scheduler_.faulty() && at.cut_off())
        ++outcome_.lost;
      else
        arrive();
    });
  }

  /// `consent.sync` in a service: the epoch first, the records at least as new.
  void answer(const std::string& mate, std::uint64_t epoch, std::function<void(consent::SyncReply)> reply) {
    scheduler_.after(database_time(), [this, mate, epoch, reply = std::move(reply)] {
      auto answer = std::make_shared<consent::SyncReply>();
      answer->mate_epoch = truth_.mate_epoch(mate);
      if (answer->mate_epoch == epoch) return reply(*answer);
      scheduler_.after(database_time(), [this, mate, epoch, reply, answer] {
        answer->consents = truth_.changed_since(mate, epoch);
        answer->more = answer->consents.size() == kPage;
        reply(*answer);
      });
    });
  }

  void violate(std::string what) {
    if (outcome_.violation.empty())
      outcome_.violation = "at " + std::to_string(scheduler_.now().count()) + " us: " + what;
  }

 private:
  /// Every seed has its own: what is rare in one is common in another.
  struct Weather {
    double loss, slow;
    Micros calm;
  };
  Weather forecast() {
    const std::vector<double> shares{0, 0.01, 0.05, 0.3};
    const std::vector<Micros> calms{100ms, 500ms, 2500ms};
    const auto loss = scheduler_.pick(shares), slow = scheduler_.pick(shares);
    return {loss, slow, scheduler_.pick(calms)};
  }

  Micros database_time() {
    if (scheduler_.faulty() && scheduler_.chance(0.02)) return scheduler_.between(5ms, 700ms);
    return scheduler_.between(200us, 3ms);
  }

  /// A person changes something every now and then, through some service.
  void person() {
    change(scheduler_.pick(kUsers));
    scheduler_.after(scheduler_.between(5ms, scheduler_.chance(0.2) ? 1500ms : 200ms), [this] {
      if (scheduler_.now() < kFaultsUntil + 1s) person();
    });
  }

  /// Load, decide, save, spread: what the consent service does, each step at a time of its own.
  void change(const std::string& user) {
    scheduler_.after(database_time(), [this, user] {
      const auto held = truth_.of(user);
      consent::Moment moment;
      moment.actor = "user:" + user;
      moment.now = kWallStart + scheduler_.now();
      Consent before;
      auto decided = decide(user, held, moment, before);
      if (!decided) return;
      // A crash here loses the request; a crash below, what would have been told.
      if (scheduler_.faulty() && scheduler_.chance(0.03)) return;
      scheduler_.after(database_time(), [this, change = *decided, before] {
        auto after = before;
        consent::apply(after, change);
        const auto stored = truth_.append(change, after);
        if (!stored) {
          ++outcome_.conflicts;
          return;
        }
        ++outcome_.changes;
        if (scheduler_.faulty() && scheduler_.chance(0.05)) return;
        scheduler_.after(scheduler_.between(10us, 2ms), [this, record = *stored] { spread(record); });
      });
    });
  }

  Result<HistoryEntry> decide(const std::string& user, const std::vector<Consent>& held,
                              const consent::Moment& moment, Consent& before) {
    const auto kind = scheduler_.below(10);
    if (held.empty() || kind < 3) {
      consent::GrantRequest request;
      request.user_id = UserId::trusted(user);
      request.mate_id = MateId::trusted(scheduler_.pick(kMates));
      request.purposes = {Purpose::trusted("care")};
      request.scopes = {Scope::trusted(scheduler_.pick(kScopes)), Scope::trusted(scheduler_.pick(kScopes))};
      if (scheduler_.chance(0.3)) request.expires_at = moment.now + scheduler_.between(200ms, 5s);
      return consent::decide_grant(ConsentId::trusted("c" + std::to_string(++last_id_)), request, catalogue_,
                                   moment);
    }
    before = scheduler_.pick(held);
    consent::NarrowRequest narrow;
    narrow.scopes = {Scope::trusted(scheduler_.pick(kScopes))};
    consent::RenewRequest renew;
    renew.expires_at = moment.now + 10s;
    switch (kind) {
      case 3:
        return consent::decide_narrow(before, narrow, moment);
      case 4:
        return consent::decide_renew(before, renew, catalogue_, moment);
      case 5:
        return consent::decide_suspend(before, {}, moment);
      case 6:
        return consent::decide_resume(before, {}, moment);
      default:
        return consent::decide_revoke(before, {}, {}, moment);
    }
  }

  void spread(const Consent& record) {
    for (auto& point : points_) {
      if (point->mate() != record.mate_id.str()) continue;
      const auto life = point->life();
      const auto copies = scheduler_.faulty() && scheduler_.chance(0.02) ? 2 : 1;
      for (int i = 0; i < copies; ++i)
        send(*point, [at = point.get(), record, life] { at->hear(record, life); });
    }
  }

  void keep_deciding(Point& point) {
    point.decide();
    scheduler_.after(scheduler_.between(1ms, 25ms), [this, &point] { keep_deciding(point); });
  }

  void misfortune() {
    if (!scheduler_.faulty()) return;
    auto& point = *points_[scheduler_.below(points_.size())];
    switch (scheduler_.below(6)) {
      case 0:
      case 1:
      case 2:
      case 3:
        point.cut_off_until(scheduler_.now() + scheduler_.between(50ms, 4s));
        break;
      case 4:
        point.start();
        break;
      default:
        point.set_clock(scheduler_.chance(0.5) ? Micros(48h) : -Micros(48h));
    }
    scheduler_.after(scheduler_.between(20ms, weather_.calm), [this] { misfortune(); });
  }

  void all_agree();

  Options options_;
  Scheduler scheduler_;
  Weather weather_;
  Truth truth_;
  consent::Catalogue catalogue_;
  std::vector<std::unique_ptr<Point>> points_;
  Outcome outcome_;
  int last_id_ = 0;
};

void Point::start() {
  ++life_;
  copy_.emplace(MateId::trusted(mate_));
  lease_.emplace(world_.broken() == Break::lease ? std::chrono::milliseconds(3'600'000)
                                                 : guard::kLeaseDuration);
  asking_ = false;
  ++question_;
  plan_sync(1ms);
}

bool Point::cut_off() const {
  return world_.scheduler().now() < cut_off_until_;
}

Timestamp Point::wall() const {
  return kWallStart + world_.scheduler().now() + clock_off_;
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
  if (!asking_) plan_sync(0ms);
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
  plan_sync(lease_->end(round) ? Micros(guard::kSyncPause) : 0ms);
}

void Point::decide() {
  auto& scheduler = world_.scheduler();
  const auto& user = scheduler.pick(kUsers);
  const auto scope = Scope::trusted(scheduler.pick(kScopes));
  const auto purpose = Purpose::trusted("care");
  ++world_.outcome().decisions;
  if (!lease_->alive(scheduler.steady())) return;
  if (!copy_->index().decide(user, mate_, std::span(&scope, 1), purpose.str(), wall()).allowed()) return;
  ++world_.outcome().allowed;
  const auto since = scheduler.now() - Micros(guard::kLeaseDuration);
  if (!world_.truth().allowed_since(since, user, mate_, scope, purpose, wall()))
    world_.violate(name() + " allows " + scope.str() + " of " + user +
                   ", which nothing has allowed for a second");
}

void World::all_agree() {
  for (auto& point : points_) {
    if (!point->lease_->alive(scheduler_.steady()))
      return violate(point->name() + " has no lease, though all is well");
    for (const auto& user : kUsers) {
      for (const auto& name : kScopes) {
        const auto scope = Scope::trusted(name);
        const auto purpose = Purpose::trusted("care");
        const bool ours = point->copy_->index()
                              .decide(user, point->mate(), std::span(&scope, 1), purpose.str(), point->wall())
                              .allowed();
        if (ours !=
            truth_.allowed_since(scheduler_.now(), user, point->mate(), scope, purpose, point->wall()))
          return violate(point->name() + (ours ? " allows " : " denies ") + name + " of " + user +
                         ", the truth does not");
      }
    }
  }
}

}  // namespace

std::optional<Break> read_break(const std::string& name) {
  if (name == "lease") return Break::lease;
  if (name == "renewal") return Break::renewal;
  return std::nullopt;
}

Outcome run(const Options& options) {
  World world(options);
  return world.run();
}

}  // namespace intra365::sim
