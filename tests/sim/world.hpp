// Who lives in the simulated world: enforcement points of Mates, consent services, and the world between.
#pragma once
#include <functional>
#include <memory>

#include "guard/consent_copies.hpp"
#include "guard/running_use.hpp"
#include "tests/sim/trust_world.hpp"
#include "tests/sim/truth.hpp"

namespace intra365::sim {

using consent::Consent;
using consent::HistoryEntry;

inline const TenantId kTenant = TenantId::trusted("default");
inline const std::vector<std::string> kUsers{"alice", "ben", "cleo"}, kMates{"reader", "writer", "keeper"};
inline const std::vector<std::string> kHouseholds{"h1", "h2"};
inline const std::vector<std::string> kGroups{"household:h1", "household:h2", "organisation:default"};
inline const std::vector<std::string> kScopes{"profile", "profile.read", "image", "image.analyze"};

class World;

/// Somebody with a connection that may be cut, and a clock that may be set.
class Place {
 public:
  bool cut_off() const;
  void cut_off_until(Micros until) { cut_off_until_ = std::max(cut_off_until_, until); }
  void set_clock(Micros by) { clock_off_ += by; }
  int life() const { return life_; }
  virtual void start() = 0;
  virtual ~Place() = default;

 protected:
  explicit Place(World& world) : world_(world) {}
  Instant instant() const;

  World& world_;
  int life_ = 0;  ///< what is older than this life is of no interest any more
  Micros cut_off_until_{0}, clock_off_{0};
};

/// A consent service's own copies, from which it verifies: filled when somebody asks, renewed in rounds.
class Service final : public Place {
 public:
  Service(World& world, int number) : Place(world), number_(number) { start(); }
  void start() override;
  void hear(const Consent& record);
  void verify();
  std::string name() const { return "service#" + std::to_string(number_); }

 private:
  friend class World;
  using Then = std::function<void()>;
  void keep_fresh(int life);
  void renew(std::shared_ptr<std::vector<guard::ConsentCopies::Renewal>> used, int life, Then then);
  void load(const MateId& mate, const guard::ConsentCopies::Pointer& copy, int life);
  void load_page(const MateId& mate, guard::ConsentCopies::Load load, int life);

  int number_;
  std::optional<guard::ConsentCopies> copies_;
};

/// One Mate's receiving side, as sdk/cpp has it: a copy, its lease, rounds of syncs, decisions.
class Point final : public Place {
 public:
  Point(World& world, std::string mate, int number) : Place(world), mate_(std::move(mate)), number_(number) {
    start();
  }
  void start() override;
  void hear(const Consent& record, int life);
  void sync();
  void decide();
  /// Looks at the uses that go on, as sdk/cpp does.
  void look();
  const std::string& mate() const { return mate_; }
  std::string name() const { return mate_ + "#" + std::to_string(number_); }

 private:
  friend class World;
  void ask(guard::SyncedLease::Round round, int life);
  void ask_second(guard::SyncedLease::Round round, int life, int page);
  void send(const consent::SyncRequest& request, int life,
            std::function<void(const consent::SyncReply&)> then);
  void finish(guard::SyncedLease::Round round, bool behind);
  void plan_sync(Micros delay);
  struct Use {
    guard::ConsentedUse what;
    guard::RunningUse running;
    Micros began, until;
  };
  void begin(const std::string& user, const Scope& scope, ConsentId consent);
  /// False once it is over, or done.
  bool goes_on(Use& use);
  Result<guard::StillCovered> covers(const guard::ConsentedUse& use) const;

  std::string mate_;
  int number_;
  std::optional<guard::ConsentCopy> copy_;
  std::optional<guard::SyncedLease> lease_;
  std::uint64_t question_ = 0, planned_ = 0;  ///< what is older than these is of no interest any more
  bool asking_ = false;
  std::vector<Use> uses_;
};

class World {
 public:
  explicit World(const Options& options);
  Outcome run();

  Scheduler& scheduler() { return scheduler_; }
  Break broken() const { return options_.broken; }
  std::chrono::milliseconds lease_of_points() const;
  std::chrono::milliseconds lease_of_services() const;
  const Truth& truth() const { return truth_; }
  Outcome& outcome() { return outcome_; }

  /// A message on its way; `at` is the place at one of its ends.
  void send(const Place& at, std::function<void()> arrive);
  /// `consent.sync` in a service: the epoch, and where it is another one, epoch and records at one moment.
  void answer(const consent::SyncRequest& question, std::function<void(consent::SyncReply)> reply);
  /// Runs `there` in the database; `done` says whether its answer came back in time.
  void ask_database(const Place& at, Micros timeout, std::function<void()> there,
                    std::function<void(bool)> done);
  /// Makes records as they hold, with a question of its own where any is delegated; false where the truth has
  /// gone back meanwhile.
  void make_effective(std::shared_ptr<std::vector<Consent>> records, std::function<void(bool)> then);
  /// Whoever allows this must have been allowed to within the last second.
  void judge(const std::string& who, const std::string& user, const std::string& mate, const Scope& scope);
  /// The same for a use that goes on: by the consent that it began under.
  void judge_part(const std::string& who, const guard::ConsentedUse& use);
  /// A use that is ended must not have been allowed all the time; `wall` is the later of the clocks there.
  void judge_end(const std::string& who, const guard::ConsentedUse& use, Micros began, const Error& why,
                 Timestamp wall);
  void violate(std::string what);
  Micros database_time();

 private:
  /// Every seed has its own: what is rare in one is common in another.
  struct Weather {
    double loss, slow;
    Micros calm;
  };
  Weather forecast();
  void person();
  void change(const std::string& subject);
  void move(const std::string& user);
  void tell(std::shared_ptr<std::vector<Consent>> stored, Service& by, int life);
  Result<HistoryEntry> decide(const std::string& subject, const std::vector<Consent>& held,
                              consent::Moment moment, Consent& before);
  Result<HistoryEntry> refuse(const std::string& subject, const consent::Moment& moment);
  Result<HistoryEntry> delegate(const std::vector<Consent>& held, consent::Moment moment);
  void spread(const Consent& record, Service& by);
  void keep_deciding(Point& point);
  void keep_looking(Point& point);
  void keep_verifying(Service& service);
  void misfortune();
  void all_agree();
  void points_agree();
  void services_agree();

  Options options_;
  Scheduler scheduler_;
  Weather weather_;
  Truth truth_;
  consent::Catalogue catalogue_;
  std::vector<std::unique_ptr<Point>> points_;
  std::vector<std::unique_ptr<Service>> services_;
  Outcome outcome_;
  int last_id_ = 0;
};

}  // namespace intra365::sim
