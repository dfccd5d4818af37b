// What a Mate author without an SDK writes to read an answer in parts (docs/adr/0006), and the same over HTTP.
import { randomUUID } from "node:crypto";
import { headers as natsHeaders } from "@nats-io/transport-node";

/** Asks `mate` for an answer in parts. `parts` grows with { number, at, data }; `end` is { code, at, error }. */
export function openParts(session, mate, action, body, { user, window = 16, extra = {}, takes = true } = {}) {
  const answer = { parts: [], heartbeats: 0 };
  const inbox = `_INBOX_${session.id}.stream.${mate}.${randomUUID().replaceAll("-", "")}`;
  const subscription = session.connection.subscribe(inbox);
  const control = (name, value) => {
    const headers = natsHeaders();
    headers.set(name, String(value));
    session.connection.publish(answer.control, "", { headers });
  };
  answer.take = () => control("Intra365-Stream-Taken", answer.parts.length);
  answer.cancel = () => control("Intra365-Stream-Cancel", 1);
  /** Reads no more, ended or not. */
  answer.stop = () => {
    if (!answer.end && answer.control) answer.cancel();
    subscription.unsubscribe();
  };
  answer.ended = (async () => {
    for await (const message of subscription) {
      const at = performance.now();
      const number = message.headers?.get("Intra365-Stream-Part");
      const end = message.headers?.get("Intra365-Stream-End");
      if (message.reply) answer.control ??= message.reply;
      if (end || !number) {
        // That nobody is there the server itself says, without a body.
        const error = message.data.length > 0 ? message.json().error : { code: "nats.no_responders" };
        answer.end = { code: end || error?.code, at, last: Number(number), error: end === "ok" ? undefined : error };
        break;
      }
      if (number === "0") {
        answer.heartbeats += 1;
        continue;
      }
      answer.parts.push({ number: Number(number), at, data: message.string() });
      if (takes) answer.take();
    }
    return answer.end;
  })();
  const headers = natsHeaders();
  headers.set("Authorization", `Bearer ${session.token}`);
  headers.set("Intra365-Stream", String(window));
  if (user) headers.set("X-User-Id", user);
  for (const [name, value] of Object.entries(extra)) headers.set(name, value);
  session.connection.publish(`intra365.mate.${mate}.${action}`, body, { headers, reply: inbox });
  return answer;
}

/** Reads a response's body as it comes; `on(text)` may return false to hang up. */
export async function readBody(response, on = () => true) {
  let text = "";
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text;
    text += decoder.decode(value, { stream: true });
    if (on(text) === false) {
      await reader.cancel();
      return text;
    }
  }
}

/** `event`, `id` and `data` of each Server-Sent Event. */
export const events = (text) =>
  text.split("\n\n").filter((block) => block.trim()).map((block) => Object.fromEntries(block.split("\n").map((line) => [line.slice(0, line.indexOf(": ")), line.slice(line.indexOf(": ") + 2)])));
