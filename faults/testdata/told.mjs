// A client of c10m.js that says what it hears, a line each. Arguments: the server, the
// transport, the channels.
import { createRequire } from "node:module";
import { C10m } from "../../web/src/c10m.js";

const { WebSocket } = createRequire(new URL("../../conn/realclients/node.mjs", import.meta.url))("ws");
const [url, transport, channels] = process.argv.slice(2);
const client = new C10m(url, { transports: [transport], WebSocket, backoffFirstSeconds: 0.1, backoffCapSeconds: 1, pollSeconds: 5 });
for (const channel of channels.split(",")) {
  const subscription = client.subscribe(channel, { since: "first" });
  subscription.addEventListener("message", ({ data }) => console.log("message", channel, data));
  subscription.addEventListener("gap", () => console.log("gap", channel));
}
