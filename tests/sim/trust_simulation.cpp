#include "tests/sim/trust_simulation.hpp"

#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <set>

#include "guard/consent_index.hpp"
#include "guard/epochs.hpp"
#include "guard/lease.hpp"

namespace intra365::sim {
namespace {

using namespace std::chrono_literals;
using Micros = std::chrono::microseconds;

constexpr int kPeople = 3, kServices = 2, kPoints = 4;
const MateId kMates[] = {MateId::trusted("mate-0"), MateId::trusted("mate-1")};
constexpr Micros kTroubled = 25s, kHealing = 10s;  ///< how long things fail, and how long they may heal
constexpr Micros kSyncTimeout = 800ms;

/// Virtual time, and everything that is going to happen.
class World {
 public:
  explicit World(std::uint64_t seed) : random_(seed) {}

  Micros now() const { return now_; }
  std::uint64_t below(std::uint64_t end) { return random_() % end; }
  bool chance(double probability) { return double(random_() >> 11) * 0x1.0p-53 < probability; }
  Micros between(Micros low, Micros high) {
    return low +
           Micros(static_cast<std::int64_t>(below(static_cast<std::uint64_t>((high - low).count()) + 1)));
  }
  void after(Micros delay, std::function<void()> what) {
    events_.push({now_ + delay, next_++, std::move(what)});
  }
  void run_until(Micros end) {
    while (!events_.empty() && events_.top().at <= end) {
      // A priority queue gives its top away only as const.
      auto event = std::move(const_cast<Event&>(events_.top()));
      events_.pop();
      now_ = event.at;
      ++count_;
      event.what();
    }
    now_ = end;
  }
  std::uint64_t count() const { return count_; }

 private:
  struct Event {
    Micros at;
    std::uint64_t number;
    std::function<void()> what;
    bool operator<(const Event& other) const {
      return std::tie(other.at, other.number) < std::tie(at, number);
    }
  };
  std::mt19937_64 random_;
  std::priority_queue<Event> events_;
  Micros now_{0};
  std::uint64_t next_ = 0, count_ = 0;
};

/// Carries messages between nodes: late, twice, in another order, or not at all.
class Network {
 public:
  explicit Network(World& world) : world_(world) {}
  bool healthy = false;
  std::uint64_t lost = 0;

  void send(int from, int to, std::function<void()> deliver) {
    if (cut_.contains({std::min(from, to), std::max(from, to)}) || (!healthy && world_.chance(loss_))) {
      ++lost;
      return;
    }
    const auto slow = !healthy && world_.chance(0.05) ? Micros(3s) : Micros(5ms);
    world_.after(world_.between(100us, slow), deliver);
    if (!healthy && world_.chance(0.03)) world_.after(world_.between(100us, slow * 2), deliver);
  }
  void cut(int a, int b) { cut_.insert({std::min(a, b), std::max(a, b)}); }
  void heal() { cut_.clear(); }
  void set_loss(double loss) { loss_ = loss; }

 private:
  World& world_;
  std::set<std::pair<int, int>> cut_;
  double loss_ = 0.02;
};

/// What is committed, and survives every crash.
struct Truth {
  std::map<std::string, consent::Consent> consents;
  std::map<MateId, std::uint64_t> mate_epochs;
  std::map<UserId, std::uint64_t> user_epochs;

  consent::Consent commit(consent::Consent record) {
    record.epoch = ++user_epochs[record.user_id];
    record.mate_epoch = ++mate_epochs[record.mate_id];
    return consents[record.consent_id.str()] = record;
  }
};

class Simulation {
 public:
  Simulation(std::uint64_t seed, Break broken) : world_(seed), network_(world_), broken_(broken) {
    for (int i = 0; i < kPoints; ++i) {
      points_.push_back(std::make_unique<Point>());
      points_.back()->node = kServices + i;
      points_.back()->mate = kMates[static_cast<std::size_t>(i) % std::size(kMates)];
    }
  }

  Outcome run() {
    for (auto& point : points_) start(*point);
    live();
    world_.run_until(kTroubled);
    network_.healthy = true;
    network_.heal();
    for (auto& up : service_up_) up = true;
    calm_ = true;
    world_.run_until(kTroubled + kHealing);
    check_progress();
    outcome_.events = world_.count();
    outcome_.lost = network_.lost;
    return outcome_;
  }

 private:
  /// An enforcement point: in a Mate, or the verification of a service; both keep their copy the same way.
  struct Point {
    int node = 0;
    MateId mate;
    std::uint64_t life = 0;  ///< what was sent to an earlier life is not for this one
    bool up = true;
    std::unique_ptr<guard::ConsentIndex> index;
    guard::Lease lease;
    guard::Epochs epochs;
    std::uint64_t sync = 0;  ///< the one under way, 0 for none
    guard::Lease::Question question;
    Micros wall_offset{0};
  };

  SteadyTime steady() const { return SteadyTime(world_.now() + 24h); }
  Timestamp wall(Micros offset = 0us) const { return Timestamp(world_.now() + offset + 24h * 365 * 56); }

  // Enforcement points.

  void start(Point& point) {
    ++point.life;
    point.up = true;
    point.index = std::make_unique<guard::ConsentIndex>();
    point.lease = {};
    point.epochs = {};
    point.sync = 0;
    keep_syncing(point, point.life);
  }

  void keep_syncing(Point& point, std::uint64_t life) {
    if (point.life != life || !point.up) return;
    begin_sync(point);
    world_.after(guard::kSyncPause, [this, &point, life] { keep_syncing(point, life); });
  }

  void begin_sync(Point& point) {
    if (point.sync != 0) return;
    point.sync = ++next_sync_;
    point.question = point.lease.ask(steady());
    point.epochs.sync_begins();
    const auto number = point.sync, life = point.life;
    const auto since = point.epochs.at();
    const int service = static_cast<int>(world_.below(kServices));
    network_.send(point.node, service, [this, &point, service, since, number, life] {
      if (!service_up_[service]) return;
      // The truth is read at this moment, whenever the answer arrives.
      std::vector<consent::Consent> changes;
      for (const auto& [id, record] : truth_.consents) {
        if (record.mate_id == point.mate && record.mate_epoch > since) changes.push_back(record);
      }
      const auto epoch = truth_.mate_epochs[point.mate];
      network_.send(service, point.node, [this, &point, changes, epoch, number, life] {
        if (point.life == life && point.sync == number) end_sync(point, &changes, epoch);
      });
    });
    world_.after(kSyncTimeout, [this, &point, number, life] {
      if (point.life == life && point.sync == number) end_sync(point, nullptr, 0);
    });
  }

  void end_sync(Point& point, const std::vector<consent::Consent>* changes, std::uint64_t epoch) {
    point.sync = 0;
    if (changes != nullptr && broken_ != Break::renew_over_gaps) {
      for (const auto& record : *changes) point.index->apply(record);
    }
    const bool complete = point.epochs.sync_ended(changes != nullptr ? epoch : point.epochs.at());
    if (!complete && broken_ != Break::renew_over_gaps) point.lease.fall_behind();
    if (changes == nullptr) return;
    if (broken_ == Break::count_from_answer) point.question.asked_at = steady();
    point.lease.renew(point.question);
  }

  void on_push(Point& point, const consent::Consent& record) {
    point.index->apply(record);
    if (point.epochs.pushed(record.mate_epoch) != guard::Push::gap || broken_ == Break::renew_over_gaps)
      return;
    point.lease.fall_behind();
    begin_sync(point);
  }

  // Services and people.

  void spread(int service, const consent::Consent& record) {
    for (auto& point : points_) {
      if (point->mate != record.mate_id) continue;
      const auto life = point->life;
      network_.send(service, point->node, [this, &point = *point, record, life] {
        if (point.life == life && point.up) on_push(point, record);
      });
    }
  }

  /// A person asks a service; `acknowledged` runs when its reply has left.
  void change(consent::Consent record, std::function<void()> acknowledged) {
    const int service = static_cast<int>(world_.below(kServices));
    world_.after(world_.between(200us, 20ms), [this, service, record, acknowledged] {
      if (!service_up_[service]) return;
      const auto committed = truth_.commit(record);
      // A crash here: committed, and nobody is told.
      if (!calm_ && world_.chance(0.02)) return crash_service(service);
      world_.after(world_.between(50us, 2ms), [this, service, committed, acknowledged] {
        if (!service_up_[service]) return;
        spread(service, committed);
        if (acknowledged) acknowledged();
      });
    });
  }

  void grant() {
    consent::Consent record;
    record.consent_id = ConsentId::trusted("c" + std::to_string(++next_consent_));
    record.user_id = UserId::trusted("person-" + std::to_string(world_.below(kPeople)));
    record.mate_id = kMates[world_.below(std::size(kMates))];
    record.purposes = {purpose_};
    record.scopes = {scope_};
    record.granted = true;
    record.granted_at = wall();
    change(record, {});
  }

  void revoke() {
    std::vector<const consent::Consent*> held;
    for (const auto& [id, record] : truth_.consents) {
      if (record.granted) held.push_back(&record);
    }
    if (held.empty()) return;
    auto record = *held[world_.below(held.size())];
    record.granted = false;
    record.revoked_at = wall();
    ++outcome_.revocations;
    change(record, [this, id = record.consent_id.str()] { revoked_.try_emplace(id, world_.now()); });
  }

  /// A use of somebody's data is decided at a random point.
  void use() {
    auto& point = *points_[world_.below(points_.size())];
    if (!point.up) return;
    const auto user = UserId::trusted("person-" + std::to_string(world_.below(kPeople)));
    if (!point.lease.alive(steady()) && broken_ != Break::ignore_lease) {
      ++outcome_.denied;
      return;
    }
    const std::vector<Scope> scopes{scope_};
    const auto answer = point.index->decide(user, point.mate, scopes, purpose_, wall(point.wall_offset));
    ++(answer.allowed() ? outcome_.allowed : outcome_.denied);
    if (!answer.allowed()) return;
    const auto id = point.index->id(answer.record).str();
    if (!truth_.consents.contains(id)) return violate("allowed by " + id + ", which nobody has granted");
    if (const auto revoked = revoked_.find(id); revoked != revoked_.end()) {
      const auto late = world_.now() - revoked->second;
      outcome_.last_allow_us = std::max<std::uint64_t>(outcome_.last_allow_us, std::uint64_t(late.count()));
      if (late >= guard::kLeaseDuration)
        violate(id + " allowed " + std::to_string(late.count()) +
                " us after its revocation was acknowledged");
    }
  }

  void violate(std::string what) {
    if (!outcome_.violation)
      outcome_.violation = "at " + std::to_string(world_.now().count()) + " us: " + std::move(what);
  }

  /// Everything has been well for long enough: what holds in the truth is allowed everywhere.
  void check_progress() {
    for (auto& point : points_) {
      if (!point->lease.alive(steady())) return violate("a copy did not recover");
      for (int i = 0; i < kPeople; ++i) {
        const auto user = UserId::trusted("person-" + std::to_string(i));
        bool holds = false;
        for (const auto& [id, record] : truth_.consents)
          holds = holds || (record.granted && record.user_id == user && record.mate_id == point->mate);
        const std::vector<Scope> scopes{scope_};
        if (holds != point->index->decide(user, point->mate, scopes, purpose_, wall()).allowed())
          return violate("a copy does not agree with the truth although all is well");
      }
    }
  }

  // Trouble.

  void crash_service(int service) {
    ++outcome_.crashes;
    service_up_[service] = false;
    world_.after(world_.between(50ms, 3s), [this, service] { service_up_[service] = true; });
  }

  void crash_point() {
    auto& point = *points_[world_.below(points_.size())];
    if (!point.up) return;
    ++outcome_.crashes;
    point.up = false;
    ++point.life;
    world_.after(world_.between(10ms, 2s), [this, &point] { start(point); });
  }

  void partition() {
    const int nodes = kServices + kPoints;
    for (int a = 0; a < nodes; ++a) {
      for (int b = a + 1; b < nodes; ++b) {
        if (world_.chance(0.4)) network_.cut(a, b);
      }
    }
    world_.after(world_.between(50ms, 5s), [this] { network_.heal(); });
  }

  void live() {
    const auto every = [this](Micros low, Micros high, auto what, bool only_in_trouble) {
      // A loop that plants itself again; it lives as long as the simulation.
      auto loop = std::make_unique<std::function<void()>>();
      *loop = [this, low, high, what, only_in_trouble, next = loop.get()] {
        if (only_in_trouble && calm_) return;
        what();
        world_.after(world_.between(low, high), *next);
      };
      world_.after(world_.between(low, high), *loop);
      loops_.push_back(std::move(loop));
    };
    every(
        20ms, 400ms,
        [this] {
          if (!calm_ || world_.now() < kTroubled + 3s) grant();
        },
        false);
    every(
        20ms, 500ms,
        [this] {
          if (!calm_ || world_.now() < kTroubled + 3s) revoke();
        },
        false);
    every(
        1ms, 8ms, [this] { use(); }, false);
    every(
        1s, 8s, [this] { partition(); }, true);
    every(
        1s, 10s, [this] { crash_point(); }, true);
    every(
        1s, 10s, [this] { crash_service(static_cast<int>(world_.below(kServices))); }, true);
    every(
        500ms, 4s, [this] { network_.set_loss(world_.chance(0.3) ? 0.4 : 0.02); }, true);
    every(
        2s, 9s, [this] { points_[world_.below(points_.size())]->wall_offset = world_.between(-5s, 5s); },
        true);
  }

  World world_;
  Network network_;
  Break broken_;
  Truth truth_;
  std::vector<std::unique_ptr<Point>> points_;
  bool service_up_[kServices] = {true, true};
  bool calm_ = false;
  std::map<std::string, Micros> revoked_;  ///< when each revocation was acknowledged
  std::uint64_t next_consent_ = 0, next_sync_ = 0;
  std::vector<std::unique_ptr<std::function<void()>>> loops_;
  Outcome outcome_;
  const Scope scope_ = Scope::trusted("profile.read");
  const Purpose purpose_ = Purpose::trusted("analytics");
};

}  // namespace

std::optional<Break> break_of(std::string_view name) {
  for (const auto& [known, which] : {std::pair<std::string_view, Break>{"lease", Break::ignore_lease},
                                     {"answer", Break::count_from_answer},
                                     {"gaps", Break::renew_over_gaps}}) {
    if (name == known) return which;
  }
  return std::nullopt;
}

Outcome simulate(std::uint64_t seed, Break broken) {
  return Simulation(seed, broken).run();
}

}  // namespace intra365::sim
