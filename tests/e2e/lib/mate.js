// What a Mate author without an SDK writes: a request with the headers of the contract.
import { headers as natsHeaders } from "@nats-io/transport-node";

export async function request(session, subject, body, extra = {}) {
  const headers = natsHeaders();
  headers.set("Authorization", `Bearer ${session.token}`);
  for (const [name, value] of Object.entries(extra)) headers.set(name, value);
  const payload = body instanceof Uint8Array ? body : JSON.stringify(body);
  const message = await session.connection.request(subject, payload, { headers, timeout: 5000 });
  const reply = message.json();
  return { reply, code: message.headers?.get("Nats-Service-Error-Code") || undefined, error: reply.error?.code };
}
