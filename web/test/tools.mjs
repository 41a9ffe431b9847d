// What the steps of the scenario (scenario.mjs, middleboxes.mjs) work with.

export const ways = ["websocket", "sse", "poll"];

export function check(ok, what) {
  if (!ok) throw new Error(what);
}

export function same(got, want, what) {
  const show = (value) => JSON.stringify(value, (_, v) => (v instanceof Uint8Array ? `bytes ${[...v]}` : v));
  check(show(got) === show(want), `${what}: got ${show(got)}, want ${show(want)}`);
}

// toolsOf are what a step works with.
export function toolsOf({ C10m, at, ask, options }) {
  const clients = [];

  // Hasty: a test has less patience than a page.
  const connect = (url, more) => {
    const client = new C10m(url, { backoffFirstSeconds: 0.2, backoffCapSeconds: 1, remember: false, ...options, ...more });
    client.states = [];
    client.addEventListener("state", ({ state, transport, reason }) => client.states.push(`${state} ${transport} ${reason ?? ""}`));
    clients.push(client);
    return client;
  };

  // until waits for events, not for a time; what hangs is ended by the test.
  const until = async (what, ok) => {
    for (let turns = 0; !ok(); turns++) {
      if (turns === 200) await ask("waits", what());
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  };

  const listen = async (client, channel, more) => {
    const subscription = client.subscribe(channel, more);
    subscription.got = [];
    subscription.addEventListener("message", ({ data }) => subscription.got.push(data));
    subscription.addEventListener("gap", () => subscription.got.push("gap"));
    subscription.addEventListener("error", ({ code }) => subscription.got.push(`error ${code}`));
    await until(() => `${channel} opens: ${client.states}`, () => subscription.state === "open");
    return subscription;
  };

  const heard = (subscription, count, client) =>
    until(() => `${count} at ${subscription.channel}: ${subscription.got.length} ${subscription.got.at(-1)} ${client.states.slice(-3)}`, () => subscription.got.length >= count);

  const publish = (channel, payload) => ask(`publish?channel=${encodeURIComponent(channel)}`, payload);

  // crowd is a client for each transport, and one subscription of each.
  const crowd = async (url, channel, more) => {
    const all = [];
    for (const way of ways) {
      const client = connect(url, { transports: [way], ...more });
      const subscription = await listen(client, channel);
      await publish(channel, `for ${way}`); // so that each has a position
      await heard(subscription, 1, client);
      all.push({ way, client, subscription });
    }
    for (const { client, subscription } of all) {
      await until(() => "the last arrival", () => subscription.got.at(-1) === `for ${ways.at(-1)}`);
      subscription.got.length = 0;
      client.states.length = 0;
    }
    return all;
  };

  return { at, ask, clients, connect, until, listen, heard, publish, crowd };
}
