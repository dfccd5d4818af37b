#include "tests/sim/world.hpp"

#include "consent/groups.hpp"

namespace intra365::sim {

using namespace std::chrono_literals;

namespace {

Truth::Below passed_on(bool is) {
  return is ? Truth::Below::raised : Truth::Below::forgotten;
}

}  // namespace

World::World(const Options& options)
    : options_(options),
      scheduler_(options.seed),
      weather_(forecast()),
      truth_(scheduler_, passed_on(options.broken != Break::delegation),
             passed_on(options.broken != Break::household), options.broken != Break::line) {
  for (int i = 0; i < 4; ++i)
    points_.push_back(std::make_unique<Point>(*this, kMates[static_cast<std::size_t>(i) % kMates.size()], i));
  for (int i = 0; i < 2; ++i) services_.push_back(std::make_unique<Service>(*this, i));
}

Outcome World::run() {
  for (std::size_t i = 0; i < 4; ++i) scheduler_.after(scheduler_.between(0ms, 200ms), [this] { person(); });
  for (auto& point : points_)
    scheduler_.after(scheduler_.between(0ms, 20ms), [this, at = point.get()] { keep_deciding(*at); });
  for (auto& point : points_)
    scheduler_.after(scheduler_.between(0ms, 50ms), [this, at = point.get()] { keep_looking(*at); });
  for (auto& service : services_)
    scheduler_.after(scheduler_.between(0ms, 20ms), [this, at = service.get()] { keep_verifying(*at); });
  scheduler_.after(scheduler_.between(100ms, 900ms), [this] { misfortune(); });
  while (outcome_.violation.empty() && scheduler_.step()) ++outcome_.events;
  if (outcome_.violation.empty()) all_agree();
  return outcome_;
}

std::chrono::milliseconds World::lease_of_points() const {
  return options_.broken == Break::lease ? std::chrono::milliseconds(1h) : guard::kLeaseDuration;
}

std::chrono::milliseconds World::lease_of_services() const {
  return options_.broken == Break::copies ? std::chrono::milliseconds(1h) : guard::kLeaseDuration;
}

void World::send(const Place& at, std::function<void()> arrive) {
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

void World::ask_database(const Place& at, Micros timeout, std::function<void()> there,
                         std::function<void(bool)> done) {
  const auto over = std::make_shared<bool>(false);
  const auto end = [over, done = std::move(done)](bool answered) {
    if (!std::exchange(*over, true)) done(answered);
  };
  send(at, [this, &at, there = std::move(there), end] {
    scheduler_.after(database_time(), [this, &at, there, end] {
      there();
      send(at, [end] { end(true); });
    });
  });
  scheduler_.after(timeout, [end] { end(false); });
}

void World::make_effective(std::shared_ptr<std::vector<Consent>> records, std::function<void(bool)> then) {
  if (std::ranges::none_of(*records, [](const Consent& one) { return one.parent_id.has_value(); }))
    return then(true);
  scheduler_.after(database_time(), [this, records, then = std::move(then)] {
    for (auto& one : *records) {
      auto holds = truth_.effective(one);
      if (!holds) return then(false);
      one = *std::move(holds);
    }
    then(true);
  });
}

void World::answer(const consent::SyncRequest& question, std::function<void(consent::SyncReply)> reply) {
  const auto which = question.whole ? Truth::Which::whole : Truth::Which::holding;
  scheduler_.after(database_time(), [this, mate = question.mate_id.str(), epoch = question.mate_epoch, which,
                                     reply = std::move(reply)] {
    auto answer = std::make_shared<consent::SyncReply>();
    answer->mate_epoch = truth_.mate_epoch(mate);
    if (options_.broken != Break::clock) answer->server_time = scheduler_.wall();
    if (answer->mate_epoch == epoch) return reply(*answer);
    scheduler_.after(database_time(), [this, mate, epoch, which, reply, answer] {
      answer->mate_epoch = truth_.mate_epoch(mate);
      answer->inherited = truth_.is_inherited(mate);
      const auto records = std::make_shared<std::vector<Consent>>(truth_.changed_since(mate, epoch, which));
      make_effective(records, [reply, answer, records](bool is_there) {
        if (!is_there) return;  // an error: whoever asked waits until it is time to ask again
        answer->consents = *records;
        answer->more = records->size() == Truth::kPage;
        reply(*answer);
      });
    });
  });
}

void World::judge(const std::string& who, const std::string& user, const std::string& mate,
                  const Scope& scope) {
  ++outcome_.allowed;
  const auto since = scheduler_.now() - Micros(guard::kLeaseDuration);
  if (!truth_.allowed_since(since, {user, mate, scope, Purpose::trusted("care")}))
    violate(who + " allows " + mate + " " + scope.str() + " of " + user +
            ", which nothing has allowed for a second");
}

void World::judge_part(const std::string& who, const guard::ConsentedUse& use) {
  ++outcome_.parts;
  const auto since = scheduler_.now() - Micros(guard::kLeaseDuration);
  const Truth::Asked asked{use.user.str(), use.mate.str(), use.scopes.front(), use.purpose, use.consent};
  if (!truth_.allowed_since(since, asked))
    violate(who + " goes on with " + asked.scope.str() + " of " + asked.user + " by " + use.consent.str() +
            ", which has not allowed it for a second");
}

void World::judge_end(const std::string& who, const guard::ConsentedUse& use, Micros began, const Error& why,
                      Timestamp wall) {
  ++outcome_.ended;
  const bool is_calm = scheduler_.now() > kFaultsUntil + Micros(guard::RunningUse::kUnsure) + 1s;
  const Truth::Asked asked{use.user.str(), use.mate.str(), use.scopes.front(), use.purpose, use.consent};
  if (why.is(errors::lease_expired)
          ? is_calm
          : truth_.allowed_throughout(began - Micros(guard::kLeaseDuration), asked, wall))
    violate(who + " ends a use of " + asked.scope.str() + " of " + asked.user + " with " + why.code +
            ", by " + use.consent.str() + ", which has allowed it all the time");
}

void World::violate(std::string what) {
  if (outcome_.violation.empty())
    outcome_.violation = "at " + std::to_string(scheduler_.now().count()) + " us: " + what;
}

World::Weather World::forecast() {
  const std::vector<double> shares{0, 0.01, 0.05, 0.3};
  const std::vector<Micros> calms{100ms, 500ms, 2500ms};
  const auto loss = scheduler_.pick(shares), slow = scheduler_.pick(shares);
  return {loss, slow, scheduler_.pick(calms)};
}

Micros World::database_time() {
  if (scheduler_.faulty() && scheduler_.chance(0.02)) return scheduler_.between(5ms, 700ms);
  return scheduler_.between(200us, 3ms);
}

/// A person changes something every now and then, through some service.
void World::person() {
  const auto kind = scheduler_.below(20);
  if (kind < 3)
    move(scheduler_.pick(kUsers));
  else
    change(scheduler_.pick(kind < 7 ? kGroups : kUsers));
  scheduler_.after(scheduler_.between(5ms, scheduler_.chance(0.2) ? 1500ms : 200ms), [this] {
    if (scheduler_.now() < kFaultsUntil + 1s) person();
  });
}

/// Load, decide, save, spread: what the consent service does, each step at a time of its own.
void World::change(const std::string& subject) {
  scheduler_.after(database_time(), [this, subject] {
    const auto held = truth_.of(subject);
    consent::Moment moment;
    moment.actor = "user:" + subject;
    moment.now = scheduler_.wall();
    Consent before;
    auto decided = decide(subject, held, moment, before);
    if (!decided) return;
    auto& by = *services_[scheduler_.below(services_.size())];
    // A crash here loses the request.
    if (scheduler_.faulty() && scheduler_.chance(0.03)) return;
    scheduler_.after(database_time(), [this, &by, life = by.life(), change = *decided, before] {
      auto after = before;
      consent::apply(after, change);
      const auto stored = std::make_shared<std::vector<Consent>>(truth_.append(change, after));
      if (stored->empty()) {
        ++outcome_.conflicts;
        return;
      }
      ++outcome_.changes;
      if (change.event == consent::EventKind::delegated) ++outcome_.delegated;
      tell(stored, by, life);
    });
  });
}

/// After the commit. A crash here loses what would have been told.
void World::tell(std::shared_ptr<std::vector<Consent>> stored, Service& by, int life) {
  if (scheduler_.faulty() && scheduler_.chance(0.05)) return;
  make_effective(stored, [this, &by, life, stored](bool is_there) {
    if (!is_there) return;
    for (const auto& record : *stored) {
      scheduler_.after(scheduler_.between(10us, 2ms), [this, &by, life, record] {
        if (life == by.life()) spread(record, by);
      });
    }
  });
}

/// Somebody leaves their household, or joins another.
void World::move(const std::string& user) {
  auto& by = *services_[scheduler_.below(services_.size())];
  scheduler_.after(database_time(), [this, user, &by, life = by.life()] {
    // One leaves before one joins another: two changes, with a time between them.
    const auto household = truth_.household_of(user).empty() ? scheduler_.pick(kHouseholds) : std::string();
    const auto raised = std::make_shared<std::vector<Consent>>(truth_.move(user, household));
    ++outcome_.moves;
    tell(raised, by, life);
  });
}

Result<HistoryEntry> World::decide(const std::string& subject, const std::vector<Consent>& held,
                                   consent::Moment moment, Consent& before) {
  const auto kind = scheduler_.below(12);
  if (held.empty() || kind < 3) {
    consent::GrantRequest request;
    request.user_id = UserId::trusted(subject);
    request.mate_id = MateId::trusted(scheduler_.pick(kMates));
    request.purposes = {Purpose::trusted("care")};
    request.scopes = {Scope::trusted(scheduler_.pick(kScopes)), Scope::trusted(scheduler_.pick(kScopes))};
    if (scheduler_.chance(0.3)) request.expires_at = moment.now + scheduler_.between(200ms, 5s);
    if (scheduler_.chance(0.5)) request.delegation_depth = static_cast<int>(scheduler_.below(3));
    return consent::decide_grant(ConsentId::trusted("c" + std::to_string(++last_id_)), request, catalogue_,
                                 moment);
  }
  if (kind >= 10) return delegate(held, std::move(moment));
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
    case 7:
      before = Consent();
      return refuse(subject, moment);
    default:
      return consent::decide_revoke(before, {}, {}, moment);
  }
}

Result<HistoryEntry> World::refuse(const std::string& subject, const consent::Moment& moment) {
  consent::RefuseRequest request;
  request.user_id = UserId::trusted(subject);
  request.mate_id = MateId::trusted(scheduler_.pick(kMates));
  request.purposes = {Purpose::trusted("care")};
  request.scopes = {Scope::trusted(scheduler_.pick(kScopes))};
  return consent::decide_refuse(ConsentId::trusted("c" + std::to_string(++last_id_)), request, catalogue_,
                                moment);
}

/// A Mate hands on what it was given.
Result<HistoryEntry> World::delegate(const std::vector<Consent>& held, consent::Moment moment) {
  std::vector<Consent> able;
  for (const auto& one : held) {
    if (one.granted && one.delegation_depth > 0) able.push_back(one);
  }
  if (able.empty()) return fail(consent::errors::not_delegable);
  const auto& from = scheduler_.pick(able);
  moment.actor = "mate:" + from.mate_id.str();
  consent::DelegateRequest request;
  request.mate_id = MateId::trusted(scheduler_.pick(kMates));
  if (scheduler_.chance(0.3)) request.expires_at = moment.now + scheduler_.between(200ms, 5s);
  if (scheduler_.chance(0.5)) request.delegation_depth = from.delegation_depth - 1;
  return consent::decide_delegate(ConsentId::trusted("c" + std::to_string(++last_id_)),
                                  consent::effective(from, truth_.above(from)), truth_.above(from), request,
                                  moment);
}

void World::spread(const Consent& record, Service& by) {
  by.hear(record);  // its own copies count at once
  const auto copies = scheduler_.faulty() && scheduler_.chance(0.02) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    for (auto& point : points_) {
      if (point->mate() == record.mate_id.str())
        send(*point, [at = point.get(), record, life = point->life()] { at->hear(record, life); });
    }
    for (auto& service : services_) {
      send(*service, [at = service.get(), record, life = service->life()] {
        if (life == at->life()) at->hear(record);
      });
    }
  }
}

void World::keep_deciding(Point& point) {
  point.decide();
  scheduler_.after(scheduler_.between(1ms, 25ms), [this, &point] { keep_deciding(point); });
}

void World::keep_looking(Point& point) {
  point.look();
  scheduler_.after(50ms, [this, &point] { keep_looking(point); });
}

void World::keep_verifying(Service& service) {
  service.verify();
  scheduler_.after(scheduler_.between(1ms, 25ms), [this, &service] { keep_verifying(service); });
}

void World::misfortune() {
  if (!scheduler_.faulty()) return;
  if (scheduler_.chance(0.05)) {
    truth_.go_back(scheduler_.now() - std::min(scheduler_.now(), scheduler_.between(1ms, 3s)));
    ++outcome_.rewinds;
  }
  const auto number = scheduler_.below(points_.size() + services_.size());
  Place* place = nullptr;
  if (number < points_.size())
    place = points_[number].get();
  else
    place = services_[number - points_.size()].get();
  switch (scheduler_.below(6)) {
    case 0:
    case 1:
    case 2:
    case 3:
      place->cut_off_until(scheduler_.now() + scheduler_.between(50ms, 4s));
      break;
    case 4:
      place->start();
      break;
    default:
      place->set_clock(scheduler_.chance(0.5) ? Micros(48h) : -Micros(48h));
  }
  scheduler_.after(scheduler_.between(20ms, weather_.calm), [this] { misfortune(); });
}

void World::all_agree() {
  points_agree();
  services_agree();
}

void World::points_agree() {
  for (auto& point : points_) {
    if (!point->lease_->alive(scheduler_.boot()))
      return violate(point->name() + " has no lease, though all is well");
    const auto time = point->copy_->time(point->instant());
    for (const auto& user : kUsers) {
      for (const auto& name : kScopes) {
        const auto scope = Scope::trusted(name);
        const bool ours =
            point->copy_->index().decide(user, point->mate(), std::span(&scope, 1), "care", time).allowed();
        if (ours != truth_.allows({user, point->mate(), scope, Purpose::trusted("care")}, time))
          return violate(point->name() + (ours ? " allows " : " denies ") + name + " of " + user +
                         ", the truth does not");
      }
    }
  }
}

void World::services_agree() {
  for (auto& service : services_) {
    for (const auto& mate : kMates) {
      const auto fresh = service->copies_->fresh(kTenant, MateId::trusted(mate), service->instant());
      // A question lost with the last fault is waited for longer than the world goes on.
      if (fresh.to_load) return violate(service->name() + " has no copy of " + mate + ", though all is well");
      if (fresh.index == nullptr) continue;
      for (const auto& user : kUsers) {
        for (const auto& name : kScopes) {
          const auto scope = Scope::trusted(name);
          const bool ours =
              fresh.index->decide(user, mate, std::span(&scope, 1), "care", fresh.time).allowed();
          if (ours != truth_.allows({user, mate, scope, Purpose::trusted("care")}, fresh.time))
            return violate(service->name() + (ours ? " allows " : " denies ") + mate + " " + name + " of " +
                           user + ", the truth does not");
        }
      }
    }
  }
}

}  // namespace intra365::sim
