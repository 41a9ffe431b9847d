// What c10m.d.ts has to refuse.
import { C10m, C10mError, Subscription, outcomes } from "../../c10m.js";

// @ts-expect-error a client needs a URL
new C10m();
const client = new C10m("/");
// @ts-expect-error no such transport
new C10m("/", { transports: ["carrier-pigeon"] });
// @ts-expect-error no such option
new C10m("/", { heartbeat: 30 });
// @ts-expect-error seconds are a number
new C10m("/", { connectSeconds: "10" });
// @ts-expect-error a function for the token returns one
new C10m("/", { token: () => 7 });
// @ts-expect-error afterGap is "new" or "kept"
new C10m("/", { afterGap: "old" });
// @ts-expect-error no such limit
new C10m("/", { queue: { seconds: 5 } });

// @ts-expect-error subscriptions come from subscribe
new Subscription();
// @ts-expect-error a channel is a string
client.subscribe(7);
// @ts-expect-error since is an id, or "first"
const news = client.subscribe("news", { since: 7 });
// @ts-expect-error the state is read-only
client.state = "closed";
// @ts-expect-error so is the position
news.position = "first";
// @ts-expect-error no such state
if (client.state === "opened") client.close();

// @ts-expect-error a message has no position
news.addEventListener("message", ({ position }) => position);
// @ts-expect-error a gap has no data
news.addEventListener("gap", (event) => event.data);
// @ts-expect-error data may be bytes
news.addEventListener("message", ({ data }) => data.trim());
// @ts-expect-error the transport may be unknown
client.addEventListener("state", ({ transport }) => transport.length);
// @ts-expect-error a drop is no state
client.addEventListener("drop", ({ retryInSeconds }) => retryInSeconds);

// @ts-expect-error objects are not published
client.publish("news", { text: "hello" });
// @ts-expect-error a key is a string
client.publish("news", "hello", { key: 7 });
// @ts-expect-error only a POST says the connections
client.publish("news", "hello").then(({ connections }) => connections.toFixed());
// @ts-expect-error an error has a code
new C10mError();

// @ts-expect-error the table is read-only
outcomes.lost = outcomes.dead;
// @ts-expect-error no such outcome
outcomes.fine.next;
