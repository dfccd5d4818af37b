#include "streaming/writer.hpp"

#include <algorithm>

#include "contract/headers.hpp"
#include "contract/reply.hpp"
#include "contract/subjects.hpp"
#include "streaming/word.hpp"

namespace intra365::streaming {
namespace {

constexpr std::size_t kTokenChars = 22;
constexpr auto kLook = std::chrono::milliseconds(100);
constexpr auto kRoomTime = std::chrono::seconds(5);

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

}  // namespace

Writer::Writer(nats::Connection& connection, Route route)
    : connection_(connection),
      route_(std::move(route)),
      heard_at_(now()),
      said_at_(now()),
      changed_(connection.executor(), SteadyTime::max()) {}

Result<void> Writer::say(std::uint64_t part, std::string_view payload, const Result<void>* end) {
  nats::HeaderBlock block;
  block.add(headers::stream_part, std::to_string(part));
  std::string body;
  if (end != nullptr) {
    block.add(headers::stream_end, *end ? "ok" : end->error().code);
    if (!*end) {
      body = error_body(end->error(), route_.trace_id);
      payload = body;
      block.add(headers::error_code, std::to_string(http_status(end->error().kind)));
      block.add(headers::error_text, end->error().code);
    }
  }
  said_at_ = now();
  return connection_.publish(route_.inbox, payload, block, route_.control);
}

Task<> Writer::check() {
  if (!over_ && now() >= route_.deadline) end(fail(intra365::errors::deadline));
  if (!over_ && permitted_) {
    auto permitted = co_await permitted_();
    if (!permitted) end(std::move(permitted));
  }
  if (!over_) co_return Result<void>{};
  if (!*over_) co_return fail(over_->error());
  co_return fail(errors::over);
}

Task<> Writer::send(std::string part) {
  const auto self = shared_from_this();
  while (true) {
    CO_CHECK(co_await self->check());
    // Nothing between the permission and the sending may wait.
    if (self->sent_ - self->taken_ < static_cast<std::uint64_t>(self->route_.window)) {
      auto said = self->say(self->sent_ + 1, part);
      if (said) break;
      if (said.error().is(nats::errors::buffer_full)) {
        CO_CHECK(co_await self->connection_.writable(now() + kRoomTime));
        continue;
      }
      // A part that never left would be a gap to the reader; one that is too large may be sent in pieces.
      if (!said.error().is(nats::errors::too_large)) self->end(said);
      co_return fail(said.error());
    }
    co_await self->wait_for_change();
  }
  ++self->sent_;
  co_return Result<void>{};
}

void Writer::end(Result<void> how) {
  if (over_) return;
  over_ = std::move(how);
  say_end();
  changed_.cancel();
}

void Writer::say_end() {
  const auto said = say(sent_, {}, &*over_);
  // Anything else is lost with the connection only: the reader sees the silence.
  end_waits_ = !said && said.error().is(nats::errors::buffer_full);
}

Task<> Writer::end_is_said() {
  while (end_waits_) {
    CO_CHECK(co_await connection_.writable(now() + kRoomTime));
    say_end();
  }
  co_return Result<void>{};
}

asio::awaitable<void> Writer::wait_for_change() {
  boost::system::error_code ignored;
  co_await changed_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

asio::awaitable<void> Writer::until_over() {
  while (!over_) co_await wait_for_change();
}

Task<> Writer::run(std::shared_ptr<Writer> self, Task<> filling) {
  using namespace asio::experimental::awaitable_operators;
  if (!self->over_) {
    const auto first = co_await (contain(std::move(filling)) || self->until_over());
    if (first.index() == 0) self->end(std::get<0>(first));
  }
  if (self->end_waits_) co_await self->end_is_said();
  co_return self->how();
}

void Writer::hear(const nats::MessageView& control) {
  heard_at_ = now();
  const auto said = read_control(control.headers);
  if (said.kind == Control::Kind::gone) return end(fail(errors::reader_gone));
  if (said.kind == Control::Kind::cancel) return end(fail(errors::cancelled));
  if (said.kind != Control::Kind::taken) return;
  // Neither back nor further than what was sent, whatever is claimed.
  taken_ = std::clamp(said.taken, taken_, sent_);
  changed_.cancel();
}

Writers::Writers(nats::Connection& connection, TaskGroup& tasks, MateId mate, Pace pace)
    : connection_(connection),
      tasks_(tasks),
      mate_(std::move(mate)),
      pace_(pace),
      control_(subjects::mate(mate_, "stream." + random_token(kTokenChars) + ".")) {}

Result<void> Writers::start() {
  TRY(subscription_,
      connection_.subscribe(control_ + "*", [this](const nats::MessageView& control) { hear(control); }));
  return tasks_.spawn(keep_pace());
}

Result<std::shared_ptr<Writer>> Writers::open(const nats::MessageView& request, SteadyTime deadline,
                                              std::string trace_id) {
  const auto window = read_window(request.headers);
  if (!window) return fail(errors::required);
  if (!nats::matches("*.stream." + mate_.str() + ".*", request.reply)) return fail(errors::bad_inbox);
  if (open_.size() >= kMaxOpen) return fail(errors::too_many);
  const auto token = random_token(kTokenChars);
  Writer::Route route;
  route.inbox = request.reply;
  route.control = control_ + token;
  route.trace_id = std::move(trace_id);
  route.window = *window;
  route.deadline = deadline;
  auto writer = std::make_shared<Writer>(connection_, std::move(route));
  open_.emplace(token, writer);
  writer->still_here();  // so that the reader knows whom to tell, before the first part
  return writer;
}

void Writers::hear(const nats::MessageView& control) {
  const auto known = open_.find(std::string(control.subject.substr(control_.size())));
  if (known == open_.end()) return;
  if (const auto writer = known->second.lock()) writer->hear(control);
}

Task<> Writers::keep_pace() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    co_await sleep_for(std::min<std::chrono::milliseconds>(kLook, pace_.heartbeat));
    const auto at = now();
    for (auto open = open_.begin(); open != open_.end();) {
      const auto writer = open->second.lock();
      if (!writer || writer->over()) {
        open = open_.erase(open);
        continue;
      }
      if (at >= writer->route_.deadline)
        writer->end(fail(intra365::errors::deadline));
      else if (at - writer->heard_at_ >= pace_.silence)
        writer->end(fail(errors::silent));
      else if (at - writer->said_at_ >= pace_.heartbeat)
        writer->still_here();
      ++open;
    }
  }
  co_return Result<void>{};
}

}  // namespace intra365::streaming
