// The scenario with the npm package ws. Arguments: the server, the test.
import WebSocket from "ws";
import { scenario } from "./scenario.mjs";

const [server, test] = process.argv.slice(2);

async function ask(what, body) {
  const response = await fetch(`${test}/${what}`, { method: "POST", body });
  if (!response.ok) throw new Error(`${what}: ${response.status} ${await response.text()}`);
  return response.text();
}

const once = (socket, name) => new Promise((resolve) => socket.once(name, (...args) => resolve(args)));

// What a browser's page can not do.
const extras = ({ open, same, check, te, td }) => ({
  async "pings are answered, and come"() {
    const c = await open("/pings");
    for (const payload of ["", "p", "x".repeat(125)]) {
      c.socket.ping(payload);
      const [answer] = await once(c.socket, "pong");
      same(td.decode(answer), payload, "a pong");
    }
    await once(c.socket, "ping"); // by --ping-interval; ws answers it
    c.socket.ping("still there");
    await once(c.socket, "pong");
    c.socket.close();
    await c.closed;
  },

  async "fragments with pings in between are one message"() {
    const c = await open("/fragments");
    const parts = ["é".repeat(10), "", "€".repeat(30000), "end"];
    for (const [i, part] of parts.entries()) {
      c.socket.send(part, { fin: i === parts.length - 1 });
      c.socket.ping("between");
    }
    same(await c.next(), parts.join(""), "the whole");
    const bytes = te.encode("é");
    c.socket.send(bytes.subarray(0, 1), { fin: false, binary: false });
    c.socket.send(bytes.subarray(1), { fin: true, binary: false });
    same(await c.next(), "é", "a rune in two fragments");
    c.socket.close();
    await c.closed;
  },

  async "compression is offered and not taken"() {
    const c = await open("/compression");
    same(c.socket.extensions, "", "extensions");
    c.socket.terminate();
    await c.closed;
  },
});

try {
  await scenario({ connect: (path, protocols = []) => new WebSocket(server + path, protocols, { perMessageDeflate: true }), ask, extras });
  await ask("done");
} catch (error) {
  await ask("failed", error.message);
}
