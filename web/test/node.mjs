// The scenario in Node, with the WebSocket of npm's ws. Arguments: the test's
// address and the file c10m.js.
import { createRequire } from "node:module";
import { scenario } from "./scenario.mjs";

const { WebSocket } = createRequire(new URL("../../conn/realclients/node.mjs", import.meta.url))("ws");
const [test, file] = process.argv.slice(2);

async function ask(what, body) {
  const response = await fetch(`${test}/${what}`, { method: "POST", body });
  if (!response.ok) throw new Error(`${what}: ${response.status} ${await response.text()}`);
  return response.text();
}

try {
  const { C10m } = await import(file);
  await scenario({ C10m, ask, options: { WebSocket } });
  await ask("done");
} catch (error) {
  await ask("failed", error.message);
}
