// X25519 boxes of NATS: "xkv1", 24 bytes nonce, then a NaCl box with its 16-byte authenticator in front.
#include <algorithm>
#include <mutex>
#include <optional>
#include <vector>

#include "crypto/key_text.hpp"
#include "crypto/nkey.hpp"
#include "crypto/sodium.hpp"

namespace intra365::crypto {
namespace {

constexpr std::string_view kVersion = "xkv1";
constexpr std::size_t kNonceSize = crypto_box_NONCEBYTES;
constexpr std::size_t kOverhead = kVersion.size() + kNonceSize + crypto_box_MACBYTES;
constexpr std::size_t kMaxMessage = 1 << 20;
/// A cluster has a handful of servers, each with one key per process life.
constexpr std::size_t kMaxPeers = 16;

}  // namespace

/// The secrets shared with the last peers; the oldest makes room for a new one.
class Xkey::SharedSecrets {
 public:
  ~SharedSecrets() {
    for (Entry& entry : entries_) sodium_memzero(entry.secret.data(), entry.secret.size());
  }

  /// Nullopt for a peer key that would give every sender the same secret.
  std::optional<RawKey> with(const RawKey& peer, const RawKey& own) {
    const std::scoped_lock lock(mutex_);
    const auto known = std::ranges::find(entries_, peer, &Entry::peer);
    if (known != entries_.end()) return known->secret;
    Entry entry{peer, {}};
    if (crypto_box_beforenm(entry.secret.data(), peer.data(), own.data()) != 0) return std::nullopt;
    if (entries_.size() < kMaxPeers) {
      entries_.reserve(kMaxPeers);  // a growing vector would leave secrets behind in freed memory
      entries_.push_back(entry);
    } else {
      entries_[oldest_] = entry;
      oldest_ = (oldest_ + 1) % kMaxPeers;
    }
    return entry.secret;
  }

 private:
  struct Entry {
    RawKey peer;
    RawKey secret;
  };
  std::mutex mutex_;
  std::vector<Entry> entries_;
  std::size_t oldest_ = 0;
};

Xkey::Xkey() : shared_secrets_(std::make_shared<SharedSecrets>()) {}
Xkey::~Xkey() {
  sodium_memzero(seed_.data(), seed_.size());
}

void Xkey::complete() {
  ensure_sodium();
  RawKey raw{};
  crypto_scalarmult_base(raw.data(), seed_.data());
  public_key_ = encode_public_key(KeyKind::curve, raw);
}

Xkey Xkey::generate() {
  ensure_sodium();
  Xkey key;
  randombytes_buf(key.seed_.data(), key.seed_.size());
  key.complete();
  return key;
}

Result<Xkey> Xkey::from_seed(std::string_view seed) {
  auto parsed = parse_seed(seed);
  if (!parsed || parsed->kind != KeyKind::curve)
    return fail(errors::bad_key, "The text is not the seed of a NATS sealing key.");
  Xkey key;
  key.seed_ = parsed->key;
  sodium_memzero(parsed->key.data(), parsed->key.size());
  key.complete();
  return key;
}

std::string Xkey::seed() const {
  return encode_seed(KeyKind::curve, seed_);
}

Result<std::string> Xkey::seal(std::string_view message, std::string_view recipient_public_key) const {
  TRY(const auto peer, decode_public_key(recipient_public_key, KeyKind::curve));
  if (message.size() > kMaxMessage)
    return fail(errors::bad_seal, "The message is too large to be sealed (1 MiB).");
  auto secret = shared_secrets_->with(peer, seed_);
  if (!secret) return fail(errors::bad_key, "The recipient's sealing key is not usable.");

  std::string sealed(kOverhead + message.size(), '\0');
  std::copy(kVersion.begin(), kVersion.end(), sealed.begin());
  unsigned char* nonce = bytes_of(sealed) + kVersion.size();
  randombytes_buf(nonce, kNonceSize);
  crypto_box_easy_afternm(nonce + kNonceSize, bytes_of(message), message.size(), nonce, secret->data());
  sodium_memzero(secret->data(), secret->size());
  return sealed;
}

Result<std::string> Xkey::open(std::string_view sealed, std::string_view sender_public_key) const {
  TRY(const auto peer, decode_public_key(sender_public_key, KeyKind::curve));
  if (sealed.size() <= kOverhead || sealed.size() > kOverhead + kMaxMessage || !sealed.starts_with(kVersion))
    return fail(errors::bad_seal);
  auto secret = shared_secrets_->with(peer, seed_);
  if (!secret) return fail(errors::bad_key, "The sender's sealing key is not usable.");

  const unsigned char* nonce = bytes_of(sealed) + kVersion.size();
  std::string message(sealed.size() - kOverhead, '\0');
  const int opened =
      crypto_box_open_easy_afternm(bytes_of(message), nonce + kNonceSize,
                                   sealed.size() - kVersion.size() - kNonceSize, nonce, secret->data());
  sodium_memzero(secret->data(), secret->size());
  if (opened != 0) return fail(errors::bad_seal);
  return message;
}

}  // namespace intra365::crypto
