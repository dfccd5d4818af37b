#include "tests/sim/world.hpp"

namespace intra365::sim {
namespace {

using guard::ConsentCopies;
// As the consent service waits.
constexpr Micros kLoadTimeout = std::chrono::seconds(2), kRenewTimeout = std::chrono::milliseconds(800);

}  // namespace

void Service::start() {
  ++life_;
  guard::ConsentCopies::Limits limits;
  limits.lease_time = world_.lease_of_services();
  copies_.emplace(limits);
  keep_fresh(life_);
}

void Service::hear(const Consent& record) {
  copies_->changed(kTenant, record, instant());
}

void Service::verify() {
  auto& scheduler = world_.scheduler();
  const auto& user = scheduler.pick(kUsers);
  const auto& mate = scheduler.pick(kMates);
  const auto scope = Scope::trusted(scheduler.pick(kScopes));
  ++world_.outcome().decisions;
  const auto fresh = copies_->fresh(kTenant, MateId::trusted(mate), instant());
  if (fresh.to_load) load(MateId::trusted(mate), fresh.to_load, life_);
  if (fresh.index == nullptr) return;  // the truth is asked, which is never wrong
  if (fresh.index->decide(user, mate, std::span(&scope, 1), "care", fresh.time).allowed())
    world_.judge(name(), user, mate, scope);
}

void Service::keep_fresh(int life) {
  if (life != life_) return;  // of a process that is gone
  auto& scheduler = world_.scheduler();
  const auto next = scheduler.now() + Micros(guard::kSyncPause);
  auto rounds = copies_->to_renew(scheduler.boot());
  const Then again = [this, life, next] {
    const auto now = world_.scheduler().now();
    world_.scheduler().after(next > now ? next - now : Micros(0), [this, life] { keep_fresh(life); });
  };
  if (rounds.empty()) return again();
  renew(std::make_shared<std::vector<ConsentCopies::Renewal>>(std::move(rounds.front().second)), life, again);
}

void Service::renew(std::shared_ptr<std::vector<ConsentCopies::Renewal>> used, int life, Then then) {
  for (auto& one : *used) ConsentCopies::ask(one, world_.scheduler().boot());
  const auto epochs = std::make_shared<std::vector<std::uint64_t>>();
  const auto at = std::make_shared<Timestamp>();
  world_.ask_database(
      *this, kRenewTimeout,
      [this, used, epochs, at] {
        *at = world_.scheduler().wall();
        for (const auto& one : *used) epochs->push_back(world_.truth().mate_epoch(one.mate.str()));
      },
      [this, used, epochs, at, life, then](bool answered) {
        if (life != life_) return;
        if (!answered) return then();
        for (std::size_t i = 0; i < used->size(); ++i) {
          if (!ConsentCopies::renew((*used)[i], (*epochs)[i], *at, instant()))
            load((*used)[i].mate, (*used)[i].load.copy, life);
        }
        then();
      });
}

void Service::load(const MateId& mate, const ConsentCopies::Pointer& copy, int life) {
  const auto loading = copies_->begin_load(copy, world_.scheduler().boot());
  if (loading) load_page(mate, *loading, life);
}

void Service::load_page(const MateId& mate, ConsentCopies::Load load, int life) {
  const auto page = std::make_shared<consent::SyncReply>();
  const auto records = std::make_shared<std::vector<Consent>>();
  const auto since = load.copy->consents.mate_epoch();
  world_.ask_database(
      *this, kLoadTimeout,
      [this, mate, page, records, since] {
        page->server_time = world_.scheduler().wall();
        page->mate_epoch = world_.truth().mate_epoch(mate.str());
        *records = world_.truth().changed_since(mate.str(), since, Truth::Which::all);
      },
      [this, mate, load, page, records, since, life](bool answered) {
        if (life != life_) return;
        if (!answered)
          return copies_->end_load(load, ConsentCopies::Loaded::failed, world_.scheduler().boot());
        world_.make_effective(records, [this, mate, load, page, records, since, life](bool is_there) {
          if (life != life_) return;
          if (!is_there)
            return copies_->end_load(load, ConsentCopies::Loaded::failed, world_.scheduler().boot());
          page->consents = *records;
          page->more = records->size() == Truth::kPage;
          const auto taken = copies_->take_page(load, since, *page, instant());
          if (taken == ConsentCopies::Taken::more) return load_page(mate, load, life);
          copies_->end_load(
              load,
              taken == ConsentCopies::Taken::all ? ConsentCopies::Loaded::all : ConsentCopies::Loaded::anew,
              world_.scheduler().boot());
        });
      });
}

}  // namespace intra365::sim
