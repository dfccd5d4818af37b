// NATS JWTs: the input once as a whole token, and once as claims under a good header and signature, because
// no fuzzer finds a signature.
#include <cassert>

#include "crypto/encoding.hpp"
#include "crypto/nats_jwt.hpp"

using namespace intra365::crypto;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A fixed key: its public text can then stand in a corpus.
  static const Nkey server =
      Nkey::from_seed("SNAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H2D5U").value();
  static const std::string header = base64url(R"({"typ":"JWT","alg":"ed25519-nkey"})");
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  assert(!read_nats_jwt(text) || text.size() <= 1 << 20);
  const std::string signed_text = header + "." + base64url(text);
  const auto request =
      read_authorization_request(signed_text + "." + base64url(server.sign(signed_text)), {});
  if (request) {
    assert(request->server_id == server.public_key() && is_public_key(request->user_nkey, KeyKind::user));
    (void)request->proves_nkey();
  }
  return 0;
}
