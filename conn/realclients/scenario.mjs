// What a real client does with a real server, whichever client it is. Nothing
// here knows Node or the browser: connect(path, protocols) makes a WebSocket,
// and ask(what, body) talks to the test. A step that fails throws.

const te = new TextEncoder();
const td = new TextDecoder();

function check(ok, what) {
  if (!ok) throw new Error(what);
}

function same(got, want, what) {
  check(got === want, `${what}: got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
}

// Bytes that are no UTF-8.
function noise(length) {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + 0xfe) & 0xff);
}

function sameBytes(got, want, what) {
  check(got instanceof ArrayBuffer, `${what}: not a binary message`);
  const bytes = new Uint8Array(got);
  same(bytes.length, want.length, `${what}: length`);
  check(bytes.every((b, i) => b === want[i]), `${what}: other bytes`);
}

// A Client is a socket whose messages wait until they are asked for.
class Client {
  constructor(socket) {
    this.socket = socket;
    this.messages = [];
    this.takers = [];
    socket.binaryType = "arraybuffer";
    this.opened = new Promise((resolve, reject) => {
      socket.addEventListener("open", resolve);
      socket.addEventListener("close", () => reject(new Error("closed before it was open")));
    });
    this.opened.catch(() => {});
    this.closed = new Promise((resolve) => socket.addEventListener("close", resolve));
    socket.addEventListener("error", () => {}); // a close follows
    socket.addEventListener("message", (event) => {
      const taker = this.takers.shift();
      if (taker) taker(event.data);
      else this.messages.push(event.data);
    });
  }

  next() {
    if (this.messages.length > 0) return Promise.resolve(this.messages.shift());
    return Promise.race([
      new Promise((resolve) => this.takers.push(resolve)),
      this.closed.then((e) => { throw new Error(`closed with ${e.code} ${e.reason} instead of a message`); }),
    ]);
  }
}

export async function scenario({ connect, ask, extras }) {
  const open = async (path, ...protocols) => {
    const client = new Client(connect(path, ...protocols));
    await client.opened;
    return client;
  };
  const publish = (channel, payload) => ask("publish?channel=" + encodeURIComponent(channel), payload);
  const steps = {
    async "messages reach their channel and no other"() {
      const names = { "news": "/news", "sport/1": "/sport%2F1", "日本語 é": "/日本語%20é", "a+b?c": "/a+b%3Fc", "100%": "/100%25?query=1" };
      const clients = {};
      for (const [name, path] of Object.entries(names)) clients[name] = await open(path);
      for (const name of Object.keys(names)) same(await publish(name, te.encode("for " + name)), "1", `receivers at ${name}`);
      for (const [name, client] of Object.entries(clients)) {
        same(await client.next(), "for " + name, name);
        client.socket.close();
        await client.closed;
        same(client.messages.length, 0, "more messages at " + name);
      }
    },

    async "text is text, and bytes are bytes"() {
      const c = await open("/payloads");
      for (const text of ["", "é€😀", "x".repeat(125), "x".repeat(126), "é".repeat(40000)]) {
        await publish("payloads", te.encode(text));
        same(await c.next(), text, "a text");
      }
      for (const length of [1, 126, 65535, 65536, 1 << 20]) {
        await publish("payloads", noise(length));
        sameBytes(await c.next(), noise(length), `${length} bytes`);
      }
      c.socket.close();
      await c.closed;
    },

    async "a thousand messages come in order"() {
      const c = await open("/order");
      await ask("order?channel=order&messages=1000");
      for (let i = 0; i < 1000; i++) same(await c.next(), String(i), "order");
      c.socket.close();
      await c.closed;
    },

    async "what a client says goes to its channel"() {
      const [a, b] = [await open("/room"), await open("/room")];
      const said = ["hello", "é€😀", "", "x".repeat(70000), "é".repeat(300000)];
      for (const text of said) a.socket.send(text);
      a.socket.send(noise(1000));
      for (const client of [a, b]) {
        for (const text of said) same(await client.next(), text, "an echo");
        sameBytes(await client.next(), noise(1000), "an echo of bytes");
      }
      b.socket.send("answer");
      same(await a.next(), "answer", "the other's answer");
      same(await b.next(), "answer", "its own answer");
      a.socket.close();
      b.socket.close();
      await Promise.all([a.closed, b.closed]);
    },

    async "closing is answered with the same code"() {
      const c = await open("/closing");
      c.socket.close(4001, "bye é");
      const event = await c.closed;
      same(event.code, 4001, "code");
      same(event.wasClean, true, "wasClean");
    },

    async "a message that is too long is refused with 1009"() {
      const c = await open("/long");
      c.socket.send(noise((1 << 20) + 1));
      const event = await c.closed;
      same(event.code, 1009, "code");
      same(event.wasClean, true, "wasClean");
    },

    async "paths that name no channel are refused"() {
      for (const path of ["/", "/-/nothing", "/" + "x".repeat(256), "/%ff"]) {
        const c = new Client(connect(path));
        same((await c.closed).code, 1006, `code at ${path}`);
      }
    },

    async "c10m.v1 has many channels on one connection"() {
      const [a, b] = [await open("/", "c10m.v1"), await open("/b", "c10m.v1")];
      same(a.socket.protocol, "c10m.v1", "protocol");
      const channels = ["a/1", "日本語 é", "100%?#"];
      for (const channel of channels) a.socket.send("SUB " + encodeURIComponent(channel));
      const words = async (client) => (await client.next()).split("\n")[0].split(" ");
      for (const channel of channels) {
        const [ok, verb, name] = await words(a);
        same(`${ok} ${verb} ${decodeURIComponent(name)}`, "OK SUB " + channel, "answer");
      }
      same((await words(b))[2], "b", "the channel of the URL");
      for (const channel of channels) {
        b.socket.send(`PUB ${encodeURIComponent(channel)}\nto ${channel}\n`);
        const [head, ...lines] = (await a.next()).split("\n");
        const [verb, name, id] = head.split(" ");
        same(`${verb} ${decodeURIComponent(name)}`, "MSG " + channel, "delivery");
        check(/^[a-z0-9]{8}-[0-9]+$/.test(id), `id ${id}`);
        same(lines.join("\n"), `to ${channel}\n`, "payload");
      }
      const head = te.encode("PUB a%2F1\n");
      const frame = new Uint8Array([...head, ...noise(70000)]);
      b.socket.send(frame);
      const bytes = new Uint8Array(await a.next());
      sameBytes(bytes.slice(bytes.indexOf(10) + 1).buffer, noise(70000), "bytes");
      a.socket.send("UNSUB a/1");
      same(await a.next(), "OK UNSUB a/1", "answer");
      same(await publish("a/1", te.encode("nobody")), "0", "receivers");
      a.socket.send("PING");
      same(await a.next(), "PONG", "answer");
      a.socket.close();
      b.socket.close();
      await Promise.all([a.closed, b.closed]);
    },

    ...extras({ open, same, check, te, td }),

    async "a drain says 1012"() {
      const [a, b] = [await open("/drain"), await open("/drained")];
      await ask("drain");
      for (const client of [a, b]) {
        const event = await client.closed;
        same(event.code, 1012, "code");
        same(event.reason, "server restarts", "reason");
        same(event.wasClean, true, "wasClean");
      }
    },
  };
  for (const [name, step] of Object.entries(steps)) {
    try {
      await step();
    } catch (error) {
      throw new Error(`${name}: ${error.message}`);
    }
    await ask("step", te.encode(name));
  }
}
