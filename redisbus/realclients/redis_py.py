# The scenario with redis-py. Arguments: the port, the password, how many WebSockets
# are on the channel "news". Prints a line per step, and "cut" to have its connections cut.
import sys

import redis

port, password, here = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
client = redis.Redis(port=port, password=password, client_name="python", decode_responses=True)


def same(got, want, what):
    if got != want:
        raise SystemExit(f"{what}: got {got!r}, want {want!r}")


def step(name):
    print("step:", name, flush=True)


def following(subscription, kind):
    while True:
        message = subscription.get_message(timeout=60)
        if message is not None and message["type"] == kind:
            return message["channel"], message["data"]


same(client.publish("news", "plain"), here, "PUBLISH")
step("publish")

subscription = client.pubsub()
subscription.subscribe("news")
same(following(subscription, "subscribe"), ("news", 1), "SUBSCRIBE")
subscription.psubscribe("o*")
same(following(subscription, "psubscribe"), ("o*", 2), "PSUBSCRIBE")
step("subscribe")

pipeline = client.pipeline()  # MULTI and EXEC, which is its default
for i in range(1000):
    pipeline.publish("news", i)
same(pipeline.execute(), [here + 1] * 1000, "a pipeline")
for i in range(1000):
    same(following(subscription, "message"), ("news", str(i)), "a message of a pipeline")
pipeline = client.pipeline(transaction=False)
pipeline.publish("news", "a").publish("one", "b")
same(pipeline.execute(), [here + 1, 1], "a pipeline without MULTI")
same(following(subscription, "message"), ("news", "a"), "a message")
same(following(subscription, "pmessage"), ("one", "b"), "a message by pattern")
step("pipeline")


def both(pipe):
    pipe.multi()
    pipe.publish("news", "c").ping()


same(client.transaction(both, "watched"), [here + 1, True], "WATCH, MULTI")
same(following(subscription, "message"), ("news", "c"), "a message of a transaction")
try:
    client.pipeline().publish("news", "never").execute_command("FOO").execute()
    raise SystemExit("a transaction with an unknown command went through")
except redis.ResponseError:
    pass
client.publish("news", "d")
same(following(subscription, "message"), ("news", "d"), "after a failed transaction")
step("multi")

same("redis_version" in client.info(), True, "INFO")
same("python" in [c["name"] for c in client.client_list()], True, "CLIENT LIST")
try:
    redis.RedisCluster(port=port, password=password)
    raise SystemExit("it took it for a cluster")
except redis.exceptions.RedisClusterException:
    step("no cluster")

print("cut", flush=True)
sys.stdin.readline()
while True:
    try:
        # Its turn to read is when it notices that it is cut, and subscribes again.
        subscription.get_message(timeout=0.01)
        if client.publish("news", "again") == here + 1:
            break
    except redis.ConnectionError:
        pass
same(following(subscription, "message"), ("news", "again"), "after a cut")
client.publish("one", "again")
while following(subscription, "pmessage") != ("one", "again"):
    pass
step("reconnect")
