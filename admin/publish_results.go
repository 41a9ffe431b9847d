package admin

import "c10m/bus"

// How a request to publish ended: the values of a counter's label.
const (
	resultPublished   = "published"
	resultBadRequest  = "bad_request" // 400, 405, 415
	resultTooBig      = "too_big"     // 413
	resultIncomplete  = "incomplete"  // 400, if anybody is there to read it
	resultOverloaded  = "overloaded"  // 429
	resultBusDown     = "bus_down"    // 503
	resultUnconfirmed = "unconfirmed" // 503
	resultKeyReused   = "key_reused"  // 422
)

// publishResults are all of them.
var publishResults = []string{resultPublished, resultBadRequest, resultTooBig, resultIncomplete, resultOverloaded, resultBusDown, resultUnconfirmed, resultKeyReused}

// repeatMetrics are the keys of messages.
var repeatMetrics = metricsOf[bus.RepeatsStats]([]number{
	{"publish_repeats_total", "Repeats", "Messages with a key (Idempotency-Key, PUB <channel> <key>) that had come before, and were answered and not published again."},
	{"publish_keys_reused_total", "KeysReused", "Messages that were refused since their key was another message's."},
	{"publish_keys_forgotten_total", "KeysForgotten", "Keys that were forgotten before their five minutes: more came than --publish-keys."},
	{"publish_keys", "Keys", "Keys of messages that are remembered."},
})
