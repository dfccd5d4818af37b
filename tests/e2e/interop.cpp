// Our NATS client behind a pipe, so that tests in another language can let it work beside another client:
// one JSON command a line on stdin, `{"call":…,"id":…,…}`; one JSON answer a line on stdout,
// `{"id":…,"ok":…}` or `{"id":…,"error":code}`. Bytes are base64.
//
//   nats_interop URL
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/json.hpp>
#include <iostream>

#include "crypto/encoding.hpp"
#include "nats/jetstream_consume.hpp"
#include "nats/jetstream_headers.hpp"
#include "nats/key_value.hpp"
#include "nats/object_store.hpp"
#include "nats/service.hpp"

namespace {

using namespace intra365;
namespace json = boost::json;
using namespace std::chrono_literals;

SteadyTime soon() {
  return std::chrono::steady_clock::now() + 10s;
}

/// The arguments of a command; what is absent is empty.
struct Arguments {
  json::object object;
  std::string text(std::string_view name) const {
    const auto* value = object.if_contains(name);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
  }
  std::string bytes(std::string_view name) const {
    return crypto::decode_base64(text(name)).value_or(std::string());
  }
  std::uint64_t number(std::string_view name) const {
    const auto* value = object.if_contains(name);
    return value && value->is_int64() ? static_cast<std::uint64_t>(value->get_int64()) : 0;
  }
};

json::value tell(const nats::Entry& entry) {
  static constexpr const char* kOperations[] = {"PUT", "DEL", "PURGE"};
  return json::object{{"key", entry.key},
                      {"value", entry.value},
                      {"revision", entry.revision},
                      {"operation", kOperations[static_cast<int>(entry.operation)]}};
}

json::value tell(const nats::ObjectInfo& info) {
  json::object object{{"name", info.meta.name},
                      {"description", info.meta.description},
                      {"size", info.size},
                      {"chunks", info.chunks},
                      {"digest", info.digest},
                      {"deleted", info.deleted},
                      {"nuid", info.nuid},
                      {"metadata", json::value_from(info.meta.metadata)},
                      {"headers", json::value_from(info.meta.headers)}};
  if (info.link) object["link"] = json::object{{"bucket", info.link->bucket}, {"name", info.link->name}};
  return object;
}

class Peer {
 public:
  Peer(asio::any_io_executor executor, std::string url)
      : connection_(executor, options(std::move(url))), jetstream_(connection_) {}

  Task<> connect() { return connection_.connect(soon()); }

  Task<json::value> call(std::string name, Arguments arguments) {
    if (name.starts_with("kv.")) return key_value(std::move(name), std::move(arguments));
    if (name.starts_with("obj.")) return object(std::move(name), std::move(arguments));
    if (name.starts_with("js.")) return stream(std::move(name), std::move(arguments));
    return service(std::move(name), std::move(arguments));
  }

 private:
  static nats::Options options(std::string url) {
    nats::Options options;
    options.urls = {std::move(url)};
    return options;
  }
  static Failure unknown() { return fail(errors::internal, "unknown command"); }

  Task<json::value> key_value(std::string name, Arguments arguments) {
    nats::KeyValue bucket(jetstream_, arguments.text("bucket"));
    const auto key = arguments.text("key"), value = arguments.text("value");
    if (name == "kv.make") {
      nats::BucketConfig config;
      config.name = arguments.text("bucket");
      config.history = static_cast<int>(arguments.number("history"));
      config.limit_marker_ttl = 1s;
      CO_CHECK(co_await nats::KeyValue::ensure(jetstream_, config));
      co_return json::value(true);
    }
    if (name == "kv.put") {
      CO_TRY(const auto revision, co_await bucket.put(key, value));
      co_return json::value(revision);
    }
    if (name == "kv.create") {
      const std::chrono::seconds ttl(arguments.number("ttl"));
      CO_TRY(const auto revision, co_await bucket.create(key, value, ttl));
      co_return json::value(revision);
    }
    if (name == "kv.update") {
      CO_TRY(const auto revision, co_await bucket.update(key, value, arguments.number("revision")));
      co_return json::value(revision);
    }
    if (name == "kv.get") {
      CO_TRY(const auto entry, co_await bucket.get(key));
      co_return entry ? tell(*entry) : json::value();
    }
    if (name == "kv.remove") {
      CO_CHECK(co_await bucket.remove(key));
      co_return json::value(true);
    }
    if (name == "kv.purge") {
      CO_CHECK(co_await bucket.purge(key));
      co_return json::value(true);
    }
    if (name == "kv.history" || name == "kv.keys") {
      json::array rows;
      if (name == "kv.keys") {
        CO_TRY(const auto keys, co_await bucket.keys());
        for (const auto& one : keys) rows.emplace_back(one);
      } else {
        CO_TRY(const auto entries, co_await bucket.history(key));
        for (const auto& entry : entries) rows.push_back(tell(entry));
      }
      co_return json::value(std::move(rows));
    }
    if (name == "kv.watch") {  // until `count` entries have been told; the end of the initial data is null
      CO_TRY(auto watcher, co_await bucket.watch());
      json::array rows;
      while (rows.size() < arguments.number("count")) {
        CO_TRY(const auto entry, co_await watcher.next(soon()));
        rows.push_back(entry ? tell(*entry) : json::value());
      }
      co_return json::value(std::move(rows));
    }
    co_return unknown();
  }

  Task<json::value> object(std::string name, Arguments arguments) {
    nats::ObjectStore store(jetstream_, arguments.text("bucket"));
    const auto object_name = arguments.text("name");
    if (name == "obj.make") {
      nats::ObjectStoreConfig config;
      config.name = arguments.text("bucket");
      CO_CHECK(co_await nats::ObjectStore::ensure(jetstream_, config));
      co_return json::value(true);
    }
    if (name == "obj.put") {
      nats::ObjectMeta meta;
      meta.name = object_name;
      meta.description = arguments.text("description");
      meta.metadata["written-by"] = "ours";
      meta.headers["X-Kind"] = {"a", "b"};
      if (arguments.number("chunk") != 0) meta.max_chunk_size = arguments.number("chunk");
      CO_TRY(const auto info, co_await store.put(meta, arguments.bytes("value")));
      co_return tell(info);
    }
    if (name == "obj.get") {
      CO_TRY(const auto value, co_await store.get_bytes(object_name, 64u << 20));
      co_return json::value(crypto::base64(value));
    }
    if (name == "obj.info") {
      CO_TRY(const auto info, co_await store.info(object_name));
      co_return tell(info);
    }
    if (name == "obj.remove") {
      CO_CHECK(co_await store.remove(object_name));
      co_return json::value(true);
    }
    if (name == "obj.link") {
      CO_TRY(const auto target, co_await store.info(arguments.text("target")));
      CO_TRY(const auto info, co_await store.link(object_name, target));
      co_return tell(info);
    }
    if (name == "obj.list") {
      CO_TRY(const auto objects, co_await store.list());
      json::array rows;
      for (const auto& info : objects) rows.push_back(tell(info));
      co_return json::value(std::move(rows));
    }
    if (name == "obj.seal") {
      CO_CHECK(co_await store.seal());
      co_return json::value(true);
    }
    co_return unknown();
  }

  Task<json::value> stream(std::string name, Arguments arguments) {
    const auto stream = arguments.text("stream"), subject = arguments.text("subject");
    if (name == "js.make") {
      nats::StreamConfig config;
      config.name = stream;
      config.subjects = {stream + ".>"};
      config.allow_atomic = true;
      config.metadata["made-by"] = "ours";
      CO_CHECK(co_await jetstream_.ensure_stream(config));
      co_return json::value(true);
    }
    if (name == "js.consumer") {
      nats::ConsumerConfig config;
      config.durable_name = arguments.text("consumer");
      config.filter_subjects = {subject};
      CO_CHECK(co_await jetstream_.ensure_consumer(stream, config));
      co_return json::value(true);
    }
    if (name == "js.publish") {
      nats::PublishOptions options;
      options.message_id = arguments.text("id_header");
      CO_TRY(const auto headers, nats::with_options({}, options));
      CO_TRY(const auto ack, co_await jetstream_.publish(subject, arguments.text("value"), headers));
      co_return json::value(json::object{{"seq", ack.sequence}, {"duplicate", ack.duplicate}});
    }
    if (name == "js.batch") {
      std::vector<nats::Outgoing> batch(arguments.number("count"));
      for (std::size_t i = 0; i < batch.size(); ++i) {
        batch[i].subject = subject;
        batch[i].payload = std::to_string(i);
      }
      CO_TRY(const auto ack, co_await jetstream_.publish_batch(batch));
      co_return json::value(ack.batch_count);
    }
    if (name == "js.consume") {
      nats::PullConsumer consumer(jetstream_, stream, arguments.text("consumer"));
      json::array payloads;
      while (payloads.size() < arguments.number("count")) {
        CO_TRY(const auto delivered, co_await consumer.next(soon()));
        payloads.emplace_back(delivered.message.payload());
        CO_CHECK(co_await jetstream_.acknowledge_sync(delivered));
      }
      co_return json::value(std::move(payloads));
    }
    if (name == "js.info") {
      CO_TRY(const auto info, co_await jetstream_.stream_info(stream));
      co_return json::value(json::object{{"messages", info.state.messages},
                                         {"subjects", json::value_from(info.config.subjects)},
                                         {"metadata", json::value_from(info.config.metadata)},
                                         {"compression", info.config.compression}});
    }
    co_return unknown();
  }

  Task<json::value> service(std::string name, Arguments arguments) {
    const nats::HeaderBlock none;
    if (name == "service.start") {  // upper-cases what it is sent, and refuses nothing at all
      nats::ServiceConfig config;
      config.name = arguments.text("name");
      config.version = "1.2.3";
      config.description = "a service of ours";
      auto& endpoint = config.endpoints.emplace_back();
      endpoint.name = "shout";
      endpoint.subject = arguments.text("subject");
      endpoint.metadata["kind"] = "test";
      auto handle = [](const nats::MessageView& request, std::size_t) -> nats::ServiceAnswer {
        nats::ServiceReply reply;
        reply.payload = request.payload;
        for (auto& c : reply.payload) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
        if (reply.payload.empty()) {
          reply.error_code = 400;
          reply.error_text = "say something";
        }
        return reply;
      };
      service_ = std::make_unique<nats::Service>(connection_, std::move(config), handle);
      CO_CHECK(service_->start());
      CO_CHECK(co_await connection_.flush(soon()));
      co_return json::value(service_->id());
    }
    if (name == "service.drain") {
      CO_CHECK(co_await service_->drain(soon()));
      co_return json::value(true);
    }
    if (name == "service.call") {
      const auto subject = arguments.text("subject"), value = arguments.text("value");
      CO_TRY(const auto reply, co_await connection_.request(subject, value, none, soon()));
      co_return json::value(json::object{{"value", reply.payload()},
                                         {"code", reply.headers().get("Nats-Service-Error-Code")},
                                         {"error", reply.headers().get("Nats-Service-Error")}});
    }
    if (name == "service.discover") {
      const auto subject = arguments.text("subject");
      CO_TRY(const auto replies, co_await connection_.request_many(subject, "", none, soon(), 100, 300ms));
      json::array rows;
      for (const auto& reply : replies) {
        boost::system::error_code error;
        rows.push_back(json::parse(reply.payload(), error));
      }
      co_return json::value(std::move(rows));
    }
    co_return unknown();
  }

  nats::Connection connection_;
  nats::JetStream jetstream_;
  std::unique_ptr<nats::Service> service_;
};

asio::awaitable<void> answer(Peer& peer, json::value id, std::string name, Arguments arguments) {
  auto result = co_await contain(peer.call(std::move(name), std::move(arguments)));
  json::object reply{{"id", std::move(id)}};
  if (result) {
    reply["ok"] = std::move(*result);
  } else {
    reply["error"] = result.error().code;
    reply["detail"] = result.error().detail;
  }
  std::cout << json::serialize(reply) << std::endl;
}

asio::awaitable<void> serve(asio::io_context& io, Peer& peer) {
  const auto connected = co_await peer.connect();
  if (!connected) {
    std::cerr << connected.error().code << ": " << connected.error().detail << "\n";
    std::_Exit(1);
  }
  asio::posix::stream_descriptor input(io, ::dup(STDIN_FILENO));
  asio::streambuf buffer;
  for (;;) {
    boost::system::error_code error;
    co_await asio::async_read_until(input, buffer, '\n', asio::redirect_error(asio::use_awaitable, error));
    if (error) break;
    std::istream stream(&buffer);
    std::string line;
    std::getline(stream, line);
    const auto command = json::parse(line, error);
    if (error || !command.is_object()) break;
    Arguments arguments;
    arguments.object = command.get_object();
    auto id = arguments.object["id"];
    auto name = arguments.text("call");
    // Several commands may run at once: a watch waits for what another command writes.
    asio::co_spawn(io, answer(peer, std::move(id), std::move(name), std::move(arguments)), asio::detached);
  }
  io.stop();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: nats_interop URL\n";
    return 2;
  }
  asio::io_context io(1);
  Peer peer(io.get_executor(), argv[1]);
  asio::co_spawn(io, serve(io, peer), asio::detached);
  io.run();
  return 0;
}
